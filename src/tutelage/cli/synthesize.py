"""tutelage synthesize: let a model write new inputs for train."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import NamedTuple

import click

from tutelage.cli.label import until_interrupted
from tutelage.cli.options import emit, json_option, plain, project_options
from tutelage.cli.progress import progress, sharing
from tutelage.errors import UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.gain import REPEATS, Gain, gain
from tutelage.evaluation.hardness import hardest
from tutelage.evaluation.harness import example_set
from tutelage.labels.synthesis import (
    STRATEGIES,
    Strategy,
    SynthesisOptions,
    SynthesisReport,
    Writer,
    WriterOptions,
    build_writer,
    dry_run,
    plan,
    real_train,
    synthesize,
)
from tutelage.labels.synthesis.filters import NEAR, REASONS
from tutelage.labels.synthesis.running import agreement
from tutelage.labels.teach import TeachEstimate
from tutelage.project import Project
from tutelage.prompting import PromptedSettings


class _Asked(NamedTuple):
    """The flags that say what is written."""

    by: str | None
    strategy: str | None
    student: str | None
    options: WriterOptions


@click.command("synthesize")
@click.option("--by", metavar="NAME", help="The prompted candidate that writes (default: the teacher).")
@click.option(
    "--n",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Examples to keep of this strategy and seed in all, earlier runs included.",
)
@click.option("--budget", type=click.FloatRange(min=0), help="Most dollars for writing in all, earlier runs included.")
@click.option(
    "--strategy",
    type=click.Choice(list(STRATEGIES)),
    help="What to write others like (default: label where the task has labels, else seeds).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Other examples in the prompts, other inputs.")
@click.option(
    "--per-call",
    type=click.IntRange(1, 50),
    help="Inputs that one call asks for (default: by their length, at most 5).",
)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.9, show_default=True)
@click.option("--instruction", metavar="TEXT", help="What else the writer is to know, e.g. who sends such inputs.")
@click.option(
    "--near",
    type=click.FloatRange(0, 1, min_open=True),
    default=NEAR,
    show_default=True,
    help="Share of common runs of 4 characters from which two inputs are near-duplicates.",
)
@click.option(
    "--student", metavar="NAME", help="With --strategy region: whose doubts count (default: the first that fits)."
)
@click.option(
    "--gain",
    "gain_of",
    metavar="CANDIDATE",
    help="Write nothing: train this student with and without what was written, and score both on dev.",
)
@click.option("--repeats", type=click.IntRange(min=1), default=REPEATS, show_default=True, help="With --gain: seeds.")
@click.option("--dry-run", "dry", is_flag=True, help="Say what it would ask and cost; ask nothing.")
@json_option
@project_options
def command(
    project: Project,
    by: str | None,
    n: int,
    budget: float | None,
    strategy: str | None,
    seed: int,
    per_call: int | None,
    temperature: float,
    instruction: str | None,
    near: float,
    student: str | None,
    gain_of: str | None,
    repeats: int,
    dry: bool,
    as_json: bool,
) -> None:
    """Let a language model write new inputs for train. They are marked as synthetic, and never in dev or test.

    label: a few examples of one label after the other, and others like them. region: inputs that candidates answer
    differently or that a student is unsure of. seeds: examples drawn from all. paraphrase: one example after the other in
    other words. Prompts hold real examples of train, never any of dev or test. What is no good is dropped and counted:
    incomplete, of another length or language than train, a copy of what was shown, stored already, a near-duplicate of what
    is stored, or of anything in dev or test.

    Labels come from the teacher: run tutelage label afterwards. Every answer is stored when it arrives: a run that was
    stopped or killed goes on where it was and pays for nothing twice.

    \b
    Examples:
      tutelage synthesize --dry-run
      tutelage synthesize --n 200 --budget 1
      tutelage synthesize --strategy region --student linear --n 50
      tutelage synthesize --gain linear
    """
    if gain_of:
        found = _gain(project, gain_of, repeats)
        emit(plain(found), as_json, describe_gain(found))
        return
    told = WriterOptions(per_call=per_call, temperature=temperature, seed=seed, instruction=instruction)
    asked = _Asked(by, strategy, student, told)
    options = SynthesisOptions(n=n, budget=budget, near=near)
    if dry:
        writer, planned = _planned(replace(project, dry=True), asked)
        estimate = dry_run(project, writer, planned, options)
        emit(estimate._asdict(), as_json, _describe_estimate(estimate, planned))
        return
    writer, planned = _planned(project, asked)
    report = _written(project, writer, planned, options)
    facts = asdict(replace(report, problem=None)) | {"problem": report.problem and str(report.problem)}
    emit(plain(facts | {"agreed": _agreed(project)}), as_json, describe(project, report))
    if report.problem:
        raise report.problem


def _written(project: Project, writer: Writer, planned: Strategy, options: SynthesisOptions) -> SynthesisReport:
    """Write with a progress bar. Ctrl-C waits for the answers under way and keeps them."""
    with progress(f"{writer.name} writes", options.n) as advance:
        last = 0

        def tell(report: SynthesisReport) -> None:
            nonlocal last
            shown: dict[str, object] = {} if report.dollars is None else {"cost": f"${report.dollars:.4f}"}
            advance(report.kept - last, **shown, calls=report.calls, dropped=sum(report.dropped.values()))
            last = report.kept

        async def work(stop: asyncio.Event) -> SynthesisReport:
            return await synthesize(project, writer, planned, options, progress=tell, stop=stop)

        return asyncio.run(until_interrupted(writer.asked, work))


def _planned(project: Project, asked: _Asked) -> tuple[Writer, Strategy]:
    name, settings = _writing_candidate(project, asked.by)
    seeds = real_train(project)
    strategy = asked.strategy or ("label" if project.task.output in ("label", "labels") else "seeds")
    writer = build_writer(name, settings, project, seeds, asked.options)
    hard = []
    if strategy == "region":
        with sharing("Looking for hard inputs") as tell:
            hard = hardest(replace(project, dry=False), seeds, asked.student, tell)
    return writer, plan(strategy, project.task, seeds, per_call=writer.count, seed=asked.options.seed, hard=hard)


def _writing_candidate(project: Project, by: str | None) -> tuple[str, PromptedSettings]:
    """Who writes. Raises UsageError for one that is no prompted model."""
    name = by or project.file.teacher
    prompted = [other for other, given in project.file.candidates.items() if given.get("family") == "prompted"]
    known = ", ".join(prompted) or "there is none; add one to task.toml"
    if name is None:
        raise UsageError(f"task.toml names no teacher, so name who writes with --by: {known}.")
    one = candidate(project, name)
    if not isinstance(one.settings, PromptedSettings):
        raise UsageError(
            f"{name!r} is of family {one.family_name!r} and cannot write. Name a prompted candidate with --by: {known}."
        )
    return name, one.settings


def _agreed(project: Project) -> dict[str, int]:
    """How many synthetic examples have a teacher's label, and how many of these the one that was asked for."""
    found = agreement(project)
    return {"labelled": len(found), "as asked": sum(found)}


def describe(project: Project, report: SynthesisReport) -> str:
    """The report as lines for people; what did not happen is not mentioned."""
    cost = "price unknown" if report.dollars is None else f"${report.dollars:.4f}"
    more = f", {report.reused} taken from stored answers" if report.reused else ""
    failed = f", {report.failed} failed" if report.failed else ""
    lines = [
        f"{report.writer}: {report.new} new inputs in train, {report.kept} of {report.wanted} by {report.strategy}, seed "
        f"{report.seed} ({report.calls} calls{more}{failed}, {report.seconds:.0f} s, {cost})"
    ]
    lines += [f"  {count} x {line}" for line, count in report.errors]
    if report.dropped:
        lines.append(f"  of {report.written} looked at, {sum(report.dropped.values())} were dropped:")
    for reason, count in report.dropped.items():
        shown = "; ".join(f'"{_cut(text)}"' for text in report.shown.get(reason, ()))
        lines.append(f"    {count} {reason} ({REASONS[reason]}): {shown}")
    if report.unchecked:
        lines.append(f"  {report.unchecked}")
    agreed = agreement(project)
    if agreed:
        lines.append(
            f"  the teacher labelled {len(agreed)} of what was written for a label: {sum(agreed)} as asked for"
        )
    if report.new:
        lines.append("  They have no labels yet. Get them with: tutelage label")
    return "\n".join(lines)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 90 else text[:87] + "..."


def _describe_estimate(estimate: TeachEstimate, planned: Strategy) -> str:
    cost = "price unknown" if estimate.dollars is None else f"at most ${estimate.dollars:.4f}"
    return (
        f"Would make {estimate.calls} calls of {planned.per_call} inputs, if all were kept ({estimate.skipped} are answered "
        f"already): about {estimate.input_tokens:,} input tokens (estimated), at most {estimate.output_tokens:,} output "
        f"tokens; {cost}"
    )


def _gain(project: Project, name: str, repeats: int) -> Gain:
    one, examples = candidate(project, name), example_set(project, "dev")
    with sharing(f"Training {name} with and without") as tell:
        return gain(project, one, examples, repeats, tell)


def describe_gain(found: Gain) -> str:
    """The gain as lines for people."""
    lines = [
        f"{found.candidate}: {found.metric} on {found.split}, n = {found.n} ({found.reference}), {found.repeats} trainings each",
        f"  {found.real} real examples:                {_interval(found.without)}",
        f"  and {found.synthetic} synthetic ones:             {_interval(found.with_synthetic)}",
        f"  gain:                            {_interval(found.gain, '+.3f')}",
    ]
    for what, cost in (("writing", found.writing), ("labelling", found.labelling)):
        dollars = "not known" if cost.dollars is None else f"${cost.dollars:.4f}"
        lines.append(f"  {what}: {dollars} ({cost.basis})")
    if found.per_dollar:
        lines.append(f"  gain per dollar: {_interval(found.per_dollar, '+.3f')}")
    if found.dollars_as_labels is not None:
        lines.append(f"  the same dollars would label {found.dollars_as_labels} real inputs")
    if found.agreed:
        share = f"{found.agreed.value:.0%}, {found.agreed.low:.0%} to {found.agreed.high:.0%}"
        lines.append(f"  the teacher's label is the one asked for on {share} of {found.asked_for}")
    return "\n".join(lines)


def _interval(found: object, form: str = ".3f") -> str:
    value, low, high = (format(getattr(found, name), form) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
