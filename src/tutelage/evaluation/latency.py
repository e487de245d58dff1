"""How fast a predictor answers here: one at a time, and in batches, after warm-up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tutelage.types import Input, Prediction, Predictor

WARM_UP = 5
ONE_AT_A_TIME = 200
SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of seconds per answer, answers per second, and how both were obtained."""

    p50: float
    p75: float
    p90: float
    p99: float
    items_per_second: float
    how: str

    def facts(self) -> dict[str, object]:
        return asdict(self)


async def measure(predictor: Predictor, inputs: Sequence[Input]) -> tuple[list[Prediction], Latency]:
    """All answers (asked as one batch) and the times: warm-up, then one at a time, then the batch.

    One at a time stops after ONE_AT_A_TIME answers or SECONDS seconds.
    """
    await predictor.predict(inputs[:WARM_UP])
    for example in inputs[:WARM_UP]:
        await predictor.predict([example])
    times: list[float] = []
    begun = time.perf_counter()
    for example in inputs[:ONE_AT_A_TIME]:
        start = time.perf_counter()
        await predictor.predict([example])
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begun > SECONDS:
            break
    start = time.perf_counter()
    predictions = await predictor.predict(inputs)
    rate = len(inputs) / max(time.perf_counter() - start, 1e-9)
    return predictions, from_seconds(
        times, rate, f"measured here: {len(times)} one at a time, {len(inputs)} in one batch"
    )


def from_seconds(seconds: Sequence[float], items_per_second: float, how: str) -> Latency:
    """A Latency from seconds per answer; all zeros where nothing was timed."""
    p50, p75, p90, p99 = (float(p) for p in np.percentile(np.asarray(seconds or [0.0]), [50, 75, 90, 99]))
    return Latency(p50, p75, p90, p99, items_per_second, how)


def readable(seconds: float) -> str:
    """Seconds for people; 0 is what was never timed."""
    if seconds == 0:
        return "unknown"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
