"""What every student family keeps: twenty examples, fit, save, load, the same predictions."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import MissingPackage
from tutelage.registry import Family
from tutelage.students import FAMILIES
from tutelage.students.base import FitContext, Student
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Input, Labelled

PICKLE_NAMES = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin"}
PICKLE_STARTS = tuple(b"\x80" + bytes([version]) for version in range(2, 6))

NAMES = ["Mia", "Tom", "Oskar", "Ada"]
TASKS: dict[str, Task] = {
    "label": LabelTask("mood", ("text",), "", labels=("glad", "sad")),
    "strings": StringsTask("characters", ("text",), "", grounded=True),
}


def examples(output: str) -> list[Labelled]:
    found = []
    for at in range(20):
        name, glad = NAMES[at % 4], at % 2 == 0
        text = f"{name} {'sang and laughed' if glad else 'wept and sighed'} on day {at}"
        value = {"label": "glad" if glad else "sad", "strings": [name]}[output]
        found.append(Labelled(Example(str(at), {"text": text}, "train"), value, "import"))
    return found


def students() -> list[Any]:
    """Every row of the table whose extra is installed and which has something to fit."""
    rows = []
    for name in FAMILIES.rows():
        try:
            family: Family = FAMILIES.load(name)
        except (MissingPackage, ModuleNotFoundError) as error:
            rows.append(pytest.param(name, None, marks=pytest.mark.skip(reason=str(error))))
            continue
        if family.student is None:
            continue
        needs_base = any(
            field.name == "base" and field.default is dataclasses.MISSING
            for field in dataclasses.fields(family.settings)
        )
        marks = [pytest.mark.skipif(needs_base and not find_spec("torch"), reason="the extra 'train' is not installed")]
        rows.append(pytest.param(name, needs_base, marks=marks))
    return rows


def settings(family: Family, needs_base: bool, folder: Path) -> Any:
    if not needs_base:
        return family.settings()
    tiny = importlib.import_module("tests.tiny")  # it needs torch
    texts = [one.example.input["text"] for one in examples("label")]
    return family.settings(base=str(tiny.make_base(folder / "base", texts)), effort="low", threads=1)


class Progress:
    """Keeps the shares it was told."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def __call__(self, share: float, _shown: Mapping[str, object]) -> None:
        self.shares.append(share)


@pytest.mark.parametrize(("name", "needs_base"), students())
def test_contract(name: str, needs_base: bool, tmp_path: Path) -> None:
    family: Family = FAMILIES.load(name)
    assert family.student is not None and family.role == "student"
    kind: type[Student] = family.student
    (tmp_path / "work").mkdir()
    (tmp_path / "base").mkdir()
    given = settings(family, needs_base, tmp_path)
    for output in kind.outputs:
        task, train = TASKS[output], examples(output)
        work, saved = tmp_path / "work" / output, tmp_path / output
        work.mkdir()
        saved.mkdir()
        seen = Progress()
        student = kind(task, given)
        facts = student.fit(train[:16], train[16:], FitContext(work, Path, seen))
        assert isinstance(facts, dict)
        assert all(0 <= share <= 1 for share in seen.shares)
        student.save(saved)
        asked: list[Input] = [one.example.input for one in train] + [{"text": ""}, {"text": "Zoë 雪 " * 100}]
        before = student.predict_batch(asked)
        loaded = kind.load(task, given, saved)
        after = loaded.predict_batch(asked)
        assert after == before
        assert len(after) == len(asked)
        for prediction in after:
            assert prediction.error is None and prediction.value is not None
            assert prediction.confidence is not None and 0 <= prediction.confidence <= 1
            assert task.canonical(prediction.value) == prediction.value
        assert loaded.predict_batch([]) == []
        check_files(saved)


def check_files(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix not in PICKLE_NAMES, path
        assert not path.read_bytes()[:2].startswith(PICKLE_STARTS), path


@pytest.mark.parametrize("start", [*PICKLE_STARTS])
def test_the_check_finds_a_pickle(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(start + b"rest")
    with pytest.raises(AssertionError, match=r"model\.npz"):
        check_files(tmp_path)
