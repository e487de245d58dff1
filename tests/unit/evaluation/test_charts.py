"""Charts are drawn from any figures that a report can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import vl_convert
from tests.reports import make_report, make_row, stories

from tutelage.evaluation.charts import SIZE, charts, kind_of, unpriced
from tutelage.evaluation.placing import domain, is_logarithmic, places, powers
from tutelage.evaluation.results import Row
from tutelage.prompting import PromptedSettings


def found(specification: object, key: str) -> Iterator[Any]:
    """Every value of `key` at any depth."""
    if isinstance(specification, dict):
        for name, value in specification.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(specification, list):
        for value in specification:
            yield from found(value, key)


def points(specification: dict[str, Any]) -> dict[str, dict[str, Any]]:
    rows = specification["data"]["values"] if "values" in specification.get("data", {}) else None
    rows = rows or next(iter(specification["datasets"].values()))
    return {row["candidate"]: row for row in rows}


def x_scale(specification: dict[str, Any]) -> dict[str, Any]:
    return next(scale for x in found(specification, "x") if isinstance(x, dict) for scale in found(x, "scale"))


def drawn(*rows: Row) -> dict[str, dict[str, Any]]:
    """The charts of rows; each must also be drawable."""
    made = charts(make_report(*rows))
    for specification in made.values():
        svg = vl_convert.vegalite_to_svg(specification)
        assert "NaN" not in svg and "Infinity" not in svg
        for row in rows:
            if row.name in points(specification):
                assert f">{row.name}</text>" in svg
    return made


def test_three_charts_of_a_list_task() -> None:
    report, _ = stories(12)
    made = charts(report)
    assert list(made) == ["cost", "time", "precision-recall"]
    assert set(points(made["time"])) == {row.name for row in report.candidates}
    assert set(points(made["cost"])) == {row.name for row in report.candidates} - {"small-llm"}
    assert unpriced(report) == ["small-llm"]
    for specification in made.values():
        svg = vl_convert.vegalite_to_svg(specification)
        assert f'width="{SIZE["width"]}"' in svg
        for kind in {point["kind"] for point in points(specification).values()}:
            assert f">{kind}</text>" in svg, "the legend lacks a kind"


def test_a_label_task_has_no_precision_chart() -> None:
    assert list(drawn(make_row("a"), make_row("b", value=0.5))) == ["cost", "time"]


def test_one_candidate_and_equal_values() -> None:
    assert list(drawn(make_row("a"))) == ["cost", "time"]
    assert list(drawn(make_row("a"), make_row("b"), make_row("c"))) == ["cost", "time"]
    assert list(drawn(make_row("a", value=1.0), make_row("b", value=1.0))) == ["cost", "time"]
    assert list(drawn(make_row("a", value=0.0, dollars=0.0))) == ["cost", "time"]


def test_unknown_costs_and_times_are_no_points() -> None:
    assert list(drawn(make_row("a", dollars=None))) == ["time"]
    assert drawn(make_row("a", dollars=None, seconds=0.0)) == {}
    assert list(points(drawn(make_row("a", dollars=None), make_row("b"))["cost"])) == ["b"]
    assert charts(make_report()) == {}


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [([0.01, 5.0], "log"), ([1.0, 10.0], None), ([1.0, 9.0], None), ([0.0, 5.0], None), ([0.0, 0.0], None)],
)
def test_a_logarithmic_axis_only_over_a_decade_of_positive_values(dollars: list[float], expected: str | None) -> None:
    made = drawn(*(make_row(f"c{at}", dollars=dollar) for at, dollar in enumerate(dollars)))
    assert x_scale(made["cost"]).get("type") == expected


def test_a_metric_that_spans_a_decade_stays_linear() -> None:
    made = drawn(make_row("a", value=0.06), make_row("b", value=0.95))
    assert {
        scale.get("type") for y in found(made["cost"], "y") if isinstance(y, dict) for scale in found(y, "scale")
    } == {None}


def test_the_front_holds_what_nothing_cheaper_beats() -> None:
    rows = [("a", 0.5, 1.0), ("b", 0.4, 2.0), ("c", 0.9, 3.0), ("d", 0.9, 4.0), ("e", 0.8, 3.0)]
    made = drawn(*(make_row(name, value=value, dollars=dollars) for name, value, dollars in rows))
    assert {name for name, point in points(made["cost"]).items() if point["front"]} == {"a", "c"}


def test_the_tooltip_holds_the_figures() -> None:
    point = points(drawn(make_row("a", value=0.875, dollars=0.5, seconds=0.25))["cost"])["a"]
    assert (point["interval"], point["cost"], point["p50"], point["rate"], point["kind"]) == (
        "0.875 (0.825 to 0.925)",
        "$0.5",
        "0.25 s",
        "4",
        "student",
    )
    shown = [title for tooltip in found(drawn(make_row("a"))["cost"], "tooltip") for title in found(tooltip, "title")]
    assert {"candidate", "accuracy", "per 1,000", "p50", "answers per s", "failed"} <= set(shown)


def test_domains_hold_their_values_with_room() -> None:
    for values in ([0.0], [3.0], [0.0, 0.0], [1.0, 2.0], [0.9, 1.0]):
        low, high = domain(values)
        assert 0 <= low <= min(values) and low < high and high > max(values)
    assert domain([0.5, 1.0], most=1.0)[1] == 1.0
    low, high = domain([0.001, 1.0], logarithmic=True)
    assert 0 < low < 0.001 and high > 1.0


def test_ticks_of_a_logarithmic_axis() -> None:
    assert powers((0.0005, 2.0)) == [0.001, 0.01, 0.1, 1.0]
    assert powers((0.5, 20.0)) == [1, 3, 10]
    assert not is_logarithmic([0.0, 5.0]) and not is_logarithmic([1.0, 10.0]) and is_logarithmic([1.0, 10.1])


def test_names_of_near_points_are_put_apart() -> None:
    near = [(0.50, 0.50), (0.50, 0.50), (0.50, 0.50), (0.50, 0.50)]
    assert len(set(places(["one", "two", "three", "four"], near, (0, 1), (0, 1), logarithmic=False))) == 4
    # At the right edge a name goes to the left of its point.
    assert places(["a-long-name"], [(0.99, 0.5)], (0, 1), (0, 1), logarithmic=False) == ["left-up"]
    assert places(["a-long-name"], [(90.0, 0.5)], (0.01, 100.0), (0, 1), logarithmic=True) == ["left-up"]
    assert places(["a-long-name"], [(0.1, 0.5)], (0.01, 100.0), (0, 1), logarithmic=True) == ["right-up"]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (PromptedSettings("gpt-5-mini"), "hosted LLM"),
        (PromptedSettings("m", base_url="https://models.example/v1"), "hosted LLM"),
        (PromptedSettings("m", base_url="http://127.0.0.1:8080/v1"), "local LLM"),
        (PromptedSettings("m", base_url="http://localhost:8080/v1"), "local LLM"),
        (PromptedSettings("m.gguf", provider="gguf"), "local LLM"),
    ],
)
def test_hosted_and_local_models_are_told_apart(settings: PromptedSettings, kind: str) -> None:
    assert kind_of(replace(make_row(), role="llm", hosted=settings.hosted)) == kind
