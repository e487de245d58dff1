"""Metrics of records: figures by hand, failures, lists, and each field by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.evaluation.fields import field_scores
from tutelage.evaluation.metrics import METRICS, Mean, Statistic
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Value

TASK = RecordTask(
    "t",
    ("text",),
    "",
    answer_schema={
        "properties": {
            "vendor": {"type": "string"},
            "day": {"type": "string", "format": "date"},
            "total": {"type": "number"},
            "tags": {"type": "array", "items": {"type": "string"}},
        }
    },
)
GOLD: dict[str, object] = {"vendor": "Acme  Ltd.", "day": "2026-05-17", "total": 1651.15, "tags": ["red", "blue"]}
NAMES = TASK.metrics


def record(**values: object) -> dict[str, object]:
    return dict.fromkeys(GOLD) | values


def whole(statistic: Statistic, n: int) -> float:
    return float(statistic(np.arange(n)[None, :])[0])


def score(name: str, gold: Value, found: Value | None) -> float:
    return whole(METRICS.load(name)(TASK, [gold], [found]), 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_differently_is_right(name: str) -> None:
    found = record(vendor="ACME LTD.", day="17 May 2026", total="PLN 1.651,15", tags=["Blue", "red"])
    assert score(name, GOLD, found) == 1.0
    assert score(name, record(), record()) == 1.0
    assert score(name, GOLD, None) == score(name, GOLD, record()) == score(name, record(), GOLD) == 0.0


@pytest.mark.parametrize(("name", "failed"), [(name, 1.0 if name == "micro_field_f1" else 0.0) for name in NAMES])
def test_a_failed_answer_is_wrong_even_where_there_is_nothing_to_find(name: str, failed: float) -> None:
    assert score(name, record(), None) == failed  # a ratio over all values has none here that could be wrong


def test_figures_of_one_record() -> None:
    # Right: day, one of two tags. Wrong: vendor. Absent: total. Invented: nothing else.
    found = record(vendor="Acme Inc.", day="2026-05-17", tags=["red", "green", "red"])
    assert score("field_precision", GOLD, found) == pytest.approx(2 / 5)
    assert score("field_recall", GOLD, found) == pytest.approx(2 / 5)
    assert score("field_f1", GOLD, found) == score("micro_field_f1", GOLD, found) == pytest.approx(4 / 10)
    assert score("exact_match", GOLD, found) == 0.0
    assert score("token_f1", GOLD, found) == pytest.approx((1 / 2 + 1 + 0 + 2 / 5) / 4)


def test_null_for_null_changes_no_f1() -> None:
    gold, found = record(vendor="Acme", total=3), record(vendor="Acme")
    assert score("field_precision", gold, found) == 1.0
    assert score("field_recall", gold, found) == score("token_f1", gold, found) == 0.5
    assert score("field_f1", gold, found) == pytest.approx(2 / 3)


def test_micro_counts_values_and_the_mean_counts_examples() -> None:
    gold: list[Value] = [GOLD, record(vendor="Bo")]
    found: list[Value | None] = [GOLD, record(vendor="Cy")]
    assert whole(METRICS.load("field_f1")(TASK, gold, found), 2) == pytest.approx(1 / 2)
    assert whole(METRICS.load("micro_field_f1")(TASK, gold, found), 2) == pytest.approx(10 / 12)


def test_a_value_that_fits_no_field_is_wrong_and_breaks_nothing() -> None:
    found = record(vendor={"name": "Acme"}, day="soon", total=["x"], tags=[3, None])
    assert score("field_precision", GOLD, found) == 0.0
    assert score("field_f1", record(day="soon"), record(day="SOON")) == 1.0


def test_every_field_has_its_own_figures() -> None:
    gold: list[Value] = [GOLD, record(vendor="Bo Lee"), record()]
    found: list[Value | None] = [record(vendor="acme ltd.", total=1651.15), record(vendor="Bo"), None]
    scores = field_scores(TASK, gold, found)
    assert list(scores) == ["vendor", "day", "total", "tags"]
    assert {name: one.n for name, one in scores.items()} == {"vendor": 2, "day": 1, "total": 1, "tags": 1}
    assert [one.exact.value for one in scores.values()] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1 / 3])
    assert [one.token_f1.value for one in scores.values()] == pytest.approx([(1 + 2 / 3) / 2, 0, 1, 0])
    for one in scores.values():
        assert 0 <= one.exact.low <= one.exact.value <= one.exact.high <= 1
    assert field_scores(StringsTask("t", ("text",), ""), [["a"]], [["a"]]) == {}


VALUES = st.fixed_dictionaries(
    {
        "vendor": st.none() | st.sampled_from(["Acme", "ACME", "Bo Lee", "Bo"]),
        "day": st.none() | st.sampled_from(["2026-05-17", "17 May 2026", "2026-01-01"]),
        "total": st.none() | st.sampled_from([1, 1.0, "1,00", 2.5]),
        "tags": st.none() | st.lists(st.sampled_from(["a", "b", "A"]), min_size=1, max_size=3),
    }
)


@given(st.lists(st.tuples(VALUES, st.none() | VALUES), min_size=1, max_size=6))
def test_scores_stand_in_order_and_gold_against_itself_is_perfect(
    pairs: list[tuple[dict[str, object], dict[str, object] | None]],
) -> None:
    gold: list[Value] = [g for g, _ in pairs]
    found: list[Value | None] = [p for _, p in pairs]
    means = {name: METRICS.load(name)(TASK, gold, found) for name in NAMES if name != "micro_field_f1"}
    for statistic in means.values():
        assert isinstance(statistic, Mean) and ((statistic.scores >= 0) & (statistic.scores <= 1)).all()
    f1, exact = means["field_f1"].scores, means["exact_match"].scores
    assert ((f1 == 1) == (exact == 1)).all()
    p, r = means["field_precision"].scores, means["field_recall"].scores
    assert f1 == pytest.approx(np.divide(2 * p * r, p + r, out=np.zeros_like(p), where=p + r > 0))
    for name in NAMES:
        assert whole(METRICS.load(name)(TASK, gold, list(gold)), len(gold)) == 1.0


def test_gold_and_answers_of_different_lengths_are_refused() -> None:
    for name in NAMES:
        with pytest.raises(ValueError, match="shorter"):
            METRICS.load(name)(TASK, [GOLD, GOLD], [GOLD])
