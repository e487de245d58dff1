"""tutelage train: fit students."""

from __future__ import annotations

import math

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import progress
from tutelage.errors import UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.project import Project
from tutelage.students.training import TrainReport, train


@click.command("train")
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@json_option
@project_options
def command(project: Project, names: tuple[str, ...], as_json: bool) -> None:
    """Train students on the labels in the train split, choosing on dev.

    Without names all students of task.toml are trained. A student whose data and settings have not changed is left as
    it is.

    \b
    Examples:
      tutelage train
      tutelage train tagger --json
    """
    chosen = [candidate(project, name) for name in names or project.selected()]
    students = [one for one in chosen if one.family.student]
    if names and len(students) < len(chosen):
        other = next(one.name for one in chosen if not one.family.student)
        raise UsageError(f"{other!r} is not trained: its family answers as it is. Name a student.")
    if not students:
        raise UsageError(
            'No student among the candidates. Add one to task.toml, e.g. [candidates.linear] family = "linear"'
        )
    reports = [train_one(project, one) for one in students]
    emit([report.json() for report in reports], as_json, "\n".join(map(describe, reports)))


def train_one(project: Project, one: Candidate) -> TrainReport:
    """Train one student with a progress bar."""
    with progress(f"Training {one.name}", 100) as advance:
        done = 0

        def tell(share: float, shown: object) -> None:
            nonlocal done
            step = max(0, math.floor(share * 100) - done)
            done += step
            advance(step, **{str(key): value for key, value in dict(shown).items()})  # type: ignore[call-overload]

        student = one.family.student
        assert student is not None
        return train(project, one.name, one.family_name, student, one.settings, tell, one.synthetic)


def describe(report: TrainReport) -> str:
    origins = " + ".join(f"{n} {origin}" for origin, n in report.card["train"]["origins"].items())
    state = "is up to date" if report.skipped else f"trained in {report.seconds:.0f} s"
    if written := report.card["train"].get("synthetic"):
        origins += f" labels, {written} of them of synthetic inputs"
    else:
        origins += " labels"
    line = f"{report.candidate}: {state} ({origins}, {report.card['dev']['n']} to choose on) -> {report.folder}"
    beneath = [report.card.get("fit", {}).get("summary"), report.card.get("licence", {}).get("warning")]
    return "\n  ".join([line, *(text for text in beneath if text)])
