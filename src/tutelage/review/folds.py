"""A student's answers to labelled examples that it was not trained on, so that it cannot have learnt their errors by heart.

Train is cut into parts; a student trained on all parts but one answers that one. Another split is answered by a student of all of
train. Answers are kept in the store, as the points of learning curves are: nothing is trained twice on the same labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tutelage.errors import TrainingError, UsageError
from tutelage.evaluation.candidates import FAMILIES, Candidate, candidate
from tutelage.evaluation.curve.points import point
from tutelage.evaluation.harness import ExampleSet
from tutelage.project import Project
from tutelage.registry import Family, load
from tutelage.students.base import Student
from tutelage.students.material import ALL
from tutelage.types import Labelled, Prediction, Split, canonical_json, digest

FOLDS = 5
FEWEST = 20
"""Labelled examples; with fewer there is nothing to tell a wrong label by."""

BUILT_IN = "built-in"
"""A linear student on TF-IDF, for tasks that name no student."""

Progress = Callable[[float, Mapping[str, object]], None]


@dataclass(frozen=True)
class Unseen:
    """The labelled examples, and the answer of `student` to each. `trained_on` says what it learnt from, for people."""

    student: str
    trained_on: str
    labelled: Sequence[Labelled]
    predictions: Sequence[Prediction]


def unseen(
    project: Project,
    split: Split,
    by: str | None = None,
    folds: int = FOLDS,
    progress: Progress = lambda share, shown: None,
) -> Unseen:
    """The labelled examples of `split` and a student's answers to them: of candidate `by`, else of the first in task.toml that
    learns this task, else of the built-in one.

    Raises UsageError where no student learns it, TrainingError where there are too few labels.
    """
    one = student_for(project, by)
    labelled = list(project.store.labels.read(split))
    if len(labelled) < FEWEST:
        raise TrainingError(
            f"{split!r} has {len(labelled)} labelled examples: too few to tell wrong labels by. Label {FEWEST} or more."
        )
    learnt = [] if split == "train" else list(project.store.labels.read("train"))
    if len(learnt) >= FEWEST:
        asked = ExampleSet(split, tuple(labelled), "nothing")
        return Unseen(one.name, "train", labelled, point(project, one, learnt, 0, asked, progress).predictions)
    parts = cut(labelled, folds)
    found: dict[str, Prediction] = {}
    for at, part in enumerate(parts):
        rest = [one for number, other in enumerate(parts) if number != at for one in other]
        asked = ExampleSet(split, tuple(part), "nothing")

        def tell(share: float, shown: Mapping[str, object], at: int = at) -> None:
            progress((at + share) / len(parts), {"part": f"{at + 1} of {len(parts)}", **shown})

        found.update(zip(asked.ids, point(project, one, rest, 0, asked, tell).predictions, strict=True))
    progress(1.0, {})
    predictions = [found[one.example.id] for one in labelled]
    return Unseen(one.name, f"{len(parts) - 1} of {len(parts)} parts of {split}", labelled, predictions)


def cut(labelled: Iterable[Labelled], folds: int) -> list[list[Labelled]]:
    """The examples in parts of one size that hold each answer equally often. A group stays whole; the same examples always
    give the same parts, in whatever order they come."""
    groups: dict[str, list[Labelled]] = {}
    for one in sorted(labelled, key=lambda one: one.example.id):
        groups.setdefault(f"group {one.example.group}" if one.example.group else one.example.id, []).append(one)
    ordered = sorted(groups.items(), key=lambda item: (canonical_json(item[1][0].value), digest(item[0])))
    parts: list[list[Labelled]] = [[] for _ in range(max(2, min(folds, len(ordered))))]
    for at, (_, members) in enumerate(ordered):
        parts[at % len(parts)].extend(members)
    return [sorted(part, key=lambda one: one.example.id) for part in parts]


def student_for(project: Project, name: str | None = None) -> Candidate:
    """The student that is asked. Raises UsageError for a name that is none, and where none learns the task."""
    if name == BUILT_IN or (name is None and not (name := _first(project))):
        return _built_in(project)
    one = candidate(project, name)
    if not _learns(project, one):
        raise UsageError(
            f"{name!r} is not a student that learns output {project.task.output!r}. Name another, or for label and labels "
            f"{BUILT_IN}."
        )
    # What a model wrote and what is probably wrong is labelled too.
    return replace(one, material=ALL)


def _first(project: Project) -> str | None:
    return next((name for name in project.file.candidates if _learns(project, candidate(project, name))), None)


def _learns(project: Project, one: Candidate) -> bool:
    student = one.family.student
    return student is not None and issubclass(student, Student) and project.task.output in student.outputs


def _built_in(project: Project) -> Candidate:
    if project.task.output not in ("label", "labels"):
        raise UsageError(
            f"task.toml names no student that learns output {project.task.output!r}. Add one under [candidates.NAME]: its "
            "answers to what it was not trained on are compared with the labels."
        )
    family: Family = FAMILIES.load("linear")
    settings: Any = load("tutelage.students.linear:LinearSettings")(features="tfidf", effort="low")
    return Candidate(BUILT_IN, "linear", family, settings)
