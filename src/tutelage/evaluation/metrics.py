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
class MacroF1:
    """F1 averaged over the classes that occur in gold or predictions of a resample, as scikit-learn's `average="macro"`.

    `gold` and `predicted` are class numbers, shape (n,); -1 is a failed prediction and belongs to no class.
    """

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    classes: int

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        return np.array([self._of(row) for row in np.atleast_2d(draws)])

    def _of(self, row: NDArray[np.int64]) -> float:
        gold, predicted = self.gold[row], self.predicted[row]
        right = np.bincount(gold[gold == predicted], minlength=self.classes)
        total = np.bincount(gold, minlength=self.classes) + np.bincount(
            predicted[predicted >= 0], minlength=self.classes
        )
        present = total > 0
        return float((2 * right[present] / total[present]).mean())


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
        "exact_match": "tutelage.evaluation.metrics:exact_match",
        "alias_precision": "tutelage.evaluation.metrics:alias_precision",
        "alias_recall": "tutelage.evaluation.metrics:alias_recall",
        "alias_f1": "tutelage.evaluation.metrics:alias_f1",
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


def accuracy(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of answers equal to the gold label."""
    return Mean(np.array([g == p for g, p in zip(gold, predicted, strict=True)], dtype=np.float64))


def macro_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> MacroF1:
    """F1 of every class, averaged over classes: rare classes count as much as frequent ones."""
    names = sorted({str(v) for v in gold} | {str(v) for v in predicted if v is not None})
    number = {name: at for at, name in enumerate(names)}
    if len(gold) != len(predicted):
        raise ValueError(f"{len(predicted)} answers do not go with {len(gold)} gold labels.")
    return MacroF1(
        np.array([number[str(v)] for v in gold], dtype=np.int64),
        np.array([-1 if v is None else number[str(v)] for v in predicted], dtype=np.int64),
        len(names),
    )


def precision(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of the predicted strings that are in gold, per example, averaged over examples (strict matching).

    Both lists empty: 1. Exactly one of them empty: 0 (so precision, recall and F1 agree that the answer is wrong).
    """
    return Mean(_strings(gold, predicted, same)[:, 0])


def recall(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of the gold strings that were predicted, per example, averaged; empty lists as in `precision`."""
    return Mean(_strings(gold, predicted, same)[:, 1])


def f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Harmonic mean of an example's precision and recall, averaged over examples; empty lists as in `precision`."""
    return Mean(_strings(gold, predicted, same)[:, 2])


def exact_match(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of examples whose list holds just the gold strings (strict matching, any order), or whose text is gold's."""
    if task.output == "text":
        equal = [p is not None and same(str(g), str(p)) for g, p in zip(gold, predicted, strict=True)]
        return Mean(np.array(equal, dtype=np.float64))
    return Mean((_strings(gold, predicted, same)[:, 2] == 1).astype(np.float64))


def alias_precision(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """`precision` where "Oliver" meets "Oliver the Owl" (see `tasks.matching.same_person`)."""
    return Mean(_strings(gold, predicted, same_person)[:, 0])


def alias_recall(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """`recall` under alias-aware matching."""
    return Mean(_strings(gold, predicted, same_person)[:, 1])


def alias_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """`f1` under alias-aware matching."""
    return Mean(_strings(gold, predicted, same_person)[:, 2])


def _strings(gold: Sequence[Value], predicted: Answers, equal: Callable[[str, str], bool]) -> Floats:
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
