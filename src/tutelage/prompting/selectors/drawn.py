"""Selector `random`: drawn without replacement for every input."""

from __future__ import annotations

import random
from collections.abc import Collection

from tutelage.prompting.selectors.pool import input_key
from tutelage.prompting.selectors.ranked import RankedShots
from tutelage.types import Input, digest


class RandomShots(RankedShots):
    """The seed and the input decide, so that the same input always gets the same shots, in any order of asking."""

    def rank(self, input: Input, count: int, without: Collection[int]) -> list[int]:
        # A string seeds by its SHA-512, alike on every machine.
        draw = random.Random(digest([self.options.seed, input_key(self.pool.task, input)]))
        size = len(self.pool)
        drawn = draw.sample(range(size), min(size, count + len(without)))
        return [number for number in drawn if number not in without][:count]

    def own_facts(self) -> object:
        return {"seed": self.options.seed}
