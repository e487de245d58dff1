"""Exact match, for every output kind that has one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.evaluation.fields import document_match
from tutelage.evaluation.metrics import Answers, Mean, string_scores
from tutelage.tasks import Task
from tutelage.tasks.matching import same
from tutelage.types import Value


def exact_match(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of examples answered exactly: just gold's strings or labels (any order), gold's text, every field of gold.

    Strings and texts are equal under strict matching, fields as their normalisers see them.
    """
    if task.output == "record":
        return document_match(task, gold, predicted)
    if task.output == "text":
        equal = [p is not None and same(str(g), str(p)) for g, p in zip(gold, predicted, strict=True)]
        return Mean(np.array(equal, dtype=np.float64))
    return Mean((string_scores(gold, predicted, same)[:, 2] == 1).astype(np.float64))
