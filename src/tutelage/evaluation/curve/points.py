"""The points of a curve: a student trained on some of the examples, and its answers. Every point is kept in the store."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from tutelage.errors import StoreError, TrainingError, UsageError
from tutelage.evaluation.asking import CHUNK
from tutelage.evaluation.candidates import Candidate
from tutelage.evaluation.curve.subsets import nested, sizes_for, subset
from tutelage.evaluation.harness import ExampleSet
from tutelage.project import Project
from tutelage.students.base import FitContext, Student
from tutelage.students.material import data_of, material_of
from tutelage.students.training import clear_killed
from tutelage.types import Input, Labelled, Prediction, digest

REPEATS = 3

Tell = Callable[[str, float, Mapping[str, object]], None]
"""Told what is being trained, the share of all points that is done, and what to show."""


class Point(NamedTuple):
    """One training. `seconds` are those of `fit`; the predictions are in the order of the examples scored on."""

    size: int
    repeat: int
    seconds: float
    predictions: list[Prediction]


class Refused(NamedTuple):
    """A size that the student does not learn from, and why."""

    size: int
    repeat: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """What is trained for one candidate: `sizes` of `train`, each `repeats` times with other subsets and seeds."""

    candidate: Candidate
    train: Sequence[Labelled]
    sizes: Sequence[int]
    repeats: int

    @property
    def trainings(self) -> Iterator[tuple[int, int]]:
        """Sizes and repeats, one whole curve after the other, the small sizes first."""
        return ((size, repeat) for repeat in range(self.repeats) for size in self.sizes)


def plan(project: Project, one: Candidate, sizes: Sequence[int] = (), repeats: int = REPEATS) -> Plan:
    """The plan for `one`. Raises UsageError for a candidate without training, TrainingError without labels."""
    student = one.family.student
    if student is None or not issubclass(student, Student):
        raise UsageError(f"{one.name!r} has no learning curve: its family {one.family_name!r} is not a student.")
    if project.task.output not in student.outputs:
        wanted = " or ".join(student.outputs)
        raise UsageError(f"{one.name!r} learns output {wanted}, this task's is {project.task.output!r}.")
    train = material_of(project, one.name, student, one.settings, one.material).train
    return Plan(one, train, sizes_for(len(train), sizes), repeats)


def points(
    project: Project, plan: Plan, examples: ExampleSet, tell: Tell = lambda what, share, shown: None
) -> tuple[list[Point], list[Refused]]:
    """All points of the plan. What was trained before on the same data with the same settings is not trained again."""
    found, refused = [], []
    orders = [nested(plan.train, project.task.output, seed) for seed in range(plan.repeats)]
    trainings = list(plan.trainings)
    for done, (size, repeat) in enumerate(trainings):
        what = f"{plan.candidate.name}: {size} examples, repeat {repeat + 1} of {plan.repeats}"

        def progress(share: float, shown: Mapping[str, object], what: str = what, done: int = done) -> None:
            tell(what, (done + share) / len(trainings), shown)

        progress(0.0, {})
        chosen = subset(plan.train, orders[repeat], size)
        try:
            found.append(point(project, plan.candidate, chosen, repeat, examples, progress))
        except TrainingError as error:
            refused.append(Refused(size, repeat, str(error)))
        progress(1.0, {})
    return found, refused


def point(
    project: Project,
    one: Candidate,
    train: Sequence[Labelled],
    repeat: int,
    examples: ExampleSet,
    progress: Callable[[float, Mapping[str, object]], None],
) -> Point:
    """The point of these examples, from the store or trained now. Raises TrainingError where `train` does not allow it."""
    settings = replace(one.settings, seed=one.settings.seed + repeat)
    key = _key(project, one, settings, train)
    facts = project.store.measurements.get(key, examples.split)
    stored = project.store.predictions.read(key, examples.ids) if facts else {}
    if facts and len(stored) == len(set(examples.ids)):
        return Point(len(train), repeat, facts["seconds"], [stored[id] for id in examples.ids])
    seconds, predictions = _trained(project, one, settings, (train, examples, key), progress)
    told = [replace(p, source=f"{one.name}:curve") for p in predictions]
    project.store.predictions.add(key, list(zip(examples.ids, told, strict=True)))
    # Last, because it says that the point is whole.
    facts = {"kind": "learning-curve", "candidate": one.name, "size": len(train), "repeat": repeat, "seconds": seconds}
    project.store.measurements.put(key, examples.split, facts)
    return Point(len(train), repeat, seconds, told)


def _key(project: Project, one: Candidate, settings: Any, train: Sequence[Labelled]) -> str:
    """Hash of everything that decides what is learnt."""
    student: type[Student] = cast("type[Student]", one.family.student)
    task = [project.task.output, list(project.task.fields), project.task.schema(), *project.task.reading()]
    depends = student.depends(one.name, settings, project)
    return digest(["learning-curve", one.family_name, asdict(settings), depends, task, data_of(train)])


def _trained(
    project: Project,
    one: Candidate,
    settings: Any,
    data: tuple[Sequence[Labelled], ExampleSet, str],
    progress: Callable[[float, Mapping[str, object]], None],
) -> tuple[float, list[Prediction]]:
    """Train in a folder that goes again, so that the candidate's artefact stays what it is. Returns seconds and answers.

    The student gets no dev to choose on: it holds out some of the examples that are counted. So dev, where it is scored,
    is new to it, and every label that it used is in the size.
    """
    train, examples, key = data
    student: Student = cast("type[Student]", one.family.student)(project.task, settings)
    try:
        project.artefacts.mkdir(parents=True, exist_ok=True)
        clear_killed(project.artefacts)
        work = Path(tempfile.mkdtemp(prefix=f".training-{os.getpid()}-", dir=project.artefacts))
    except OSError as error:
        raise StoreError(f"{project.artefacts} cannot be written: {error.strerror}. Make it writable.") from None
    checkpoints = project.artefacts / f".checkpoints-{key}"
    try:
        begun = time.perf_counter()
        context = FitContext(work, project.path, progress, settings.seed, one.name, project, checkpoints)
        student.fit(train, [], context)
        seconds = time.perf_counter() - begun
        predictions = _answers(student, [e.example.input for e in examples.examples])
        shutil.rmtree(checkpoints, ignore_errors=True)
    finally:
        if closing := getattr(student.answerer, "close", None):
            closing()
        shutil.rmtree(work, ignore_errors=True)
    return round(seconds, 3), predictions


def _answers(student: Student, inputs: Sequence[Input]) -> list[Prediction]:
    parts = range(0, len(inputs), CHUNK)
    return [found for start in parts for found in student.predict_batch(inputs[start : start + CHUNK])]
