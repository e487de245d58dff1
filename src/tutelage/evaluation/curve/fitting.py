"""The law of a learning curve: score = a - b n^-c (Figueroa et al. 2012, "Predicting sample size required for
classification performance"), fitted with weights, and what it says about more examples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from tutelage.evaluation.curve.scores import Scores
from tutelage.evaluation.curve.subsets import POINTS
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.metrics import Floats

SLOWEST, FASTEST, GRID = 0.01, 3.0, 120
"""Ends of c, and how many values of it are tried for a resample."""
LEAST_ERROR = 0.002
ALLOWED = 0.015
"""The root mean square distance of the points from the curve that is never called a poor fit."""
SURPRISE = 0.02
"""A largest size that the smaller ones foretell with at most this error is foretold well enough."""


class Law(NamedTuple):
    """score(n) = a - b n^-c: `a` is where it ends, `c` how fast it gets there."""

    a: float
    b: float
    c: float

    def __call__(self, n: Floats) -> Floats:
        return np.asarray(self.a - self.b * np.power(np.asarray(n, float), -self.c))


@dataclass(frozen=True)
class Fit:
    """A law with those of the resamples, fitted to the sizes from `first` to `largest`.

    `distance` is the root mean square of the points' distances from it; `refusal` says why it must not be trusted beyond
    what was measured, or None. `foretold` is what the other sizes foretold for the largest, minus what it was; None where
    there are too few of them.
    """

    law: Law
    laws: Sequence[Law]
    first: int
    largest: int
    distance: float
    foretold: Estimate | None
    refusal: str | None

    def band(self, sizes: Floats) -> tuple[Floats, Floats, Floats]:
        """The curve at `sizes`, and the ends of its 95 % band."""
        low, high = np.quantile([law(sizes) for law in self.laws], [0.025, 0.975], axis=0)
        value = self.law(sizes)
        return value, np.minimum(low, value), np.maximum(high, value)

    def gain(self, factor: float = 2.0) -> Estimate | None:
        """What `factor` times the examples would add to the score of the largest size; None where that is refused."""
        if self.refusal:
            return None
        ends = np.array([self.largest, self.largest * factor])
        value = float(np.diff(self.law(ends))[0])
        each = [float(np.diff(law(ends))[0]) for law in self.laws]
        low, high = np.quantile(each, [0.025, 0.975])
        return Estimate(value, float(min(low, value)), float(max(high, value)))


def fit_law(sizes: Floats, values: Floats, errors: Floats) -> Law:
    """The law nearest to the points, each weighted by its standard error; it never falls and ends at 1 at most."""
    first, weighted = sizes[0], np.maximum(errors, LEAST_ERROR)
    start = near_laws(sizes, values[None, :], errors)[0]

    def curve(n: Floats, a: float, drop: float, c: float) -> Floats:
        # The drop at the smallest size instead of b: the three unknowns are then of one order.
        return np.asarray(a - drop * np.power(n / first, -c))

    guess = np.clip([start.a, start.b * first**-start.c, start.c], [1e-6, 1e-6, SLOWEST], [1, 1, FASTEST])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # a flat curve leaves c open
        try:
            found, _ = curve_fit(curve, sizes, values, guess, weighted, bounds=([0, 0, SLOWEST], [1, 1, FASTEST]))
        except RuntimeError:  # not settled within its steps
            return start
    return Law(float(found[0]), float(found[1] * first ** found[2]), float(found[2]))


def near_laws(sizes: Floats, values: Floats, errors: Floats) -> list[Law]:
    """As `fit_law` for many curves at once, values of shape (curves, sizes), with c from a grid: a and b are then linear."""
    weights = 1 / np.maximum(errors, LEAST_ERROR) ** 2
    weights, first = weights / weights.sum(), sizes[0]
    best = np.full(len(values), np.inf)
    found = np.zeros((len(values), 3))
    level = values @ weights
    for c in np.geomspace(SLOWEST, FASTEST, GRID):
        falling = np.power(sizes / first, -c)
        centre = falling @ weights
        drop = -((values - level[:, None]) * (falling - centre)) @ weights / (weights @ (falling - centre) ** 2)
        drop = np.clip(drop, 0, 1)
        a = level + drop * centre
        over = a > 1  # it may not end above 1
        drop[over] = np.clip(((1 - values[over]) * falling) @ weights / (weights @ falling**2), 0, 1)
        a[over] = 1
        misfit = (values - a[:, None] + drop[:, None] * falling) ** 2 @ weights
        better = misfit < best
        best[better] = misfit[better]
        found[better] = np.stack([a, drop * first**c, np.full(len(a), c)], axis=1)[better]
    return [Law(*(float(part) for part in one)) for one in found]


def fit(scores: Scores) -> tuple[Fit | None, Scores]:
    """The law of `scores`, and these with the noise of training, where the points' distances are all that is known of it.

    Where the law is refused the smallest size is left out, and the next, as long as the rest can foretell the largest: with
    fewer examples than classes a curve first rises faster and faster. None with fewer than three sizes.
    """
    if len(scores.sizes) < 3:
        return None, scores
    found, noisier = _fit(scores)
    kept = scores
    while found.refusal and len(kept.sizes) > POINTS + 1:
        kept = kept.without_first()
        later, _ = _fit(kept)
        if later.refusal is None:
            return later, scores if scores.noise else scores.noisier(_freedom_noise(kept, later.law))
    return found, noisier


def _fit(scores: Scores) -> tuple[Fit, Scores]:
    law = fit_law(scores.sizes, scores.means, scores.errors)
    apart = law(scores.sizes) - scores.means
    if not scores.noise:
        scores = scores.noisier(_freedom_noise(scores, law))
    laws = near_laws(scores.sizes, scores.draws.T, scores.errors)
    distance, foretold = float(np.sqrt(np.mean(apart**2))), _foretold(scores)
    ends = int(scores.sizes[0]), int(scores.sizes[-1])
    return Fit(law, laws, *ends, distance, foretold, _refusal(scores, distance, foretold)), scores


def _freedom_noise(scores: Scores, law: Law) -> float:
    """The noise of training as far as the points' distances from the law show it; 0 where three points leave none."""
    freedom = len(scores.sizes) - 3
    return float(np.sqrt(((law(scores.sizes) - scores.means) ** 2).sum() / freedom)) if freedom > 0 else 0.0


def _foretold(scores: Scores) -> Estimate | None:
    """The largest size as the others foretell it, minus as it was measured."""
    if len(scores.sizes) <= POINTS:
        return None
    sizes, last = scores.sizes[:-1], scores.sizes[-1:]
    law = fit_law(sizes, scores.means[:-1], scores.errors[:-1])
    value = float(law(last)[0] - scores.means[-1])
    laws = near_laws(sizes, scores.draws.T[:, :-1], scores.errors[:-1])
    each = [float(one(last)[0] - values[-1]) for one, values in zip(laws, scores.draws.T, strict=True)]
    low, high = np.quantile(each, [0.025, 0.975])
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def _refusal(scores: Scores, distance: float, foretold: Estimate | None) -> str | None:
    if len(scores.sizes) < POINTS:
        return f"{len(scores.sizes)} sizes were measured, and a law with three unknowns needs at least {POINTS}"
    expected = 2 * scores.noise / float(np.sqrt(scores.repeats.mean())) if scores.repeats.min() > 1 else 0.0
    if distance > max(ALLOWED, expected):
        return f"the points lie {distance:.3f} from the curve (root mean square)"
    if foretold and not foretold.low <= 0 <= foretold.high and abs(foretold.value) > SURPRISE:
        return (
            f"from the smaller sizes it foretold {foretold.value:+.3f} ({foretold.low:+.3f} to {foretold.high:+.3f}) "
            "too much for the largest"
        )
    return None
