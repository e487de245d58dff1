"""tutelage label: ask the teacher."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import progress
from tutelage.cli.relabelling import again
from tutelage.errors import UsageError
from tutelage.evaluation.candidates import Candidate, candidate, close, teacher_name
from tutelage.labels.pseudo import TEACHERS, pseudo_source, withdraw_earlier
from tutelage.labels.teach import TeachEstimate, TeachOptions, TeachReport, dry_run, teach
from tutelage.project import Project
from tutelage.registry import load
from tutelage.types import SPLITS, Example, Predictor, Split

if TYPE_CHECKING:
    from tutelage.labels.batch import BatchOptions, BatchReport

R = TypeVar("R")

BATCHES = "tutelage.labels.batch:"
"""Loaded when it is needed: it brings the client of endpoints."""


@click.command("label")
@click.option("--by", metavar="CANDIDATE", help="Who labels, in place of the teacher: any candidate.")
@click.option("--split", type=click.Choice([*SPLITS, "all"]), default="train", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Ask for at most this many examples.")
@click.option(
    "--budget", type=click.FloatRange(min=0), help="Most dollars for this teacher in all, earlier runs included."
)
@click.option("--batch", is_flag=True, help="Ask by the endpoint's batch API: cheaper, with answers within 24 hours.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="With --batch: wait for answers, or pick them up next time.",
)
@click.option("--stale", is_flag=True, help="Label again what has a label of an earlier prompt and no person's answer.")
@click.option("--dry-run", is_flag=True, help="Say what it would ask and cost; ask nothing.")
@json_option
@project_options
def command(
    project: Project,
    by: str | None,
    split: str,
    limit: int | None,
    budget: float | None,
    batch: bool,
    wait: bool,
    stale: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Ask the teacher of task.toml, or another candidate, for labels of the examples that have none of its labels yet.

    Every answer is stored when it arrives: a run that was stopped or killed goes on where it was and pays for nothing
    twice. Answers that do not fit the task are asked for again, then counted as failed.

    Labels by a candidate that is no language model and no recording (a student, labelling functions, a vote) are
    pseudo-labels: they count least, and those of an earlier training of the candidate are withdrawn.

    With --batch the questions are sent as files. Called again, it picks up what has been answered, and never sends an
    example that is in a batch already. What failed in a batch is asked again by the next run, live or in a batch.

    With --stale what an earlier prompt version labelled is labelled again with the present one, unless a person has
    answered it. What people answered is asked about too, to compare both versions there; its labels stay.

    \b
    Examples:
      tutelage label --dry-run
      tutelage label --budget 5
      tutelage label --split all --limit 500 --json
      tutelage label --batch --no-wait
      tutelage label --by rules
      tutelage label --stale --dry-run
    """
    chosen = candidate(project, by or teacher_name(project))
    options = options_for(project, chosen, TeachOptions(budget=budget, limit=limit), batch)
    if stale:
        if batch:
            raise UsageError("--stale asks live, so that both versions can be compared at once. Leave --batch out.")
        again(project, chosen, list(_examples(project, split)), options, dry_run=dry_run, as_json=as_json)
        return
    if dry_run:
        estimate = _estimate(project, chosen, split, options, batch)
        emit(estimate._asdict(), as_json, _describe_estimate(estimate, batch))
        return
    if batch:
        report, text = _label_in_batches(project, chosen, split, options, wait)
    else:
        report = label_with(project, chosen, split, options)
        text = describe(report)
    facts = asdict(report) | {"problem": report.problem and str(report.problem)}
    emit(facts, as_json, text)
    if report.problem:
        raise report.problem


def options_for(project: Project, chosen: Candidate, options: TeachOptions, batch: bool = False) -> TeachOptions:
    """`options` as they are for this candidate: one that is no teacher gives pseudo-labels and may fail however often.
    Raises UsageError for what a teacher alone can be asked for."""
    if chosen.family.role in TEACHERS or chosen.name == project.file.teacher:
        return options
    if batch or options.budget is not None:
        asked = "--batch" if batch else "--budget"
        raise UsageError(f"{asked} is for a teacher; {chosen.name!r} answers here. Leave it out.")
    return replace(options, patience=0, source=pseudo_source(chosen.name, chosen.fingerprint(project)))


def label_with_teacher(project: Project, split: str, options: TeachOptions) -> TeachReport:
    """As `label_with`, by the teacher of task.toml."""
    return label_with(project, candidate(project, teacher_name(project)), split, options)


def label_with(project: Project, chosen: Candidate, split: str, options: TeachOptions) -> TeachReport:
    """Label a split (or "all") with a progress bar. Ctrl-C waits for the answers under way and keeps them."""
    predictor, fingerprint = chosen.build(project), chosen.fingerprint(project)
    if options.source and options.limit is None:
        withdraw_earlier(project, options.source, _examples(project, split))

    def seen(report: TeachReport) -> int:
        return report.answered + report.failed + report.skipped + report.reused

    with _telling(project, split, f"Labelling {split} with {chosen.name}", seen) as tell:

        async def work(stop: asyncio.Event) -> TeachReport:
            examples = _examples(project, split)
            return await teach(project, predictor, examples, options, fingerprint=fingerprint, progress=tell, stop=stop)

        return asyncio.run(until_interrupted(predictor, work))


def _label_in_batches(
    project: Project, chosen: Candidate, split: str, options: TeachOptions, wait: bool
) -> tuple[TeachReport, str]:
    """As `label_with`, by batches, and the report as text. Ctrl-C leaves those that run running."""
    predictor, fingerprint = chosen.build(project), chosen.fingerprint(project)
    kind: type[BatchOptions] = load(BATCHES + "BatchOptions")
    told = kind(budget=options.budget, limit=options.limit, wait=wait)

    def seen(report: BatchReport) -> int:
        return report.answered + report.failed + report.skipped + report.reused + report.lost + report.done

    with _telling(project, split, f"Batches of {split} for {chosen.name}", seen) as tell:

        async def work(stop: asyncio.Event) -> BatchReport:
            teach_in_batches: Callable[..., Awaitable[BatchReport]] = load(BATCHES + "teach_in_batches")
            examples = _examples(project, split)
            return await teach_in_batches(
                project, predictor, examples, told, fingerprint=fingerprint, progress=tell, stop=stop
            )

        report = asyncio.run(until_interrupted(predictor, work))
    return report, describe(
        report, (report.lost, "not answered"), (report.others, "in batches of another prompt, model or endpoint")
    )


@contextmanager
def _telling(project: Project, split: str, title: str, seen: Callable[[Any], int]) -> Iterator[Callable[[Any], None]]:
    """Yields what to tell of every report; `seen` says how far a report is."""
    with progress(title, _count(project, split)) as advance:
        last = 0

        def tell(report: TeachReport) -> None:
            nonlocal last
            shown: dict[str, object] = {} if report.dollars is None else {"cost": f"${report.dollars:.4f}"}
            waiting = {"waiting": report.waiting} if report.waiting else {}
            advance(seen(report) - last, **shown, failed=report.failed, **waiting)
            last = seen(report)

        yield tell


async def until_interrupted(predictor: Predictor, work: Callable[[asyncio.Event], Awaitable[R]]) -> R:
    """`work`, told by an event when Ctrl-C is pressed; the predictor is closed at the end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        return await work(stop)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        await close(predictor)


def _estimate(project: Project, chosen: Candidate, split: str, options: TeachOptions, batch: bool) -> TeachEstimate:
    predictor = chosen.build(replace(project, dry=True))
    try:
        if batch:
            estimate: TeachEstimate = load(BATCHES + "dry_batch")(
                project, predictor, _examples(project, split), options.limit
            )
            return estimate
        return dry_run(project, predictor, _examples(project, split), options)
    finally:
        asyncio.run(close(predictor))


def _splits(split: str) -> list[Split]:
    return [one for one in SPLITS if split in (one, "all")]


def _examples(project: Project, split: str) -> Iterator[Example]:
    for one in _splits(split):
        yield from project.store.examples.read(one)


def _count(project: Project, split: str) -> int:
    counts = project.store.examples.counts()
    return sum(counts[one] for one in _splits(split))


def describe(report: TeachReport, *more: tuple[int, str]) -> str:
    """The report as lines for people, with `more` counts; what did not happen is not mentioned."""
    cost = "price unknown" if report.dollars is None else f"${report.dollars:.4f}"
    parts = [f"{report.answered} labels from {report.asked} questions in {report.seconds:.0f} s, {cost}"]
    others = (
        (report.skipped, "labelled before"),
        (report.reused, "taken from stored answers"),
        (report.failed, "failed"),
        (report.waiting, "in batches that are not done (pick them up with: tutelage label --batch)"),
        *more,
    )
    parts += [f"{count} {what}" for count, what in others if count]
    text = f"{report.source.removeprefix('teacher:')}: {', '.join(parts)}"
    return "\n".join([text, *(f"  {count} x {line}" for line, count in report.errors)])


def _describe_estimate(estimate: TeachEstimate, batch: bool) -> str:
    cost = "price unknown"
    if estimate.dollars is not None and estimate.most_dollars is not None:
        repaired = f"with all repairs at most ${estimate.most_dollars:.4f}"
        most = "at the price of batches (batch_discount)" if batch else repaired
        cost = f"${estimate.dollars:.4f}, {most}"
    return (
        f"Would ask {estimate.calls} questions ({estimate.skipped} are labelled already or in batches): about "
        f"{estimate.input_tokens:,} input tokens (estimated), at most {estimate.output_tokens:,} output tokens; {cost}"
    )
