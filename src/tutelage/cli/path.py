"""tutelage path: where things are."""

from __future__ import annotations

from pathlib import Path

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.errors import DataError
from tutelage.evaluation.candidates import candidate
from tutelage.project import Project, newest_artefact


@click.command("path")
@click.argument("what", default="project", metavar="[project|database|artefacts|reports|rejects|CANDIDATE]")
@json_option
@project_options
def command(project: Project, what: str, as_json: bool) -> None:
    """Print the path of the project, its database, artefacts, reports or rejects, or of a student's newest artefact.

    \b
    Examples:
      open $(tutelage path reports)/report.html
      ls $(tutelage path tagger)
    """
    path = _path(project, what)
    emit({"what": what, "path": str(path)}, as_json, str(path))


def _path(project: Project, what: str) -> str | Path:
    folder = project.folder.resolve()
    places: dict[str, str | Path] = {
        "project": folder,
        "database": project.database or folder / "tutelage.db",
        "artefacts": folder / "artefacts",
        "reports": folder / "reports",
        "rejects": folder / "rejects",
    }
    if what in places:
        return places[what]
    found = newest_artefact(project, candidate(project, what).name)
    if found is None:
        raise DataError(f"{what!r} has no artefact. Run: tutelage train {what}")
    return found.resolve()
