"""Logistic regression on the parts of `features`: fitting, and the search for parts and penalty on dev."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tutelage.answering.features import Matrix
from tutelage.answering.linear import Data, Weights
from tutelage.answering.several import applies
from tutelage.embeddings.runtime import Array
from tutelage.errors import TrainingError
from tutelage.students.features import as_csr
from tutelage.students.several import best_threshold, smoothed_log_odds
from tutelage.students.soft import Soft, repeats

FIRST_C = 30.0
GRIDS: dict[str, tuple[float, ...]] = {
    "low": (FIRST_C,),
    "medium": (3.0, 10.0, FIRST_C, 100.0),
    "high": (1.0, 3.0, 10.0, FIRST_C, 100.0, 300.0),
}
"""Inverse strengths of the L2 penalty that are tried, by effort."""

Parts: TypeAlias = tuple[str, ...]
Progress: TypeAlias = Callable[[float, Mapping[str, object]], None]


@dataclass(frozen=True)
class Trial:
    """One combination of parts and penalty, and how it did on dev: accuracy, of several labels the mean F1."""

    parts: Parts
    c: float
    score: float
    log_loss: float
    weights: Weights

    def facts(self) -> dict[str, Any]:
        chosen = {"features": "+".join(self.parts), "C": self.c}
        if self.weights.threshold is not None:
            chosen["threshold"] = self.weights.threshold
        return chosen | {self.measure: round(self.score, 4), "dev_log_loss": round(self.log_loss, 4)}

    @property
    def measure(self) -> str:
        return "dev_accuracy" if self.weights.threshold is None else "dev_f1"


def choose(
    options: Sequence[Parts],
    effort: str,
    learnt: Data,
    judged: Data,
    progress: Progress,
    soft: Soft | None = None,
) -> tuple[Trial, list[Trial]]:
    """The best trial by its score on `judged`, ties by log-loss, and all trials in the order they were made.

    "low" tries the first option alone; "medium" all options with the usual penalty, then the best one's other
    penalties; "high" every option with every penalty. Raises TrainingError as `regression`.
    """
    grid = GRIDS[effort]
    stages = [(parts, grid if effort == "high" else (FIRST_C,)) for parts in options]
    if effort == "low":
        stages = stages[:1]
    trials: list[Trial] = []
    count = sum(len(grid) for _, grid in stages) + (len(grid) - 1 if effort == "medium" else 0)

    def make(parts: Parts, penalties: Sequence[float]) -> None:
        for c, weights in zip(penalties, regression(parts, penalties, learnt, soft), strict=True):
            fitting = with_threshold(weights, judged)
            trials.append(Trial(parts, c, *fitting.judge(judged), fitting))
            progress(len(trials) / count, {trials[-1].measure: round(max(trial.score for trial in trials), 4)})

    for parts, penalties in stages:
        make(parts, penalties)
    if effort == "medium":
        make(_best(trials).parts, [c for c in grid if c != FIRST_C])
    return _best(trials), trials


def with_threshold(weights: Weights, judged: Data) -> Weights:
    """The weights with the threshold that does best on `judged`, where several labels are given."""
    if weights.threshold is None:
        return weights
    return replace(
        weights, threshold=best_threshold(judged.gold, weights.classes, weights.probabilities(judged.rows))[0]
    )


def regression(parts: Parts, penalties: Sequence[float], data: Data, soft: Soft | None = None) -> list[Weights]:
    """Weights fitted with each inverse penalty; deterministic. Of several labels one regression each. With `soft` the
    probabilities are learnt instead of `data.gold`.

    Raises TrainingError when all examples have one label.
    """
    if data.labels:
        return _one_vs_rest(parts, penalties, data)
    classes = soft.labels if soft else sorted(set(data.gold))
    if len(classes) < 2:
        raise TrainingError(
            f"All {len(data.gold)} examples to learn from have the label {classes[0]!r}. Add examples of other labels."
        )
    rows = _joined([data.rows[part] for part in parts])
    ends = np.cumsum([data.rows[part].shape[1] for part in parts])[:-1]
    found, gold, weight = [], data.gold, data.weight
    if soft:
        pairs = repeats(soft.shares)
        rows, gold = rows[pairs.example], [classes[at] for at in pairs.label.tolist()]
        weight = pairs.weight if weight is None else pairs.weight * weight[pairs.example]
    for c in penalties:
        model = _fitted(c, rows, gold, weight)
        columns, intercept = model.coef_.T, model.intercept_
        if len(classes) == 2:  # scikit-learn then gives the second class's advantage alone
            columns, intercept = np.hstack([0 * columns, columns]), np.array([0.0, *intercept])
        if soft:  # what fits softened probabilities says so at their temperature
            columns, intercept = soft.temperature * columns, soft.temperature * intercept
        coefficients = _by_part(parts, columns, ends)
        found.append(Weights(tuple(map(str, model.classes_)), coefficients, intercept.astype(np.float32)))
    return found


def _one_vs_rest(parts: Parts, penalties: Sequence[float], data: Data) -> list[Weights]:
    rows = _joined([data.rows[part] for part in parts])
    ends = np.cumsum([data.rows[part].shape[1] for part in parts])[:-1]
    wanted = applies(data.gold, data.labels)
    found = []
    for c in penalties:
        columns = np.zeros((rows.shape[1], len(data.labels)))
        intercept = np.zeros(len(data.labels))
        for at, column in enumerate(wanted.T):
            if column.all() or not column.any():
                intercept[at] = smoothed_log_odds(int(column.sum()), len(column))
            else:
                model = _fitted(c, rows, column, data.weight)
                columns[:, at], intercept[at] = model.coef_[0], model.intercept_[0]
        coefficients = _by_part(parts, columns, ends)
        found.append(Weights(tuple(data.labels), coefficients, intercept.astype(np.float32), 0.5))
    return found


def _fitted(c: float, rows: Matrix, gold: Any, weight: NDArray[np.float64] | None = None) -> LogisticRegression:
    # Never from the last penalty's weights: the solver would take a small first gradient for the end.
    model = LogisticRegression(C=c, max_iter=300, tol=1e-4)
    with warnings.catch_warnings():
        # Three hundred steps are past the point where dev still changes.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes")  # hundreds are welcome
        return model.fit(rows, gold, weight)


def _by_part(parts: Parts, columns: NDArray[np.float64], ends: NDArray[np.int64]) -> dict[str, Array]:
    split = np.split(columns.astype(np.float32), ends)
    return {part: np.ascontiguousarray(rows) for part, rows in zip(parts, split, strict=True)}


def _best(trials: Sequence[Trial]) -> Trial:
    return max(trials, key=lambda trial: (trial.score, -trial.log_loss))


def _joined(matrices: Sequence[Matrix]) -> Array | csr_matrix:
    if len(matrices) == 1 and isinstance(matrices[0], np.ndarray):
        return matrices[0]
    return hstack([as_csr(part) for part in matrices], format="csr")
