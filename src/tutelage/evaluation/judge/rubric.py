"""Rubric judging: one answer, marked from 1 to 5 by each criterion on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tutelage.evaluation.judge.asking import Judgements
from tutelage.types import Input


class Answered(NamedTuple):
    """One answer to one input, as text; `task` is what the project's task is, empty where the input says it all."""

    task: str
    input: str
    answer: str

    def question(self, criterion: str) -> Input:
        """What a rubric judge is asked. The question comes last: prompts about one answer share all before it."""
        return {"task": self.task, "input": self.input, "answer": self.answer, "question": criterion}

    def questions(self, criteria: Mapping[str, str]) -> list[Input]:
        return [self.question(criterion) for criterion in criteria.values()]


def marks(one: Answered, criteria: Mapping[str, str], said: Judgements) -> dict[str, float | None]:
    """The score in [0, 1] by criterion, (mark - 1) / 4; None where the judge failed."""
    given = {name: said.of(one.question(criterion)) for name, criterion in criteria.items()}
    return {name: None if mark is None else (int(mark) - 1) / 4 for name, mark in given.items()}


def overall(scores: Sequence[float | None]) -> float | None:
    """The mean over criteria; None when a mark is missing."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if len(known) == len(scores) else None
