"""The Pareto front, and a report as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.reports import make_report, make_row, stories

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.results import Difference, pareto_front

FEW = st.integers(0, 4).map(float)
POINTS = st.dictionaries(st.text(max_size=3), st.tuples(st.none() | FEW, FEW), max_size=9)


@given(POINTS)
def test_exactly_the_dominated_and_the_unpriced_are_off_the_front(
    points: dict[str, tuple[float | None, float]],
) -> None:
    front = pareto_front(points)
    known = {name: (cost, quality) for name, (cost, quality) in points.items() if cost is not None}

    def dominated(name: str) -> bool:
        mine = known[name]
        others = [point for point in known.values() if point != mine]
        return any(cost <= mine[0] and quality >= mine[1] for cost, quality in others)

    assert front == {name for name in known if not dominated(name)}
    assert bool(front) == bool(known)


def test_ties_share_the_front() -> None:
    assert pareto_front({"a": (1, 0.9), "b": (1, 0.9), "c": (1, 0.8), "d": (2, 0.9), "e": (None, 1.0)}) == {"a", "b"}


def test_json_of_a_row_has_the_contracts_keys() -> None:
    apart = Difference("teacher", Estimate(-0.1, -0.2, 0.0))
    found = replace(make_row("linear", dollars=None), difference=apart).json()
    contract = "name family role scores failures seconds items_per_second dollars_per_1000 cost_basis input_tokens"
    assert {*contract.split(), "output_tokens", "on_pareto_front"} <= set(found)
    assert found["dollars_per_1000"] is None
    assert found["difference"] == {"to": "teacher", "value": -0.1, "low": -0.2, "high": 0.0}
    assert list(found["seconds"]) == ["p50", "p75", "p90", "p99"]


def test_json_of_a_report_survives_the_trip() -> None:
    report, _ = stories(6)
    found = json.loads(json.dumps(report.json(), allow_nan=False))
    assert {"task", "output", "metric", "split", "n", "fingerprint", "candidates"} <= set(found)
    assert [one["name"] for one in found["candidates"]] == [row.name for row in report.candidates]
    assert found["candidates"][0]["scores"]["f1"] == {
        end: getattr(report.candidates[0].scores["f1"], end) for end in ("value", "low", "high")
    }
    assert found["skipped"] == {"big": "not evaluated"}
    assert make_report().json()["candidates"] == []
