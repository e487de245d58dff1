"""Metrics of texts besides word overlap: BERTScore, the limits that a text keeps, and which are broken how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tutelage.errors import UsageError
from tutelage.evaluation.metrics import Answers, Floats, Mean
from tutelage.registry import load
from tutelage.tasks import Task
from tutelage.tasks.text import CONSTRAINTS, EMPTY, TextTask
from tutelage.types import Prediction, Value

Pairs = Sequence[tuple[str, str]]
PRECISION, RECALL, F1 = range(3)


def within_limits(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Share of answers that are there and break no limit of the task."""
    kept = [p is not None and not _text(task).violations(p) for _, p in zip(gold, predicted, strict=True)]
    return Mean(np.array(kept, dtype=np.float64))


def bertscore_precision(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """How near, on average, each token of the answer is to the nearest token of the gold text (cosine of `encoder`)."""
    return Mean(_bertscore(task, gold, predicted)[:, PRECISION])


def bertscore_recall(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """How near, on average, each token of the gold text is to the nearest token of the answer."""
    return Mean(_bertscore(task, gold, predicted)[:, RECALL])


def bertscore_f1(task: Task, gold: Sequence[Value], predicted: Answers) -> Mean:
    """Harmonic mean of an example's BERTScore precision and recall, averaged over examples."""
    return Mean(_bertscore(task, gold, predicted)[:, F1])


def violations(task: Task, predictions: Sequence[Prediction]) -> dict[str, int]:
    """How many answers break which limit that the task sets, and how many were "empty"; {} for tasks without limits."""
    if not isinstance(task, TextTask):
        return {}
    counts = Counter(name for p in predictions if p.value is not None for name in task.violations(p.value))
    counts["empty"] = sum(p.value is None and p.error == EMPTY for p in predictions)
    return {name: counts[name] for name in (*CONSTRAINTS, "empty") if name == "empty" or getattr(task, name)}


def _bertscore(task: Task, gold: Sequence[Value], predicted: Answers) -> Floats:
    """Precision, recall and F1 of each example, clipped to [0, 1], shape (n, 3); failed answers score 0."""
    text = _text(task)
    if text.encoder is None:
        raise UsageError('BERTScore needs a model to compare with. Set: encoder = "FOLDER OR HUGGING FACE NAME".')
    scores, at = np.zeros((len(gold), 3)), [at for at, p in enumerate(predicted) if p is not None]
    if len(gold) != len(predicted):
        raise ValueError(f"{len(predicted)} answers do not go with {len(gold)} gold texts.")
    if at:
        score: Callable[[str, int | None, Pairs], Floats] = load("tutelage.evaluation.bertscore:score", "bertscore")
        pairs = [(str(gold[place]), str(predicted[place])) for place in at]
        scores[at] = np.clip(score(text.encoder, text.encoder_layers, pairs), 0.0, 1.0)
    return scores


def _text(task: Task) -> TextTask:
    if not isinstance(task, TextTask):
        raise UsageError(f"This metric goes with output = 'text', not {task.output!r}.")
    return task
