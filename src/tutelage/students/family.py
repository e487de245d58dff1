"""From a student's class to a family: how a candidate of it is loaded and recognised."""

from __future__ import annotations

from typing import Any

from tutelage.errors import TrainingError
from tutelage.project import Project, newest_artefact
from tutelage.registry import Family
from tutelage.students.base import Student, Trained


def student_family(student: type[Student], settings: type[Any]) -> Family:
    """The family of `student`: built from the candidate's newest artefact, recognised by that artefact's run id."""

    def build(name: str, given: Any, project: Project) -> Trained:
        folder = newest_artefact(project, name)
        if folder is None:
            raise TrainingError(f"{name!r} is not trained yet. Run: tutelage train {name}")
        return Trained(name, student.load(project.task, given, folder))

    return Family("student", settings, build, artefact_id, student)


def artefact_id(name: str, _given: Any, project: Project) -> str | None:
    folder = newest_artefact(project, name)
    return folder.name if folder else None
