"""Bradley-Terry strengths with ties by maximum likelihood.

Davidson (1970, "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments"): with strengths s
and tie parameter t, A's win, B's win and a tie have the weights exp(s_A), exp(s_B) and exp(t + (s_A + s_B) / 2). The log
likelihood is concave in s and t, so Newton's method finds its maximum, here for thousands of resamples side by side.

Libraries, November 2026: choix (MIT) has no ties; arena-rank (Apache-2.0) counts them as half wins and pins jax and numpy;
evalica (Apache-2.0) has this model, but its iteration does not converge on sparse counts without ties, it cannot resample
inputs with all their matches, takes a millisecond a fit, and brings pandas. The tests hold this module to evalica.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference.matches import Pairs, Table, bounded, unbounded

SCALE = 400 / np.log(10)
"""Rating points of one unit of strength: 400 points are a factor of 10 in the odds of winning."""
CENTRE = 1000.0
PRIOR = 0.5
"""Wins, and losses, against one more, average, opponent that every model is given where the maximum likelihood is infinite."""

_STEP, _STEPS, _NEAR = 1.5, 100, 1e-8
_NO_TIES = -60.0
"""Logarithm of the tie parameter where nothing ties: a chance of 1e-26."""


@dataclass(frozen=True)
class Strengths:
    """Natural logarithms of strength, shape (models,), mean 0; `tie` is the logarithm of the tie parameter.

    `unbounded` are the models without a finite maximum: where there are any, `PRIOR` was added for everyone.
    """

    values: Floats
    tie: float
    unbounded: tuple[int, ...] = ()

    def probabilities(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
        """P(a wins), P(b wins), P(tie): shape (n, 3)."""
        return probabilities(self.values[a], self.values[b], self.tie)


class Fits(NamedTuple):
    """Of n sets of counts: strengths (n, models), each row with mean 0, and logarithms of tie parameters (n,)."""

    values: Floats
    ties: Floats


def probabilities(a: Floats, b: Floats, tie: Floats | float) -> Floats:
    """Davidson's model for strengths `a` and `b` of any one shape: P(a wins), P(b wins), P(tie) in the last axis."""
    between = tie + (a + b) / 2
    most = np.maximum(np.maximum(a, b), between)
    weights = np.stack([np.exp(a - most), np.exp(b - most), np.exp(between - most)], axis=-1)
    return np.asarray(weights / (weights[..., 0] + weights[..., 1] + weights[..., 2])[..., None])


def fit(table: Table) -> Strengths:
    """The strengths that make the matches most likely.

    Where that has no finite maximum (a model that never lost or never won, nothing but ties, ...: `matches.bounded`), every
    model is given PRIOR wins and PRIOR losses against one more, average, opponent.
    """
    models = len(table.models)
    found = fit_many(table.counts[None], table.pairs, models)
    return Strengths(found.values[0], float(found.ties[0]), tuple(unbounded(table.counts, table.pairs, models)))


def fit_many(counts: Floats, pairs: Pairs, models: int, prior: Floats | float = PRIOR) -> Fits:
    """As `fit`, for each of `counts` (n, pairs, 3); `prior` (n, models, 2): other wins and losses than PRIOR for each."""
    n, opponent = len(counts), models  # one more opponent, whom everyone meets where there is no maximum
    extra = np.zeros((n, models, 3))
    infinite = ~bounded(counts, pairs, models)
    extra[:, :, :2] = prior
    extra[~infinite] = 0
    played = np.concatenate([counts, extra], axis=1)
    i = np.concatenate([pairs[0], np.arange(models)])
    j = np.concatenate([pairs[1], np.full(models, opponent)])
    found = np.zeros((n, models + 2))
    untied = ~np.asarray(counts[:, :, 2].any(axis=1))
    found[untied, -1] = _NO_TIES
    # Directions that the counts say nothing about have no slope; held like this, they stay where they are.
    held = np.zeros((n, models + 2, models + 2))
    held[:, :-1, :-1] = 1  # the common level
    held[~infinite, opponent, opponent] += 1
    held[untied, -1, -1] = 1
    held *= np.maximum(played.sum(axis=(1, 2)), 1)[:, None, None]
    for _ in range(_STEPS):
        step = _newton(found, played, (i, j), held)
        step[untied, -1] = 0
        length = np.abs(step).max(axis=1, keepdims=True)
        found += step * np.minimum(1, _STEP / np.maximum(length, _STEP))
        if length.max() < _NEAR:
            break
    strengths = found[:, :models]
    return Fits(np.asarray(strengths - strengths.mean(axis=1, keepdims=True)), found[:, -1])


def _newton(found: Floats, played: Floats, pairs: Pairs, held: Floats) -> Floats:
    """Newton's step of each row of parameters, (n, models + 2); `held` is added to the curvature.

    Of a pair's outcomes a win counts 1 for the winner's strength, a tie 1/2 for both and 1 for the tie parameter: the slope is
    what was counted less what is expected, the curvature the covariance of what is counted.
    """
    i, j = pairs
    total = played.sum(axis=2)
    chances = probabilities(found[:, i], found[:, j], found[:, -1:])
    win, loss, tie = (chances[:, :, at] for at in range(3))
    for_i, for_j = win + tie / 2, loss + tie / 2
    firsts, seconds = (np.eye(found.shape[1])[side] for side in (i, j))  # (pairs, models + 2): who is where
    slope = (played[:, :, 0] + played[:, :, 2] / 2 - total * for_i) @ firsts
    slope += (played[:, :, 1] + played[:, :, 2] / 2 - total * for_j) @ seconds
    slope[:, -1] = (played[:, :, 2] - total * tie).sum(axis=1)
    curve = held.copy()
    both = total * (tie / 4 - for_i * for_j)
    curve[:, i, j] += both
    curve[:, j, i] += both
    diagonal = (total * (win + tie / 4 - for_i**2)) @ firsts + (total * (loss + tie / 4 - for_j**2)) @ seconds
    with_tie = (total * tie * (0.5 - for_i)) @ firsts + (total * tie * (0.5 - for_j)) @ seconds
    diagonal[:, -1] = (total * tie * (1 - tie)).sum(axis=1)
    at = np.arange(found.shape[1])
    curve[:, at, at] += diagonal
    curve[:, at[:-1], -1] += with_tie[:, :-1]
    curve[:, -1, at[:-1]] += with_tie[:, :-1]
    step: Floats = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
    return step
