"""Soft labels as students learn them, and the linear student that does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.answering.features import WORDS
from tutelage.answering.linear import Data
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext
from tutelage.students.features import fit_features
from tutelage.students.linear import LinearSettings, LinearStudent
from tutelage.students.logistic import regression
from tutelage.students.soft import hard_rows, mixed, repeats, soft_labels
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.types import Example, Labelled

TASK = LabelTask("weather", ("text",), "", labels=("cold", "dry", "hot"))
SETTINGS = LinearSettings(effort="low")


def labelled(number: int, text: str, value: str, **distribution: float) -> Labelled:
    return Labelled(Example(str(number), {"text": text}, "train"), value, "teacher:t", distribution)


EXAMPLES = [
    labelled(at, text, value, **{value: 0.6, other: 0.3})
    for at, (text, value, other) in enumerate(
        [
            ("snow ice", "cold", "dry"),
            ("sun heat", "hot", "dry"),
            ("frost ice", "cold", "hot"),
            ("sun fire", "hot", "dry"),
        ]
        * 4
    )
]


def test_a_label_that_was_only_considered_is_learnt_too() -> None:
    soft = soft_labels("linear", SETTINGS, TASK, EXAMPLES)
    assert soft is not None
    assert (soft.labels, soft.known) == (["cold", "dry", "hot"], 16)
    assert np.allclose(soft.shares[0], [2 / 3, 1 / 3, 0])


def test_a_source_that_gave_none_is_certain() -> None:
    soft = soft_labels("linear", SETTINGS, TASK, [*EXAMPLES, labelled(99, "rain", "dry")])
    assert soft is not None and soft.known == 16
    assert soft.shares[-1].tolist() == [0, 1, 0]


def test_hard_targets_and_labels_without_probabilities_are_as_they_were() -> None:
    plain = [replace(one, distribution={}) for one in EXAMPLES]
    assert soft_labels("linear", SETTINGS, TASK, plain) is None
    assert soft_labels("linear", replace(SETTINGS, targets="hard"), TASK, EXAMPLES) is None
    several = LabelsTask("topics", ("text",), "", labels=("a", "b"))
    assert soft_labels("linear", SETTINGS, several, EXAMPLES) is None


def test_soft_targets_that_cannot_be_had_are_refused() -> None:
    settings = replace(SETTINGS, targets="soft")
    with pytest.raises(TrainingError, match="none of the 1 labels to learn from has probabilities"):
        soft_labels("linear", settings, TASK, [replace(EXAMPLES[0], distribution={})])
    with pytest.raises(TrainingError, match="where one is right, not labels"):
        soft_labels("linear", settings, LabelsTask("topics", ("text",), "", labels=("a", "b")), EXAMPLES)
    with pytest.raises(TrainingError, match="All 1 examples to learn from have the label 'cold'"):
        soft_labels("linear", settings, TASK, [labelled(0, "snow", "cold", cold=1.0)])


@given(st.floats(0, 1))
def test_a_mixture_still_sums_to_one(weight: float) -> None:
    soft = soft_labels("linear", SETTINGS, TASK, EXAMPLES)
    assert soft is not None
    assert np.allclose(mixed(soft, EXAMPLES, weight).sum(axis=1), 1)


def test_learning_certain_probabilities_is_learning_labels() -> None:
    texts = [one.example.input["text"] for one in EXAMPLES]
    rows = {WORDS: fit_features([WORDS], texts, None).transform(WORDS, texts)}
    data = Data(rows, [str(one.value) for one in EXAMPLES])
    soft = soft_labels("linear", SETTINGS, TASK, EXAMPLES)
    assert soft is not None
    certain = soft._replace(labels=["cold", "hot"], shares=hard_rows(EXAMPLES, ["cold", "hot"]))
    assert repeats(certain.shares).example.tolist() == list(range(16))
    one, other = (regression((WORDS,), [10.0], data, given)[0] for given in (None, certain))
    assert one.classes == other.classes
    assert np.allclose(one.coefficients[WORDS], other.coefficients[WORDS], atol=1e-5)


def test_the_linear_student_is_as_unsure_as_its_teacher(tmp_path: Path) -> None:
    sure = {}
    for targets in ("soft", "hard"):
        student = LinearStudent(TASK, LinearSettings(effort="low", targets=targets))
        facts = student.fit(EXAMPLES, [], FitContext(tmp_path, Path))
        assert facts["targets"] == targets and facts["soft_labels"] == (0 if targets == "hard" else 14)
        sure[targets] = np.mean([one.confidence for one in student.predict_batch([{"text": "sun"}, {"text": "ice"}])])
        (tmp_path / targets).mkdir()
        student.save(tmp_path / targets)
        loaded = LinearStudent.load(TASK, SETTINGS, tmp_path / targets)
        assert loaded.predict_batch([{"text": "frost"}]) == student.predict_batch([{"text": "frost"}])
    assert sure["soft"] < sure["hard"]
    assert sure["soft"] < 0.8
