"""Metrics equal scikit-learn's, and failures, empty lists and aliases are scored as their texts say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from tutelage.evaluation.metrics import METRICS, Mean, Statistic, accuracy, f1, macro_f1, precision, recall
from tutelage.tasks.strings import StringsTask
from tutelage.types import Value

TASK = StringsTask("t", ("text",), "")

CLASSES = st.sampled_from(["a", "b", "c", "déjà vu"])
LABELLED = st.lists(st.tuples(CLASSES, st.none() | CLASSES), min_size=1, max_size=40)
PERSONS = st.sampled_from(
    ["Oliver", "Oliver the Owl", "oliver", "Mrs. Finch", "Finch", "Mr. Finch", "Tom", "Tom and Ann"]
)
LISTED = st.lists(st.tuples(st.lists(PERSONS, max_size=5), st.none() | st.lists(PERSONS, max_size=5)), min_size=1)


def whole(statistic: Statistic, n: int) -> float:
    return float(statistic(np.arange(n)[None, :])[0])


def scores(name: str, gold: Value, found: Value | None) -> float:
    return whole(METRICS.load(name)(TASK, [gold], [found]), 1)


@given(LABELLED)
def test_accuracy_and_macro_f1_are_scikit_learns_with_failures_of_no_class(pairs: list[tuple[str, str | None]]) -> None:
    gold, found = [g for g, _ in pairs], [p for _, p in pairs]
    as_text = ["(failed)" if p is None else p for p in found]
    classes = sorted({*gold, *(p for p in found if p is not None)})
    assert whole(accuracy(TASK, gold, found), len(gold)) == pytest.approx(accuracy_score(gold, as_text))
    expected = f1_score(gold, as_text, labels=classes, average="macro", zero_division=0.0)
    assert whole(macro_f1(TASK, gold, found), len(gold)) == pytest.approx(expected)


@given(LABELLED, st.integers(0, 2**32 - 1))
def test_macro_f1_of_a_resample_is_that_of_the_drawn_examples(pairs: list[tuple[str, str | None]], seed: int) -> None:
    draws = np.random.default_rng(seed).integers(0, len(pairs), (3, len(pairs)))
    drawn = [[pairs[at] for at in row] for row in draws]
    expected = [whole(macro_f1(TASK, [g for g, _ in some], [p for _, p in some]), len(some)) for some in drawn]
    assert macro_f1(TASK, [g for g, _ in pairs], [p for _, p in pairs])(draws) == pytest.approx(expected)


SETS = st.lists(
    st.tuples(st.lists(CLASSES, unique=True), st.none() | st.lists(CLASSES, unique=True)), min_size=1, max_size=30
)


@given(SETS)
def test_metrics_of_label_sets_are_scikit_learns(pairs: list[tuple[list[str], list[str] | None]]) -> None:
    gold: list[Value] = [g for g, _ in pairs]
    found: list[Value | None] = [p or [] for _, p in pairs]
    names = ["a", "b", "c", "déjà vu"]
    true, guessed = ([[name in (one or []) for name in names] for one in side] for side in (gold, found))
    for name, average in (("micro_f1", "micro"), ("f1", "samples")):
        expected = f1_score(np.array(true), np.array(guessed), average=average, zero_division=1.0)
        assert whole(METRICS.load(name)(TASK, gold, found), len(gold)) == pytest.approx(expected)
    occurring = [at for at, name in enumerate(names) if any(name in (one or []) for one in (*gold, *found))]
    expected = f1_score(np.array(true), np.array(guessed), labels=occurring, average="macro") if occurring else 1.0
    assert whole(macro_f1(TASK, gold, found), len(gold)) == pytest.approx(expected)
    exact = METRICS.load("exact_match")(TASK, gold, found)
    assert whole(exact, len(gold)) == pytest.approx(accuracy_score(np.array(true), np.array(guessed)))


@given(SETS, st.integers(0, 2**32 - 1))
def test_micro_and_macro_f1_of_a_resample_are_those_of_the_drawn_examples(
    pairs: list[tuple[list[str], list[str] | None]], seed: int
) -> None:
    draws = np.random.default_rng(seed).integers(0, len(pairs), (3, len(pairs)))
    for name in ("micro_f1", "macro_f1"):
        metric = METRICS.load(name)
        statistic = metric(TASK, [g for g, _ in pairs], [p for _, p in pairs])
        expected = [
            whole(metric(TASK, [pairs[at][0] for at in row], [pairs[at][1] for at in row]), len(row)) for row in draws
        ]
        assert statistic(draws) == pytest.approx(expected)


def test_a_failed_set_of_labels_names_no_label() -> None:
    assert scores("micro_f1", ["a"], None) == scores("macro_f1", ["a"], None) == scores("f1", [], None) == 0.0
    assert whole(METRICS.load("micro_f1")(TASK, [["a"], ["b"]], [["a"], None]), 2) == pytest.approx(2 / 3)


def test_a_class_that_only_a_failure_missed_scores_zero() -> None:
    assert whole(macro_f1(TASK, ["a", "b"], ["a", None]), 2) == pytest.approx(0.5)
    assert whole(accuracy(TASK, ["a", "b"], ["a", None]), 2) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "name", ["precision", "recall", "f1", "exact_match", "alias_precision", "alias_recall", "alias_f1"]
)
def test_empty_lists_and_failures(name: str) -> None:
    assert scores(name, [], []) == 1.0
    assert scores(name, ["Tom"], []) == 0.0
    assert scores(name, [], ["Tom"]) == 0.0
    assert scores(name, [], None) == 0.0
    assert scores(name, ["Tom"], None) == 0.0


def test_strings_are_matched_one_to_one() -> None:
    # One gold string cannot justify two answers, nor one answer two gold strings.
    assert scores("precision", ["Tom"], ["Tom", "tom"]) == 0.5
    assert scores("recall", ["Tom", "tom"], ["Tom"]) == 0.5
    assert scores("alias_precision", ["Oliver the Owl"], ["Oliver", "Oliver the Owl"]) == 0.5
    # "Jamie" meets either; the exact matching must not waste it.
    assert scores("alias_f1", ["Jamie Williams", "Jamie Fox"], ["Jamie", "Jamie Williams"]) == 1.0


def test_figures_of_one_example() -> None:
    gold, found = [["Oliver the Owl", "Mrs. Finch", "Tom"]], [["Oliver", "Mrs. Finch"]]
    assert whole(precision(TASK, gold, found), 1) == pytest.approx(1 / 2)
    assert whole(recall(TASK, gold, found), 1) == pytest.approx(1 / 3)
    assert whole(f1(TASK, gold, found), 1) == pytest.approx(2 / 5)
    assert scores("alias_precision", gold[0], found[0]) == 1.0
    assert scores("alias_recall", gold[0], found[0]) == pytest.approx(2 / 3)
    assert scores("exact_match", ["Tom", "Ann"], ["ann", "Tom"]) == 1.0
    assert scores("exact_match", ["Tom", "Ann"], ["Tom"]) == 0.0


@given(LISTED)
def test_alias_metrics_are_at_least_the_strict_ones(pairs: list[tuple[list[str], list[str] | None]]) -> None:
    gold: list[Value] = [g for g, _ in pairs]
    found: list[Value | None] = [p for _, p in pairs]
    for name in ("precision", "recall", "f1"):
        strict, alias = METRICS.load(name)(TASK, gold, found), METRICS.load(f"alias_{name}")(TASK, gold, found)
        assert isinstance(strict, Mean)
        assert (alias.scores >= strict.scores - 1e-12).all()
        assert ((strict.scores >= 0) & (alias.scores <= 1)).all()


@given(LISTED)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(pairs: list[tuple[list[str], list[str] | None]]) -> None:
    gold: list[Value] = [g for g, _ in pairs]
    found: list[Value | None] = [p for _, p in pairs]
    p, r, both = (metric(TASK, gold, found).scores for metric in (precision, recall, f1))
    harmonic = np.divide(2 * p * r, p + r, out=np.zeros_like(p), where=p + r > 0)
    assert both == pytest.approx(harmonic)


def test_gold_and_answers_of_different_lengths_are_refused() -> None:
    for metric in (accuracy, f1):
        with pytest.raises(ValueError, match="shorter"):
            metric(TASK, ["a", "b"], ["a"])
    for answers in (["a"], ["a", "b", "a"]):
        with pytest.raises(ValueError, match=f"{len(answers)} answers do not go with 2 gold labels"):
            macro_f1(TASK, ["a", "b"], answers)
