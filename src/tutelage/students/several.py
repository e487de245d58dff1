"""Which labels there are to learn, and, where several of N apply, from which probability on one is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tutelage.answering.several import f1
from tutelage.embeddings.runtime import Array
from tutelage.errors import TrainingError
from tutelage.tasks import Task
from tutelage.types import Labelled

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def labels_to_learn(family: str, task: Task, examples: Sequence[Labelled]) -> list[str]:
    """The labels that some example has: of several in the task's order, of one sorted. Raises TrainingError where all
    examples have the same."""
    if task.output == "label":
        found = sorted({str(one.value) for one in examples})
        if len(found) < 2:
            raise TrainingError(
                f"{family!r} needs examples of at least 2 labels in train, found {len(examples)} of "
                f"{', '.join(map(repr, found)) or 'none'}. Add more."
            )
        return found
    sets = {tuple(one.value) for one in examples}
    if len(sets) < 2:
        shown = ", ".join(map(repr, next(iter(sets), ()))) or "no label"
        raise TrainingError(
            f"{family!r}: all {len(examples)} examples to learn from have {shown}. Add examples of other labels."
        )
    seen = {label for one in sets for label in one}
    return [label for label in getattr(task, "labels", ()) if label in seen]


def best_threshold(gold: Sequence[Sequence[str]], labels: Sequence[str], probabilities: Array) -> tuple[float, float]:
    """The threshold with the highest mean F1, of equals the one nearest to a half; and that F1.

    One threshold for all labels: a rare label has too few examples on dev to have its own.
    """
    scored = [(f1(gold, labels, probabilities >= threshold), threshold) for threshold in THRESHOLDS]
    score, threshold = max(scored, key=lambda one: (one[0], -abs(one[1] - 0.5)))
    return threshold, score


def kind_of(examples: Sequence[Labelled]) -> Callable[[Labelled], object]:
    """What is not to be held out of train altogether: an example's label, of several the rarest."""
    counts = Counter(label for one in examples if isinstance(one.value, list) for label in one.value)

    def kind(one: Labelled) -> object:
        return (
            min(one.value, key=lambda label: counts[label], default=None) if isinstance(one.value, list) else one.value
        )

    return kind


def smoothed_log_odds(applying: int, n: int) -> float:
    """The score of a label that all or none of n examples have: there is nothing to tell it by."""
    return float(np.log((applying + 0.5) / (n - applying + 0.5)))
