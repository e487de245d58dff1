"""An encoder without weights, and solved examples made of short texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.embeddings.runtime import Array
from tutelage.types import Example, Labelled, digest


class Letters:
    """An encoder without weights: counts of letters."""

    width = 27
    identity = "letters"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(self, texts: Sequence[str]) -> Array:
        self.calls.append(len(texts))
        vectors = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            for letter in text:
                vectors[row, ord(letter) % self.width] += 1
        return vectors


def pool_of(*pairs: tuple[str, str]) -> list[Labelled]:
    return [Labelled(Example(digest(text), {"text": text}, "train"), label, "import") for text, label in pairs]


def texts_of(shots: Sequence[Labelled]) -> list[str]:
    return [shot.example.input["text"] for shot in shots]
