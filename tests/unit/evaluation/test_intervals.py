"""Intervals cover what they say, and never claim certainty from few examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from tutelage.evaluation import intervals
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import difference, estimate, independent
from tutelage.evaluation.metrics import Mean, accuracy, macro_f1
from tutelage.tasks.strings import StringsTask

TASK = StringsTask("t", ("text",), "")


def random_scores(n: int, seed: int, a: float = 4.0, b: float = 1.0) -> Mean:
    return Mean(np.random.default_rng(seed).beta(a, b, n))


def test_the_interval_covers_the_true_mean_about_95_times_in_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 500)
    found = [estimate(random_scores(60, seed), 60, seed=seed) for seed in range(200)]
    coverage = np.mean([one.low <= 4 / 5 <= one.high for one in found])
    assert 0.88 <= coverage <= 0.99


def test_the_paired_interval_covers_the_true_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 500)
    inside = []
    for seed in range(200):
        theirs = random_scores(60, seed)
        ours = Mean(theirs.scores - np.random.default_rng(seed + 1000).beta(1, 9, 60))
        found = difference(ours, theirs, 60, seed=seed)
        inside.append(found.low <= -0.1 <= found.high)
    assert 0.88 <= np.mean(inside) <= 0.99


def test_a_paired_difference_is_narrower_than_the_two_intervals() -> None:
    theirs = random_scores(60, 1, 1, 1)
    ours = Mean(np.clip(theirs.scores - 0.02 * np.random.default_rng(2).random(60), 0, 1))
    paired, alone = difference(ours, theirs, 60), estimate(theirs, 60)
    assert paired.high - paired.low < (alone.high - alone.low) / 5


@pytest.mark.parametrize("n", [1, 2, 40])
@pytest.mark.parametrize("right", [0, 1])
def test_all_right_or_all_wrong_gives_the_exact_binomial_interval(n: int, right: int) -> None:
    exact = binomtest(right * n, n).proportion_ci(0.95, method="exact")
    found = estimate(Mean(np.full(n, float(right))), n)
    assert (found.value, found.low, found.high) == pytest.approx((right, exact.low, exact.high))


def test_equal_scores_between_0_and_1_are_no_certainty() -> None:
    exact = binomtest(20, 40).proportion_ci(0.95, method="exact")
    half = estimate(Mean(np.full(40, 0.5)), 40)
    assert (half.value, half.low, half.high) == pytest.approx((0.5, exact.low, exact.high))
    one = estimate(Mean(np.array([2 / 3])), 1)
    assert one.low < 0.05 and one.high > 0.95


def test_a_perfect_macro_f1_is_as_uncertain_as_a_perfect_accuracy() -> None:
    gold = ["a", "b"] * 10
    assert estimate(macro_f1(TASK, gold, gold), 20) == estimate(accuracy(TASK, gold, gold), 20)


def test_equal_answers_differ_by_exactly_nothing() -> None:
    same = random_scores(30, 3)
    assert difference(same, same, 30) == Estimate(0.0, 0.0, 0.0)
    labels = macro_f1(TASK, ["a", "b", "a"], ["a", "b", None])
    assert difference(labels, labels, 3) == Estimate(0.0, 0.0, 0.0)


def test_always_better_is_no_certainty() -> None:
    found = difference(Mean(np.ones(3)), Mean(np.zeros(3)), 3)
    low = 2 * binomtest(3, 3).proportion_ci(0.95, method="exact").low - 1
    assert (found.value, found.low, found.high) == pytest.approx((1.0, low, 1.0))


def test_the_seed_decides() -> None:
    scores = random_scores(50, 4)
    assert estimate(scores, 50, seed=7) == estimate(scores, 50, seed=7)
    assert estimate(scores, 50, seed=7) != estimate(scores, 50, seed=8)
    other = random_scores(50, 5)
    assert difference(scores, other, 50, seed=7) == difference(scores, other, 50, seed=7)


@pytest.mark.parametrize("gold", [["a"], ["a", "b"]])
def test_one_and_two_examples(gold: list[str]) -> None:
    n = len(gold)
    for found in (gold, [None] * n, ["b"] * n):
        for metric in (accuracy, macro_f1):
            one = estimate(metric(TASK, gold, found), n)
            assert 0 <= one.low <= one.value <= one.high <= 1
            paired = difference(metric(TASK, gold, found), metric(TASK, gold, gold), n)
            assert -1 <= paired.low <= paired.value <= paired.high <= 1


def test_many_examples_get_the_percentile_interval() -> None:
    n = intervals.BCA_LIMIT + 1
    scores = random_scores(n, 6)
    found = estimate(scores, n)
    half = 1.96 * scores.scores.std() / np.sqrt(n)
    assert found.low == pytest.approx(found.value - half, abs=half / 5)
    assert found.high == pytest.approx(found.value + half, abs=half / 5)


def test_another_confidence_is_another_width() -> None:
    scores = random_scores(50, 9)
    narrow, wide = estimate(scores, 50, confidence=0.5), estimate(scores, 50, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_difference_on_different_examples_has_newcombes_interval() -> None:
    def wilson(right: int, n: int) -> Estimate:
        ends = binomtest(right, n).proportion_ci(method="wilson")
        return Estimate(right / n, ends.low, ends.high)

    found = independent(wilson(56, 70), wilson(48, 80))  # Newcombe 1998, table II, method 10
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
