"""Who would win on this input? Bradley-Terry whose strengths the input may move.

The strength of model k on input x is s_k + w_k . x, the tie parameter t + u . x, where s and t are Bradley-Terry's and x is the
input's vector, with mean 0. w and u are found by ridge regression, its strength chosen by cross-validation over inputs; where
no ridge beats plain Bradley-Terry by more than chance would (one-sided, 5 %), w and u stay 0: where the input says nothing,
this is Bradley-Terry. Exchanging A and B exchanges their probabilities exactly, so every match counts as itself and flipped.

No library that was found has ties and features in one model (arena-rank's contextual model has no ties and needs jax), so
scipy's L-BFGS fits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference.bradley_terry import Strengths, fit, probabilities
from tutelage.evaluation.preference.matches import Table

RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 5
SURE = 1.645
"""Standard errors by which a ridge must beat plain Bradley-Terry in log loss: by chance one time in 20."""


@dataclass(frozen=True)
class PreferencePredictor:
    """P(A wins), P(B wins), P(tie) of any two models on any input; `ridge` None: the input changes nothing.

    `weights` (d, models) and `tie_weights` (d,) say how the input's vector moves the strengths.
    """

    base: Strengths
    weights: Floats
    tie_weights: Floats
    ridge: float | None

    def strengths(self, vectors: Floats) -> Floats:
        """Strengths on each input, (n, models), each row with mean 0."""
        moved = self.base.values + vectors @ self.weights
        return np.asarray(moved - moved.mean(axis=1, keepdims=True))

    def ties(self, vectors: Floats) -> Floats:
        return np.asarray(self.base.tie + vectors @ self.tie_weights)

    def predict(self, vectors: Floats, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
        """The probabilities for models number a[m] and b[m] on the input with vectors[m]: (n, 3)."""
        strengths, rows = self.strengths(vectors), np.arange(len(a))
        return probabilities(strengths[rows, a], strengths[rows, b], self.ties(vectors))


def plain(table: Table, width: int) -> PreferencePredictor:
    """Bradley-Terry as a predictor, for vectors of `width` numbers."""
    return PreferencePredictor(fit(table), np.zeros((width, len(table.models))), np.zeros(width), None)


def fit_predictor(
    table: Table, vectors: Floats, ridges: Sequence[float] = RIDGES, seed: int = 0
) -> PreferencePredictor:
    """The predictor learnt from the matches; `vectors` (inputs, d) belong to the table's inputs.

    The largest ridge within a standard error of the best is taken, and none where the best is no better than chance.
    """
    base = plain(table, vectors.shape[1])
    if not vectors.shape[1] or len(np.unique(table.input)) < 2 * FOLDS:
        return base
    losses = _cross_validated(table, vectors, ridges, seed)
    chosen = _choose(losses, table, ridges)
    return base if chosen is None else with_ridge(table, vectors, base.base, chosen)


def _cross_validated(table: Table, vectors: Floats, ridges: Sequence[float], seed: int) -> Floats:
    """Log loss of each match when its input was held out: plain Bradley-Terry first, then by ridge, (1 + ridges, n)."""
    losses = np.empty((1 + len(ridges), len(table)))
    for held in folds(table, seed):
        learnt, rest = table.take(~held), table.take(held)
        base = plain(learnt, vectors.shape[1])
        models = [base] + [with_ridge(learnt, vectors, base.base, ridge) for ridge in ridges]
        for at, model in enumerate(models):
            losses[at, held] = log_loss(model.predict(vectors[rest.input], rest.a, rest.b), rest.outcome)
    return losses


def _choose(losses: Floats, table: Table, ridges: Sequence[float]) -> float | None:
    """By sums of the differences to plain Bradley-Terry over each input's matches."""
    gains = np.stack([np.bincount(table.input, losses[0] - row) for row in losses[1:]])
    gains = gains[:, np.bincount(table.input) > 0]
    total, spread = gains.sum(axis=1), np.sqrt(gains.shape[1])
    best = int(total.argmax())
    if total[best] <= SURE * gains[best].std(ddof=1) * spread:
        return None
    behind = (total[best] - total) <= (gains[best] - gains).std(axis=1, ddof=1) * spread
    return max(ridge for ridge, near in zip(ridges, behind, strict=True) if near)


def folds(table: Table, seed: int = 0, count: int = FOLDS) -> list[NDArray[np.bool_]]:
    """The matches to hold out in turn, by input: all matches on one input are in the same fold."""
    present = np.unique(table.input)
    fold = np.zeros(len(table.inputs), np.int64)
    fold[np.random.default_rng(seed).permutation(present)] = np.arange(len(present)) % count
    return [held for held in (fold[table.input] == at for at in range(min(count, len(present)))) if not held.all()]


def log_loss(found: Floats, outcome: NDArray[np.int64]) -> Floats:
    """Minus the natural logarithm of what the outcome was given, at least 0.001 of it: shape (n,)."""
    return np.asarray(-np.log(np.maximum(found[np.arange(len(outcome)), outcome], 1e-3)))


def with_ridge(table: Table, vectors: Floats, base: Strengths, ridge: float) -> PreferencePredictor:
    """Weights that minimise the log loss summed over matches + ridge / 2 times their squared length."""
    present, input = np.unique(table.input, return_inverse=True)
    rows, models, width = vectors[present], len(table.models), vectors.shape[1]
    right = np.zeros((len(table), 3))
    right[np.arange(len(table)), table.outcome] = 1
    ties = bool(right[:, 2].any())

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights, tie_weights = flat[:-width].reshape(width, models), flat[-width:]
        moved, tie = base.values + rows @ weights, base.tie + rows @ tie_weights
        found = probabilities(moved[input, table.a], moved[input, table.b], tie[input])
        wrong = found - right  # the gradient by the three logits
        slopes = _sums(wrong[:, 0] + wrong[:, 2] / 2, input * models + table.a, len(rows) * models)
        slopes += _sums(wrong[:, 1] + wrong[:, 2] / 2, input * models + table.b, len(rows) * models)
        by_tie = _sums(wrong[:, 2], input, len(rows)) if ties else np.zeros(len(rows))
        gradient = np.concatenate([(rows.T @ slopes.reshape(-1, models)).ravel(), rows.T @ by_tie])
        chosen = np.maximum((found * right).sum(axis=1), 1e-300)
        return float(ridge / 2 * (flat @ flat) - np.log(chosen).sum()), gradient + ridge * flat

    start = np.zeros(width * (models + 1))
    flat = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return PreferencePredictor(base, flat[:-width].reshape(width, models), flat[-width:], ridge)


def _sums(values: Floats, places: NDArray[np.int64], count: int) -> Floats:
    """The sum of the values at each place: (count,)."""
    return np.bincount(places, values, minlength=count).astype(np.float64)
