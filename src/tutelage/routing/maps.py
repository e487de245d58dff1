"""Maps from a raw confidence to the probability of being right, fitted on dev and chosen by a proper score.

temperature (Guo et al. 2017) and Platt (1999) are lines through the log odds, beta (Kull et al. 2017) has one slope for ln p and
one for ln(1 - p), isotonic is the monotone step function of least squares, drawn as lines between the middles of its steps
(centred isotonic regression, Oron & Flournoy 2017) so that it tells apart what the raw confidence does. All are increasing:
which of two answers is trusted more never changes, but for isotonic's flat ends.

The choice is by log loss in cross-validation, and raw stays where no map lowers it by more than its standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from tutelage.evaluation.metrics import Floats

KINDS = ("raw", "temperature", "platt", "beta", "isotonic")
EDGE = 1e-6
"""Confidences are kept so far from 0 and 1."""

FOLDS = 5
FEWEST = 10
"""Right and wrong answers, each at least, for a map to be fitted."""

RIDGE = 1e-3
"""Keeps slopes finite where right and wrong are told apart without error."""


@dataclass(frozen=True)
class Map:
    """`kind` of KINDS with its parameters: (slope,), (slope, offset), (slope of ln p, of -ln(1 - p), offset), or isotonic's
    confidences followed by their probabilities."""

    kind: str = "raw"
    parameters: tuple[float, ...] = ()

    def __call__(self, confidence: Floats) -> Floats:
        """The probabilities of being right, in [0, 1], of raw confidences of any shape."""
        if self.kind == "raw":
            return np.asarray(confidence, dtype=np.float64)
        if self.kind == "isotonic":
            half = len(self.parameters) // 2
            drawn = np.interp(confidence, self.parameters[:half], self.parameters[half:])
            # The flat ends keep the order of the raw confidence.
            return np.asarray(np.clip(drawn + EDGE * (np.asarray(confidence) - 0.5), 0.0, 1.0))
        return np.asarray(expit(_features(self.kind, np.asarray(confidence)) @ np.array(self.parameters)))


def log_loss(probability: Floats, right: NDArray[np.bool_]) -> Floats:
    """Minus the log of the probability that was given to what happened, for each answer."""
    kept = np.clip(probability, EDGE, 1 - EDGE)
    return np.asarray(-np.log(np.where(right, kept, 1 - kept)))


def fit_map(kind: str, confidence: Floats, right: NDArray[np.bool_]) -> Map:
    """The map of that kind, by maximum likelihood (isotonic: least squares)."""
    if kind == "raw":
        return Map()
    if kind == "isotonic":
        return _isotonic(confidence, right)
    start = {"temperature": [1.0], "platt": [1.0, 0.0], "beta": [1.0, 1.0, 0.0]}[kind]
    return _fitted(kind, confidence, right, (np.array(start), RIDGE))


def _fitted(kind: str, confidence: Floats, right: NDArray[np.bool_], prior: tuple[Floats, float]) -> Map:
    """Maximum likelihood with a ridge of that strength towards the prior's parameters; slopes are not negative."""
    features, (middle, ridge) = _features(kind, confidence), prior
    slopes = len(middle) - (kind != "temperature")
    bounds = [(0.0, None) if at < slopes else (None, None) for at in range(len(middle))]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        score = features @ parameters
        apart = expit(score) - right
        penalty = ridge * (parameters - middle)
        value = float(np.logaddexp(0, np.where(right, -score, score)).sum() + (penalty @ (parameters - middle)) / 2)
        return value, features.T @ apart + penalty

    found = minimize(loss, middle, jac=True, method="L-BFGS-B", bounds=bounds)
    return Map(kind, tuple(float(one) for one in found.x))


def near_map(pooled: Map, confidence: Floats, right: NDArray[np.bool_]) -> Map:
    """A Platt map for few right or wrong answers: the line is drawn towards `pooled`, a Platt map of others of their kind, by a
    normal prior of variance 1 about its slope and offset. Where nothing was ever wrong the offset rises with the number."""
    prior = np.array(pooled.parameters if pooled.kind == "platt" else (1.0, 0.0))
    return _fitted("platt", confidence, right, (prior, 1.0))


def choose_map(confidence: Floats, right: NDArray[np.bool_], seed: int = 0) -> tuple[Map, Mapping[str, float]]:
    """The best map for these answers and each kind's log loss in cross-validation; raw where there are too few to fit any."""
    counts = int(right.sum()), int((~right).sum())
    if min(counts) < FEWEST:
        return Map(), {}
    losses = {kind: held_out_loss(kind, confidence, right, seed) for kind in KINDS}
    best = min(KINDS, key=lambda kind: losses[kind].mean())
    if not lower(losses[best], losses["raw"]):
        best = "raw"
    return fit_map(best, confidence, right), {kind: float(scored.mean()) for kind, scored in losses.items()}


def held_out_loss(kind: str, confidence: Floats, right: NDArray[np.bool_], seed: int) -> Floats:
    """The log loss of each answer under a map of that kind that was fitted on other folds, shape (n,)."""
    fold, scored = folds(right, seed), np.empty(len(right))
    for number in range(FOLDS):
        held, rest = fold == number, fold != number
        scored[held] = log_loss(fit_map(kind, confidence[rest], right[rest])(confidence[held]), right[held])
    return scored


def lower(losses: Floats, others: Floats) -> bool:
    """Whether the mean of `losses` is lower than that of `others` by more than the difference's standard error."""
    gain = others - losses
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def folds(right: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """The fold of each answer; right and wrong ones are spread evenly."""
    rng, fold = np.random.default_rng(seed), np.empty(len(right), dtype=np.int64)
    for value in (True, False):
        own = np.flatnonzero(right == value)
        fold[rng.permutation(own)] = np.arange(len(own)) % FOLDS
    return fold


def _features(kind: str, confidence: Floats) -> Floats:
    kept = np.clip(confidence, EDGE, 1 - EDGE)
    odds = np.log(kept) - np.log1p(-kept)
    columns: dict[str, Callable[[], Sequence[Floats]]] = {
        "temperature": lambda: [odds],
        "platt": lambda: [odds, np.ones_like(odds)],
        "beta": lambda: [np.log(kept), -np.log1p(-kept), np.ones_like(odds)],
    }
    return np.stack(columns[kind](), axis=-1)


def _isotonic(confidence: Floats, right: NDArray[np.bool_]) -> Map:
    order = np.argsort(confidence, kind="stable")
    x, y = confidence[order], right[order].astype(np.float64)
    # Equal confidences are one point, or the step function could put a jump between them.
    distinct, starts, counts = np.unique(x, return_index=True, return_counts=True)
    means = np.add.reduceat(y, starts) / counts
    fitted = isotonic_regression(means, weights=counts.astype(np.float64)).x
    edges = np.flatnonzero(np.r_[True, np.diff(fitted) > 0])
    weight = np.add.reduceat(counts, edges).astype(np.float64)
    middles = np.add.reduceat(distinct * counts, edges) / weight
    # A step of n answers without an error is no proof of none: half an answer of each kind is added to each end.
    levels = (fitted[edges] * weight + 0.5) / (weight + 1)
    return Map("isotonic", (*middles.tolist(), *np.maximum.accumulate(levels).tolist()))
