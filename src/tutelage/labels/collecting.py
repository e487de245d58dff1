"""Batches that have been submitted: found, looked at, and their answers kept exactly once, whenever a process is killed."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace

from tutelage.errors import ModelError
from tutelage.labels.teach import label_of, plus
from tutelage.models.batches import Batch, Batches, Row, UnknownBatch
from tutelage.prompting import Prompted
from tutelage.store import Store, Submitted
from tutelage.types import Input, Prediction

GRACE = 120.0
"""Seconds after which a batch that the endpoint does not list was never made; the call that makes it gives up earlier."""

KEPT = 30 * 86_400.0
"""Seconds for which endpoints keep the answers of a batch."""

_ENDS = {"expired": "expired", "failed": "was refused", "cancelled": "was cancelled"}


@dataclass(frozen=True)
class Came:
    """What a batch that has ended brought: predictions by example. `lost` of its examples have none, `dollars` is what it cost
    (None: not known), `problem` why it is not complete."""

    ids: tuple[str, ...]
    predictions: Mapping[str, Prediction]
    dollars: float | None
    problem: ModelError | None = None

    @property
    def lost(self) -> int:
        return len(self.ids) - len(self.predictions)


class Collector:
    """The batches of `teacher` at the endpoint of `api`. `done` counts, by key, the requests that are done in those that run."""

    def __init__(self, store: Store, teacher: Prompted, api: Batches) -> None:
        self.store, self.teacher, self.api = store, teacher, api
        self.me = f"{socket.gethostname()}:{os.getpid()}"
        self.done: dict[str, int] = {}

    def open(self) -> list[Submitted]:
        """The batches that have not ended."""
        return [one for one in self.store.batches.open() if self._mine(one)]

    def others(self) -> list[Submitted]:
        """Batches that have not ended of another prompt, model or endpoint, whose answers cannot be read with this one."""
        return [one for one in self.store.batches.open() if not self._mine(one)]

    async def look(self) -> AsyncIterator[Came]:
        """What has ended since, in the store already. Raises ModelError."""
        for one in self.open():
            named = one if one.remote else await self._named(one)
            if named:
                found = await self._read(named)
                self.done[one.key] = found.done
                if found.ended and (came := await self._keep(named, found)):
                    yield came
            elif one.stage == "creating" and one.idle > GRACE:
                ids = tuple(self.store.batches.ids(one.key))
                if self.store.batches.drop(one.key, "creating"):
                    yield Came(ids, {}, 0.0, self._never(len(ids)))

    def _mine(self, one: Submitted) -> bool:
        return (one.source, one.endpoint) == (self.teacher.source, self.api.endpoint)

    async def _named(self, one: Submitted) -> Submitted | None:
        """A batch whose sender did not learn its name, with that name; None where the endpoint has made none (yet)."""
        if one.owner != self.me and one.idle < GRACE and _runs(one.owner):
            return None  # it is being sent
        if one.stage == "uploading":
            self.store.batches.drop(one.key, "uploading")
            return None
        found = await self.api.find(one.key, one.age)
        if found and self.store.batches.created(one.key, found.id):
            return replace(one, stage="created", remote=found.id)
        return None

    async def _read(self, one: Submitted) -> Batch:
        try:
            return await self.api.read(one.remote or "")
        except UnknownBatch:
            if one.age < KEPT:
                raise
            return Batch(one.remote or "", "expired", problem="answers are kept for 30 days")

    async def _keep(self, one: Submitted, batch: Batch) -> Came | None:
        """Put the answers of a batch that has ended into the store; None where another process was first."""
        ids = self.store.batches.ids(one.key)
        found, gone = await self._answers(one, batch, ids)
        stored = self.store.predictions.read(one.predictor, ids) if one.predictor else {}
        labelled = self.store.labels.labelled_by(one.source)
        # A failure does not replace what was asked by other means meanwhile.
        kept = [(id, new) for id, new in found.items() if new.value is not None or not has_value(stored.get(id))]
        labels = [label_of(id, new, one.source) for id, new in found.items() if id not in labelled]
        dollars = None if gone else _dollars(found.values())
        if not self.store.batches.finish(one, kept, [label for label in labels if label], dollars):
            return None
        return Came(tuple(ids), found, dollars, _problem(batch, len(found), len(ids)))

    async def _answers(self, one: Submitted, batch: Batch, ids: list[str]) -> tuple[dict[str, Prediction], bool]:
        """The predictions that the rows of a batch make, and whether its answers are gone for good."""
        examples, found = self.store.examples.pick(ids), dict[str, Prediction]()
        try:
            async for row in self.api.rows(batch):
                if row.answered and row.id in examples and not has_value(found.get(row.id)):
                    found[row.id] = await self._prediction(row, examples[row.id].input)
                    await asyncio.sleep(0)
        except UnknownBatch:
            if one.age < KEPT:
                raise
            return found, True
        return found, not batch.files and one.age > KEPT

    async def _prediction(self, row: Row, input: Input) -> Prediction:
        messages = () if row.billed else (await self.teacher.question(input)).messages
        found = self.teacher.heard(input, self.api.came(row, messages, self.teacher.params))
        return replace(found, note="; ".join(filter(None, (found.note, "from a batch"))))

    def _never(self, count: int) -> ModelError:
        return ModelError(
            f"{self.api.endpoint} never began a batch of {count} examples that was sent to it. Run the command again to ask "
            "about them."
        )


def has_value(prediction: Prediction | None) -> bool:
    return prediction is not None and prediction.value is not None


def _problem(batch: Batch, answered: int, count: int) -> ModelError | None:
    if batch.status == "completed":
        return None
    why = f" ({batch.problem})" if batch.problem else ""
    return ModelError(
        f"The batch {batch.id} {_ENDS.get(batch.status, batch.status)}{why}: {answered} of its {count} examples were answered. "
        "Run the command again to ask about the others."
    )


def _dollars(predictions: Iterable[Prediction]) -> float | None:
    total: float | None = 0.0
    for prediction in predictions:
        total = plus(total, prediction.usage.dollars)
    return total


def _runs(owner: str) -> bool:
    """Whether the process `host:pid` runs, as far as can be seen from here."""
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
