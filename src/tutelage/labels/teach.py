"""Labels from a teacher: asked within a budget, kept as they arrive, never paid for twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, ParamSpec, TypeVar

from tutelage.errors import BudgetExceeded, ModelError, TutelageError, UsageError
from tutelage.project import Project
from tutelage.prompting import Asked
from tutelage.types import Example, Label, OneByOne, Prediction, Predictor

P = ParamSpec("P")
T = TypeVar("T")

PAGE = 256
WORKERS = 8
"""Calls at a time for a predictor that does not say how many."""


@dataclass(frozen=True)
class TeachOptions:
    """`budget`: dollars for this teacher's source in all, earlier runs included; `limit`: examples to ask about now.

    `patience` is the number of failed answers in a row after which the teacher is taken to be out of order; 0: never.
    `source` is what the labels bear where they are not a teacher's, see `labels.pseudo`.
    """

    budget: float | None = None
    limit: int | None = None
    concurrency: int | None = None
    patience: int = 25
    source: str | None = None


@dataclass(frozen=True)
class TeachReport:
    """What happened so far. `skipped` had a label of this source already, `reused` a stored answer that became one.

    `dollars` is what this run paid, None where a price is not known; `seconds` is wall time; `errors` counts the most
    frequent failures by their line; `problem` is what ended the run early (BudgetExceeded, a fatal ModelError). `waiting`
    examples are in batches that have not ended (see `labels.batch`), and are not asked about besides.
    """

    source: str
    asked: int = 0
    answered: int = 0
    failed: int = 0
    skipped: int = 0
    reused: int = 0
    dollars: float | None = 0.0
    seconds: float = 0.0
    errors: tuple[tuple[str, int], ...] = ()
    problem: TutelageError | None = None
    waiting: int = 0


class TeachEstimate(NamedTuple):
    """What labelling would take: calls (one an example), tokens as estimated, output at its maximum. Skipped are examples
    that have a label or are in a batch.

    `dollars` is that without repairs, `most_dollars` with every repair asked for; None where a price is not known.
    """

    calls: int
    skipped: int
    input_tokens: int
    output_tokens: int
    dollars: float | None
    most_dollars: float | None


class _Done(NamedTuple):
    example: Example
    prediction: Prediction
    reservation: int | None


async def teach(
    project: Project,
    teacher: Predictor,
    examples: Iterable[Example],
    options: TeachOptions | None = None,
    *,
    fingerprint: str | None = None,
    progress: Callable[[TeachReport], None] = lambda report: None,
    stop: asyncio.Event | None = None,
) -> TeachReport:
    """Label the examples that have no label of this teacher yet; answers are in the store as they arrive.

    Predictions are stored under `fingerprint`, failed ones too; those are asked again at the next run. Once `stop` is
    set no new call begins, and what runs is waited for and kept; cancelling keeps what has arrived. Raises UsageError
    for a budget without a price, StoreError when answers cannot be kept.
    """
    options = options or TeachOptions()
    if isinstance(teacher, Asked):
        if options.concurrency:
            teacher = teacher.at_most(options.concurrency)
        if options.budget is not None:
            priced(teacher)
    run = _Labelling(project, teacher, options, fingerprint, progress)
    try:
        if isinstance(teacher, OneByOne):
            await run.one_by_one(teacher, examples, stop or asyncio.Event())
        else:
            await run.in_batches(teacher, examples, stop or asyncio.Event())
    finally:
        run.close()
    return run.report()


def dry_run(
    project: Project, teacher: Predictor, examples: Iterable[Example], options: TeachOptions | None = None
) -> TeachEstimate:
    """What `teach` would ask and cost, without asking. Predictors that are no prompted model cost nothing to ask."""
    source = (options and options.source) or source_of(teacher)
    labelled = project.store.labels.labelled_by(source) | project.store.batches.pending(source)
    calls = skipped = input_tokens = output_tokens = 0
    dollars: float | None = 0.0
    most: float | None = 0.0
    limit = options.limit if options else None
    for example in examples:
        if example.id in labelled:
            skipped += 1
            continue
        if calls == limit:
            break
        calls += 1
        if isinstance(teacher, Asked):
            estimate = teacher.estimate(example.input)
            input_tokens += estimate.input_tokens
            output_tokens += estimate.output_tokens
            dollars = plus(dollars, teacher.dollars(example.input, repairs=False))
            most = plus(most, teacher.dollars(example.input))
    return TeachEstimate(calls, skipped, input_tokens, output_tokens, dollars, most)


def priced(teacher: Asked) -> None:
    """Raises UsageError when the price of what `teacher` asks is not known."""
    if teacher.price is None:
        model = teacher.source.removeprefix("teacher:").rpartition("@")[0]
        raise UsageError(
            f"The price of {model!r} is not known, so a budget cannot be kept. Set [prices.{model!r}] in task.toml, "
            "input and output in dollars per million tokens."
        )


def source_of(teacher: Predictor) -> str:
    """The source that the labels of `teacher` bear, unless its predictions name a teacher themselves."""
    return teacher.source if isinstance(teacher, Asked) else f"teacher:{teacher.name}"


class _Labelling:
    """One run. One thread does all the writing, so that the event loop never waits for the disk; answers that arrive
    while it writes are kept together in the next transaction."""

    def __init__(
        self,
        project: Project,
        teacher: Predictor,
        options: TeachOptions,
        fingerprint: str | None,
        progress: Callable[[TeachReport], None],
    ) -> None:
        self.store, self.options, self.fingerprint, self.progress = project.store, options, fingerprint, progress
        self.source = options.source or source_of(teacher)
        self._paid = isinstance(teacher, OneByOne)
        self.problem: TutelageError | None = None
        self.asked = self.answered = self.failed = self.skipped = self.reused = 0
        self.dollars: float | None = 0.0
        self.errors: Counter[str] = Counter()
        self._start = time.perf_counter()
        self._failed_in_a_row = 0
        self._labelled = {self.source: self.store.labels.labelled_by(self.source)}
        self._pending = self.store.batches.pending(self.source)
        self._arrived: deque[_Done] = deque()
        self._writing = asyncio.Lock()
        self._reserved = self._commits = 0
        self._changed = asyncio.Condition()
        self._thread = ThreadPoolExecutor(1, "tutelage-store")

    def report(self) -> TeachReport:
        seconds, errors = time.perf_counter() - self._start, tuple(self.errors.most_common(5))
        counts = (self.asked, self.answered, self.failed, self.skipped, self.reused)
        return TeachReport(self.source, *counts, self.dollars, seconds, errors, self.problem, len(self._pending))

    def close(self) -> None:
        """Keep what has arrived and is not kept yet."""
        self._thread.shutdown(wait=True)
        self._keep()

    async def one_by_one(self, teacher: OneByOne, examples: Iterable[Example], stop: asyncio.Event) -> None:
        waiting = islice(self._unlabelled(examples), self.options.limit)
        workers = teacher.concurrency if isinstance(teacher, Asked) else self.options.concurrency or WORKERS
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(teacher, waiting, stop))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def in_batches(self, teacher: Predictor, examples: Iterable[Example], stop: asyncio.Event) -> None:
        waiting = islice(self._unlabelled(examples), self.options.limit)
        while not stop.is_set() and not self.problem and (page := list(islice(waiting, PAGE))):
            self.asked += len(page)
            try:
                predictions = await teacher.predict([example.input for example in page])
            except ModelError as error:
                self.problem = error
                return
            for example, prediction in zip(page, predictions, strict=True):
                self._arrive(_Done(example, prediction, None))
            await self._flush()

    async def _work(self, teacher: OneByOne, waiting: Iterator[Example], stop: asyncio.Event) -> None:
        """Ask about one example after the other; all workers share `waiting`."""
        for example in waiting:
            reservation = await self._reserve(teacher, example)
            if self.problem or stop.is_set():
                await self._release(reservation)
                return
            self.asked += 1
            try:
                prediction = await teacher.predict_one(example.input)
            except ModelError as error:
                self.asked -= 1
                self.problem = self.problem or error
                await self._release(reservation)
                return
            self._arrive(_Done(example, prediction, reservation))
            await self._flush()

    async def _reserve(self, teacher: OneByOne, example: Example) -> int | None:
        """Set the most that the answer may cost aside; waits for money that running calls may give back."""
        dollars = teacher.dollars(example.input) if isinstance(teacher, Asked) else None
        if dollars is None:
            return None
        while not self.problem:
            seen = self._commits
            self._reserved += 1
            try:
                return await self._in_thread(self.store.spend.reserve, self.source, dollars, self.options.budget)
            except BudgetExceeded as error:
                self._reserved -= 1
                if seen == self._commits and not self._reserved:
                    self.problem = error
                    break
            async with self._changed:
                await self._changed.wait_for(partial(self._moved, seen))
        await self._tell()
        return None

    def _moved(self, seen: int) -> bool:
        return self._commits != seen or self.problem is not None

    async def _release(self, reservation: int | None) -> None:
        if reservation is not None:
            await self._in_thread(self.store.spend.settle, reservation, 0.0)
            self._reserved -= 1
        await self._tell()

    def _arrive(self, done: _Done) -> None:
        prediction = done.prediction
        self._arrived.append(done)
        if prediction.value is None:
            self.failed += 1
            self._failed_in_a_row += 1
            self.errors[prediction.error or "no answer"] += 1
            if self._failed_in_a_row == self.options.patience:
                text = f"{self._failed_in_a_row} answers in a row failed, the last one: {prediction.error}"
                self.problem = self.problem or ModelError(text)
        elif done.example.id in self._having(_label_source(prediction, self.source)):
            self.skipped += 1
        else:
            self.answered += 1
            self._failed_in_a_row = 0
        if self._paid:
            self.dollars = plus(self.dollars, prediction.usage.dollars)

    async def _flush(self) -> None:
        """Returns once all that has arrived is in the store."""
        async with self._writing:
            if self._arrived:
                settled = await self._in_thread(self._keep)
                self._reserved -= settled
        await self._tell()
        self.progress(self.report())

    def _keep(self) -> int:
        """Write what has arrived; returns how many reservations were settled.

        The prediction comes before the label and the money last: killed in between, the next run makes the label of the
        prediction, and the budget counts the reservation in full.
        """
        batch = []
        while self._arrived:
            batch.append(self._arrived.popleft())
        if self.fingerprint:
            self.store.predictions.add(self.fingerprint, [(done.example.id, done.prediction) for done in batch])
        self.store.labels.add(
            [label for done in batch if (label := label_of(done.example.id, done.prediction, self.source))]
        )
        settled = [done for done in batch if done.reservation is not None]
        for done in settled:
            self.store.spend.settle(done.reservation or 0, done.prediction.usage.dollars or 0.0)
        return len(settled)

    def _unlabelled(self, examples: Iterable[Example]) -> Iterator[Example]:
        """The examples to ask about; those with a stored answer are given their label instead."""
        labelled, left = self._having(self.source), iter(examples)
        while page := list(islice(left, PAGE)):
            fresh = {example.id: example for example in page if example.id not in labelled}
            self.skipped += len(page) - len(fresh)
            for id in self._pending & fresh.keys():
                del fresh[id]
            stored = self.store.predictions.read(self.fingerprint, list(fresh)) if self.fingerprint else {}
            for id, example in fresh.items():
                prediction = stored.get(id)
                if prediction is None or prediction.value is None:
                    yield example
                elif id in self._having(_label_source(prediction, self.source)):
                    self.skipped += 1
                else:
                    self.reused += 1
                    self._arrived.append(_Done(example, prediction, None))

    def _having(self, source: str) -> set[str]:
        """Ids of the examples that had a label of `source` when it was first asked for."""
        if source not in self._labelled:
            self._labelled[source] = self.store.labels.labelled_by(source)
        return self._labelled[source]

    async def _tell(self) -> None:
        """Wake the workers that wait for money."""
        async with self._changed:
            self._commits += 1
            self._changed.notify_all()

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **named))


def label_of(example_id: str, prediction: Prediction, source: str) -> Label | None:
    """The label that a prediction of a teacher makes; None for one that failed. It may name its source itself.

    A single label brings the probabilities of all that were considered, where the teacher tells them: a soft label.
    """
    if prediction.value is None:
        return None
    soft = prediction.parts if isinstance(prediction.value, str) else {}
    bears = _label_source(prediction, source)
    return Label(example_id, prediction.value, bears, note=prediction.note, distribution=soft)


def _label_source(prediction: Prediction, source: str) -> str:
    return prediction.source if prediction.source.startswith("teacher:") else source


def plus(total: float | None, dollars: float | None) -> float | None:
    """The sum; None, not known, where either is."""
    return None if total is None or dollars is None else total + dollars
