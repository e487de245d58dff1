"""The contract that every student family keeps: who takes part, and what is checked.

A new family is one row of CASES. A family that needs torch names the maker in `tests.tiny` of its random base and is
checked by tests/integration/test_torch_contract.py, the others by tests/unit/students/test_student_contract.py.
"""

from __future__ import annotations

import importlib
import inspect
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.leaves import check_leaves
from tutelage.errors import MissingPackage, TrainingError
from tutelage.project import Project
from tutelage.registry import Family
from tutelage.students import FAMILIES
from tutelage.students.base import FitContext, Student
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask
from tutelage.types import Example, Input, Labelled, Prediction, Value

NAMES = ["Mia", "Tom", "Oskar", "Ada"]
SCHEMA = {
    "type": "object",
    "required": ["who"],
    "properties": {"who": {"type": "string"}, "day": {"type": "integer"}, "mood": {"enum": ["glad", "sad"]}},
}


@dataclass(frozen=True)
class Case:
    """How a family takes part. `base` is a maker of `tests.tiny`, called with a folder and, if it takes them, texts."""

    base: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """Where it needs another task of an output kind than TASKS has."""
    rows: Callable[[str], list[Labelled]] | None = None
    """Where it needs other examples of an output kind than `examples`."""
    slow: bool = False
    """It trains for seconds, so that it is no unit test, though it needs no torch."""
    writes: bool = False
    """It writes its answers freely: one that cannot be read is failed, with an error."""
    checked: tuple[str, ...] = ()
    """The output kinds that are checked; all unless given."""
    project: str | None = None
    """Where it learns from a candidate "teacher": the maker in `tests.taught` of the project that has it."""


TASKS: dict[str, Task] = {
    "label": LabelTask("mood", ("text",), "", labels=("glad", "sad")),
    "labels": LabelsTask("topics", ("text",), "", labels=("song", "tears", "tea")),
    "strings": StringsTask("characters", ("text",), "", grounded=True),
    "record": RecordTask("note", ("text",), "", answer_schema=SCHEMA),
    "text": TextTask("title", ("text",), ""),
}

QUICK = {"effort": "low", "threads": 1}
CASES: dict[str, Case] = {
    "linear": Case(),
    "encoder": Case("make_base", QUICK),
    "spacy": Case(settings={"effort": "low", "steps": 20}, slow=True),
    "white-box": Case(settings={**QUICK, "of": "teacher"}, slow=True, project="encoder_project"),
    "setfit": Case("make_base", {**QUICK, "pairs": 64}),
    "tagger": Case("make_base", QUICK),
    "multitask-tagger": Case("make_base", QUICK),
    "seq2seq": Case("make_t5", {**QUICK, "method": "full", "epochs": 1}, writes=True),
    "causal": Case("make_causal", {**QUICK, "epochs": 2}, writes=True, checked=("strings", "record")),
    "soft-prompt": Case("make_causal", {**QUICK, "epochs": 2}, writes=True, checked=("label", "text")),
}


def examples(output: str) -> list[Labelled]:
    """Twenty labelled examples."""
    found = []
    for at in range(20):
        name, glad = NAMES[at % 4], at % 2 == 0
        tea = at % 3 == 0
        text = f"{name} {'sang and laughed' if glad else 'wept and sighed'}{' over tea' if tea else ''} on day {at}"
        values: dict[str, Value] = {
            "label": "glad" if glad else "sad",
            "labels": (["song"] if glad else ["tears"]) + (["tea"] if tea else []) if at % 5 else [],
            "strings": [name],
            "record": {"who": name, "day": at, "mood": "glad" if glad else "sad"},
            "text": f"{name} {'sings' if glad else 'weeps'}",
        }
        found.append(labelled(text, values[output], str(at)))
    return found


def labelled(text: str, value: Value, id: str) -> Labelled:
    return Labelled(Example(id, {"text": text}, "train"), value, "import")


class Lesson:
    """What one family is given for one output kind."""

    def __init__(self, name: str, output: str, folder: Path) -> None:
        family: Family = FAMILIES.load(name)
        assert family.student is not None and family.role == "student"
        case = CASES[name]
        self.kind: type[Student] = family.student
        self.task = case.tasks[output] if output in case.tasks else TASKS[output]
        self.train = (case.rows or examples)(output)
        self.writes = case.writes
        self.folder = folder
        given = dict(case.settings)
        if case.base:
            maker = getattr(importlib.import_module("tests.tiny"), case.base)  # it needs torch
            takes = inspect.signature(maker).parameters
            known = [[one.example.input["text"] for one in self.train]] if "texts" in takes else []
            (folder / "base").mkdir(parents=True)
            given["base"] = str(maker(folder / "base", *known))
        self.project: Project | None = None
        if case.project:
            (folder / "project").mkdir(parents=True)
            maker = getattr(importlib.import_module("tests.taught"), case.project)
            self.project = maker(folder / "project", self.train)
        self.settings = family.settings(**given)

    def fit(
        self,
        train: Sequence[Labelled],
        dev: Sequence[Labelled],
        progress: Callable[[float, Mapping[str, object]], None] = lambda share, shown: None,
    ) -> tuple[Student, dict[str, Any]]:
        work = self.folder / f"work-{len(list(self.folder.glob('work-*')))}"
        work.mkdir(parents=True)
        student = self.kind(self.task, self.settings)
        return student, student.fit(train, dev, FitContext(work, Path, progress, project=self.project))


def outputs() -> list[tuple[str, str]]:
    """Every family of CASES whose packages are installed, with each output kind it learns."""
    found = []
    for name in CASES:
        try:
            learnt = FAMILIES.load(name).student.outputs
            found += [(name, output) for output in CASES[name].checked or learnt]
        except (MissingPackage, ModuleNotFoundError):
            continue
    return found


def check_contract(lesson: Lesson) -> None:
    """Fit, save, load, the same predictions; again with the same seed, the same; nothing saved is a pickle."""
    shares: list[float] = []
    student, facts = lesson.fit(lesson.train[:16], lesson.train[16:], lambda share, _: shares.append(share))
    assert isinstance(facts, dict)
    assert shares and all(0 <= share <= 1 for share in shares) and shares[-1] == 1
    saved = lesson.folder / "saved"
    saved.mkdir()
    student.save(saved)
    asked: list[Input] = [one.example.input for one in lesson.train] + [{"text": ""}, {"text": "Zoë 雪 " * 100}]
    found = student.predict_batch(asked)
    loaded = lesson.kind.load(lesson.task, lesson.settings, saved)
    assert loaded.predict_batch(asked) == found
    check_predictions(lesson, found, len(asked))
    assert loaded.predict_batch([]) == []
    check_files(saved)
    again, _ = lesson.fit(lesson.train[:16], lesson.train[16:])
    assert again.predict_batch(asked) == found
    check_leaves(loaded, lesson.task, lesson.settings, saved, [one for one in asked if one["text"]])


def check_predictions(lesson: Lesson, found: Sequence[Prediction], n: int) -> None:
    assert len(found) == n
    for prediction in found:
        if lesson.writes and prediction.value is None:
            assert prediction.error and "\n" not in prediction.error
            continue
        assert prediction.error is None and prediction.value is not None
        assert prediction.confidence is not None and 0 <= prediction.confidence <= 1
        assert all(0 <= one <= 1 for one in (*prediction.parts.values(), *prediction.signals.values()))
        assert lesson.task.canonical(prediction.value) == prediction.value


def check_bad_input(lesson: Lesson) -> None:
    """Whatever is wrong with the examples: one clear line, or it learns from the rest and answers."""
    one_of_a_kind = [one for one in lesson.train if one.value != lesson.train[1].value] + lesson.train[1:2]
    contradicted = [*lesson.train, *(replace(one, value=lesson.train[0].value) for one in lesson.train[1:7])]
    alike = [replace(one, value=lesson.train[0].value) for one in lesson.train]
    for train in (lesson.train[:1], one_of_a_kind, contradicted, alike, []):
        try:
            student, _ = lesson.fit(train, lesson.train[16:])
        except TrainingError as error:
            assert "\n" not in str(error) and len(str(error)) < 400, error
            assert len(train) != len(contradicted), error
            continue
        assert train, "learnt from nothing"
        check_predictions(lesson, student.predict_batch([{"text": "Tom sang"}, {"text": ""}]), 2)


PICKLE_NAMES = {".pkl", ".pickle", ".joblib", ".pt", ".pth"}
PICKLE_STARTS = tuple(b"\x80" + bytes([version]) for version in range(2, 6))


def check_files(folder: Path) -> None:
    """No pickle, nor an archive with one in it, as torch.save writes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix not in PICKLE_NAMES, path
        assert not path.read_bytes()[:2].startswith(PICKLE_STARTS), path
        if zipfile.is_zipfile(path):
            held = zipfile.ZipFile(path).namelist()
            assert not [one for one in held if Path(one).suffix in PICKLE_NAMES], path
