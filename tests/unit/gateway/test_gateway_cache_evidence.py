"""What observations allow: curves, thresholds, and budgets that hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression

from tutelage.gateway.cache.evidence import ERRORS, SHARED, Evidence, Observation, fit_curve, share_right, threshold


def drawn(n: int, seed: int, slope: float = 20.0, middle: float = 0.8) -> list[Observation]:
    chance = np.random.default_rng(seed)
    similarity = chance.uniform(0.5, 1.0, n)
    right = chance.random(n) < 1 / (1 + np.exp(-slope * (similarity - middle)))
    return [Observation(float(s), bool(r)) for s, r in zip(similarity, right, strict=True)]


def test_the_curve_is_logistic_regression_where_there_is_plenty() -> None:
    observations = drawn(4000, 1)
    x = np.array([[one.similarity - 0.85] for one in observations])
    reference = LogisticRegression(C=math.inf).fit(x, [one.right for one in observations])
    curve = fit_curve(observations)
    assert curve.slope == pytest.approx(reference.coef_[0][0], rel=0.01)
    assert curve.intercept == pytest.approx(reference.intercept_[0], rel=0.02)
    # The inverse of Fisher's information, by its definition.
    p = reference.predict_proba(x)[:, 1]
    design = np.column_stack([np.ones(len(x)), x])
    assert np.array(curve.covariance) == pytest.approx(
        np.linalg.inv(design.T @ (design * (p * (1 - p))[:, None])), rel=0.05
    )


@pytest.mark.parametrize(
    "observations",
    [
        [Observation(0.9, True)] * 6,
        [Observation(0.9, False)] * 6,
        [Observation(0.6, False)] * 3 + [Observation(0.95, True)] * 3,  # separated
        [Observation(1.0, False), *[Observation(0.5, True)] * 5],
    ],
)
def test_the_curve_is_finite_for_anything(observations: list[Observation]) -> None:
    curve = fit_curve(observations)
    for similarity in (0.0, 0.5, 0.9, 1.0):
        assert 0 <= curve.bound(similarity) < 1


def test_a_bound_is_below_the_truth_and_nears_it() -> None:
    truth = 1 / (1 + math.exp(-20 * (0.95 - 0.8)))
    few, many = fit_curve(drawn(50, 2)).bound(0.95), fit_curve(drawn(20_000, 2)).bound(0.95)
    assert few < many < truth
    assert many == pytest.approx(truth, abs=0.02)


def test_the_share_is_bounded_as_by_clopper_and_pearson() -> None:
    (found,) = share_right(np.array([400]), np.array([2]))
    assert found == pytest.approx(max((1 - e) * (1 - beta.ppf(1 - e, 3, 398)) for e in ERRORS))


def test_two_percent_takes_some_hundred_observations() -> None:
    proved = [n for n in range(1, 500) if threshold([Observation(0.9, True)] * n, 0.02) < 1]
    assert 300 < proved[0] < 400
    assert proved == list(range(proved[0], 500))
    assert threshold([], 0.02) == math.inf


def test_the_threshold_lies_above_what_was_wrong() -> None:
    observations = [Observation(0.9 + n % 100 / 1000, True) for n in range(500)]
    observations += [Observation(0.6 + n % 100 / 1000, False) for n in range(100)]
    assert 0.69 < threshold(observations, 0.02) <= 0.91


def test_equal_similarities_stand_or_fall_together() -> None:
    observations = [Observation(0.9, True)] * 600 + [Observation(0.9, False)] * 100
    assert threshold(observations, 0.02) == math.inf


def test_a_question_that_was_wrong_stands_alone() -> None:
    evidence = Evidence(0.05)
    for _ in range(500):
        evidence.add(Observation(0.9, True))
    assert evidence.allows(0.9, [])
    assert evidence.allows(0.9, [Observation(0.9, True)])
    assert not evidence.allows(0.8, [])
    assert evidence.allows(0.95, [Observation(0.94, False)]), "nearer than it ever was wrong"
    assert not evidence.allows(0.93, [Observation(0.94, False)])
    mostly_right = [Observation(0.96, False)] + [Observation(0.95, True)] * 30
    assert evidence.allows(0.93, mostly_right), "not more often than the budget allows"
    assert not evidence.allows(0.93, mostly_right[:15])


def test_a_question_that_stands_alone_has_its_own_curve() -> None:
    evidence = Evidence(0.05)
    own = [Observation(0.6 + n / 1000, False) for n in range(40)] + [
        Observation(0.8 + n / 1000, True) for n in range(150)
    ]
    odd = [Observation(0.96, False)]
    assert evidence.alone(0.9, own + odd * 12)
    assert not evidence.allows(0.9, own + odd * 12)
    assert evidence.alone(0.94, own + odd)
    assert evidence.allows(0.94, own + odd) == (fit_curve(own + odd).bound(0.94) >= 0.95)
    assert fit_curve(own).bound(0.94) >= 0.95
    assert fit_curve(own).bound(0.65) < 0.5


def test_a_wrong_answer_counts_at_once() -> None:
    evidence = Evidence(0.02)
    for _ in range(360):
        evidence.add(Observation(0.9, True))
    assert evidence.threshold == pytest.approx(0.9)
    evidence.add(Observation(0.9, False))
    assert evidence.threshold == math.inf


def test_what_is_remembered_is_bounded() -> None:
    evidence = Evidence(0.02)
    for _ in range(SHARED):
        evidence.add(Observation(0.9, False))
    for _ in range(SHARED):
        evidence.add(Observation(0.9, True))
    assert len(evidence.observations) == SHARED
    assert evidence.threshold == pytest.approx(0.9), "what was true long ago is forgotten"


WORLDS: dict[str, Callable[[float, float], Any]] = {
    "steep": lambda s, _u: 1 / (1 + np.exp(-40 * (s - 0.8))),
    "gentle": lambda s, _u: 1 / (1 + np.exp(-15 * (s - 0.7))),
    "a level of 4 % wrong however near": lambda s, _u: np.where(s > 0.7, 0.96, 0.2),
    "a level of 1 % wrong": lambda s, _u: np.where(s > 0.7, 0.99, 0.2),
    "every fifth question differs": lambda s, u: 1 / (1 + np.exp(-40 * (s - np.where(u < 0.2, 0.9, 0.7)))),
}


@pytest.mark.parametrize("world", WORLDS)
def test_the_budget_holds_whatever_the_truth(world: str) -> None:
    """Simulated arrivals of 20 questions, 2,000 in each of 2 runs: of all hits at most 2 % wrong, but for chance."""
    hits = wrong = 0
    for seed in range(2):
        chance = np.random.default_rng(seed)
        evidence = Evidence(0.02)
        own: list[list[Observation]] = [[] for _ in range(20)]
        traits = chance.random(20)
        for _ in range(2000):
            which, similarity = int(chance.integers(20)), float(chance.uniform(0.6, 1.0))
            right = bool(chance.random() < WORLDS[world](similarity, traits[which]))
            if evidence.allows(similarity, own[which]) and chance.random() > 0.05:
                hits, wrong = hits + 1, wrong + (not right)
            else:
                if not evidence.alone(similarity, own[which]):
                    evidence.add(Observation(similarity, right))
                own[which].append(Observation(similarity, right))
    assert wrong <= max(10, 0.02 * hits), f"{wrong} of {hits}"
    if world in ("steep", "a level of 1 % wrong"):  # in the others nothing can be proved with so few
        assert hits > 50
