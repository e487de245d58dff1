"""New inputs into train: asked for within a budget, every answer kept as it arrives, none paid for twice.

Calls are numbered. Answers are stored by what was asked, and what they hold is looked at in the order of the numbers, so a
run that was killed goes on as if it had not been.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.errors import BudgetExceeded, DataError, ModelError, TutelageError
from tutelage.labels.synthesis.filters import NEAR, Filters, cleaned
from tutelage.labels.synthesis.strategies import Request, Strategy
from tutelage.labels.synthesis.writing import KEY, Writer
from tutelage.labels.teach import TeachEstimate, plus, priced
from tutelage.project import Project
from tutelage.prompting.purse import Purse
from tutelage.store import Run, now
from tutelage.types import Example, Prediction, Value, digest

ORIGIN = digest("synthesis origin")
"""What the origin of a written example is stored under: as a prediction, whose value is the label that was asked for."""

VERB = "synthesize"

MORE, LEAST_CALLS = 4, 20
"""A run gives up after so many times the calls that would do if everything were kept, 20 at least."""


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """`n`: examples of this strategy, seed and model in all, earlier runs included; `budget`: dollars of this model's writing
    in all; `near`: see `filters.NEAR`; `patience`: failed calls in a row after which the writer is out of order."""

    n: int
    budget: float | None = None
    near: float = NEAR
    patience: int = 10


@dataclass(frozen=True)
class SynthesisReport:
    """What happened so far. `kept` examples are in train, `new` of them since this run began; `written` inputs were looked
    at in this run, `dropped` counts those not kept by reason, `shown` has a few of each.

    `calls` were asked now, `reused` were answered before, `failed` have no answer; `dollars` is what this run paid, None where
    a price is not known; `problem` is what ended the run early.
    """

    by: str
    writer: str
    strategy: str
    seed: int
    wanted: int
    kept: int = 0
    new: int = 0
    written: int = 0
    calls: int = 0
    reused: int = 0
    failed: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dollars: float | None = 0.0
    seconds: float = 0.0
    errors: Sequence[tuple[str, int]] = ()
    unchecked: str | None = None
    problem: TutelageError | None = None


async def synthesize(
    project: Project,
    writer: Writer,
    strategy: Strategy,
    options: SynthesisOptions,
    *,
    progress: Callable[[SynthesisReport], None] = lambda report: None,
    stop: asyncio.Event | None = None,
) -> SynthesisReport:
    """Let `writer` write until `options.n` examples are kept; they are in train, marked, without a label.

    Once `stop` is set no new call begins, and what runs is waited for. Raises UsageError for a budget without a price,
    StoreError when answers cannot be kept.
    """
    if options.budget is not None:
        priced(writer.asked)
    run = _Writing(project, writer, strategy, options)
    key = f"synthesis-{digest([writer.key, strategy.name, strategy.seed, now()])[:20]}"
    begun = now()

    def note(status: str) -> None:
        report = run.report()
        facts = {"key": writer.key, "account": writer.account, "strategy": strategy.name, "seed": strategy.seed}
        facts |= {"kept": report.kept, "new": report.new, "calls": report.calls, "dropped": dict(report.dropped)}
        facts |= {"prompt": writer.asked.content}
        project.store.runs.put(Run(key, VERB, writer.name, status, begun, report.seconds, facts))

    note("running")
    try:
        await run.all(progress, stop or asyncio.Event())
    except BaseException:
        note("failed")
        raise
    note("failed" if run.problem else "done")
    return run.report()


def dry_run(project: Project, writer: Writer, strategy: Strategy, options: SynthesisOptions) -> TeachEstimate:
    """What `synthesize` would ask and cost, if all that is written were kept; asks nothing."""
    kept = len(origins(project, writer, strategy))
    calls = skipped = input_tokens = output_tokens = 0
    dollars: float | None = 0.0
    for number in range(math.ceil(max(0, options.n - kept) / strategy.per_call)):
        request = strategy.request(number)
        stored = project.store.predictions.read(writer.key, [writer.id(request)])
        if any(one.value is not None for one in stored.values()):
            skipped += 1
            continue
        calls += 1
        tokens = writer.asked.estimate(writer.question(request))
        input_tokens += tokens.input_tokens
        output_tokens += tokens.output_tokens
        dollars = plus(dollars, writer.asked.dollars(writer.question(request)))
    return TeachEstimate(calls, skipped, input_tokens, output_tokens, dollars, dollars)


def origins(project: Project, writer: Writer, strategy: Strategy) -> set[str]:
    """Ids of the examples in train that this model wrote by this strategy and seed, by whatever version of the prompt."""
    store, wanted = project.store, _note(strategy)
    ids = [one.id for one in store.examples.read("train") if one.synthetic and _model(one.synthetic) == writer.model]
    return {id for id, one in store.predictions.read(ORIGIN, ids).items() if one.note == wanted}


def intended(project: Project) -> dict[str, Value]:
    """The label that the writer was asked for, by id, of the examples in train that it wrote for one."""
    ids = [one.id for one in project.store.examples.read("train") if one.synthetic]
    return {id: one.value for id, one in project.store.predictions.read(ORIGIN, ids).items() if one.value is not None}


def agreement(project: Project) -> list[bool]:
    """For each written example that the teacher has labelled: whether its label is the one that the writer was asked for
    (of several labels: whether that is among them)."""
    asked = intended(project)
    found = []
    for one in project.store.labels.read("train", "teacher"):
        if one.example.id in asked:
            wanted = asked[one.example.id]
            several = project.task.output == "labels"
            found.append(set(wanted) <= set(one.value) if several else one.value == wanted)
    return found


def _note(strategy: Strategy) -> str:
    return f"{strategy.name}, seed {strategy.seed}"


def _model(mark: str) -> str:
    return mark.rpartition("@")[0]


class _Writing:
    """One run. Answers arrive in any order; `_taken` counts those that were looked at, in the order of their numbers."""

    def __init__(self, project: Project, writer: Writer, strategy: Strategy, options: SynthesisOptions) -> None:
        self.store, self.writer, self.strategy, self.options = project.store, writer, strategy, options
        self.filters = Filters(project, strategy.seeds, options.near)
        self.problem: TutelageError | None = None
        self._before = origins(project, writer, strategy)
        self.kept, self.new, self.written = len(self._before), 0, 0
        self.calls = self.reused = self.failed = 0
        self.dollars: float | None = 0.0
        self.errors: Counter[str] = Counter()
        self._purse = Purse(project.store, writer.account, options.budget)
        self._start = time.perf_counter()
        self._next = self._taken = self._failed_in_a_row = 0
        self._arrived: dict[int, tuple[Request, Prediction | None]] = {}
        self._most = max(LEAST_CALLS, MORE * math.ceil(options.n / strategy.per_call))

    def report(self) -> SynthesisReport:
        return SynthesisReport(
            by=self.writer.name,
            writer=self.writer.mark,
            strategy=self.strategy.name,
            seed=self.strategy.seed,
            wanted=self.options.n,
            kept=self.kept,
            new=self.new,
            written=self.written,
            calls=self.calls,
            reused=self.reused,
            failed=self.failed,
            dropped=dict(self.filters.counts.most_common()),
            shown=self.filters.shown,
            dollars=self.dollars,
            seconds=time.perf_counter() - self._start,
            errors=self.errors.most_common(5),
            unchecked=self.filters.unchecked,
            problem=self.problem,
        )

    async def all(self, progress: Callable[[SynthesisReport], None], stop: asyncio.Event) -> None:
        running: dict[asyncio.Task[Prediction], Request] = {}
        try:
            while True:
                while not stop.is_set() and self._wanted(len(running)):
                    request = self.strategy.request(self._next)
                    self._next += 1
                    if (stored := self._stored(request)) is not None:
                        self.reused += 1
                        self._arrive(request, stored)
                        progress(self.report())
                    else:
                        running[asyncio.ensure_future(self._ask(request))] = request
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._ended(running.pop(task), task)
                progress(self.report())
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if self.problem is None and not stop.is_set() and self.kept < self.options.n:
            self.problem = self._too_few()

    def _wanted(self, running: int) -> bool:
        """Whether another call is needed, if those that run bring as much as the ones before."""
        if self.problem or running >= self.writer.asked.concurrency or self._next >= self._most:
            return False
        share = (self.new + 1) / (self.written + 1)
        expected = (self._next - self._taken) * self.strategy.per_call * share
        return self.kept + math.floor(expected) < self.options.n

    def _stored(self, request: Request) -> Prediction | None:
        id = self.writer.id(request)
        found = self.store.predictions.read(self.writer.key, [id]).get(id)
        return found if found is not None and found.value is not None else None

    async def _ask(self, request: Request) -> Prediction:
        """The answer, paid for and in the store. The answer is stored first: killed in between, the budget counts the call at
        the most that it could have cost."""

        async def call() -> Prediction:
            found = await self.writer.write(request)
            self.store.predictions.add(self.writer.key, [(self.writer.id(request), found)])
            return found

        return await self._purse.pay(self.writer.asked.dollars(self.writer.question(request)), call)

    def _ended(self, request: Request, task: asyncio.Task[Prediction]) -> None:
        try:
            prediction = task.result()
        except (BudgetExceeded, ModelError) as error:
            self.problem = self.problem or error
            self._arrive(request, None)
            return
        self.calls += 1
        self.dollars = plus(self.dollars, prediction.usage.dollars)
        if prediction.value is None:
            self.failed += 1
            self._failed_in_a_row += 1
            self.errors[prediction.error or "no answer"] += 1
            if self._failed_in_a_row == self.options.patience:
                text = f"{self._failed_in_a_row} answers in a row failed, the last one: {prediction.error}"
                self.problem = self.problem or ModelError(text)
        else:
            self._failed_in_a_row = 0
        self._arrive(request, prediction)

    def _arrive(self, request: Request, prediction: Prediction | None) -> None:
        self._arrived[request.number] = request, prediction
        while (found := self._arrived.pop(self._taken, None)) is not None:
            self._taken += 1
            if found[1] is not None and isinstance(found[1].value, Mapping):
                self._look(found[0], found[1].value[KEY])

    def _look(self, request: Request, inputs: Sequence[Mapping[str, str]]) -> None:
        """Keep what passes the filters, as far as more is wanted: all of it in one transaction, its origin first."""
        found = [cleaned(one) for one in inputs]
        stored = self.store.examples.splits([id for id, _ in found])
        kept: list[tuple[str, dict[str, str]]] = []
        for id, input in found:
            if id in self._before:
                continue
            self.written += 1
            known = id in stored or any(id == other for other, _ in kept)
            if self.filters.reason(input, request, known) is None:
                if self.kept + len(kept) >= self.options.n:
                    self.written -= 1
                    continue
                kept.append((id, input))
                self.filters.keep(input)
        told = Prediction(request.intended, source=f"synthesis:{self.writer.mark}", note=_note(self.strategy))
        self.store.predictions.add(ORIGIN, [(id, told) for id, _ in kept])
        self.store.examples.add([Example(id, one, "train", request.group, self.writer.mark) for id, one in kept])
        self.kept += len(kept)
        self.new += len(kept)

    def _too_few(self) -> DataError:
        most = ", ".join(f"{count} {reason}" for reason, count in self.filters.counts.most_common(2)) or "nothing"
        return DataError(
            f"{self.kept} of {self.options.n} examples were kept after {self._taken} calls (dropped most: {most}). Take another "
            "--strategy, --seed or --by, or a lower --n."
        )
