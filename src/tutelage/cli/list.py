"""tutelage list: what the project holds."""

from __future__ import annotations

from typing import Any

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.evaluation.candidates import FAMILIES, candidate
from tutelage.evaluation.comparing import summary
from tutelage.project import Project, newest_artefact


@click.command("list")
@click.argument(
    "what", type=click.Choice(["all", "candidates", "examples", "labels", "runs", "families"]), default="all"
)
@json_option
@project_options
def command(project: Project, what: str, as_json: bool) -> None:
    """List candidates, examples, labels, runs, or the families that candidates can be of.

    \b
    Examples:
      tutelage list
      tutelage list runs --json
    """
    found = {name: kind(project) for name, kind in KINDS.items() if what in (name, "all")}
    lines = []
    for name, entries in found.items():
        lines.append(f"{name}:")
        lines += ["  " + "  ".join(f"{key}={value}" for key, value in entry.items()) for entry in entries] or [
            "  (none)"
        ]
    emit(found if what == "all" else found[what], as_json, "\n".join(lines))


def _candidates(project: Project) -> list[dict[str, Any]]:
    entries = []
    for name in project.file.candidates:
        one = candidate(project, name)
        trained = newest_artefact(project, name)
        state = "-" if not one.family.student else str(trained) if trained else "not trained"
        teacher = name == project.file.teacher
        entries.append(
            {"name": name, "family": one.family_name, "role": one.family.role, "teacher": teacher, "artefact": state}
        )
    return entries


def _examples(project: Project) -> list[dict[str, Any]]:
    counts, written = project.store.examples.counts(), project.store.examples.written()
    entries: list[dict[str, Any]] = [{"split": split, "examples": count} for split, count in counts.items()]
    if written:
        entries[0] |= {"synthetic": sum(written.values()), "writers": written}
    return entries


def _labels(project: Project) -> list[dict[str, Any]]:
    return [{"source": s, "split": split, "examples": n} for s, split, n in project.store.labels.counts()]


def _runs(project: Project) -> list[dict[str, Any]]:
    return [summary(project, run) for run in project.store.runs.read()]


def _families(_project: Project) -> list[dict[str, Any]]:
    return [{"name": name, "defined in": path} for name, path in sorted(FAMILIES.rows().items())]


KINDS = {"candidates": _candidates, "examples": _examples, "labels": _labels, "runs": _runs, "families": _families}
