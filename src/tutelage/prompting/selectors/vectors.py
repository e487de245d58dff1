"""Selectors `nearest` and `mmr`: examples whose texts mean something like the input, by a sentence encoder."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np

from tutelage.embeddings.index import DECIMALS, ExactIndex
from tutelage.embeddings.runtime import Array
from tutelage.prompting.selectors.ranked import RankedShots, Use
from tutelage.types import Input


class NearestShots(RankedShots):
    """By the cosine of the encoder's vectors (Liu et al. 2022, KATE)."""

    uses_encoder: ClassVar[Use] = "needed"

    def prepare(self) -> None:
        assert self.encoder is not None, "checked when made"
        self.index = ExactIndex()
        self.index.add(self.encoder.encode(self.pool.texts))

    def vector(self, input: Input) -> Array:
        """The input's vector, (1, width)."""
        assert self.encoder is not None, "checked when made"
        return self.encoder.encode([self.pool.task.input_text(input)])

    def rank(self, input: Input, count: int, without: Collection[int]) -> list[int]:
        found = self.index.search(self.vector(input), count + len(without)).numbers[0]
        return [number for number in found.tolist() if number not in without][:count]


class MmrShots(NearestShots):
    """Maximal marginal relevance (Carbonell & Goldstein 1998): near the input, yet unlike what is chosen already.

    Chosen one by one among the nearest: the highest `weight` x (cosine to the input) less (1 - `weight`) x (highest
    cosine to those chosen).
    """

    weight: ClassVar[float] = 0.7
    """The method's lambda: at 1 this is `nearest`."""
    among: ClassVar[int] = 10
    """How many times the number of shots is looked at."""
    most: ClassVar[int] = 100
    """Shots chosen so; any more are the nearest of the rest, since each one compares all others again."""

    def rank(self, input: Input, count: int, without: Collection[int]) -> list[int]:
        looked_at = max(count, self.among * min(count, self.most))
        near = self.index.search(self.vector(input), looked_at + len(without))
        kept = np.array([number not in without for number in near.numbers[0].tolist()], bool)
        numbers, relevance = near.numbers[0][kept], near.scores[0][kept]
        vectors, alike = self.index.vectors[numbers], np.full(len(numbers), -np.inf, np.float32)
        chosen: list[int] = []
        worth = self.weight * relevance
        while len(chosen) < min(count, len(numbers), self.most):
            place = int(np.argmax(np.round(worth, DECIMALS)))
            chosen.append(place)
            alike = np.maximum(alike, vectors @ vectors[place])
            worth = self.weight * relevance - (1 - self.weight) * alike
            worth[chosen] = -np.inf
        rest = np.setdiff1d(np.arange(len(numbers)), chosen)
        places = np.concatenate([np.array(chosen, np.int64), rest])[:count]
        return [int(number) for number in numbers[places]]

    def own_facts(self) -> object:
        return {"lambda": self.weight, "among": self.among}
