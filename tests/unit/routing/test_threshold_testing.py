"""Thresholds are proved one after another, and a proved one is wrong no more often than was agreed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tutelage.evaluation.metrics import Floats
from tutelage.routing.bounds import exact_p, uniform_of
from tutelage.routing.power import enough, needed
from tutelage.routing.testing import Limit, Sample, prove, thresholds

DELTA = 0.1
DRAWS = 300
NOISE = 3 * float(np.sqrt(DELTA * (1 - DELTA) / DRAWS))


def limit_on(
    wrong: Floats, confidence: Floats, most: float, name: str = "wrong", members: NDArray[np.int64] | None = None
) -> Limit:
    """`wrong` is lost where the confidence reaches the threshold, else nothing."""
    binary = bool(np.isin(wrong, (0, 1)).all())
    return Limit(name, most, lambda t: np.where(confidence >= t, wrong, 0.0), binary, members)


def ids(n: int, draw: int = 0) -> list[str]:
    return [f"{draw}-{at}" for at in range(n)]


@dataclass(frozen=True)
class Population:
    """Confidences that are a little too sure, and what is lost on average where they reach a threshold."""

    most: float = 0.05

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        confidence = rng.beta(3, 1, n)
        return confidence, (rng.random(n) >= self.right(confidence)).astype(np.float64)

    @staticmethod
    def right(confidence: Floats) -> Floats:
        return 0.55 + 0.44 * confidence**2

    def loss(self, threshold: float) -> float:
        grid = np.linspace(max(0.0, threshold), 1, 4001)
        return float(np.trapezoid(3 * grid**2 * (1 - self.right(grid)), grid)) if threshold < 1 else 0.0


def test_a_proved_threshold_misses_as_seldom_as_agreed_where_the_point_rule_misses_half_the_time() -> None:
    rng, population = np.random.default_rng(5), Population()
    missed, point_missed = [], []
    for draw in range(DRAWS):
        confidence, wrong = population.draw(rng, 200)
        limit, order = limit_on(wrong, confidence, population.most), thresholds(confidence)
        proved = prove([limit], order, Sample(ids(200, draw)), DELTA)
        missed.append(proved.threshold is not None and population.loss(proved.threshold) > population.most)
        point = min(t for t in order.tolist() if limit.of(t).mean() <= population.most)
        point_missed.append(population.loss(point) > population.most)
    assert np.mean(missed) <= DELTA + NOISE
    assert np.mean(missed) >= DELTA - NOISE  # and no more is given away than that
    assert np.mean(point_missed) > 0.35


def test_losses_between_0_and_1_are_proved_as_safely() -> None:
    rng, population, missed, found = np.random.default_rng(6), Population(), [], []
    for draw in range(100):
        confidence = rng.beta(3, 1, 150)
        share = np.clip(2 * (1 - population.right(confidence)) * rng.random(150), 0, 1)
        limit, order = limit_on(share, confidence, population.most), thresholds(confidence)
        proved = prove([limit], order, Sample(ids(150, draw), 0.1), DELTA)
        assert proved.threshold is not None
        missed.append(population.loss(proved.threshold) > population.most)
        found.append(population.loss(proved.threshold))
    assert np.mean(missed) <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / 100)
    assert np.mean(found) > population.most / 4  # it does answer


def test_testing_ends_at_the_first_failure() -> None:
    # The tenth surest is wrong and all after it are right: below it the loss would be fine again.
    confidence, wrong = np.linspace(1, 0.01, 400), np.zeros(400)
    wrong[9:40] = 1
    limit, order, sample = limit_on(wrong, confidence, 0.05), thresholds(confidence), Sample(ids(400))
    proved = prove([limit], order, sample, DELTA)
    assert proved.failed is not None
    assert proved.failed[0] == "wrong"
    assert proved.failed[1] > DELTA
    assert proved.threshold is not None
    assert proved.threshold == order[proved.tested - 1]
    assert proved.p_values == {"wrong": exact_p(limit.of(proved.threshold), 0.05, uniform_of(sample.ids))}
    assert limit.of(order[-1]).mean() > 0.05
    late = limit_on(np.where(np.arange(400) < 12, wrong, 0), confidence, 0.05)
    assert prove([late], order, sample, DELTA).threshold == order[-1] == 0.0


def test_nothing_is_proved_where_the_safest_is_not() -> None:
    confidence = np.linspace(1, 0, 50)
    limit = Limit("wrong", 0.05, lambda t: np.r_[np.ones(5), np.zeros(45)], binary=True)
    proved = prove([limit], thresholds(confidence), Sample(ids(50)), DELTA)
    assert (proved.threshold, proved.tested, proved.p_values) == (None, 0, {})
    assert proved.failed is not None


def test_all_limits_and_all_groups_have_to_be_proved() -> None:
    rng, n = np.random.default_rng(7), 600
    confidence = rng.random(n)
    good = np.zeros(n)
    bad = (rng.random(n) < np.where(confidence < 0.5, 0.5, 0.0)).astype(np.float64)
    order, sample = thresholds(confidence), Sample(ids(n))
    free = prove([limit_on(good, confidence, 0.05, "a")], order, sample, DELTA)
    joint = prove([limit_on(good, confidence, 0.05, "a"), limit_on(bad, confidence, 0.05, "b")], order, sample, DELTA)
    assert free.threshold == 0.0
    assert joint.threshold is not None
    assert 0.35 < joint.threshold < 0.55
    assert set(joint.p_values) == {"a", "b"}
    assert joint.failed is not None
    assert joint.failed[0] == "b"
    # The errors all lie in one group of a tenth: on average they are few, in the group they are not.
    few = np.arange(n // 10)
    grouped = np.where(np.arange(n) < n // 10, bad, 0.0)
    whole = prove([limit_on(grouped, confidence, 0.05)], order, sample, DELTA)
    by_group = prove(
        [
            limit_on(grouped, confidence, 0.1, "small", few),
            limit_on(grouped, confidence, 0.1, "rest", np.arange(60, n)),
        ],
        order,
        sample,
        DELTA,
    )
    assert whole.threshold == 0.0
    assert by_group.threshold is not None
    assert by_group.threshold > 0.2
    assert by_group.failed is not None
    assert by_group.failed[0] == "small"


def test_a_groups_losses_between_0_and_1_are_taken_from_the_group() -> None:
    confidence, losses = np.linspace(1, 0, 300), np.r_[np.full(100, 0.01), np.full(200, 0.9)]
    members = np.arange(100)
    limit = Limit("metric", 0.2, lambda t: losses, binary=False, members=members)
    proved = prove([limit], thresholds(confidence), Sample(ids(300)), DELTA)
    assert proved.threshold == 0.0


@pytest.mark.parametrize("confidence", [[0.5, 0.5, 0.9], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.3]])
def test_thresholds_tell_apart_what_can_be_told_apart(confidence: list[float]) -> None:
    each = np.array(confidence)
    answered = [int((each >= t).sum()) for t in thresholds(each)]
    assert answered[0] == 0
    assert answered[-1] == len(each)
    assert sorted(set(answered)) == sorted({int((each >= c).sum()) for c in confidence} | {0})
    assert (np.diff(thresholds(each)) < 0).all()


def test_what_must_not_be_answered_lies_under_every_threshold() -> None:
    assert (thresholds(np.array([0.4, -1.0, -1.0])) >= 0).all()
    assert thresholds(np.array([-1.0])).tolist() == [0.0]


@pytest.mark.parametrize(("mean", "most"), [(0.01, 0.03), (0.02, 0.03), (0.0, 0.05), (0.08, 0.1)])
def test_so_many_examples_have_the_power_that_is_said(mean: float, most: float) -> None:
    n = enough(mean, most, 0.05)
    assert n is not None
    rng = np.random.default_rng(8)
    proved = [exact_p(np.r_[np.ones(k), np.zeros(n - k)], most) <= 0.05 for k in rng.binomial(n, mean, 2000)]
    assert 0.77 < np.mean(proved) <= 1.0
    fewer = n // 2
    rarely = [exact_p(np.r_[np.ones(k), np.zeros(fewer - k)], most) <= 0.05 for k in rng.binomial(fewer, mean, 2000)]
    assert np.mean(rarely) < 0.8


def test_no_number_of_examples_proves_what_is_not_so() -> None:
    assert enough(0.03, 0.03, 0.05) is None
    confidence = np.linspace(1, 0, 40)
    hopeless = limit_on(np.ones(40), confidence, 0.01)
    order = thresholds(confidence)
    assert needed([hopeless], order, 0.05, lambda t: bool((confidence >= t).any())) is None
    hopeful = limit_on(np.zeros(40), confidence, 0.01)
    found = needed([hopeful], order, 0.05, lambda t: bool((confidence >= t).any()))
    assert found is not None
    assert 290 <= found.n <= 330
    assert f"About {found.n:,} calibration examples would do" in found.sentence
