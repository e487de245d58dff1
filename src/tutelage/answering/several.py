"""How students answer with several of N labels: a probability of each label by itself, and one threshold for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.embeddings.runtime import Array
from tutelage.types import Prediction


def sigmoid(logits: Array) -> Array:
    """The probability of each, independent of the others."""
    result: Array = 0.5 * (1 + np.tanh(0.5 * logits))
    return result


def several(labels: Sequence[str], probabilities: Array, threshold: float) -> list[Prediction]:
    """The labels whose probability reaches the threshold, in the order given; [] is an answer.

    `parts` is the probability that a label applies, of those left out as well; `confidence` that the whole set is right:
    the product over the labels of the probability of what was said of each.
    """
    found = []
    for row in probabilities.astype(np.float64):
        chosen = row >= threshold
        value = [label for label, taken in zip(labels, chosen, strict=True) if taken]
        confidence = min(1.0, float(np.where(chosen, row, 1 - row).prod()))
        parts = {label: min(1.0, float(p)) for label, p in zip(labels, row, strict=True)}
        found.append(Prediction(value, confidence, parts=parts))
    return found


def f1(gold: Sequence[Sequence[str]], labels: Sequence[str], chosen: NDArray[np.bool_]) -> float:
    """Mean F1 of the examples; `chosen` (examples, labels) says which labels each is answered with.

    Two empty sets agree. A gold label that is not among `labels` is missed.
    """
    right = (chosen & applies(gold, labels)).sum(axis=1)
    total = chosen.sum(axis=1) + np.array([len(one) for one in gold])
    return float(np.where(total == 0, 1.0, 2 * right / np.maximum(total, 1)).mean())


def applies(gold: Sequence[Sequence[str]], labels: Sequence[str]) -> NDArray[np.bool_]:
    """(examples, labels): whether the label is in the example's set."""
    return np.array([[label in one for label in labels] for one in gold], bool).reshape(len(gold), len(labels))
