"""Whether a kept answer may be given to a question this near: what was observed, and what that allows to promise.

An observation is a similarity and whether the kept answer was right there: the model was asked all the same, and the two
answers compared. vCache (Schroeder et al. 2025, "vCache: Verified Semantic Prompt Caching", arXiv 2502.03771) fits to those
of each kept question a logistic curve, right = 1 / (1 + exp(-slope (similarity - t))), and takes of its confidence band
alpha = max over e of (1 - e) x the band's lower end at confidence 1 - e, a lower bound of the probability to be right. It
promises that of all *requests* at most a share d is answered wrongly, so it may give the answer with probability
d / (1 - alpha). Here the promise is about *hits*: of the answers given from the cache at most d are wrong. A coin cannot
keep that (it thins right and wrong hits alike), so an answer is given where alpha >= 1 - d, else the model is asked.

Two things differ further from the paper. The curve is fitted with Firth's penalty (1993), which stays finite where right
and wrong are perfectly separated, and its band is that of both parameters; vCache uses a table of variances there. And one
question seldom gathers the hundreds of observations that a budget of 2 % takes, so a question stands at first on what all
of the model have shown together: the least similarity from which on the share of wrong answers is below d, by the same
(1 - e) bound, with Clopper and Pearson's interval in the place of the curve's band, which needs no curve to be true. A
question that was itself wrong at this similarity or a higher one, more often than d allows, stands on its own curve alone;
what is observed of it then tells nothing about the others.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, ndtri

LEAST = 6
"""Observations from which on a question has a curve, as in vCache."""

OWN = 200
"""Observations kept of one question, the newest."""

SHARED = 5000
"""Observations kept of all questions of a model, the newest: what was true long ago is forgotten."""

PLACES = 40
"""Similarities tried as the threshold, spread over those observed."""

EVERY = 10
"""Right observations after which the threshold is found again; after a wrong one it is at once."""

ERRORS = np.geomspace(2e-4, 0.2, 16)
"""Values of e over which the bound is maximised."""
_NORMAL = -ndtri(ERRORS)
_MIDDLE = 0.85
"""Similarities are counted from here, so that the two parameters are less correlated."""

Floats = NDArray[np.float64]


class Observation(NamedTuple):
    """Whether the kept answer was right for a question of this cosine similarity."""

    similarity: float
    right: bool


@dataclass(frozen=True)
class Curve:
    """Probability that the answer is right, logistic in the similarity, with the covariance of its two parameters."""

    intercept: float
    slope: float
    covariance: tuple[tuple[float, float], tuple[float, float]]

    def bound(self, similarity: float) -> float:
        """vCache's lower bound of that probability: max over e of (1 - e) x the band's lower end at 1 - e."""
        x = np.array([1.0, similarity - _MIDDLE])
        middle = self.intercept + self.slope * x[1]
        spread = math.sqrt(max(0.0, float(x @ np.array(self.covariance) @ x)))
        return float(np.max((1 - ERRORS) * expit(middle - _NORMAL * spread)))


def fit_curve(observations: Sequence[Observation]) -> Curve:
    """Logistic regression with Firth's penalty (Biometrika 80, 1993) by Newton's steps; finite for any observations."""
    x = np.array([[1.0, one.similarity - _MIDDLE] for one in observations])
    right = np.array([float(one.right) for one in observations])
    parameters, covariance = np.zeros(2), np.eye(2)
    for _ in range(50):
        expected = expit(x @ parameters)
        weight = np.maximum(expected * (1 - expected), 1e-9)
        covariance = np.linalg.inv(x.T @ (weight[:, None] * x) + 1e-9 * np.eye(2))
        leverage = weight * np.einsum("ij,jk,ik->i", x, covariance, x)
        step = covariance @ (x.T @ (right - expected + leverage * (0.5 - expected)))
        size = float(np.abs(step).max())
        parameters = parameters + step * min(1.0, 5 / max(size, 1e-12))
        if size < 1e-6:
            break
    (a, b), (c, d) = covariance.tolist()
    return Curve(float(parameters[0]), float(parameters[1]), ((a, b), (c, d)))


def threshold(observations: Iterable[Observation], budget: float) -> float:
    """The least similarity from which on at most a share `budget` of the answers is wrong; infinity where none is proved."""
    found = sorted(observations, reverse=True)
    if not found:
        return math.inf
    similarity = np.array([one.similarity for one in found])
    wrong = np.cumsum([not one.right for one in found])
    places = np.unique(np.linspace(0, len(found) - 1, PLACES).astype(int))
    # All observations of a similarity count, so each place is moved to the last of its equals.
    last = np.searchsorted(-similarity, -similarity[places], side="right") - 1
    kept = similarity[last][share_right(last + 1, wrong[last]) >= 1 - budget]
    return float(kept.min()) if len(kept) else math.inf


def share_right(counts: NDArray[np.int64], wrong: NDArray[np.int64]) -> Floats:
    """Lower bound of the share right after `wrong` of `counts` observations were wrong: max over e of (1 - e) x Clopper and
    Pearson's lower end at 1 - e."""
    right = np.maximum(counts - wrong, 1e-9)[:, None]
    highest_wrong = betaincinv(wrong[:, None] + 1.0, right, 1 - ERRORS[None, :])
    bound: Floats = np.max((1 - ERRORS[None, :]) * (1 - highest_wrong), axis=1)
    return bound


class Evidence:
    """What all kept questions of a model have shown together, and what it allows within `budget`."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.observations: deque[Observation] = deque(maxlen=SHARED)
        self._threshold = math.inf
        self._new = 0

    def add(self, observation: Observation) -> None:
        self.observations.append(observation)
        self._new += EVERY if not observation.right else 1

    @property
    def threshold(self) -> float:
        """The least similarity at which a question is answered for on what all have shown; infinity at first."""
        if self._new >= EVERY:
            self._new = 0
            self._threshold = threshold(self.observations, self.budget)
        return self._threshold

    def allows(self, similarity: float, own: Sequence[Observation]) -> bool:
        """Whether the answer of a kept question with its `own` observations may be given at `similarity`."""
        if not self.alone(similarity, own):
            return similarity >= self.threshold
        # Fewer than 1 / budget observations cannot prove it, however they fell.
        return len(own) >= max(LEAST, 1 / self.budget) and fit_curve(own).bound(similarity) >= 1 - self.budget

    def alone(self, similarity: float, own: Sequence[Observation]) -> bool:
        """Whether a question was wrong too often, so near or nearer, to stand on what the others have shown."""
        wrong = sum(not one.right and one.similarity >= similarity for one in own)
        if not wrong:
            return False
        least = min(similarity, self.threshold)
        return wrong > self.budget * sum(one.similarity >= least for one in own)
