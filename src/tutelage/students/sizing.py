"""How long and how fast a transformer is fine-tuned: given by the settings, or sized from the data."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from tutelage.embeddings.runtime import Array
from tutelage.store import Origin
from tutelage.students.soft import Blend
from tutelage.types import Labelled

T = TypeVar("T")

Effort: TypeAlias = Literal["low", "medium", "high"]
PACE: dict[str, float] = {"low": 0.5, "medium": 1.0, "high": 2.0}
HELD_OUT = 0.1
KEPT = "weights"
"""The folder of an artefact with the weights that a smaller student can be made of."""


@dataclass(frozen=True)
class FineTuning:
    """Settings of every fine-tuned student. `base` is a folder (relative to the project) or a Hugging Face name.

    None means sized from the data. `max_length` counts tokens; longer texts are windowed. With `quantise = "auto"` the
    int8 model is kept when it loses at most `max_int8_loss` of the dev score.
    """

    base: str
    labels: Origin = "any"
    effort: Effort = "medium"
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    max_length: int = 256
    quantise: Literal["auto", "int8", "none"] = "auto"
    max_int8_loss: float = 0.005
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """One training run. `patience` is the number of epochs without a better dev score after which it ends."""

    epochs: int
    learning_rate: float
    batch_size: int
    patience: int
    warm_up: float = 0.1
    weight_decay: float = 0.01
    seed: int = 0


def plan(settings: FineTuning, n: int, width: int) -> Plan:
    """The plan for n texts and a base of `width`: few texts take more epochs, many texts and wide bases smaller steps.

    Measured on dev with MiniLM: 500 passages 2e-4 in batches of 8 (1e-4: slower, no better); 9,000 short texts 1e-4 in
    batches of 16 (accuracy 0.936; 2e-4 in batches of 32: 0.930; 5e-5: 0.931; ten epochs with smoothed labels: 0.933).
    """
    epochs = settings.epochs or max(2, round(PACE[settings.effort] * min(20, 4 + math.ceil(800 / n))))
    rate = settings.learning_rate or (5e-5 if width > 512 else 2e-4 if n < 1000 else 1e-4)
    size = settings.batch_size or (8 if n < 1000 else 16)
    return Plan(epochs, rate, size, patience=max(3, epochs // 2), seed=settings.seed)


Score: TypeAlias = Callable[[Sequence[Encoding], Sequence[Array]], float]
"""The dev score in [0, 1] of the logits of the dev texts."""

Targets: TypeAlias = Callable[[int, Encoding], NDArray[Any]]
"""Number of a training text and its encoding -> the targets of its pieces (tokens,) or of the whole ().

Of several classes those of the whole are (classes,), 1 where the class applies; of a `blend` (1 + classes,), the label's
number and each one's probability."""


class Texts(NamedTuple):
    """What a network learns from, and is chosen on."""

    train: Sequence[str]
    targets: Targets
    dev: Sequence[str]
    score: Score
    types: Callable[[str, Encoding], list[int]] = lambda _text, encoding: encoding.type_ids
    """A text and its encoding -> the type ids of its pieces."""
    several: bool = False
    """Whether any number of classes applies to a text."""
    blend: Blend | None = None
    """How probabilities are learnt beside labels, where they are."""
    weights: NDArray[np.float64] | None = None
    """How much each training text counts, where they do not count alike."""


def weights_of(examples: Sequence[Labelled]) -> NDArray[np.float64] | None:
    """How much each example counts, in [0, 1]; None where all count in full."""
    weights = np.array([one.weight for one in examples], np.float64)
    return None if (weights == 1).all() else weights


def hold_out(
    train: Sequence[T], dev: Sequence[T], seed: int, kind: Callable[[T], object]
) -> tuple[list[T], list[T], str]:
    """What to learn from, what to choose on, and in words where the latter came from.

    Where there is no dev, a tenth of train (one at least) is held out of it, but never the last example of its `kind`;
    where every kind has a single example, train itself is chosen on.
    """
    if dev:
        return list(train), list(dev), "dev"
    wanted = max(1, round(HELD_OUT * len(train)))
    left = Counter(kind(one) for one in train)
    chosen: set[int] = set()
    for at in random.Random(seed).sample(range(len(train)), len(train)):
        if len(chosen) < wanted and left[kind(train[at])] > 1:
            left[kind(train[at])] -= 1
            chosen.add(at)
    if not chosen:
        return list(train), list(train), "train itself, since dev is empty and train too small to hold any out"
    kept = [one for at, one in enumerate(train) if at not in chosen]
    return kept, [train[at] for at in sorted(chosen)], f"{len(chosen)} examples held out of train, since dev is empty"
