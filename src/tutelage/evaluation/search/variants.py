"""What is compared: instructions, each with every choice of shots."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.prompting import PromptedSettings
from tutelage.tasks import Task

HAND_WRITTEN = "hand-written"


@dataclass(frozen=True)
class Written:
    """Instructions, and who wrote them: "hand-written", "own 2", "proposal 3"."""

    text: str
    origin: str


@dataclass(frozen=True)
class Shots:
    count: int
    selector: str

    def settings(self, of: PromptedSettings) -> PromptedSettings:
        """Those of a candidate with these shots."""
        return dataclasses.replace(of, shots=self.count, selector=self.selector)


@dataclass(frozen=True)
class Variant:
    """One prompt: all else is as in the candidate that is searched for."""

    instructions: Written
    shots: Shots

    def task(self, task: Task) -> Task:
        return dataclasses.replace(task, instructions=self.instructions.text)

    def facts(self) -> dict[str, Any]:
        return {
            "instructions": self.instructions.text,
            "origin": self.instructions.origin,
            "shots": self.shots.count,
            "selector": self.shots.selector,
        }

    def __str__(self) -> str:
        shots = f"{self.shots.count} shots by {self.shots.selector}" if self.shots.count else "no shots"
        return f"{self.instructions.origin} instructions, {shots}"


def shot_choices(of: PromptedSettings, counts: Sequence[int], selectors: Sequence[str]) -> list[Shots]:
    """The candidate's own choice first, then every count with every selector (its own and "bm25", where none is given)."""
    selectors = selectors or (of.selector, "bm25")
    every = [Shots(count, selector) for count in counts for selector in selectors]
    return list(dict.fromkeys(_one_none(shots) for shots in [Shots(of.shots, of.selector), *every]))


def grid(task: Task, written: Sequence[Written], choices: Sequence[Shots]) -> list[Variant]:
    """The hand-written prompt first, then all others; instructions that say the same are taken once."""
    distinct: dict[str, Written] = {}
    for one in (Written(task.instructions, HAND_WRITTEN), *written):
        distinct.setdefault(" ".join(one.text.split()).casefold(), one)
    return [Variant(one, shots) for one in distinct.values() for shots in choices]


def _one_none(shots: Shots) -> Shots:
    """No shots are no shots, whoever would choose them."""
    return shots if shots.count else Shots(0, "fixed")
