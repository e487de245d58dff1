"""Metrics: how right an answer is.

A metric takes the task, the gold values and the predicted values of the same examples and returns a `Statistic`: its value under
any weighting of the examples, so that it can be bootstrapped. A failed prediction is None and scores 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tutelage.registry import Table
from tutelage.tasks import Task
from tutelage.tasks.matching import matches, same, same_person
from tutelage.types import Value

Floats: TypeAlias = NDArray[np.float64]
Answers: TypeAlias = Sequence[Value | None]


class Statistic(Protocol):
    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        """The metric on each resample: `draws` (resamples, n) holds indices of examples; returns (resamples,)."""


@dataclass(frozen=True)
class Mean:
    """The mean of one score in [0, 1] per example, shape (n,)."""

    scores: Floats

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        return np.asarray(self.scores[draws].mean(axis=-1), dtype=np.float64)


@dataclass(frozen=True)
class Ratio:
    """The sum of `part` over the sum of `whole`, each of shape (n,), >= 0; 1 where there is nothing in the whole."""

    part: NDArray[np.float64 | np.int64]
    whole: NDArray[np.float64 | np.int64]

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        part, whole = self.part[draws].sum(axis=-1), self.whole[draws].sum(axis=-1)
        return np.asarray(np.divide(part, whole, out=np.ones(whole.shape), where=whole > 0))


@dataclass(frozen=True)
class MacroF1:
    """F1 averaged over the classes that occur in gold or predictions of a resample, as scikit-learn's `average="macro"`.

    `right` and `total` (gold's and predictions' together) count each class in each example, shape (n, classes). A failed
    prediction belongs to no class. 1 where no class occurs.
    """

    right: csr_array
    total: csr_array

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        draws = np.atleast_2d(draws)
        n, rows = self.total.shape[0], np.arange(len(draws))[:, None]
        times = np.bincount((rows * n + draws).ravel(), minlength=len(draws) * n).reshape(len(draws), n)
        right, total = times @ self.right, times @ self.total
        f1s = np.divide(2.0 * right, total, out=np.zeros(total.shape), where=total > 0)
        occurring = (total > 0).sum(axis=-1)
        return np.asarray(np.divide(f1s.sum(axis=-1), occurring, out=np.ones(len(draws)), where=occurring > 0))


Metric: TypeAlias = Callable[[Task, Sequence[Value], Answers], Statistic]

METRICS = Table(
    "metrics",
    "metric",
    {
        "accuracy": "tutelage.evaluation.metrics:accuracy",
        "macro_f1": "tutelage.evaluation.metrics:macro_f1",
        "precision": "tutelage.evaluation.metrics:precision",
        "recall": "tutelage.evaluation.metrics:recall",
        "f1": "tutelage.evaluation.metrics:f1",
        "exact_match": "tutelage.evaluation.exact:exact_match",
        "alias_precision": "tutelage.evaluation.metrics:alias_precision",
        "alias_recall": "tutelage.evaluation.metrics:alias_recall",
        "alias_f1": "tutelage.evaluation.metrics:alias_f1",
        "micro_f1": "tutelage.evaluation.metrics:micro_f1",
        "field_f1": "tutelage.evaluation.fields:field_f1",
        "field_precision": "tutelage.evaluation.fields:field_precision",
        "field_recall": "tutelage.evaluation.fields:field_recall",
        "micro_field_f1": "tutelage.evaluation.fields:micro_field_f1",
        "token_f1": "tutelage.evaluation.fields:token_f1",
        "rouge1": "tutelage.evaluation.overlap:rouge1",
        "rouge2": "tutelage.evaluation.overlap:rouge2",
        "rougeL": "tutelage.evaluation.overlap:rouge_l",
        "bleu": "tutelage.evaluation.overlap:bleu",
        "sentence_bleu": "tutelage.evaluation.overlap:sentence_bleu",
        "chrf": "tutelage.evaluation.overlap:chrf",
        "bertscore_precision": "tutelage.evaluation.text:bertscore_precision",
        "bertscore_recall": "tutelage.evaluation.text:bertscore_recall",
        "bertscore_f1": "tutelage.evaluation.text:bertscore_f1",
        "within_limits": "tutelage.evaluation.text:within_limits",
    },
)

TWO_VALUED = frozenset({"accuracy", "exact_match", "within_limits"})
"""Metrics whose score of an example is 0 or 1 by definition: an answer is right or it is not."""


def accuracy(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of answers equal to the gold label."""
    return Mean(np.array([g == p for g, p in zip(gold, predicted, strict=True)], dtype=np.float64))


def macro_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> MacroF1:
    """F1 of every class, averaged over classes: rare classes count as much as frequent ones."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(predicted)} answers do not go with {len(gold)} gold labels.")
    wanted, found = [_classes(value) for value in gold], [_classes(value) for value in predicted]
    number = {name: at for at, name in enumerate(sorted(set().union(*wanted, *found)))}
    right = _indicators([w & f for w, f in zip(wanted, found, strict=True)], number)
    return MacroF1(right, _indicators(wanted, number) + _indicators(found, number))


def micro_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Ratio:
    """F1 over the labels of all examples together: frequent labels count more (scikit-learn's `average="micro"`)."""
    pairs = [(_classes(g), _classes(p)) for g, p in zip(gold, predicted, strict=True)]
    return Ratio(np.array([2 * len(w & f) for w, f in pairs]), np.array([len(w) + len(f) for w, f in pairs]))


def _classes(value: Value | None) -> set[str]:
    """The classes that an answer names: none for a failed one."""
    return set() if value is None else {value} if isinstance(value, str) else set(value)


def _indicators(sets: Sequence[set[str]], number: dict[str, int]) -> csr_array:
    """1 where an example has a class, shape (n, classes)."""
    at = [(row, number[name]) for row, names in enumerate(sets) for name in names]
    rows, columns = [row for row, _ in at], [column for _, column in at]
    return csr_array((np.ones(len(at), dtype=np.int64), (rows, columns)), shape=(len(sets), max(len(number), 1)))


def precision(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of the predicted strings that are in gold, per example, averaged over examples (strict matching).

    Both lists empty: 1. Exactly one of them empty: 0 (so precision, recall and F1 agree that the answer is wrong).
    """
    return Mean(string_scores(gold, predicted, same)[:, 0])


def recall(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of the gold strings that were predicted, per example, averaged; empty lists as in `precision`."""
    return Mean(string_scores(gold, predicted, same)[:, 1])


def f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Harmonic mean of an example's precision and recall, averaged over examples; empty lists as in `precision`."""
    return Mean(string_scores(gold, predicted, same)[:, 2])


def alias_precision(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """`precision` where "Oliver" meets "Oliver the Owl" (see `tasks.matching.same_person`)."""
    return Mean(string_scores(gold, predicted, same_person)[:, 0])


def alias_recall(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """`recall` under alias-aware matching."""
    return Mean(string_scores(gold, predicted, same_person)[:, 1])


def alias_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """`f1` under alias-aware matching."""
    return Mean(string_scores(gold, predicted, same_person)[:, 2])


def string_scores(gold: Sequence[Value], predicted: Answers, equal: Callable[[str, str], bool]) -> Floats:
    """Precision, recall and F1 of each example, shape (n, 3)."""
    scores = np.zeros((len(gold), 3))
    for at, (wanted, found) in enumerate(zip(gold, predicted, strict=True)):
        if found is None:
            continue
        if not wanted and not found:
            scores[at] = 1.0
        elif wanted and found:
            right = matches(list(wanted), list(found), equal)
            scores[at] = right / len(found), right / len(wanted), 2 * right / (len(found) + len(wanted))
    return scores
