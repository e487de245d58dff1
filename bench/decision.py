"""What a cascade adds to an answer: microseconds of deciding, one input at a time, over stages that answer at once.

python -m bench.decision
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

import numpy as np

from bench.projects import write_log
from tutelage.routing.cascade import Cascade, Rule, Stage
from tutelage.routing.confidence import Confidence
from tutelage.routing.maps import KINDS, Map, fit_map
from tutelage.types import Input, Prediction, Predictor

CALLS = 3000
WANTED = 200.0


class Instant:
    """Answers at once."""

    name = "instant"

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [Prediction("a", 0.9, source="instant") for _ in inputs]


async def timed(predictor: Predictor) -> float:
    """Median microseconds of an answer."""
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        await predictor.predict([{"text": "x"}])
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) * 1e6


def main() -> int:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 500)
    right = rng.random(500) < confidence
    bare = asyncio.run(timed(Instant()))
    rows = ["| map of the confidence | microseconds added (p50) |", "|---|---|"]
    for kind in KINDS:
        mapped: Map = fit_map(kind, confidence, right)
        stages = [Stage(Instant(), Confidence("confidence", mapped)), Stage(Instant(), None)]
        cascade = Cascade("cascade", stages, Rule(0.5), lambda one: one["text"])
        rows.append(f"| {kind} | {asyncio.run(timed(cascade)) - bare:.0f} |")
    rows.append(f"\n{CALLS} calls each, one input a call; wanted: under {WANTED:.0f}.")
    write_log("decision: what a cascade adds to an answer", "\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
