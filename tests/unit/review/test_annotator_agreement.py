"""The coefficients against worked examples in print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from tutelage.project import open_project
from tutelage.review.agreement import Alpha, Cohen, Fleiss, agreement, bootstrapped, fields_apart, masi, measured
from tutelage.store import Decision
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example

TASK = LabelTask("mood", ("text",), "Which mood?", labels=("happy", "sad"))

# Fleiss 1971, as in Wikipedia's "Fleiss' kappa": 14 raters, 10 subjects, 5 categories: kappa 0.210.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip

# Krippendorff 2011, C: four observers, twelve units, missing values: alpha 0.743 nominal, 0.849 interval.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]


def units() -> NDArray[np.float64]:
    counts = np.array([[sum(one[unit] == value for one in OBSERVERS) for value in range(1, 6)] for unit in range(12)])
    return np.asarray(counts[counts.sum(axis=1) > 1], dtype=np.float64)  # the twelfth has one value and pairs with none


def value(statistic: Fleiss | Alpha | Cohen, n: int) -> float:
    return float(statistic(np.arange(n)[None, :])[0])


def test_fleiss_worked_example() -> None:
    assert value(Fleiss(np.array(FLEISS, dtype=float)), 10) == pytest.approx(0.210, abs=5e-4)


def test_krippendorffs_worked_example() -> None:
    counts, values = units(), np.arange(1, 6)
    assert value(Alpha(counts, 1 - np.eye(5)), len(counts)) == pytest.approx(0.743, abs=5e-4)
    squares = ((values[:, None] - values[None, :]) / 4.0) ** 2
    assert value(Alpha(counts, squares), len(counts)) == pytest.approx(0.849, abs=5e-4)


def test_cohens_kappa_is_that_of_scikit_learn() -> None:
    chance = np.random.default_rng(3)
    ours = chance.integers(0, 3, 80)
    theirs = np.where(chance.random(80) < 0.6, ours, chance.integers(0, 3, 80))
    assert value(Cohen(ours, theirs, 3), 80) == pytest.approx(cohen_kappa_score(ours, theirs))
    found = bootstrapped(Cohen(ours, theirs, 3), 80)
    assert found and found.low < found.value < found.high


def test_no_kappa_where_chance_always_agrees() -> None:
    found = measured(TASK, {str(number): {"ann": "sad", "bob": "sad"} for number in range(5)})
    assert (found.fleiss, found.alpha, found.pairs[0].kappa) == (None, None, None)
    assert found.agreement and found.agreement.value == 1 and found.pairs[0].n == 5
    assert found.agreement.low == pytest.approx(0.4782, abs=1e-4)  # Clopper and Pearson of 5 of 5, not certainty


def test_perfect_agreement_on_few_is_no_certainty() -> None:
    said = {str(number): dict.fromkeys(("ann", "bob"), "sad" if number % 2 else "happy") for number in range(6)}
    found = measured(TASK, said)
    assert found.alpha and (found.alpha.value, found.alpha.high) == (1, 1) and found.alpha.low < 0.5


def test_masi_is_passonneaus() -> None:
    assert masi(["a"], ["A "]) == 0
    assert masi(["a", "b"], ["a"]) == pytest.approx(1 - 1 / 2 * 2 / 3)
    assert masi(["a", "b"], ["b", "c"]) == pytest.approx(1 - 1 / 3 * 1 / 3)
    assert masi(["a"], ["b"]) == 1
    assert masi([], []) == 0


def test_half_right_strings_agree_by_half_under_alpha() -> None:
    task = StringsTask("names", ("text",), "Who?")
    said = {
        "1": {"ann": ["Ida", "Bo"], "bob": ["Bo", "Ida"]},
        "2": {"ann": ["Ida", "Max"], "bob": ["Ida"]},
        "3": {"ann": ["Lea"], "bob": ["Lea"]},
    }
    found = measured(task, said)
    assert found.distance == "MASI"
    assert found.agreement and found.agreement.value == pytest.approx(2 / 3)
    assert found.alpha and found.fleiss and found.alpha.value > found.fleiss.value


def test_records_differ_by_fields() -> None:
    assert fields_apart(TASK, {"a": 1, "b": 2}, {"a": 1, "b": 3}) == 0.5


def test_blind_answers_are_taken_where_there_are_any(tmp_path: Path) -> None:
    toml = 'name = "mood"\noutput = "label"\nlabels = ["happy", "sad"]\nfields = ["text"]\ninstructions = "Mood?"\n'
    (tmp_path / "task.toml").write_text(toml)
    project = open_project(tmp_path)
    project.store.examples.add([Example(f"e{number}", {"text": f"t{number}"}, "train") for number in range(4)])

    def say(example: str, who: str, answer: str, purpose: str = "double", suggestion: str | None = None) -> None:
        facts = {"annotator": who, "verdict": "edit", "purpose": purpose, "value": answer, "suggestion": suggestion}
        project.store.decisions.add(Decision(id=f"{example}{who}{purpose}", example_id=example, **facts))  # type: ignore[arg-type]

    assert agreement(project, "train").n == 0
    for number in range(2):
        say(f"e{number}", "ann", "sad", "review", "sad")
        say(f"e{number}", "bob", "sad" if number else "happy", "review", "sad")
    found = agreement(project, "train")
    assert (found.n, found.blind) == (2, False)
    say("e3", "ann", "sad")
    say("e3", "bob", "happy")
    say("e3", "cy", "sad")
    found = agreement(project, "train")
    assert (found.n, found.blind, found.annotators) == (1, True, ("ann", "bob", "cy"))
    assert [(pair.a, pair.b) for pair in found.pairs] == [("ann", "bob"), ("ann", "cy"), ("bob", "cy")]
    project.store.close()
