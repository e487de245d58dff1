"""Fitting what `models` serves. Every quality in [0, 1] can be learnt: one of 0.7 is right seven times of ten.

Which penalty, how many trees and how many neighbours: what has the lowest log-loss on held-out fifths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from tutelage import registry
from tutelage.embeddings.runtime import Array
from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.encoder import FAMILY, HALF, FineTuned, who_is_right
from tutelage.routing.router.features import BUCKETS, Seen
from tutelage.routing.router.models import Linear, Model, Neighbours, Trees
from tutelage.students.base import FitContext, Student
from tutelage.students.features import as_csr
from tutelage.types import Example, Labelled

FOLDS = 5
SMOOTHED = 0.5
"""Right and wrong answers that are added where all are right, or all wrong: certainty is not to be had from n examples."""

Fit: TypeAlias = Callable[[Seen, Floats, float], Model]
"""Inputs (n), qualities (n, k) and the option -> the model."""


class Recipe(NamedTuple):
    """How a kind of model is fitted, the options that are tried, and how many of the `FOLDS` parts are held out in turn."""

    fit: Fit
    options: tuple[float, ...]
    rounds: int = FOLDS


class HeldOut(NamedTuple):
    """What models said of the inputs `numbers` (m,) that they had not learnt from, (m, k), with the best `option`, and the
    log-loss of each option."""

    numbers: NDArray[np.int64]
    chances: Floats
    option: float
    losses: dict[float, float]


def held_out(recipe: Recipe, seen: Seen, quality: Floats, seed: int, tell: Callable[[float], None]) -> HeldOut:
    """Cross-fitting: each fifth is predicted by a model fitted on the others. With fewer rounds only so many fifths are."""
    folds = np.array_split(np.random.default_rng(seed).permutation(len(quality)), FOLDS)
    numbers = np.concatenate(folds[: recipe.rounds])
    said: dict[float, Floats] = {}
    for turn, option in enumerate(recipe.options):
        found = []
        for at, fold in enumerate(folds[: recipe.rounds]):
            rest = np.setdiff1d(np.arange(len(quality)), fold)
            found.append(recipe.fit(seen.only(rest), quality[rest], option).chances(seen.only(fold)))
            tell((turn + (at + 1) / recipe.rounds) / len(recipe.options))
        said[option] = np.concatenate(found)
    losses = {option: log_loss(chances, quality[numbers]) for option, chances in said.items()}
    best = min(losses, key=lambda option: losses[option])
    order = np.argsort(numbers)
    return HeldOut(numbers[order], said[best][order], best, losses)


def log_loss(chances: Floats, quality: Floats) -> float:
    """Mean cross-entropy of qualities in [0, 1] under chances in [0, 1], in nats."""
    likely = np.clip(chances, 1e-6, 1 - 1e-6)
    return float(-(quality * np.log(likely) + (1 - quality) * np.log(1 - likely)).mean())


def fit_linear(seen: Seen, quality: Floats, c: float) -> Linear:
    """Logistic regressions with inverse penalty `c`."""
    rows = hstack([as_csr(seen.terms), csr_matrix(seen.dense)], format="csr")
    weights = np.zeros((rows.shape[1], quality.shape[1]))
    intercept = np.zeros(quality.shape[1])
    for at, targets in _columns(quality):
        if targets is None:
            intercept[at] = _prior(quality[:, at])
        else:
            model = LogisticRegression(C=c, max_iter=300).fit(rows[targets.rows], targets.right, targets.weights)
            weights[:, at], intercept[at] = model.coef_[0], model.intercept_[0]
    found = weights.astype(np.float32)
    return Linear(found[:BUCKETS], found[BUCKETS:], intercept.astype(np.float32))


def fit_boosting(seen: Seen, quality: Floats, trees: float) -> Trees:
    """Boosted trees of depth 3 (Friedman 2001), each on half of the examples and a few of the features."""
    grown: list[list[Any]] = []
    intercept = np.zeros(quality.shape[1])
    rate = 0.05
    for at, targets in _columns(quality):
        intercept[at] = _prior(quality[:, at])
        if targets is None:
            grown.append([])
            continue
        model = GradientBoostingClassifier(
            n_estimators=int(trees),
            learning_rate=rate,
            max_depth=3,
            subsample=0.5,
            max_features="sqrt",
            min_samples_leaf=10,
            random_state=0,
        )
        rows = seen.dense[targets.rows]
        model.fit(rows, targets.right, targets.weights)
        grown.append([one.tree_ for one in model.estimators_[:, 0]])
        # What the first guess adds: public only as the whole sum less the trees.
        sums = sum((one.predict(rows[:1])[0] for one in model.estimators_[:, 0]), 0.0)
        intercept[at] = model.decision_function(rows[:1])[0] - rate * sums
    return _joined(grown, intercept.astype(np.float32), rate)


def fit_neighbours(seen: Seen, quality: Floats, count: float) -> Neighbours:
    return Neighbours(seen.dense, quality, int(count))


RECIPES = {
    "linear": Recipe(fit_linear, (0.1, 0.3, 1.0, 3.0)),
    "boosting": Recipe(fit_boosting, (50, 150, 300)),
    "knn": Recipe(fit_neighbours, (10, 30, 100)),
}


def encoder_recipe(settings: Any, candidates: Sequence[str], path: Callable[[str], Path], folder: Path) -> Recipe:
    """How it is fitted in the working `folder`: one fifth of the examples is held out, once, since a training takes minutes.

    `settings` has `base`, `effort` and `threads`; `path` finds the base.
    """
    family = registry.load(FAMILY, "encoder")
    given = family.settings(settings.base, effort=settings.effort, threads=settings.threads, seed=settings.seed)

    def fit(seen: Seen, quality: Floats, _option: float) -> FineTuned:
        examples = [
            Labelled(Example(str(at), {"text": text}, "train"), _right(candidates, quality[at]), "import")
            for at, text in enumerate(seen.texts)
        ]
        student: Student = family.student(who_is_right(candidates), given)
        work = Path(mkdtemp(dir=folder))
        student.fit(examples, [], FitContext(work, path, seed=settings.seed))
        return FineTuned(student, tuple(candidates), (quality.sum(axis=0) + SMOOTHED) / (len(quality) + 2 * SMOOTHED))

    return Recipe(fit, (0.0,), rounds=1)


def _right(candidates: Sequence[str], quality: Floats) -> list[str]:
    return [name for name, one in zip(candidates, quality, strict=True) if one >= HALF]


class _Targets(NamedTuple):
    """Numbers of the examples, right or wrong, and their weights: one of quality 0.7 is there twice."""

    rows: NDArray[np.int64]
    right: NDArray[np.bool_]
    weights: Floats


def _columns(quality: Floats) -> Iterator[tuple[int, _Targets | None]]:
    """Each candidate's number and targets, None where it is always right or always wrong."""
    every = np.arange(len(quality))
    for at, column in enumerate(quality.T):
        right = np.repeat([True, False], len(column))
        weights = np.concatenate([column, 1 - column])
        kept = weights > 0
        if right[kept].all() or not right[kept].any():
            yield at, None
        else:
            yield at, _Targets(np.tile(every, 2)[kept], right[kept], weights[kept])


def _prior(column: Floats) -> float:
    """Log-odds of right, smoothed."""
    return float(np.log((column.sum() + SMOOTHED) / ((1 - column).sum() + SMOOTHED)))


def _joined(grown: Sequence[Sequence[Any]], intercept: Array, rate: float) -> Trees:
    """scikit-learn's trees as one set of arrays; where it has no child, the node itself is."""
    flat = [(at, tree) for at, trees in enumerate(grown) for tree in trees]
    shape = (len(flat), max((tree.node_count for _, tree in flat), default=1))
    own = np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1))
    left, right, feature = own.copy(), own.copy(), np.zeros(shape, np.int32)
    threshold, value = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for row, (_, tree) in enumerate(flat):
        n, inner = tree.node_count, tree.children_left >= 0
        left[row, :n] = np.where(inner, tree.children_left, own[row, :n])
        right[row, :n] = np.where(inner, tree.children_right, own[row, :n])
        feature[row, :n] = np.where(inner, tree.feature, 0)
        threshold[row, :n] = _down(tree.threshold)
        value[row, :n] = rate * tree.value[:, 0, 0]
    depth = max((tree.max_depth for _, tree in flat), default=0)
    owner = np.array([at for at, _ in flat], np.int32)
    return Trees(feature, threshold, left, right, value, owner, intercept, depth)


def _down(thresholds: Floats) -> Array:
    """The greatest float32 at or below each: rows are float32, so comparisons come out as with the exact threshold."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
