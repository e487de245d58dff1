"""The label model: it finds out without gold which functions are right, and so beats the plain vote where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tutelage.labels.weak.functions import Said
from tutelage.labels.weak.labeller import SILENT, Labeller, contradict, fitted
from tutelage.labels.weak.model import Kind, fit, votes_of
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask

MOODS = LabelTask("moods", ("text",), "", labels=("good", "bad", "neutral"))
KINDS: tuple[Kind, ...] = ("majority", "one-coin", "confusion")
TOPICS = LabelsTask("topics", ("text",), "", labels=("song", "tea"))


def simulated(
    accuracies: Sequence[float], coverage: float, n: int, classes: int, seed: int
) -> tuple[list[dict[int, int]], NDArray[np.int64]]:
    """Votes of independent functions, and the right classes."""
    draw = np.random.default_rng(seed)
    right = draw.integers(0, classes, n)
    given = []
    for gold in right.tolist():
        votes = {}
        for number, accuracy in enumerate(accuracies):
            if draw.random() < coverage:
                others = [label for label in range(classes) if label != gold]
                votes[number] = gold if draw.random() < accuracy else int(draw.choice(others))
        given.append(votes)
    return given, right


@pytest.mark.parametrize("kind", ["one-coin", "confusion"])
def test_unequal_functions_are_told_apart_without_gold(kind: Kind) -> None:
    given, right = simulated([0.95, 0.55, 0.5, 0.5, 0.9], 0.8, 1500, 4, 1)
    votes = votes_of(given, [list(range(4))] * 5)
    model, plain = fit(votes, 4, kind), fit(votes, 4, "majority")
    weighed = float((model.posterior(votes.rows).argmax(axis=1) == right).mean())
    counted = float((plain.posterior(votes.rows).argmax(axis=1) == right).mean())
    assert weighed > counted + 0.05 and model.rounds > 1
    assert np.allclose(model.posterior(votes.rows).sum(axis=1), 1)


def test_estimated_accuracies_are_near_the_true_ones() -> None:
    accuracies = [0.95, 0.6, 0.75, 0.5]
    given, _ = simulated(accuracies, 0.9, 3000, 3, 2)
    said: list[list[Said]] = [[MOODS.labels[one[k]] if k in one else None for k in range(4)] for one in given]
    for kind in KINDS[1:]:
        labeller = fitted(MOODS, list("abcd"), [None] * 4, said, kind)
        found = [one.accuracy for one in labeller.summaries(said)]
        assert found == pytest.approx(accuracies, abs=0.05)


def test_functions_of_one_label_each_are_told_apart() -> None:
    """Keyword lists: each speaks of one label alone, a loose one also where another label is right."""
    draw = np.random.default_rng(3)
    gold = draw.integers(0, 3, 1500)
    said: list[list[Said]] = []
    for label in gold.tolist():
        words: list[Said] = [MOODS.labels[k] if k == label and draw.random() < 0.7 else None for k in range(3)]
        words += [MOODS.labels[k] if draw.random() < (0.6 if k == label else 0.02) else None for k in range(3)]
        said.append([*words, "good" if draw.random() < 0.5 else None])  # says good at random
    names, declared = list("abcdefg"), [(label,) for label in (*MOODS.labels, *MOODS.labels, "good")]
    right = {}
    for kind in KINDS:
        labeller = fitted(MOODS, names, declared, said, kind)
        answers = labeller.predictions(said)
        right[kind] = sum(one.value == MOODS.labels[at] for one, at in zip(answers, gold.tolist(), strict=True))
    assert min(right["one-coin"], right["confusion"]) > right["majority"] + 50


def test_the_majority_is_the_share_of_votes() -> None:
    said: list[list[Said]] = [["good", "good", "bad"], [None, None, "bad"], [None, None, None]]
    found = fitted(MOODS, ["a", "b", "c"], [None] * 3, said, "majority").predictions(said)
    assert [one.value for one in found] == ["good", "bad", None] and found[2].error == SILENT
    assert [one.confidence for one in found[:2]] == [pytest.approx(2 / 3), 1.0]


def test_several_labels_each_have_a_model(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    said: list[list[Said]] = []
    for _ in range(400):
        song, tea = draw.random() < 0.4, draw.random() < 0.3
        whole = frozenset(label for label, is_so in (("song", song), ("tea", tea)) if is_so)
        said.append(
            [
                "song" if song and draw.random() < 0.8 else None,
                "tea" if tea and draw.random() < 0.8 else None,
                whole if draw.random() < 0.5 else None,
            ]
        )
    labeller = fitted(TOPICS, ["sings", "drinks", "both"], [("song",), ("tea",), None], said, "confusion")
    labeller.save(tmp_path)
    loaded = Labeller.load(TOPICS, tmp_path)
    asked: list[list[Said]] = [
        ["song", None, None],
        ["song", "tea", None],
        [None, None, frozenset()],
        [None, None, frozenset({"tea"})],
        [None, None, None],
    ]
    found = loaded.predictions(asked)
    assert found == labeller.predictions(asked)
    assert [one.value for one in found] == [["song"], ["song", "tea"], [], ["tea"], None]
    assert all(0 <= share <= 1 for one in found for share in one.parts.values())


@pytest.mark.parametrize(
    ("one", "other", "several", "against"),
    [
        ("a", "b", False, True),
        ("a", "a", False, False),
        ("a", "b", True, False),
        (frozenset({"a"}), "b", True, True),
        ("a", frozenset({"a", "b"}), True, False),
        (frozenset({"a"}), frozenset({"a", "b"}), True, True),
    ],
)
def test_which_words_contradict_one_another(one: Said, other: Said, several: bool, against: bool) -> None:
    assert contradict(one, other, several) is against and contradict(other, one, several) is against


@pytest.mark.parametrize("task", [MOODS, TOPICS])
def test_hardly_any_votes_are_no_accident(task: Task) -> None:
    label = task.labels[0]  # type: ignore[attr-defined]
    said: list[list[Said]] = [[label, None], [None, None]]
    for kind in KINDS:
        labeller = fitted(task, ["a", "b"], [(label,), None], said, kind)
        found = labeller.predictions(said)
        assert found[0].value in (label, [label]) and found[1].value is None
        assert labeller.summaries(said)[1].accuracy is None
