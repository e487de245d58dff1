"""Which examples of train are hard: those that answers differ on, then those that a student is least sure of.

The student answers out of fold: it is trained on one half and answers the other, since of what it was trained on it is sure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.curve.points import point
from tutelage.evaluation.curve.subsets import nested
from tutelage.evaluation.harness import ExampleSet
from tutelage.labels.synthesis.strategies import Hard, Seed
from tutelage.project import Project
from tutelage.students.base import Student
from tutelage.students.material import Material
from tutelage.types import Labelled, Prediction, Value, canonical_json

SHARE = 4
"""A quarter of train is the hard region, and whatever else answers differ on."""

Progress = Callable[[float, Mapping[str, object]], None]


def hardest(
    project: Project, seeds: Sequence[Seed], name: str | None = None, progress: Progress = lambda share, shown: None
) -> list[Hard]:
    """The hard ones of `seeds`, the hardest first, by student `name` (default: the first that learns this task) and by the
    stored answers of all candidates. Raises UsageError where nothing says what is hard."""
    student = _student(project, name)
    ids = [one.example.id for one in seeds]
    said = _stored(project, ids)
    unsure: dict[str, float] = {}
    if student is not None:
        for id, prediction in _out_of_fold(project, student, seeds, progress).items():
            said.setdefault(id, []).append(prediction.value)
            unsure[id] = 1.0 - (prediction.confidence if prediction.confidence is not None else 0.5)
    if not said:
        raise UsageError(
            "Nothing says which inputs are hard: no student in task.toml, and no candidate has answered train. Add a student, "
            "or take --strategy seeds."
        )
    found = [_hard(project, one, said.get(one.example.id, ())) for one in seeds]
    ranked = sorted(found, key=lambda one: (-len(one.answers), -unsure.get(one.seed.example.id, 0.0)))
    differ = sum(len(one.answers) > 1 for one in ranked)
    return ranked[: max(differ, -(-len(seeds) // SHARE))]


def _hard(project: Project, one: Seed, said: Sequence[Value | None]) -> Hard:
    """With the distinct answers, the label in force first."""
    values = [value for value in (one.value, *said) if value is not None]
    forms = (value if isinstance(value, str) else canonical_json(project.task.canonical(value)) for value in values)
    return Hard(one, tuple(dict.fromkeys(forms)))


def _student(project: Project, name: str | None) -> Candidate | None:
    """The student that is asked. Raises UsageError for a name that is none."""
    for known in [name] if name else project.file.candidates:
        one = candidate(project, known)
        learns = one.family.student is not None and issubclass(one.family.student, Student)
        if learns and project.task.output in getattr(one.family.student, "outputs", ()):
            return one
        if name:
            raise UsageError(f"{name!r} is not a student that learns output {project.task.output!r}. Name another.")
    return None


def _stored(project: Project, ids: Sequence[str]) -> dict[str, list[Value | None]]:
    """The answers to train that candidates have given before."""
    found: dict[str, list[Value | None]] = {}
    for name in project.file.candidates:
        try:
            key = candidate(project, name).fingerprint(project)
        except TutelageError:
            continue  # it cannot have answered
        for id, prediction in project.store.predictions.read(key, ids).items():
            found.setdefault(id, []).append(prediction.value)
    return found


def _out_of_fold(
    project: Project, student: Candidate, seeds: Sequence[Seed], progress: Progress
) -> dict[str, Prediction]:
    """The student's answers to what it was not trained on; kept in the store, as the points of learning curves are."""
    wanted = student.settings.labels
    labelled = [one for one in project.store.labels.read("train", wanted) if not one.example.synthetic]
    order = nested(labelled, project.task.output, 0)
    middle = len(order) // 2
    halves = [[labelled[at] for at in sorted(part)] for part in (order[:middle], order[middle:])]
    known = {one.example.id for one in labelled}
    others = [Labelled(one.example, "", "") for one in seeds if one.example.id not in known]
    one, found = replace(student, material=Material("leave")), dict[str, Prediction]()
    for at, (learnt, answered) in enumerate((halves, halves[::-1])):
        asked = ExampleSet("train", tuple(answered if at else [*answered, *others]), "nothing")

        def tell(share: float, shown: Mapping[str, object], at: int = at) -> None:
            progress((at + share) / 2, shown)

        predictions = point(project, one, learnt, 0, asked, tell).predictions
        found.update(zip(asked.ids, predictions, strict=True))
    return found
