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
from tutelage.evaluation.intervals import Estimate
from tutelage.evaluation.metrics import Floats

RESAMPLES = 300
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
    """A law with those of the resamples. `distance` is the root mean square of the points' distances from it; `refusal` says
    why it must not be trusted beyond what was measured, or None. `foretold` is what the other sizes foretold for the
    largest, minus what it was; None where there are too few of them."""

    law: Law
    laws: Sequence[Law]
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


def fit_law(sizes: Floats, values: Floats, errors: Floats, start: Law | None = None) -> Law:
    """The law nearest to the points, each weighted by its standard error; it never falls and ends at 1 at most."""
    first = sizes[0]

    def curve(n: Floats, a: float, drop: float, c: float) -> Floats:
        # The drop at the smallest size instead of b: the three unknowns are then of one order.
        return np.asarray(a - drop * np.power(n / first, -c))

    best: tuple[float, Law] | None = None
    starts = [(start.a, start.b * first**-start.c, start.c)] if start else [(0.0, 0.0, c) for c in (0.2, 0.6, 1.2)]
    for a, drop, c in starts:
        top = a or min(0.999, float(values.max()) + 0.02)
        guess = [top, min(max(drop or top - values[0], 1e-3), 0.999), min(max(c, 0.02), 2.9)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)  # a flat curve leaves c open
            try:
                found, _ = curve_fit(
                    curve, sizes, values, guess, np.maximum(errors, LEAST_ERROR), bounds=([0, 0, 0.01], [1, 1, 3])
                )
            except RuntimeError:  # not settled within its steps
                found = np.array(guess)
        misfit = float(np.sum(((curve(sizes, *found) - values) / np.maximum(errors, LEAST_ERROR)) ** 2))
        if best is None or misfit < best[0]:
            best = misfit, Law(float(found[0]), float(found[1] * first ** found[2]), float(found[2]))
    assert best is not None
    return best[1]


def fit(scores: Scores) -> tuple[Fit | None, Scores]:
    """The law of `scores`, and these with the noise of training, where the points' distances are all that is known of it.

    None with fewer than three sizes.
    """
    if len(scores.sizes) < 3:
        return None, scores
    law = fit_law(scores.sizes, scores.means, scores.errors)
    apart = law(scores.sizes) - scores.means
    if not scores.noise and (freedom := len(apart) - 3) > 0:
        scores = scores.noisier(float(np.sqrt((apart**2).sum() / freedom)))
    laws = [fit_law(scores.sizes, values, scores.errors, law) for values in scores.draws.T[:RESAMPLES]]
    distance, foretold = float(np.sqrt(np.mean(apart**2))), _foretold(scores)
    found = Fit(law, laws, int(scores.sizes[-1]), distance, foretold, _refusal(scores, distance, foretold))
    return found, scores


def _foretold(scores: Scores) -> Estimate | None:
    """The largest size as the others foretell it, minus as it was measured."""
    if len(scores.sizes) <= POINTS:
        return None
    sizes, last = scores.sizes[:-1], scores.sizes[-1:]
    law = fit_law(sizes, scores.means[:-1], scores.errors[:-1])
    value = float(law(last)[0] - scores.means[-1])
    laws = [fit_law(sizes, values[:-1], scores.errors[:-1], law) for values in scores.draws.T[:RESAMPLES]]
    each = [float(one(last)[0] - values[-1]) for one, values in zip(laws, scores.draws.T, strict=False)]
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
