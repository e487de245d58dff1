"""tutelage label: ask the teacher."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import progress
from tutelage.evaluation.candidates import candidate, close, teacher_name
from tutelage.labels.teach import TeachEstimate, TeachOptions, TeachReport, dry_run, teach
from tutelage.project import Project
from tutelage.types import SPLITS, Example, Predictor, Split


@click.command("label")
@click.option("--split", type=click.Choice([*SPLITS, "all"]), default="train", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Ask for at most this many examples.")
@click.option(
    "--budget", type=click.FloatRange(min=0), help="Most dollars for this teacher in all, earlier runs included."
)
@click.option("--dry-run", is_flag=True, help="Say what it would ask and cost; ask nothing.")
@json_option
@project_options
def command(
    project: Project, split: str, limit: int | None, budget: float | None, dry_run: bool, as_json: bool
) -> None:
    """Ask the teacher of task.toml for labels of the examples that have none of its labels yet.

    Every answer is stored when it arrives: a run that was stopped or killed goes on where it was and pays for nothing
    twice. Answers that do not fit the task are asked for again, then counted as failed.

    \b
    Examples:
      tutelage label --dry-run
      tutelage label --budget 5
      tutelage label --split all --limit 500 --json
    """
    options = TeachOptions(budget=budget, limit=limit)
    if dry_run:
        estimate = _estimate(project, split, options)
        emit(estimate._asdict(), as_json, _describe_estimate(estimate))
        return
    report = label_with_teacher(project, split, options)
    facts = asdict(report) | {"problem": report.problem and str(report.problem)}
    emit(facts, as_json, describe(report))
    if report.problem:
        raise report.problem


def label_with_teacher(project: Project, split: str, options: TeachOptions) -> TeachReport:
    """Label a split (or "all") with a progress bar. Ctrl-C waits for the answers under way and keeps them."""
    chosen = candidate(project, teacher_name(project))
    predictor = chosen.build(project)
    total = _count(project, split)
    with progress(f"Labelling {split} with {chosen.name}", total) as advance:
        last = 0

        def tell(report: TeachReport) -> None:
            nonlocal last
            seen = report.answered + report.failed + report.skipped + report.reused
            shown = {} if report.dollars is None else {"cost": f"${report.dollars:.4f}"}
            advance(seen - last, **shown, failed=report.failed)
            last = seen

        return asyncio.run(_teach(project, predictor, split, options, chosen.fingerprint(project), tell))


async def _teach(
    project: Project, predictor: Predictor, split: str, options: TeachOptions, fingerprint: str, tell: Any
) -> TeachReport:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        examples = _examples(project, split)
        return await teach(project, predictor, examples, options, fingerprint=fingerprint, progress=tell, stop=stop)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        await close(predictor)


def _estimate(project: Project, split: str, options: TeachOptions) -> TeachEstimate:
    predictor = candidate(project, teacher_name(project)).build(project)
    try:
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


def describe(report: TeachReport) -> str:
    """The report as lines for people; what did not happen is not mentioned."""
    cost = "price unknown" if report.dollars is None else f"${report.dollars:.4f}"
    parts = [f"{report.answered} labels from {report.asked} questions in {report.seconds:.0f} s, {cost}"]
    others = (
        (report.skipped, "labelled before"),
        (report.reused, "taken from stored answers"),
        (report.failed, "failed"),
    )
    parts += [f"{count} {what}" for count, what in others if count]
    text = f"{report.source.removeprefix('teacher:')}: {', '.join(parts)}"
    return "\n".join([text, *(f"  {count} x {line}" for line, count in report.errors)])


def _describe_estimate(estimate: TeachEstimate) -> str:
    known = estimate.dollars is not None and estimate.most_dollars is not None
    cost = (
        f"${estimate.dollars:.4f}, with all repairs at most ${estimate.most_dollars:.4f}" if known else "price unknown"
    )
    return (
        f"Would ask {estimate.calls} questions ({estimate.skipped} are labelled already): about "
        f"{estimate.input_tokens:,} input tokens (estimated), at most {estimate.output_tokens:,} output tokens; {cost}"
    )
