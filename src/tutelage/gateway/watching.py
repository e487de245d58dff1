"""The parts of a system that is served: watched, so that a trace shows the steps, and students answered in batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import TypeAlias

from tutelage.evaluation.candidates import close
from tutelage.evaluation.parts import Composed
from tutelage.gateway.batching import Batched
from tutelage.prompting.prompted import Asked as Prompted
from tutelage.routing.fields import FieldCascade
from tutelage.store.traces import Step
from tutelage.students.base import Trained
from tutelage.types import Input, Prediction, Predictor

STEPS: ContextVar[list[Step] | None] = ContextVar("steps", default=None)
"""Where the parts of the system that answers the present request write their steps."""

Batching: TypeAlias = Callable[[str, Trained], Batched]
"""Gives the queue of a student, which other systems may share: a part's name, and the student as it was loaded."""


class Watched:
    """A part of a system, which writes what it did into the present request's steps."""

    def __init__(self, name: str, predictor: Predictor) -> None:
        self._name, self.predictor = name, predictor

    @property
    def name(self) -> str:
        return self._name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        start = time.perf_counter()
        found = await self.predictor.predict(inputs)
        steps = STEPS.get()
        if steps is not None:
            seconds = (time.perf_counter() - start) / max(1, len(inputs))
            steps += [_step(self._name, one, seconds) for one in found]
        return found

    async def close(self) -> None:
        await close(self.predictor)


def _step(name: str, one: Prediction, seconds: float) -> Step:
    """`seconds` with what was waited in a queue, `usage.seconds` as the part itself says."""
    return Step(
        name=name,
        source=one.source,
        seconds=seconds,
        usage=one.usage,
        answer=one.value,
        confidence=one.confidence,
        error=one.error,
    )


def watched(name: str, predictor: Predictor, parts: list[Prompted], batching: Batching) -> Predictor:
    """The predictor with every part of it watched and its students batched; prompted models in it are added to `parts`."""

    def wrap(name: str, part: Predictor) -> Predictor:
        if isinstance(part, Prompted):
            parts.append(part)
        if isinstance(part, Trained):
            part = batching(name, part)
        elif isinstance(part, Composed):
            part = inside(part)
        return Watched(name, part)

    def inside(whole: Composed) -> Predictor:
        return whole.watched(wrap, Watched) if isinstance(whole, FieldCascade) else whole.through(wrap)

    return inside(predictor) if isinstance(predictor, Composed) else wrap(name, predictor)


class Use:
    """How many requests use something: what has been replaced is closed when the last of them is answered."""

    def __init__(self) -> None:
        self.count = 0
        self._idle = asyncio.Event()

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            self._idle.set()

    async def idle(self) -> None:
        """Returns once nobody uses it."""
        while self.count:
            self._idle.clear()
            await self._idle.wait()


def in_role(step: Step, role: str) -> Step:
    """The step of one who was asked beside the one that answered."""
    return replace(step, role=role)
