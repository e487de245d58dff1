"""One task's operation in this process: its state, which other processes change too, and the evidence on its way there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tutelage.errors import StoreError
from tutelage.gateway.operation.judging import losses, wrong
from tutelage.gateway.operation.state import (
    Compared,
    Mode,
    State,
    begun,
    certificate_digest,
    compared,
    judged,
    read_state,
)
from tutelage.project import Project
from tutelage.routing.certificate import Certificate, certificate_path
from tutelage.store import Audit, Feedback, Store
from tutelage.store.database import now
from tutelage.store.operations import Moved
from tutelage.store.operations import State as Kept

LOG = logging.getLogger("tutelage.gateway.operation")
MOST_EVIDENCE = 10_000
"""Audits and comparisons that wait while the database is away; what comes later is left out."""
CLAIM_SECONDS = 120.0
"""After so long somebody else tells of an alarm, if who was to tell it has not said that he did."""


@dataclass
class Counts:
    """What operation has done in this process. `dropped`: answers drawn that were not audited or compared because too much
    was under way; `failed`: those about which the last stage had no answer."""

    audits: int = 0
    comparisons: int = 0
    disagreements: int = 0
    dropped: int = 0
    failed: int = 0
    alarms: int = 0


class Watch:
    """The operation of `project`'s task under `certificate`, which a new one replaces (`renew`)."""

    def __init__(self, store: Store, project: Project, certificate: Certificate, delta: float) -> None:
        self.store, self.project, self._delta = store, project, delta
        self.certificate, self.digest = certificate, certificate_digest(certificate)
        self.state = begun(None, certificate, delta)
        self.counts = Counts()
        self._audits: list[Audit] = []
        self._compared: list[tuple[str, Compared]] = []
        self._some = asyncio.Event()

    @property
    def task(self) -> str:
        return self.project.task.name

    @property
    def mode(self) -> Mode:
        return self.state.mode_of(self.digest)

    def renew(self, certificate: Certificate) -> None:
        """Operate under `certificate` from now on. It waits for the database: call it in a thread. Raises StoreError."""
        self.certificate, self.digest = certificate, certificate_digest(certificate)
        self._notice(self.store.operations.change(self.task, self._begun))

    def _begun(self, kept: Kept | None) -> Kept:
        file = certificate_path(self.project, self.certificate.candidate).absolute()
        return begun(read_state(kept) if kept else None, self.certificate, self._delta, str(file)).json()

    def add(self, audit: Audit) -> None:
        """Evidence, which is kept soon after."""
        self.counts.audits += audit.stage != "asking"
        if len(self._audits) < MOST_EVIDENCE:
            self._audits.append(replace(audit, created=audit.created or now()))
            self._some.set()
        else:
            self.counts.dropped += 1

    def compare(self, certificate: str, found: Compared) -> None:
        """A comparison in shadow, which is kept soon after."""
        self.counts.comparisons += 1
        self.counts.disagreements += not found.agrees
        if len(self._compared) < MOST_EVIDENCE:
            self._compared.append((certificate, found))
            self._some.set()
        else:
            self.counts.dropped += 1

    async def some(self) -> None:
        """Returns when there is evidence to be kept."""
        await self._some.wait()

    async def keep(self) -> None:
        """All evidence so far into the database, in as few transactions as there can be: while one is under way the next
        gathers. Raises StoreError; what was not kept is there for the next time."""
        self._some.clear()
        operations = self.store.operations
        try:
            if audits := list(self._audits):
                kept = await asyncio.to_thread(operations.keep, self.task, audits, self._judged)
                del self._audits[: len(audits)]
                if kept is not None:
                    self._notice(kept)
            if found := list(self._compared):
                self._notice(
                    await asyncio.to_thread(operations.change, self.task, lambda kept: self._with(kept, found))
                )
                del self._compared[: len(found)]
        except StoreError:
            self._some.set()
            raise

    def _judged(self, kept: Kept | None, moved: Sequence[Moved]) -> Kept:
        return judged(read_state(kept or self._begun(None)), moved).json()

    def _with(self, kept: Kept | None, found: Sequence[tuple[str, Compared]]) -> Kept:
        state = read_state(kept or self._begun(None))
        for certificate in dict.fromkeys(one for one, _ in found):
            state = compared(state, certificate, [one for name, one in found if name == certificate])
        return state.json()

    def look(self) -> None:
        """What others have changed, and what people have said. It waits for the database: call it in a thread.

        Raises StoreError.
        """
        kept = self.store.operations.get(self.task)
        if kept is None:
            kept = self.store.operations.change(self.task, self._begun)
        self._notice(kept)
        if self.state.against == "gold" and (spoken := self.store.operations.spoken(self.task)):
            said = self.store.feedback.of([one.trace for one in spoken])
            heard = [self._heard(one, said[one.trace]) for one in spoken]
            if (found := self.store.operations.keep(self.task, heard, self._judged)) is not None:
                self._notice(found)

    def _heard(self, audit: Audit, said: Sequence[Feedback]) -> Audit:
        """The audit, judged by the newest word on it."""
        word = next(one for one in reversed(said) if one.verdict != "preferred")
        names, answer, last = list(self.state.tests), audit.facts.get("answer"), audit.facts.get("last")
        if word.verdict == "wrong":
            found = wrong(names)
        else:
            right = word.value if word.verdict == "corrected" else answer
            assert right is not None
            found = losses(self.project, names, right, answer, last)
        return replace(audit, stage="judged", losses=found, facts={})

    def _notice(self, kept: Kept) -> None:
        before, self.state = self.state, read_state(kept)
        if before.mode != self.state.mode:
            LOG.warning("%s is %s now: %s", self.task, self.state.mode, self.state.why or "by default")

    def claim(self, owner: str) -> State | None:
        """The state where there is an alarm that this process is to tell of; nobody else gets it meanwhile.

        It waits for the database: call it in a thread. Raises StoreError.
        """
        if not untold(self.state):
            return None
        mine = False

        def claimed(kept: Kept | None) -> Kept:
            nonlocal mine
            state = read_state(kept or self._begun(None))
            mine = untold(state)
            return (replace(state, told=f"{now()} {owner} is telling") if mine else state).json()

        self._notice(self.store.operations.change(self.task, claimed))
        return self.state if mine else None

    def told(self, how: str) -> None:
        """The alarm was told, or could not be. It waits for the database: call it in a thread. Raises StoreError."""

        def change(kept: Kept | None) -> Kept:
            return replace(read_state(kept or self._begun(None)), told=f"{now()} {how}").json()

        self._notice(self.store.operations.change(self.task, change))


def untold(state: State) -> bool:
    """Whether somebody has to tell of the alarm: nobody has, or who was about to has not said for long that he did."""
    if state.alarm is None:
        return False
    at, _, how = state.told.partition(" ")
    if not how.endswith("is telling"):
        return not how
    return datetime.fromisoformat(at) < datetime.now(UTC) - timedelta(seconds=CLAIM_SECONDS)
