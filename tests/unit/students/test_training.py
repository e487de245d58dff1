"""Training a candidate: skipped when nothing changed, nothing half-written that loads, labels never mixed silently."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pytest

from tutelage.errors import TrainingError, UsageError
from tutelage.labels.splitting import example_id
from tutelage.project import LEARNED_FROM, Project, newest_artefact, open_project
from tutelage.students.base import FitContext, Student
from tutelage.students.training import TrainReport, train
from tutelage.tasks import Task
from tutelage.types import Example, Input, Label, Labelled, Prediction, Split


@dataclass(frozen=True)
class ConstantSettings:
    labels: Literal["gold", "teacher", "any"] = "any"
    seed: int = 0
    fails_at: str = ""


class Constant(Student):
    """Answers the first label it saw."""

    outputs: ClassVar[tuple[str, ...]] = ("label",)
    answer = ""

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        if self.settings.fails_at == "fit":
            raise TrainingError("no")
        if self.settings.fails_at == "first time":
            assert context.checkpoints is not None
            if not context.checkpoints.exists():
                context.checkpoints.mkdir(parents=True)
                raise KeyboardInterrupt
        self.answer = str(train[0].value)
        return {"seen": len(train)}

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [Prediction(self.answer, 1.0) for _ in inputs]

    def save(self, folder: Path) -> None:
        (folder / "answer.txt").write_text(self.answer)
        if self.settings.fails_at == "save":
            raise OSError(28, "No space left on device")

    @classmethod
    def load(cls, task: Task, settings: Any, folder: Path) -> Self:
        student = cls(task, settings)
        student.answer = (folder / "answer.txt").read_text()
        return student


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text('name = "moods"\noutput = "label"\nlabels = ["good", "bad"]\n')
    return open_project(tmp_path)


def fill(project: Project, source: str, value: str = "good", n: int = 3) -> None:
    inputs = [{"text": f"text {at}"} for at in range(n)]
    project.store.examples.add([Example(example_id(one), one, "train") for one in inputs])
    project.store.labels.add([Label(example_id(one), value, source) for one in inputs])


def fit(project: Project, settings: ConstantSettings | None = None) -> TrainReport:
    return train(project, "constant", "constant", Constant, settings or ConstantSettings(), lambda share, shown: None)


def test_a_training_is_done_once_until_data_or_settings_change(project: Project) -> None:
    fill(project, "teacher:big@1")
    first = fit(project)
    assert not first.skipped and first.card["fit"] == {"seen": 3}
    assert fit(project).skipped
    assert not fit(project, ConstantSettings(seed=1)).skipped
    fill(project, "human:ada", "bad")
    last = fit(project, ConstantSettings(seed=1))
    assert not last.skipped and newest_artefact(project, "constant") == last.folder


def test_the_card_counts_whose_labels_were_learned(project: Project) -> None:
    fill(project, "teacher:big@1")
    fill(project, "human:ada", "bad", 1)
    assert fit(project).card["train"]["sources"] == {"human:ada": 1, "teacher:big@1": 2}
    assert fit(project, ConstantSettings(labels="teacher")).card["train"]["origins"] == {"teacher": 3}
    assert fit(project, ConstantSettings(labels="gold")).card["train"]["n"] == 1


def test_the_artefact_lists_the_examples_that_it_learned_from_or_was_chosen_on(project: Project) -> None:
    fill(project, "teacher:big@1")
    splits: tuple[Split, ...] = ("dev", "calibration", "test")
    for split in splits:
        given = {"text": f"a text of {split}"}
        project.store.examples.add([Example(example_id(given), given, split)])
        project.store.labels.add([Label(example_id(given), "good", "human:ada")])
    learned = (fit(project).folder / LEARNED_FROM).read_text().split()
    wanted = [one.id for one in project.store.examples.read() if one.split in ("train", "dev")]
    assert len(wanted) == 4 and learned == sorted(wanted)


@pytest.mark.parametrize(("labels", "remedy"), [("any", "tutelage label"), ("gold", "--label COLUMN")])
def test_without_labels_training_says_what_to_do(project: Project, labels: Any, remedy: str) -> None:
    with pytest.raises(TrainingError, match=f"no example in train has a .*{remedy}"):
        fit(project, ConstantSettings(labels=labels))


def test_a_student_of_another_output_is_a_usage_error(project: Project, tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('name = "names"\noutput = "strings"\n')
    with pytest.raises(UsageError, match="family 'constant' learns output label, this task's is 'strings'"):
        fit(open_project(tmp_path))


def test_a_failed_training_leaves_nothing_that_loads(project: Project) -> None:
    fill(project, "import")
    with pytest.raises(TrainingError, match="no"):
        fit(project, ConstantSettings(fails_at="fit"))
    with pytest.raises(Exception, match=r"could not be saved .* No space left on device"):
        fit(project, ConstantSettings(fails_at="save"))
    assert newest_artefact(project, "constant") is None
    assert list(project.artefacts.iterdir()) == []
    assert [run.status for run in project.store.runs.read("constant")] == ["failed", "failed"]


def test_the_folder_of_a_killed_training_is_cleared_by_the_next(project: Project) -> None:
    fill(project, "import")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = project.artefacts / f".training-{process.pid}-x"
    other = project.artefacts / f".training-{os.getpid()}-y"
    for folder in (left, other):
        (folder / "result").mkdir(parents=True)
    fit(project)
    assert (left.exists(), other.exists()) == (False, True)


def test_checkpoints_outlive_a_broken_off_training_and_go_with_its_end(project: Project) -> None:
    fill(project, "import")
    settings = ConstantSettings(fails_at="first time")
    with pytest.raises(KeyboardInterrupt):
        fit(project, settings)
    kept = list(project.artefacts.glob(".checkpoints-*"))
    assert len(kept) == 1
    fit(project, ConstantSettings())  # other settings, other checkpoints
    assert list(project.artefacts.glob(".checkpoints-*")) == kept
    assert not fit(project, settings).skipped
    assert not list(project.artefacts.glob(".checkpoints-*"))


def test_checkpoints_that_nobody_came_back_for_are_cleared(project: Project) -> None:
    fill(project, "import")
    old = project.artefacts / ".checkpoints-0123"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    fit(project)
    assert not old.exists()
