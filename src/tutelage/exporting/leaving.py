"""What leaves: a candidate's newest artefact, its task, and what is known of it; and how its files are written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tutelage.answering.alone.student import task_facts
from tutelage.answering.base import Answerer
from tutelage.errors import DataError, StoreError, TrainingError, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.harness import example_set
from tutelage.evaluation.reporting import make_report
from tutelage.evaluation.results import Report
from tutelage.project import CARD, LEARNED_FROM, Project, newest_artefact, read_card
from tutelage.registry import Table
from tutelage.students.base import Student
from tutelage.tasks import Task

Files: TypeAlias = dict[str, bytes | Path]
"""What an export consists of: relative path -> content, or the file to copy."""

_SHELL = re.compile(
    "alias|bg|case|cd|command|do|done|echo|eval|exec|exit|export|fg|for|if|jobs|kill|let|local|printf|pwd|read|return|"
    "set|shift|source|test|then|time|trap|type|ulimit|umask|unset|wait|while"
)
"""Names that a shell keeps for itself: a command called so would never be run."""

_PATHS = ("base", "file", "model", "name", "path", "teacher")
"""Keys of a card under which a path may stand."""


@dataclass(frozen=True)
class Leaving:
    """A trained student about to leave. `report` is its newest evaluation on test, None where there is none."""

    name: str
    family: str
    folder: Path
    card: Mapping[str, Any]
    task: Task
    answers_by: type[Answerer]
    report: Report | None
    licence: str
    data_licence: str

    @property
    def command(self) -> str:
        """What the student's command is called: the task's name."""
        return f"{self.task.name}-student" if _SHELL.fullmatch(self.task.name) else self.task.name

    @property
    def package(self) -> str:
        """The Python package; "_student" keeps it from hiding a module of the same name."""
        return re.sub(r"\W", "_", self.task.name.lower()) + "_student"

    @property
    def version(self) -> str:
        """When it was trained, as a version: a newer training is a newer version."""
        day, clock = self.folder.name.split("-")[:2]
        return f"{day[:4]}.{int(day[4:6])}.{int(day[6:8])}.{int(clock)}"

    def artefact(self) -> Files:
        """Every file of the artefact by its path in it; a half-written or hidden one is not among them."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        named = {path.relative_to(self.folder).as_posix(): path for path in files}
        return {name: path for name, path in named.items() if not name.startswith(".")}

    def own_files(self) -> Files:
        """The artefact without its card, which stands beside it."""
        return {name: path for name, path in self.artefact().items() if name not in (CARD, LEARNED_FROM)}

    def task_json(self) -> bytes:
        """The task as task.json; what only scores answers (BERTScore's encoder) stays at home."""
        facts = task_facts(self.task) | {key: None for key in ("encoder", "encoder_layers") if hasattr(self.task, key)}
        return as_json(facts)

    def card_json(self) -> bytes:
        """The artefact's card, without the paths of this machine."""
        return as_json(_without_folders(dict(self.card)))


@dataclass(frozen=True)
class Target:
    """One form in which students leave: which artefacts it can be made of, and its files."""

    about: str
    fits: Callable[[Leaving], bool]
    lacking: str
    """What an artefact lacks that does not fit, after "its artefact has"."""
    files: Callable[[Leaving], Files]


def leaving(project: Project, name: str, licence: str = "", data_licence: str = "") -> Leaving:
    """The newest artefact of candidate `name`. Raises UsageError or TrainingError in one line where there is none."""
    one = candidate(project, name)
    student = one.family.student
    if student is None or not issubclass(student, Student):
        raise UsageError(f"{name!r} cannot be exported: family {one.family_name!r} is not a trained student. Name one.")
    folder = newest_artefact(project, name)
    if folder is None:
        raise TrainingError(f"{name!r} is not trained yet. Run: tutelage train {name}")
    report = _report(project, one)
    return Leaving(
        name,
        one.family_name,
        folder,
        read_card(folder),
        project.task,
        student.answers_by,
        report,
        licence,
        data_licence,
    )


def _report(project: Project, one: Candidate) -> Report | None:
    """The figures of what the candidate answered on test; nothing is asked now."""
    try:
        report, _ = make_report(project, [one], example_set(project, "test"))
    except DataError:
        return None
    return report if report.candidates else None


def export(student: Leaving, target: str, targets: Table) -> Files:
    """The files of `student` in the form `target`. Raises UsageError in one line that names the forms it can take."""
    wanted: Target = targets.load(target)
    if not wanted.fits(student):
        possible = ", ".join(name for name in targets.rows() if targets.load(name).fits(student))
        raise UsageError(
            f"{student.name!r} (family {student.family}) cannot be exported to {target}: its artefact has "
            f"{wanted.lacking}. It can be exported to: {possible}."
        )
    return wanted.files(student)


@dataclass(frozen=True)
class Written:
    """Paths that were written, and how many were there already with the same content."""

    paths: list[Path]
    unchanged: int


def write(files: Files, out: Path, force: bool) -> Written:
    """Write `files` below `out`. What is there with the same content stays; with another, UsageError without `force`.

    Nothing is ever deleted. Raises StoreError when the folder cannot be written.
    """
    changed, clash = {}, []
    for name, content in files.items():
        path = out / name
        if not path.exists():
            changed[path] = content
        elif not path.is_file() or not _same(path, content):
            changed[path] = content
            clash.append(path)
    if clash and not force:
        more = f" and {len(clash) - 1} more" if len(clash) > 1 else ""
        raise UsageError(f"{clash[0]}{more} exists with other content. Give another --out, or --force to overwrite.")
    try:
        for path, content in changed.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            part.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
            part.replace(path)
    except OSError as error:
        raise StoreError(
            f"{error.filename or out} cannot be written: {error.strerror}. Free space or permissions."
        ) from None
    return Written(sorted(changed), len(files) - len(changed))


def _same(path: Path, content: bytes | Path) -> bool:
    if isinstance(content, Path):
        if path.stat().st_size != content.stat().st_size:
            return False
        content = content.read_bytes()
    return path.read_bytes() == content


def as_json(value: object) -> bytes:
    # Keys stay in their order: a record's fields are written and read in that of its schema.
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _without_folders(value: Any, key: str = "") -> Any:
    """`value` with paths of this machine, where a base or a file is named, by their last part alone."""
    if isinstance(value, Mapping):
        return {name: _without_folders(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    named = key in _PATHS and isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name if named else value
