"""Metrics of records: which fields are right.

A field is right when gold's and the answer's normalised values are equal (see `tasks.normalise`); a list's items count one
by one. Null is the absence of a value: neither something to find nor something found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Answers, Floats, Mean, Ratio
from tutelage.tasks import Task
from tutelage.types import Value

if TYPE_CHECKING:
    from tutelage.tasks.record import RecordTask


@dataclass(frozen=True)
class FieldScore:
    """One field over all examples; `n` of them have it in gold.

    `exact` is the share of examples where it is right, null for null included; `token_f1` is the mean token F1 over the
    examples where gold or the answer has it.
    """

    n: int
    exact: Estimate
    token_f1: Estimate


@dataclass(frozen=True)
class _Counts:
    """How many values are right, in gold, and in the answer, shape (n, fields); which examples were answered, (n,)."""

    right: NDArray[np.int64]
    gold: NDArray[np.int64]
    found: NDArray[np.int64]
    answered: NDArray[np.bool_]


def field_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """F1 of an example's fields (2 x right / (in gold + in the answer)), averaged over examples.

    Nothing in gold and nothing in the answer: 1.
    """
    counts = _counted(task, gold, predicted)
    return _share(counts, 2 * counts.right.sum(1), counts.gold.sum(1) + counts.found.sum(1))


def field_precision(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of the values in the answer that are right, per example, averaged; 0 where only gold has any."""
    counts = _counted(task, gold, predicted)
    return _share(counts, counts.right.sum(1), counts.found.sum(1))


def field_recall(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of gold's values that the answer has, per example, averaged; 0 where only the answer has any."""
    counts = _counted(task, gold, predicted)
    return _share(counts, counts.right.sum(1), counts.gold.sum(1))


def micro_field_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Ratio:
    """F1 over the values of all examples together: an example with many values counts more."""
    counts = _counted(task, gold, predicted)
    return Ratio(2 * counts.right.sum(1), counts.gold.sum(1) + counts.found.sum(1))


def document_match(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of examples whose every field is right, null for null included."""
    exact = _exact(_counted(task, gold, predicted))
    return Mean(np.asarray(exact.all(axis=1), dtype=np.float64))


def token_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """F1 of the words of each field, averaged over the fields that gold or the answer has, then over examples."""
    scores, present = _token_scores(task, gold, predicted)
    nothing = np.array([found is not None for found in predicted], dtype=np.float64)
    means = np.divide(scores.sum(axis=1), present.sum(axis=1), out=nothing, where=present.any(axis=1))
    return Mean(np.asarray(means))


def field_matches(task: Task, gold: Sequence[Value], predicted: Answers) -> dict[str, Mean]:
    """For each field of a record whether it is right, null for null included; none for other output kinds."""
    if task.output != "record":
        return {}
    exact = _exact(_counted(task, gold, predicted))
    return {
        one.name: Mean(exact[:, at].astype(np.float64)) for at, one in enumerate(cast("RecordTask", task).answer_fields)
    }


def field_scores(task: Task, gold: Sequence[Value], predicted: Answers) -> Mapping[str, FieldScore]:
    """The figures of each field of a record, by name in the schema's order; none for other output kinds."""
    if task.output != "record":
        return {}
    counts = _counted(task, gold, predicted)
    exact, (shared, present) = _exact(counts), _token_scores(task, gold, predicted)
    scores = {}
    for at, one in enumerate(cast("RecordTask", task).answer_fields):
        tokens = Ratio(shared[:, at], present[:, at].astype(np.float64))
        scores[one.name] = FieldScore(
            int((counts.gold[:, at] > 0).sum()),
            estimate(Mean(exact[:, at].astype(np.float64)), len(gold)),
            estimate(tokens, len(gold)),
        )
    return scores


def _share(counts: _Counts, part: NDArray[np.int64], whole: NDArray[np.int64]) -> Mean:
    """`part / whole` by example; where `whole` is 0: 1 if gold and answer are both empty, else 0. A failure is 0."""
    empty = (counts.gold.sum(1) + counts.found.sum(1) == 0).astype(np.float64)
    shares = np.divide(part, whole, out=empty, where=whole > 0)
    return Mean(np.asarray(np.where(counts.answered, shares, 0.0)))


def _exact(counts: _Counts) -> NDArray[np.bool_]:
    equal = (counts.right == counts.gold) & (counts.right == counts.found)
    return np.asarray(equal & counts.answered[:, None], dtype=np.bool_)


def _counted(task: Task, gold: Sequence[Value], predicted: Answers) -> _Counts:
    fields = cast("RecordTask", task).answer_fields
    counts = np.zeros((3, len(gold), len(fields)), dtype=np.int64)
    for row, (wanted, found) in enumerate(zip(gold, predicted, strict=True)):
        for column, one in enumerate(fields):
            ours, theirs = one.keys(_of(wanted, one.name)), one.keys(_of(found, one.name))
            counts[:, row, column] = (ours & theirs).total(), ours.total(), theirs.total()
    answered = np.array([found is not None for found in predicted], dtype=np.bool_)
    return _Counts(counts[0], counts[1], counts[2], answered)


def _token_scores(task: Task, gold: Sequence[Value], predicted: Answers) -> tuple[Floats, NDArray[np.bool_]]:
    """Token F1 of each field (0 where it is absent), and whether gold or the answer has it, shape (n, fields) each."""
    fields = cast("RecordTask", task).answer_fields
    scores, present = np.zeros((len(gold), len(fields))), np.zeros((len(gold), len(fields)), dtype=np.bool_)
    for row, (wanted, found) in enumerate(zip(gold, predicted, strict=True)):
        for column, one in enumerate(fields):
            ours, theirs = one.tokens(_of(wanted, one.name)), one.tokens(_of(found, one.name))
            if total := ours.total() + theirs.total():
                scores[row, column], present[row, column] = 2 * (ours & theirs).total() / total, True
    return scores, present


def _of(value: Value | None, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
