"""How good answers are on dev, for choosing an epoch or a precision: one figure in [0, 1] an example, for every output.

The metrics of a report are `evaluation`'s; these are its main ones where they are simple, and words in common for texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tutelage.tasks import Task
from tutelage.tasks.matching import matches, normal
from tutelage.tasks.record import RecordTask
from tutelage.types import Labelled, Prediction, Value


def dev_score(task: Task, gold: Sequence[Labelled], predictions: Sequence[Prediction]) -> float:
    """Mean of `answer_score`; a failed prediction scores 0. 0 for no examples."""
    scores = [answer_score(task, one.value, found.value) for one, found in zip(gold, predictions, strict=True)]
    return float(np.mean(scores)) if scores else 0.0


def answer_score(task: Task, gold: Value, found: Value | None) -> float:
    """1 for the right answer: equality of a label, F1 of the parts of all else (strings, labels, fields, words)."""
    if found is None:
        return 0.0
    if isinstance(task, RecordTask):
        return _shared(_fields(task, gold), _fields(task, found))
    if task.output == "text":
        return _shared(Counter(normal(str(gold)).split()), Counter(normal(str(found)).split()))
    if isinstance(gold, list):
        right, total = matches(gold, list(found)), len(gold) + len(found)
        return 2 * right / total if total else 1.0
    return float(gold == found)


def _fields(task: RecordTask, value: Any) -> Counter[Any]:
    return Counter((one.name, key) for one in task.answer_fields for key in one.keys(value.get(one.name)).elements())


def _shared(ours: Counter[Any], theirs: Counter[Any]) -> float:
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 1.0
