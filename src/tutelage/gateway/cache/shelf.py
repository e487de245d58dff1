"""The kept questions of one scope, found by their vectors."""

from __future__ import annotations

import numpy as np

from tutelage.embeddings.index import ExactIndex
from tutelage.embeddings.runtime import Array

MERGE = 256
"""New vectors held apart: adding to an index copies all of it."""


class Shelf:
    """Numbers of kept questions by their vectors' cosine; questions come one at a time and go many at a time."""

    def __init__(self) -> None:
        self._index, self._recent = ExactIndex(), ExactIndex()
        self.numbers: list[int] = []

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, number: int, vector: Array) -> None:
        self._recent.add(vector[None, :])
        self.numbers.append(number)
        if len(self._recent) >= MERGE:
            self._index.add(self._recent.vectors)
            self._recent = ExactIndex()

    def nearest(self, vector: Array, k: int) -> list[tuple[float, int]]:
        """Similarities and numbers of the `k` nearest, nearest first."""
        found: list[tuple[float, int]] = []
        for index, start in ((self._index, 0), (self._recent, len(self._index))):
            scores, places = index.search(vector[None, :], k)
            found += [
                (float(score), self.numbers[start + int(at)]) for score, at in zip(scores[0], places[0], strict=True)
            ]
        return sorted(found, key=lambda one: -one[0])[:k]

    def remove(self, gone: set[int]) -> None:
        """Forget the questions with these numbers."""
        vectors = [index.vectors for index in (self._index, self._recent) if len(index)]
        keep = [at for at, number in enumerate(self.numbers) if number not in gone]
        self.numbers = [self.numbers[at] for at in keep]
        self._index, self._recent = ExactIndex(), ExactIndex()
        if keep:
            self._index.add(np.concatenate(vectors)[keep])
