"""A cascade as it is operated: who answers by the mode, and what is asked beside, in the background."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from tutelage.errors import TutelageError
from tutelage.gateway.operation.judging import losses, same
from tutelage.gateway.operation.state import Compared, Mode
from tutelage.gateway.operation.watch import Watch
from tutelage.gateway.routes import Served, Trail
from tutelage.gateway.traces.ids import new_id
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.gateway.watching import STEPS, in_role
from tutelage.routing.cascade import Cascade
from tutelage.routing.certificate import Certificate
from tutelage.routing.fields import FieldCascade
from tutelage.store import Audit, Trace
from tutelage.store.traces import Step
from tutelage.types import Input, Prediction, Predictor, Usage, Value

Operable: TypeAlias = Cascade | FieldCascade
Background: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine in the background, or drops it where too much is under way."""
AT_ONCE = 8
"""Questions of audits to the last stage at a time, and cascades compared at a time."""


class Recording(Protocol):
    """Where traces go."""

    def begin(self, id: str, accounts: Sequence[str], nanodollars: int, facts: Any) -> None: ...
    def end(self, trace: Trace) -> None: ...


@dataclass(frozen=True)
class Desk:
    """What operation needs of the gateway. `share` of the answers is audited."""

    recorder: Recording
    owner: str
    share: float
    background: Background
    slots: asyncio.Semaphore


class Known:
    """A part of a system that has answered already."""

    def __init__(self, name: str, answer: Prediction) -> None:
        self._name, self._answer = name, replace(answer, usage=Usage(dollars=0.0))

    @property
    def name(self) -> str:
        return self._name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [self._answer] * len(inputs)


class Operated:
    """Answers for a task as `watch` says."""

    def __init__(self, watch: Watch, served: Served, cascade: Operable, certificate: Certificate, desk: Desk) -> None:
        self._watch, self._served, self._cascade, self._desk = watch, served, cascade, desk
        self._certificate, self.digest = certificate, watch.digest
        self._first, self._last = cascade.stages[0].predictor, cascade.stages[-1].predictor

    @property
    def mode(self) -> Mode:
        return self._watch.state.mode_of(self.digest)

    async def answer(self, given: Input, trail: Trail) -> Prediction:
        """The answer of the cascade, or of its last stage. Raises as they do."""
        mode = self.mode
        trail.mode = mode
        if mode == "live":
            (found,) = await self._cascade.predict([given])
            trail.escalated = found.source != self._first.name
            if found.value is not None and drawn(trail.id, self._desk.share):
                self._desk.background(self._audit(given, found.value, trail.id, early=self._early(found)))
            return found
        trail.threshold = trail.certificate = None
        (found,) = await self._last.predict([given])
        if mode == "shadow" and found.value is not None:
            self._desk.background(self._shadow(given, found, trail.id))
        return replace(found, source=self._last.name)

    def _early(self, found: Prediction) -> bool:
        return found.source != self._last.name

    async def _audit(self, given: Input, answer: Value, trace: str, *, early: bool) -> None:
        """Judge an answer by the last stage's, or let it wait for a person's word."""
        watch, project = self._watch, self._served.project
        audit = Audit(trace=trace, task=watch.task, certificate=self.digest, stage="asking", early=early)
        last: Value | None = answer
        if early:
            watch.add(audit)
            async with self._desk.slots:
                last = await self._asked(given, trace)
            if last is None:
                watch.counts.failed += 1
                await asyncio.to_thread(watch.store.operations.forget, [trace])
                return
        assert last is not None
        agrees = await asyncio.to_thread(same, project, last, answer) if early else None
        watch.counts.disagreements += agrees is False
        if self._certificate.against == "gold":
            facts = {"answer": answer, "last": last}
            watch.add(replace(audit, stage="waiting", agrees=agrees, facts=facts))
            return
        found = await asyncio.to_thread(losses, project, self._names(), last, answer, last)
        watch.add(replace(audit, stage="judged", agrees=agrees, losses=found))

    def _names(self) -> list[str]:
        return list(dict.fromkeys(one.loss for one in self._certificate.losses))

    async def again(self, given: Input, answer: Value, trace: str) -> None:
        """An audit that another process began and did not end."""
        await self._audit(given, answer, trace, early=True)

    async def _asked(self, given: Input, trace: str) -> Value | None:
        """The last stage's answer, with a trace and an account of its own; None where it has none."""
        accounts, id = (f"audit:{self._watch.task}",), new_id()
        created, start = datetime.now(UTC).isoformat(), time.perf_counter()
        facts = {"model": self._served.name, "task": self._watch.task, "mode": "audit", "created": created}
        if most := self._served.most(given):
            self._desk.recorder.begin(id, accounts, most, facts)
        steps: list[Step] = []
        STEPS.set(steps)
        with self._served.use:
            found = await _answered(self._last, given)
        dollars = found.usage.dollars if self._served.parts else 0.0
        self._desk.recorder.end(
            Trace(
                id=id,
                created=created,
                model=f"{self._watch.task}/{self._served.name}",
                task=self._watch.task,
                source=self._last.name,
                status=200 if found.value is not None else 502,
                mode="audit",
                input=given,
                output=found.value,
                steps=tuple(in_role(one, "audit") for one in steps),
                usage=found.usage,
                seconds=time.perf_counter() - start,
                error=found.error,
                note=f"audit of {trace}",
                nanodollars=None if dollars is None else round(dollars * 1e9),
                accounts=accounts,
                owner=self._desk.owner,
            )
        )
        return found.value

    async def _shadow(self, given: Input, last: Prediction, trace: str) -> None:
        """What the cascade would have answered, the last stage's answer being known."""
        STEPS.set(None)
        name, value = self._last.name, last.value
        assert value is not None

        def wrap(part: str, predictor: Predictor) -> Predictor:
            return Known(part, last) if part == name else predictor

        async with self._desk.slots:
            with self._served.use:
                found = await _answered(self._cascade.through(wrap), given)
        project = self._served.project
        if found.value is None:
            self._watch.counts.failed += 1
            return
        agrees = await asyncio.to_thread(same, project, value, found.value)
        lost = await asyncio.to_thread(losses, project, self._names(), value, found.value, value)
        self._watch.compare(self.digest, Compared(trace, self._early(found), agrees, lost))


async def _answered(predictor: Predictor, given: Input) -> Prediction:
    """The answer, a failed one where a model cannot be had."""
    try:
        (found,) = await predictor.predict([given])
    except (TutelageError, AttemptFailed) as error:
        return Prediction(None, error=str(error))
    return found


def drawn(id: str, share: float) -> bool:
    """Whether the answer of trace `id` is audited. The id's last half is random, and unknown before the answer is made; which
    traces are kept whole is decided by another hash of it."""
    return share >= 1 or zlib.crc32(id[16:].encode()) < share * 2**32
