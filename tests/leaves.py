"""The contract's last part: whatever a family saves leaves as a wheel, and answers from it as it does here."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tutelage.exporting.leaving import Leaving
from tutelage.exporting.wheel import FORBIDDEN, make_wheel
from tutelage.students.base import Student
from tutelage.tasks import Task
from tutelage.types import Input

ALONE = f"""
import runpy, sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {("tutelage", *FORBIDDEN)!r}: raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Gone())
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def check_leaves(student: Student, task: Task, settings: Any, saved: Path, asked: list[Input]) -> None:
    """Values, confidences and errors are the same in a process that has neither this package nor torch."""
    folder = saved.with_name("20260102-030405-000006-abcdef")
    shutil.copytree(saved, folder)
    card = {"candidate": "one", "family": "f", "settings": asdict(settings), "train": {}, "dev": {}, "fit": {}}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    left = Leaving("one", "f", folder, card, task, student.answers_by, None, "", "")
    home = saved.with_name("home")
    with zipfile.ZipFile(io.BytesIO(make_wheel(left).content)) as wheel:
        wheel.extractall(home)
    (home / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked), encoding="utf-8")
    call = [sys.executable, "-c", ALONE, left.package, "predict", "in.jsonl"]
    done = subprocess.run(call, cwd=home, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = student.predict_batch(asked)
    assert done.returncode == any(one.value is None for one in wanted), done.stderr
    found = [(line["value"], line["confidence"], line["error"]) for line in lines]
    assert found == [(one.value, one.confidence, one.error) for one in wanted]
