"""tutelage train: fit students."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import progress
from tutelage.errors import UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.project import Project
from tutelage.students.training import TrainReport, train


@click.command("train")
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@click.option(
    "--effort",
    type=click.Choice(["low", "medium", "high"]),
    help="How much is tried, and for how long, in place of the effort in task.toml.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting in place of the one in task.toml, written as there; may be given several times.",
)
@json_option
@project_options
def command(
    project: Project, names: tuple[str, ...], effort: str | None, changes: tuple[str, ...], as_json: bool
) -> None:
    """Train students on the labels in the train split, choosing on dev.

    Without names all students of task.toml are trained. A student whose data and settings have not changed is left as
    it is. --effort and --set hold for this run and are recorded in the card; the next run without them trains again as
    task.toml says.

    \b
    Examples:
      tutelage train
      tutelage train tagger --json
      tutelage train encoder --effort low --set epochs=2 --set learning_rate=5e-5
    """
    changed = read_changes(changes) | ({"effort": effort} if effort else {})
    chosen = [candidate(project, name) for name in names or project.selected()]
    students = [one for one in chosen if one.family.student]
    if names and len(students) < len(chosen):
        other = next(one.name for one in chosen if not one.family.student)
        raise UsageError(f"{other!r} is not trained: its family answers as it is. Name a student.")
    if not students:
        raise UsageError(
            'No student among the candidates. Add one to task.toml, e.g. [candidates.linear] family = "linear"'
        )
    if changed:
        students = [candidate(project, one.name, changed) for one in students]
    reports = [train_one(project, one) for one in students]
    emit([report.json() for report in reports], as_json, "\n".join(map(describe, reports)))


def read_changes(changes: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value is read as task.toml has it, and what is no TOML value is text.

    Raises UsageError for what is no pair and for the family, which is what the candidate is.
    """
    found: dict[str, Any] = {}
    for change in changes:
        name, equals, value = (part.strip() for part in change.partition("="))
        if not equals or not name:
            raise UsageError(f"--set {change!r} is not NAME=VALUE. Write e.g.: --set epochs=3")
        if name == "family":
            raise UsageError(f"--set {change!r}: another family is another candidate. Add one to task.toml.")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


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
        return train(project, one.name, one.family_name, student, one.settings, tell, one.material)


def describe(report: TrainReport) -> str:
    origins = " + ".join(f"{n} {origin}" for origin, n in report.card["train"]["origins"].items())
    state = "is up to date" if report.skipped else f"trained in {report.seconds:.0f} s"
    purpose = "to choose on" if origins else "to judge by"
    origins = f"{origins} labels" if origins else f"{report.card['train']['n']} inputs without labels"
    if written := report.card["train"].get("synthetic"):
        origins += f", {written} of them of synthetic inputs"
    line = f"{report.candidate}: {state} ({origins}, {report.card['dev']['n']} {purpose}) -> {report.folder}"
    beneath = [
        material_shown(report.card["train"]),
        doubts_shown(report.card["train"]),
        report.card.get("fit", {}).get("summary"),
        *functions_shown(report.card.get("fit", {}).get("functions", ())),
        report.card.get("licence", {}).get("warning"),
    ]
    return "\n  ".join([line, *(text for text in beneath if text)])


def functions_shown(functions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The labelling functions of family `weak`, those first that are probably wrong most often."""
    if not functions:
        return []
    width = max(len(one["name"]) for one in functions)
    lines = [f"{'':{width}}  coverage  overlaps  conflicts  accuracy (estimated without labels)"]
    for one in sorted(functions, key=lambda one: -1.0 if one["accuracy"] is None else one["accuracy"]):
        accuracy = (
            "not known: no other speaks of the same inputs" if one["accuracy"] is None else f"{one['accuracy']:8.3f}"
        )
        shares = f"{one['coverage']:8.3f}  {one['overlaps']:8.3f}  {one['conflicts']:9.3f}"
        lines.append(f"{one['name']:{width}}  {shares}  {accuracy}")
    return lines


def material_shown(train: Mapping[str, Any]) -> str | None:
    """How the examples were chosen and weighed, in words."""
    told = []
    if quality := train.get("quality"):
        if "dropped" in quality:
            told.append(f"{quality['dropped']} labels left out that are probably wrong")
        else:
            told.append(f"labels weigh {quality['mean_weight']:.2f} on average, as they are probably right")
        told.append(f"{quality['estimated']} labels have an estimate")
    if chosen := train.get("chosen"):
        told.append(f"{train['n']} of {chosen['of']} examples, a {chosen['by']} subset")
    return "; ".join(told) or None


def doubts_shown(train: Mapping[str, Any]) -> str | None:
    """What is odd about the examples, in words."""
    told = []
    if n := train.get("contradictory"):
        told.append(f"{n} examples have the text of another with a different label")
    if single := train.get("labels_with_one_example"):
        told.append(f"one example alone has the label {', '.join(single[:5])}{', ...' if single[5:] else ''}")
    return "; ".join(told) or None
