"""Selector `fixed`: the first examples of the pool, the same for every input, so that prompts share a prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tutelage.prompting.selectors import ShotOptions
from tutelage.prompting.selectors.pool import Pool
from tutelage.tasks import Task
from tutelage.types import Input, Labelled

if TYPE_CHECKING:
    from tutelage.embeddings.encoder import Encoder


class FixedShots:
    """The given examples in their order; all but the input itself, so that an example never sees its own answer."""

    def __init__(self, shots: Sequence[Labelled]) -> None:
        self.shots = tuple(shots)

    def select(self, input: Input) -> Sequence[Labelled]:
        if any(shot.example.input == input for shot in self.shots):
            return tuple(shot for shot in self.shots if shot.example.input != input)
        return self.shots

    def facts(self) -> object:
        return [[shot.example.id, shot.value] for shot in self.shots]


def build_fixed(task: Task, pool: Sequence[Labelled], options: ShotOptions, _encoder: Encoder | None) -> FixedShots:
    """The first examples; of those that the budget allows alone, the last are dropped until the rest fits it."""
    budget, first = options.shot_tokens, Pool(task, pool[: options.shots])
    if budget is None:
        return FixedShots(first.examples)
    alone = [number for number, tokens in enumerate(first.tokens) if tokens <= budget]
    return FixedShots([first.examples[number] for number in first.within(alone, budget)])
