"""Times are measured one at a time and in one batch, after warm-up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tutelage.evaluation import latency
from tutelage.evaluation.latency import from_seconds, measure
from tutelage.types import Input, Prediction


class Sleeper:
    """Answers after `seconds` a batch; keeps the sizes of the batches."""

    name = "sleeper"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.batches = seconds, []  # type: float, list[int]

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        self.batches.append(len(inputs))
        await asyncio.sleep(self.seconds)
        return [Prediction(input["text"]) for input in inputs]


def inputs(n: int) -> list[Input]:
    return [{"text": str(at)} for at in range(n)]


def test_percentiles() -> None:
    found = from_seconds([n / 100 for n in range(101)], 3.0, "as told")
    assert (found.p50, found.p75, found.p90, found.p99) == pytest.approx((0.5, 0.75, 0.9, 0.99))
    assert found.facts() == {
        "p50": 0.5,
        "p75": 0.75,
        "p90": 0.9,
        "p99": 0.99,
        "items_per_second": 3.0,
        "how": "as told",
    }


def test_nothing_timed_is_all_zeros() -> None:
    found = from_seconds([], 0.0, "")
    assert (found.p50, found.p99) == (0.0, 0.0)


def test_every_input_is_answered_in_order_and_timed() -> None:
    sleeper = Sleeper(0.005)
    predictions, found = asyncio.run(measure(sleeper, inputs(12)))
    assert [p.value for p in predictions] == [str(at) for at in range(12)]
    warm_up = [latency.WARM_UP] + [1] * latency.WARM_UP
    assert sleeper.batches == [*warm_up, *[1] * 12, 12]
    assert 0.005 <= found.p50 < 0.1 and found.p50 <= found.p75 <= found.p90 <= found.p99
    # Twelve answers in one batch of 5 ms: far more a second than one at a time.
    assert 1 / found.p50 < found.items_per_second <= 12 / 0.005
    assert found.how == "measured here: 12 one at a time, 12 in one batch"


def test_one_at_a_time_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "ONE_AT_A_TIME", 7)
    assert asyncio.run(measure(Sleeper(), inputs(9)))[1].how == "measured here: 7 one at a time, 9 in one batch"
    monkeypatch.setattr(latency, "SECONDS", 0.0)
    predictions, found = asyncio.run(measure(Sleeper(0.001), inputs(9)))
    assert len(predictions) == 9 and found.how.startswith("measured here: 1 one")
