"""Soft labels as a student learns them: which answers there are, and how probable each is for every example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tutelage.embeddings.runtime import Array
from tutelage.errors import TrainingError
from tutelage.tasks import Task
from tutelage.types import Labelled

Targets: TypeAlias = Literal["auto", "hard", "soft"]
"""What is learnt: the label, the probabilities that its source gave, or ("auto") those where there are some."""


class Blend(NamedTuple):
    """(1 - weight) of the loss is the label's, `weight` of it the probabilities', both softened by `temperature` (Hinton et
    al. 2015). At the end of its warm-up `trust` of it all is in what the network says itself (Burns et al. 2023)."""

    weight: float = 0.0
    temperature: float = 1.0
    trust: float = 0.0


class Soft(NamedTuple):
    """`shares` (examples, labels): each row sums to 1. `known` of the examples have a source that gave probabilities, which
    were softened by `temperature`."""

    labels: list[str]
    shares: Array
    known: int
    temperature: float = 1.0


class Repeats(NamedTuple):
    """Rows of a regression that learns soft labels: the example, the label's number, and how much the pair counts."""

    example: NDArray[np.int64]
    label: NDArray[np.int64]
    weight: NDArray[np.float64]


def soft_labels(family: str, settings: Any, task: Task, examples: Sequence[Labelled]) -> Soft | None:
    """What `settings.targets` wants learnt; None for the labels alone. Raises TrainingError where it cannot be had.

    An answer that a source considered is learnt even where no example has it. A source that gave no probabilities is certain.
    """
    targets: Targets = getattr(settings, "targets", "hard")
    known = sum(bool(one.distribution) for one in examples)
    if targets == "hard" or (targets == "auto" and (task.output != "label" or not known)):
        return None
    if task.output != "label":
        raise TrainingError(
            f'{family!r} learns soft labels where one is right, not {task.output}. Set: targets = "hard"'
        )
    if not known:
        raise TrainingError(
            f'targets = "soft", but none of the {len(examples)} labels to learn from has probabilities. Have the teacher give '
            'them (top_logprobs, or family "self-consistency"), or set: targets = "auto"'
        )
    considered = {label for one in examples for label, p in one.distribution.items() if p > 0}
    labels = sorted({str(one.value) for one in examples} | considered)
    if len(labels) < 2:
        raise TrainingError(
            f"All {len(examples)} examples to learn from have the label {labels[0]!r}. Add examples of other labels."
        )
    return Soft(labels, np.array([_row(one, labels) for one in examples], np.float32), known)


def hard_rows(examples: Sequence[Labelled], labels: Sequence[str]) -> Array:
    """(examples, labels): 1 for the label, 0 for the others."""
    return np.array([[label == one.value for label in labels] for one in examples], np.float32)


def softened(shares: Array, temperature: float) -> Array:
    """Rows to the power of 1/temperature, summing to 1 again; above 1 what is improbable counts more."""
    powers = shares ** (1 / temperature)
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def mixed(soft: Soft, examples: Sequence[Labelled], weight: float, temperature: float = 1.0) -> Array:
    """(examples, labels): `weight` of the probabilities, softened by `temperature`, the rest of it on the label."""
    hard = hard_rows(examples, soft.labels)
    result: Array = (weight * softened(soft.shares, temperature) + (1 - weight) * hard).astype(np.float32)
    return result


def repeats(shares: Array) -> Repeats:
    """Each example as often as it has possible labels, weighted by their probability: the same loss as the cross entropy
    with the probabilities."""
    example, label = np.nonzero(shares)
    return Repeats(example, label, shares[example, label].astype(np.float64))


def _row(one: Labelled, labels: Sequence[str]) -> list[float]:
    given = one.distribution or {str(one.value): 1.0}
    total = sum(given.values())
    return [given.get(label, 0.0) / total if total else float(label == one.value) for label in labels]
