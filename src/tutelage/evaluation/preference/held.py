"""How well outcomes are foretold on inputs that were held out: the predictor beside plain Bradley-Terry, on the same matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import difference, estimate
from tutelage.evaluation.metrics import Floats, Ratio, Statistic
from tutelage.evaluation.preference.matches import Table
from tutelage.evaluation.preference.predictor import FOLDS, fit_predictor, folds, plain


@dataclass(frozen=True)
class Score:
    """How well one model foretells matches.

    `accuracy`: the likeliest of the three outcomes came. `decided`: among matches with a winner, the likelier side won (None
    where all are ties). `brier`: half the squared distance between the probabilities and what came, 0 to 1, 0 is perfect.
    """

    accuracy: Estimate
    decided: Estimate | None
    brier: Estimate


@dataclass(frozen=True)
class Held:
    """Both on the same `n` matches of `inputs` inputs; the differences are the predictor's minus Bradley-Terry's, paired.

    All intervals are bootstrapped over inputs. `ridges` are what was chosen, None for plain Bradley-Terry.
    """

    n: int
    inputs: int
    predictor: Score
    bradley_terry: Score
    accuracy: Estimate
    brier: Estimate
    ridges: tuple[float | None, ...]


def cross_validated(table: Table, vectors: Floats, seed: int = 0) -> Held | None:
    """Fold by fold over inputs, the ridge chosen anew in each without the held fold; None for fewer than 10 inputs."""
    if len(np.unique(table.input)) < 2 * FOLDS:
        return None
    ours, theirs = np.empty((len(table), 3)), np.empty((len(table), 3))
    ridges = []
    for held in folds(table, seed + 1):
        learnt, rest = table.take(~held), table.take(held)
        model = fit_predictor(learnt, vectors, seed=seed)
        at = vectors[rest.input]
        ours[held] = model.predict(at, rest.a, rest.b)
        theirs[held] = plain(learnt, vectors.shape[1]).predict(at, rest.a, rest.b)
        ridges.append(model.ridge)
    return compared(table, ours, theirs, tuple(ridges))


def compared(table: Table, ours: Floats, theirs: Floats, ridges: tuple[float | None, ...] = ()) -> Held:
    """The figures of two sets of probabilities, (n, 3) each, for the matches of `table`."""
    inputs = len(np.unique(table.input))
    accuracy, brier = (
        difference(_of(table, first), _of(table, second), inputs)
        for first, second in (
            (_right(table, ours), _right(table, theirs)),
            (_brier(table, ours), _brier(table, theirs)),
        )
    )
    return Held(len(table), inputs, score(table, ours), score(table, theirs), accuracy, brier, ridges)


def score(table: Table, found: Floats) -> Score:
    inputs = len(np.unique(table.input))
    decided = table.outcome < 2
    likelier = found[:, :2].argmax(axis=1) == table.outcome
    rest = len(np.unique(table.input[decided]))
    return Score(
        estimate(_of(table, _right(table, found)), inputs),
        estimate(_of(table.take(decided), likelier[decided].astype(np.float64)), rest) if rest else None,
        estimate(_of(table, _brier(table, found)), inputs),
    )


def _right(table: Table, found: Floats) -> Floats:
    return np.asarray(found.argmax(axis=1) == table.outcome, np.float64)


def _brier(table: Table, found: Floats) -> Floats:
    came = np.eye(3)[table.outcome]
    return np.asarray(((found - came) ** 2).sum(axis=1) / 2)


def _of(table: Table, scores: Floats) -> Statistic:
    """The mean of one score per match, resampled by input."""
    _, input = np.unique(table.input, return_inverse=True)
    return Ratio(np.bincount(input, scores), np.bincount(input).astype(np.int64))
