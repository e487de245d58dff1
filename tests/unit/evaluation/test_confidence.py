"""Confidences are judged by whether they tell right answers from wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from tutelage.evaluation.confidence import Auroc, brier, calibration_error, signals, trust
from tutelage.tasks.label import LabelTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask
from tutelage.types import Prediction, Value

LABEL = LabelTask("tone", ("text",), "", "accuracy", labels=("happy", "sad"))
STRINGS = StringsTask("names", ("text",), "", "f1")

judged = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.4999, 0.9, 1.0]), st.booleans()), min_size=2, max_size=30)


@given(judged, st.integers(0, 99))
def test_auroc_and_brier_are_scikit_learns_on_every_resample(pairs: list[tuple[float, bool]], seed: int) -> None:
    confidence, right = np.array([c for c, _ in pairs]), np.array([r for _, r in pairs])
    draw = np.random.default_rng(seed).integers(0, len(pairs), (1, len(pairs)))
    again = right[draw[0]]
    assume(again.any() and not again.all())
    ours = Auroc(confidence, right, np.arange(len(pairs)))(draw)[0]
    assert ours == pytest.approx(roc_auc_score(again, confidence[draw[0]]))
    assert brier(confidence, right) == pytest.approx(brier_score_loss(right, confidence, pos_label=True))


def test_a_resample_of_one_class_tells_nothing() -> None:
    assert Auroc(np.array([0.1, 0.9]), np.array([False, True]), np.arange(2))(np.array([[1, 1], [0, 1]])).tolist() == [
        0.5,
        1.0,
    ]


@given(judged, st.randoms())
def test_calibration_error_does_not_depend_on_the_order(pairs: list[tuple[float, bool]], chance: object) -> None:
    shuffled = list(pairs)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = (
        calibration_error(np.array([c for c, _ in p]), np.array([r for _, r in p])) for p in (pairs, shuffled)
    )
    assert 0 <= before <= 1 and before == pytest.approx(after)


def test_calibration_error_is_the_gap_between_what_was_said_and_what_was_so() -> None:
    right = np.array([True] * 9 + [False])
    assert calibration_error(np.full(10, 0.9), right) == pytest.approx(0)
    assert calibration_error(np.full(10, 1.0), right) == pytest.approx(0.1)
    # 30 answers in 15 bins of two: every bin is half right and says 0 to 1
    assert calibration_error(np.linspace(0, 1, 30), np.tile([True, False], 15), 15) == pytest.approx(
        float(np.mean([abs(pair.mean() - 0.5) for pair in np.linspace(0, 1, 30).reshape(15, 2)]))
    )


def test_every_signal_is_judged_and_the_most_telling_stands_first() -> None:
    gold: list[Value] = ["sad"] * 40
    answers = ["sad" if at % 4 else "happy" for at in range(40)]
    predictions = [
        Prediction(value, 0.5, signals={"even": 0.5, "telling": 0.9 if value == "sad" else 0.1}) for value in answers
    ]
    predictions[1] = Prediction(None, error="no answer")
    found = trust(LABEL, "llm", gold, predictions, [float(p.value == "sad") for p in predictions])
    telling, even = found
    assert (telling.signal, telling.used, telling.n, telling.share) == ("telling", False, 39, 39 / 40)
    assert telling.auroc and telling.auroc.value == 1.0 and 0.85 < telling.auroc.low < 1.0
    assert telling.right == pytest.approx(29 / 39)
    assert (even.signal, even.used) == ("even", True)
    assert (even.auroc, even.note) == (None, "the same for all")


def test_one_class_only_is_said() -> None:
    predictions = [Prediction("sad", 0.8)] * 5
    (row,) = trust(LABEL, "student", ["sad"] * 5, predictions, [1.0] * 5)
    assert (row.signal, row.used, row.auroc, row.note) == ("confidence", True, None, "all 5 right")
    assert row.ece == pytest.approx(0.2) and row.brier == pytest.approx(0.04)
    (row,) = trust(LABEL, "student", ["happy"] * 5, predictions, [0.0] * 5)
    assert row.note == "all 5 wrong"


def test_a_candidate_without_confidence_has_no_row() -> None:
    assert trust(LABEL, "replay", ["sad"], [Prediction("sad")], [1.0]) == []


def test_the_confidence_is_listed_once() -> None:
    named = [Prediction("sad", 0.8, signals={"agreement": 0.8})]
    assert list(signals(named)) == ["agreement"]
    assert list(signals([Prediction("sad", 0.7, signals={"agreement": 0.8})])) == ["agreement", "confidence"]


def test_parts_are_judged_one_by_one() -> None:
    gold: list[Value] = [["Tom", "Ann"], ["Bo"]]
    predictions = [
        Prediction(["tom", "Sue"], 0.6, parts={"tom": 0.9, "Sue": 0.3}),
        Prediction(["Bo"], 0.6, parts={"Bo": 0.8}),
    ]
    row = trust(STRINGS, "vote", gold, predictions, [0.5, 1.0])[-1]
    assert (row.signal, row.n, row.share, row.right) == ("parts", 3, 1.0, 2 / 3)
    assert row.auroc and row.auroc.value == 1.0


def test_fields_are_right_as_their_normalisers_see_them() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "total": {"type": "number"}}}
    task = RecordTask("invoice", ("text",), "", answer_schema=schema)
    gold: list[Value] = [{"name": "Tom", "total": 5}, {"name": "Ann", "total": None}]
    predictions = [
        Prediction({"name": "tom", "total": 5.0}, parts={"name": 0.9, "total": 0.8}),
        Prediction({"name": "Anna", "total": None}, parts={"name": 0.2, "total": 0.7}),
    ]
    row = trust(task, "llm", gold, predictions, [1.0, 0.5])[-1]
    assert (row.signal, row.n, row.right) == ("parts", 4, 3 / 4)
    assert row.auroc and row.auroc.value == 1.0


@pytest.mark.parametrize(("scores", "right"), [([0.1, 0.5, 0.5, 0.9], 1 / 4), ([1.0, 1.0, 1.0, 0.2], 3 / 4)])
def test_a_text_is_right_in_the_better_half(scores: list[float], right: float) -> None:
    task = TextTask("title", ("text",), "")
    predictions = [Prediction("a title", confidence) for confidence in (0.1, 0.2, 0.3, 0.4)]
    (row,) = trust(task, "llm", ["gold"] * 4, predictions, scores)
    assert (row.right, row.ece, row.brier) == (right, None, None)
    assert row.auroc and row.auroc.value == (1.0 if right == 1 / 4 else 0.0)
