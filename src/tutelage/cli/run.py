"""tutelage run: the whole way, in order."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tutelage.cli.add import add_with_progress
from tutelage.cli.add import describe as describe_adding
from tutelage.cli.evaluate import against_option, evaluate_all, split_option
from tutelage.cli.label import describe as describe_labels
from tutelage.cli.label import label_with_teacher
from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.train import describe as describe_training
from tutelage.cli.train import train_one
from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.exports import write_report
from tutelage.evaluation.harness import example_set
from tutelage.evaluation.reporting import make_report
from tutelage.evaluation.table import terminal_table
from tutelage.labels.adding import AddOptions
from tutelage.labels.teach import TeachOptions
from tutelage.project import Project
from tutelage.routing.sections import unproven_lines, with_sections
from tutelage.types import Split


@click.command("run")
@split_option
@against_option
@click.option("--budget", type=click.FloatRange(min=0), help="Most dollars that labels may cost in all.")
@json_option
@project_options
def command(project: Project, split: Split, against: str | None, budget: float | None, as_json: bool) -> None:
    """Add the files of task.toml, label, train, evaluate and report, for the candidates that `run` in task.toml names.

    What is done already is skipped, so a run that was broken off goes on where it stopped. A candidate that cannot be
    had is left out with its reason.

    \b
    Examples:
      tutelage run
      tutelage run --budget 5 --json
    """
    chosen = [candidate(project, name) for name in project.selected()]
    if not chosen:
        raise UsageError('task.toml has no candidates. Add one, e.g. [candidates.linear] with family = "linear"')
    for file in project.file.data:
        options = AddOptions(
            split=file.split,
            fields=file.fields,
            label=file.label,
            group=file.group,
            source=file.source,
            format=file.format,
        )
        _say(describe_adding(add_with_progress(project, project.path(file.file), options)))
    problems = _label(project, chosen, budget) | _train(project, chosen)
    examples = example_set(project, split, against)  # type: ignore[arg-type]
    ready = [one for one in chosen if one.name not in problems]
    problems |= evaluate_all(project, ready, examples)
    result, answered = make_report(project, [one for one in ready if one.name not in problems], examples)
    for name, problem in problems.items():
        _say(f"{name} was left out: {problem}")
    result = with_sections(project, result, answered, examples)
    files = write_report(result, answered, project.reports)
    lines = [] if as_json else [terminal_table(result), *unproven_lines(project)]
    emit(result.json(), as_json, "\n".join([*lines, f"Report: {files['html']}"]))


def _label(project: Project, chosen: Sequence[Candidate], budget: float | None) -> dict[str, str]:
    """Let the teacher label train and dev where a student learns from its labels."""
    wanted = [one.name for one in chosen if getattr(one.settings, "labels", "gold") != "gold" and one.family.student]
    if not wanted or not project.file.teacher:
        return {}
    try:
        for split in ("train", "dev"):
            report = label_with_teacher(project, split, TeachOptions(budget=budget))
            _say(f"{split}: {describe_labels(report)}")
            if report.problem:
                raise report.problem
    except TutelageError as error:
        return {project.file.teacher: str(error)}
    return {}


def _train(project: Project, chosen: Sequence[Candidate]) -> dict[str, str]:
    problems = {}
    for one in chosen:
        if one.family.student:
            try:
                _say(describe_training(train_one(project, one)))
            except TutelageError as error:
                problems[one.name] = str(error)
    return problems


def _say(line: str) -> None:
    click.echo(line, err=True)
