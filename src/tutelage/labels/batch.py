"""Labels from a teacher's batch API: half the price, answers within a day, no example in two batches.

Order: money set aside and the batch remembered in one transaction, file uploaded, batch created, its name remembered. A process
killed anywhere leaves enough to go on: a batch that the endpoint made without our learning its name is found by our key.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from tutelage.errors import BudgetExceeded, DataError, ModelError, StoreError, TutelageError, UsageError
from tutelage.labels.collecting import Came, Collector, has_value
from tutelage.labels.teach import PAGE, TeachEstimate, TeachOptions, TeachReport, dry_run, label_of, plus, priced, teach
from tutelage.models.batches import MAX_BYTES, MAX_REQUESTS, Uncertain, batches_of
from tutelage.models.prices import cost
from tutelage.project import Project
from tutelage.prompting import Asked, Prompted
from tutelage.store import Submitted
from tutelage.types import Example, Predictor, Usage

LOOKS_FAILED = 5
"""How often in a row the endpoint may not be reached while there is nothing to do but wait."""


@dataclass(frozen=True)
class BatchOptions:
    """`budget`: dollars for this teacher's source in all; `limit`: examples to ask about now; `wait`: until all batches end.

    `requests` and `size` (bytes) are what one batch may hold. Batches are looked at after `pause` seconds, then after ever
    longer ones, up to `longest_pause`.
    """

    budget: float | None = None
    limit: int | None = None
    wait: bool = True
    requests: int = MAX_REQUESTS
    size: int = MAX_BYTES
    pause: float = 1.0
    longest_pause: float = 300.0


@dataclass(frozen=True)
class BatchReport(TeachReport):
    """As of live calls. Of the `waiting` examples, `done` are answered in batches that have not ended; `lost` came back
    without an answer and have no label yet; `others` are in batches of another prompt, model or endpoint."""

    done: int = 0
    lost: int = 0
    others: int = 0


async def teach_in_batches(
    project: Project,
    teacher: Predictor,
    examples: Iterable[Example],
    options: BatchOptions | None = None,
    *,
    fingerprint: str | None = None,
    progress: Callable[[BatchReport], None] = lambda report: None,
    stop: asyncio.Event | None = None,
) -> BatchReport:
    """Pick up what batches have answered, and submit the examples that have no label and are in no batch.

    The first question of a run that submits is asked live: it shows whether key and model are right, and which parameters
    the endpoint refuses, before thousands are sent. Once `stop` is set nothing more is submitted, and batches that run are
    left running. Raises UsageError for a teacher that cannot be asked in batches and for a budget without a price.
    """
    options, asked = options or BatchOptions(), batched(teacher)
    if options.budget is not None:
        priced(asked)
    run = _Batching(project, asked, options, fingerprint, progress, stop or asyncio.Event())
    await run.run(examples)
    return run.report()


def dry_batch(project: Project, teacher: Predictor, examples: Iterable[Example], limit: int | None) -> TeachEstimate:
    """What `teach_in_batches` would submit and cost, without doing it."""
    asked = batched(teacher)
    found = dry_run(project, asked, examples, TeachOptions(limit=limit))
    share = 1 - asked.price.batch_discount if asked.price else 1.0
    dollars = None if found.dollars is None else share * found.dollars
    return found._replace(dollars=dollars, most_dollars=dollars)


def batched(teacher: Predictor) -> Prompted:
    """`teacher` as one that can be asked in batches. Raises UsageError."""
    if isinstance(teacher, Prompted):
        return teacher
    how = "asks several times for an answer" if isinstance(teacher, Asked) else "is no language model"
    raise UsageError(f"The teacher {teacher.name!r} {how}; batches are for the family 'prompted'. Leave out --batch.")


@dataclass
class _Counts:
    """What happened so far, see `TeachReport`."""

    asked: int = 0
    answered: int = 0
    failed: int = 0
    skipped: int = 0
    reused: int = 0
    lost: int = 0
    dollars: float | None = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    problem: TutelageError | None = None


@dataclass
class _File:
    """The requests of one batch; `dollars` is the most that they are estimated to cost."""

    ids: list[str] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    dollars: float | None = 0.0


class _Queue:
    """Examples that can be looked at before they are taken, and put back; at most `limit` are ever taken."""

    def __init__(self, examples: Iterator[Example], limit: int | None) -> None:
        self._examples, self._left = examples, limit
        self._ahead: deque[Example] = deque()

    def next(self) -> Example | None:
        """The one that comes next, which stays."""
        if self._left == 0:
            return None
        if not self._ahead and (example := next(self._examples, None)):
            self._ahead.append(example)
        return self._ahead[0] if self._ahead else None

    def take(self) -> None:
        self._ahead.popleft()
        self._left = None if self._left is None else self._left - 1


class _Batching:
    """One run."""

    def __init__(
        self,
        project: Project,
        teacher: Prompted,
        options: BatchOptions,
        fingerprint: str | None,
        progress: Callable[[BatchReport], None],
        stop: asyncio.Event,
    ) -> None:
        self.project, self.store, self.teacher, self.options = project, project.store, teacher, options
        self.fingerprint, self.progress, self.stop = fingerprint, progress, stop
        self.api = batches_of(teacher.model)
        self.collector = Collector(self.store, teacher, self.api)
        self.counts = _Counts()
        self._start = time.perf_counter()
        self._seen: set[str] = set()
        self._tried = False

    def report(self) -> BatchReport:
        counts, running, others = self.counts, self.collector.open(), self.collector.others()
        return BatchReport(
            self.teacher.source,
            counts.asked,
            counts.answered,
            counts.failed,
            counts.skipped,
            counts.reused,
            counts.dollars,
            time.perf_counter() - self._start,
            tuple(counts.errors.most_common(5)),
            counts.problem,
            waiting=sum(one.examples for one in running),
            done=sum(self.collector.done.get(one.key, 0) for one in running),
            lost=counts.lost,
            others=sum(one.examples for one in others),
        )

    async def run(self, examples: Iterable[Example]) -> None:
        queue = _Queue(self._unlabelled(examples), self.options.limit)
        pause, failed = self.options.pause, 0
        while True:
            ended, failed = False, failed + 1
            try:
                async for came in self.collector.look():
                    self._count(came)
                    ended = True
                failed = 0
            except ModelError as error:
                if not (error.retryable and self.options.wait and failed < LOOKS_FAILED):
                    self.counts.problem = self.counts.problem or error
                    return
            if not failed:
                await self._submit(queue)
            self.progress(self.report())
            if self.stop.is_set() or not self.options.wait or not self.collector.open():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), pause)
            pause = self.options.pause if ended else min(1.5 * pause, self.options.longest_pause)

    def _count(self, came: Came) -> None:
        counts = self.counts
        self._seen.update(came.ids)
        errors = [found.error or "no answer" for found in came.predictions.values() if found.value is None]
        counts.failed += len(errors)
        counts.answered += len(came.predictions) - len(errors)
        counts.lost += came.lost
        counts.dollars = plus(counts.dollars, came.dollars)
        counts.errors.update(errors)
        counts.problem = counts.problem or came.problem

    async def _submit(self, queue: _Queue) -> None:
        """Put all that is to be asked, and that the budget allows now, into batches."""
        try:
            while not self.stop.is_set() and not self.counts.problem and (example := queue.next()):
                if not self._tried:
                    await self.api.check()
                    if not await self._ask_live(queue, example):
                        return
                    continue
                file = await self._filled(queue)
                if self.stop.is_set():
                    return
                if file.ids:
                    await self._send(file)
                elif left := queue.next():  # there is no money for it
                    self._wait_for_money(left)
                    return
        except (BudgetExceeded, ModelError, StoreError) as error:
            self.counts.problem = error

    def _wait_for_money(self, example: Example) -> None:
        """Raises BudgetExceeded unless batches are running that may give some back."""
        if not self.collector.open():
            spent, budget = self.store.spend.spent(self.teacher.source), self.options.budget or 0.0
            raise BudgetExceeded(
                f"The budget of ${budget:.4f} is used up: ${spent:.4f} spent or reserved, the next answer may cost "
                f"${self._most(example) or 0.0:.4f} in a batch. Raise it with --budget."
            )

    async def _ask_live(self, queue: _Queue, example: Example) -> bool:
        """Ask the first question by a live call; False when there is no money for it now."""
        options, counts = TeachOptions(budget=self.options.budget), self.counts
        report = await teach(
            self.project, self.teacher, [example], options, fingerprint=self.fingerprint, stop=self.stop
        )
        if isinstance(report.problem, BudgetExceeded) and self.collector.open():
            return False
        queue.take()
        self._seen.add(example.id)
        counts.problem = report.problem
        counts.asked += report.asked
        counts.answered += report.answered
        counts.failed += report.failed
        counts.dollars = plus(counts.dollars, report.dollars)
        counts.errors.update(dict(report.errors))
        self._tried = self.teacher.unsendable(example.input) is None
        return True

    async def _filled(self, queue: _Queue) -> _File:
        """The next file: as much as fits into it and into the budget. What cannot be sent has failed."""
        file, budget = _File(), self.options.budget
        left = None if budget is None else budget - self.store.spend.spent(self.teacher.source)
        while len(file.ids) < self.options.requests and not self.stop.is_set() and (example := queue.next()):
            await asyncio.sleep(0)  # for Ctrl-C
            try:
                asked = await self.teacher.question(example.input)
                line = self.api.line(example.id, asked.messages, asked.params)
            except (DataError, ModelError) as error:
                queue.take()
                self._fail(example, error)
                continue
            dollars = plus(file.dollars, self._most(example))
            full = bool(file.ids) and file.size + len(line) > self.options.size
            if full or (left is not None and dollars is not None and dollars > left):
                break
            queue.take()
            file.ids.append(example.id)
            file.lines.append(line)
            file.size += len(line)
            file.dollars = dollars
        return file

    async def _send(self, file: _File) -> None:
        """Submit a file. Raises ModelError; what the endpoint may have got all the same stays remembered."""
        table, key, me = self.store.batches, uuid.uuid4().hex, self.collector.me
        source, endpoint = self.teacher.source, self.api.endpoint
        one = Submitted(key, endpoint, source, self.fingerprint, me, "uploading", None, len(file.ids), 0.0, 0.0)
        table.begin(one, file.ids, file.dollars, self.options.budget)
        self._seen.update(file.ids)
        self.counts.asked += len(file.ids)
        self.progress(self.report())
        try:
            name = await self.api.upload(file.lines, key)
            if not table.creating(key):
                raise _taken_over()
            batch = await self.api.create(name, key)
        except Uncertain:
            return  # it is looked for from now on
        except ModelError:
            self.counts.asked -= len(file.ids)
            for stage in ("uploading", "creating"):
                table.drop(key, stage)
            raise
        if not table.created(key, batch.id):
            await self.api.cancel(batch.id)
            raise _taken_over()

    def _fail(self, example: Example, error: DataError | ModelError) -> None:
        """Keep that no call is made for an example."""
        found = self.teacher.heard(example.input, error)
        if self.fingerprint:
            self.store.predictions.add(self.fingerprint, [(example.id, found)])
        self._seen.add(example.id)
        self.counts.asked += 1
        self.counts.failed += 1
        self.counts.errors[found.error or "no answer"] += 1

    def _most(self, example: Example) -> float | None:
        """The most that one answer is estimated to cost in a batch."""
        return cost(self.api.price, Usage(*self.teacher.estimate(example.input)))

    def _unlabelled(self, examples: Iterable[Example]) -> Iterator[Example]:
        """The examples to ask about; those with a stored answer are given their label instead."""
        source, left = self.teacher.source, iter(examples)
        labelled = self.store.labels.labelled_by(source)
        taken = labelled | self.store.batches.pending(source)
        while page := list(islice(left, PAGE)):
            fresh = {one.id: one for one in page if one.id not in taken and one.id not in self._seen}
            self.counts.skipped += sum(one.id in labelled and one.id not in self._seen for one in page)
            stored = self.store.predictions.read(self.fingerprint, list(fresh)) if self.fingerprint else {}
            labels = [label for id, found in stored.items() if (label := label_of(id, found, source))]
            self.store.labels.add(labels)
            self.counts.reused += len(labels)
            yield from (one for id, one in fresh.items() if not has_value(stored.get(id)) and id not in self._seen)


def _taken_over() -> StoreError:
    return StoreError(
        "Another process took this batch for one that was killed. Run one at a time: run the command again."
    )
