"""Selector `balanced`: the examples nearest to the input, as many labels among them as there is room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import ClassVar

from tutelage.prompting.selectors.ranked import RankedShots, Use
from tutelage.prompting.selectors.vectors import NearestShots
from tutelage.prompting.selectors.words import Bm25Shots
from tutelage.types import Input


class BalancedShots(RankedShots):
    """The nearest example of each label, nearest labels first; then the second of each, and so on.

    Near is what `nearest` means by it where there is an encoder, else what `bm25` does.
    """

    uses_encoder: ClassVar[Use] = "optional"
    outputs: ClassVar[tuple[str, ...]] = ("label", "labels")

    def prepare(self) -> None:
        kind = Bm25Shots if self.encoder is None else NearestShots
        self._nearest = kind(self.pool.task, self.pool.examples, self.options, self.encoder)
        self._nearest.prepare()
        self._labels = [_labels(one.value) for one in self.pool.examples]
        self._all = len({label for labels in self._labels for label in labels})

    def rank(self, input: Input, count: int, without: Collection[int]) -> list[int]:
        seen: Counter[str] = Counter()
        enough, full, new = -(-count // self._all), 0, 0
        rounds: list[tuple[int, int]] = []
        for place, number in enumerate(order := self._nearest.rank(input, len(self.pool), without)):
            labels = self._labels[number]
            # Of an example with several labels the one seen least counts: it is what the example would add.
            around = min(seen[label] for label in labels)
            rounds.append((around, place))
            new += around == 0
            for label in labels:
                seen[label] += 1
                full += seen[label] == enough
            if new == count or full == self._all:
                break
        return [order[place] for _, place in sorted(rounds)[:count]]


def _labels(value: object) -> tuple[str, ...]:
    """The labels of an answer; one of none counts as a label of its own."""
    if isinstance(value, list):
        return tuple(str(label) for label in value) or ("",)
    return (str(value),)
