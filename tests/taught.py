"""A project with a trained candidate, for families that learn from another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.tiny import make_base
from tutelage.evaluation.candidates import candidate
from tutelage.project import Project, open_project
from tutelage.students.training import train
from tutelage.types import Label, Labelled

TASK = """name = "{name}"
output = "label"
labels = {labels}
[candidates.teacher]
family = "encoder"
base = "base"
effort = "low"
threads = 1
keep_weights = true
{more}
"""


def encoder_project(folder: Path, examples: Sequence[Labelled], more: str = "") -> Project:
    """`examples`, of which those with a label have it, and an `encoder` of a tiny base trained on them, called "teacher"."""
    labels = sorted({str(one.value) for one in examples})
    make_base(folder / "base", [one.example.input["text"] for one in examples])
    (folder / "task.toml").write_text(TASK.format(name="mood", labels=labels, more=more), encoding="utf-8")
    project = open_project(folder)
    project.store.examples.add([one.example for one in examples])
    project.store.labels.add([Label(one.example.id, one.value, one.source) for one in examples])
    fit(project, "teacher")
    return project


def fit(project: Project, name: str) -> dict[str, object]:
    """Train a candidate of `project`; its card."""
    one = candidate(project, name)
    assert one.family.student is not None
    return dict(train(project, name, one.family_name, one.family.student, one.settings, lambda *_: None).card)
