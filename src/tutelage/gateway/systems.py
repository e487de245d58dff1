"""Tasks that are served: their candidates, built once, warm before they are asked, and replaced when there are newer ones.

What is built anew (another artefact or certificate, looked for every few seconds and on SIGHUP) is built beside what answers,
and takes its place between two requests. What cannot be built leaves the old one serving, and says so once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from tutelage.errors import TutelageError
from tutelage.evaluation.candidates import Candidate, candidate, close
from tutelage.gateway.batching import Batched
from tutelage.gateway.operation.operations import Operations
from tutelage.gateway.operation.state import SHORT, certificate_digest
from tutelage.gateway.reloading import Artefacts, Signature, gone, newer, parts_and_self, signature
from tutelage.gateway.routes import Served, SystemRoute
from tutelage.gateway.warming import warm
from tutelage.gateway.watching import watched
from tutelage.project import Project
from tutelage.prompting.prompted import Asked as Prompted
from tutelage.routing.cascade import Cascade
from tutelage.routing.certificate import Certificate, certificate_path, certified_settings, read_certificate
from tutelage.routing.fields import FieldCascade
from tutelage.students.base import Trained

LOG = logging.getLogger("tutelage.gateway.systems")
LOOK_EVERY = 3.0
"""Seconds between two looks at artefacts and certificates."""


@dataclass
class Slot:
    """A candidate that is served. `refused` is what could not be built, `problem` why."""

    project: Project
    name: str
    parts: list[str]
    route: SystemRoute
    signature: Signature
    certificate: Certificate | None
    refused: Signature | None = None
    problem: str | None = None
    missing: str | None = None


@dataclass
class Reloads:
    """How often something newer took its place, and how often it could not."""

    done: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Built:
    served: Served
    certificate: Certificate | None
    signature: Signature


class Systems:
    """What is served of the tasks. With a `single` task a candidate's bare name is enough."""

    def __init__(self, *, single: bool = True) -> None:
        self._single = single
        self.slots: dict[str, Slot] = {}
        self.queues: dict[tuple[str, str, str], Batched] = {}
        """Students' queues by task, candidate and artefact: systems that are made of the same student share one."""
        self.reloads = Reloads()
        self._artefacts: dict[str, Artefacts] = {}
        self._operations: Operations | None = None
        self._looking: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()

    def add(self, project: Project, name: str) -> None:
        """Build candidate `name`. Raises TutelageError when it is not ready."""
        full = f"{project.task.name}/{name}"
        built = self._built(project, name)
        route = SystemRoute(full, built.served)
        parts = parts_and_self(project, name)
        self.slots[full] = Slot(project, name, parts, route, built.signature, built.certificate)

    def routes(self) -> Mapping[str, SystemRoute]:
        """By task, by task and candidate, and with a single task by candidate."""
        found: dict[str, SystemRoute] = {}
        for full, slot in self.slots.items():
            found[full] = slot.route
            if self._single and slot.name != slot.project.task.name:
                found[slot.name] = slot.route
        for project in {id(one.project): one.project for one in self.slots.values()}.values():
            if name := self._system(project):
                found[project.task.name] = found[f"{project.task.name}/{name}"]
        return found

    def operate(self, operations: Operations) -> None:
        """Certify what answers for each task, where that is a cascade. Raises StoreError."""
        self._operations = operations
        for slot in self.slots.values():
            slot.route.served = self._operated(slot, Built(slot.route.served, slot.certificate, slot.signature))

    def measures(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Figures for metrics: name, labels, value. Names that end in "total" only grow."""
        for (task, name, _), queue in self.queues.items():
            labels = {"task": task, "student": name}
            yield "student_waiting", labels, queue.waiting
            yield "student_batch_size", labels, queue.plan.size
            yield "student_batch_wait_seconds", labels, queue.plan.wait
            yield "student_inputs_per_second", labels, queue.plan.rate
            for what, count in asdict(queue.counts).items():
                yield f"student_{what}_total", labels, count
        for what, count in asdict(self.reloads).items():
            yield f"reloads_{what}_total", {}, count
        if self._operations:
            yield from self._operations.measures()

    def notes(self) -> list[str]:
        """What is newer and could not be built, and what is served though it is gone from disk."""
        return [note for slot in self.slots.values() for note in (slot.problem, slot.missing) if note]

    async def start(self) -> None:
        """Warm up, and begin to look for what is newer."""
        for (task, _, _), queue in list(self.queues.items()):
            await warm(queue, next(one for one in self._projects() if one.task.name == task))
        if self._operations:
            await self._operations.start()
        if self.slots:
            self._looking = asyncio.create_task(self._watch())
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread: no signal comes here
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._look.set)

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        if self._operations:
            await self._operations.close()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=5)
        for slot in self.slots.values():
            await close(slot.route.served.predictor)

    async def look(self) -> None:
        """Replace what is newer on disk."""
        newest = {one.folder: await asyncio.to_thread(self._newest, one) for one in self._projects()}
        for slot in self.slots.values():
            now = signature(slot.project, slot.parts, newest[slot.project.folder])
            missing = gone(slot.signature, now)
            slot.missing = f"{slot.route.name} is served from memory: the {missing[0]} is gone." if missing else None
            wanted = newer(slot.signature, now)
            if wanted not in (slot.signature, slot.refused):
                await self._replace(slot, wanted)

    async def _replace(self, slot: Slot, wanted: Signature) -> None:
        known = set(self.queues)
        try:
            built = await asyncio.to_thread(self._built, slot.project, slot.name)
            served = await asyncio.to_thread(self._operated, slot, built)
        except (TutelageError, OSError, ValueError) as error:
            slot.refused, slot.problem = wanted, f"{slot.route.name} is served as it was: {error}"
            self.reloads.failed += 1
            LOG.warning("%s", slot.problem)
            return
        for key in set(self.queues) - known:
            await warm(self.queues[key], slot.project)
        old, slot.route.served = slot.route.served, served
        slot.signature, slot.certificate = built.signature, built.certificate
        slot.refused = slot.problem = None
        self.reloads.done += 1
        LOG.warning("%s is served anew: %s", slot.route.name, ", ".join(built.signature.values()))
        task = asyncio.create_task(_retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), LOOK_EVERY)
            self._look.clear()
            try:
                await self.look()
            except (TutelageError, OSError) as error:
                LOG.warning("What is newer on disk is not to be seen: %s", error)

    def _built(self, project: Project, name: str) -> Built:
        one, names = candidate(project, name), parts_and_self(project, name)
        while True:
            before = signature(project, names, self._newest(project))
            certificate = _certificate(project, one)
            bare, parts = one.build(project), list[Prompted]()
            if signature(project, names, self._newest(project)) == before:  # else something came while it was built
                break

        def queue(part: str, trained: Trained) -> Batched:
            return self._queue(project, part, before.get(f"artefact of {part}", ""), trained)

        predictor = watched(one.name, bare, parts, queue)
        served = Served(name, project, predictor, parts, one.fingerprint(project))
        if certificate is not None:
            said = f"{certificate_digest(certificate)[:SHORT]} {certificate.status}"
            served = replace(served, threshold=certificate.threshold, certificate=said)
        return Built(served, certificate, before)

    def _queue(self, project: Project, part: str, artefact: str, trained: Trained) -> Batched:
        key = (project.task.name, part, artefact)
        kept = self.queues.get(key)
        if kept is not None and kept.share():
            return kept
        self.queues = {other: one for other, one in self.queues.items() if one.users > 0}
        self.queues[key] = Batched(trained)
        return self.queues[key]

    def _operated(self, slot: Slot, built: Built) -> Served:
        served, cascade = built.served, built.served.predictor
        if self._operations is None or built.certificate is None or not isinstance(cascade, Cascade | FieldCascade):
            return served
        if self._system(slot.project) != slot.name:
            return served
        return replace(served, operation=self._operations.operated(served, cascade, built.certificate))

    def _newest(self, project: Project) -> dict[str, str]:
        return self._artefacts.setdefault(str(project.folder), Artefacts(project)).newest()

    def _projects(self) -> list[Project]:
        return list({one.project.folder: one.project for one in self.slots.values()}.values())

    def _system(self, project: Project) -> str | None:
        """The candidate that answers for the task: what task.toml says, else its first cascade, else its only candidate."""
        ready = [one.name for one in self.slots.values() if one.project is project]
        if project.file.serve:
            return project.file.serve if project.file.serve in ready else None
        cascades = [name for name in ready if candidate(project, name).family_name == "cascade"]
        return cascades[0] if cascades else ready[0] if len(ready) == 1 else None


def _certificate(project: Project, one: Candidate) -> Certificate | None:
    """The certificate under which the candidate answers; None where it needs none. Raises CertificateError."""
    if certified_settings(one) is None:
        return None
    return read_certificate(certificate_path(project, one.name))


async def _retire(old: Served) -> None:
    await old.use.idle()
    await close(old.predictor)
