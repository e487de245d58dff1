"""Points of a curve are trained once, kept one by one, and leave the candidate's artefact alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tutelage.answering.base import Answerer
from tutelage.errors import TrainingError, UsageError
from tutelage.evaluation.candidates import Candidate
from tutelage.evaluation.curve.measuring import CurveOptions, measure_curves
from tutelage.evaluation.curve.points import plan, points
from tutelage.evaluation.curve.table import curves_text
from tutelage.evaluation.harness import example_set
from tutelage.labels.splitting import example_id
from tutelage.project import Project, newest_artefact, open_project
from tutelage.registry import Family
from tutelage.students.base import FitContext, Student
from tutelage.students.family import artefact_id
from tutelage.tasks import Task
from tutelage.types import Example, Input, Label, Labelled, Prediction, Split

LABEL = 'name = "mood"\noutput = "label"\nlabels = ["good", "bad"]\n'
TEXT = 'name = "title"\noutput = "text"\nmetric = "exact_match"\n'


@dataclass(frozen=True)
class Settings:
    labels: str = "any"
    seed: int = 0
    threads: int | None = None


class Knows(Answerer):
    """Answers what it has seen, by the text's last word."""

    def __init__(self, seen: dict[str, str]) -> None:
        self.seen = seen

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Knows:
        raise NotImplementedError

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        found = [self.seen.get(one["text"].split()[-1]) for one in inputs]
        return [Prediction(one, error=None if one else "never seen") for one in found]


class Learner(Student):
    """Learns words by heart; counts its trainings and breaks off where it is told to."""

    outputs: ClassVar[tuple[str, ...]] = ("label", "text")
    trained: ClassVar[list[int]] = []
    contexts: ClassVar[list[FitContext]] = []
    killed_at: ClassVar[int | None] = None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        assert not dev and context.folder.is_dir()
        if len(train) < 3:
            raise TrainingError(f"{len(train)} labelled examples are too few.")
        if len(self.trained) == self.killed_at:
            raise KeyboardInterrupt
        self.trained.append(len(train))
        self.contexts.append(context)
        assert context.checkpoints is not None
        context.checkpoints.mkdir(parents=True, exist_ok=True)
        context.progress(0.5, {"loss": 1.0})
        self.answerer = Knows({one.example.input["text"].split()[-1]: str(one.value) for one in train})
        return {}

    def save(self, folder: Path) -> None:
        raise AssertionError("a point is not saved")


LEARNER = Family("student", Settings, lambda *_: None, artefact_id, Learner)
ONE = Candidate("learner", "learner", LEARNER, Settings())


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    Learner.trained.clear()
    Learner.contexts.clear()
    Learner.killed_at = None
    yield


def project_of(folder: Path, task: str = LABEL, values: Sequence[str] = ("good", "bad")) -> Project:
    (folder / "task.toml").write_text(task)
    project = open_project(folder)
    splits: list[tuple[Split, int]] = [("train", 40), ("dev", 20), ("test", 20)]
    for split, n in splits:
        inputs = [{"text": f"{split} {at} word{at}"} for at in range(n)]
        examples = [Example(example_id(one), one, split) for one in inputs]
        project.store.examples.add(examples)
        project.store.labels.add(
            [Label(e.id, values[int(e.input["text"].split()[1]) % 2], "human:ada") for e in examples]
        )
    return project


def test_a_second_run_trains_nothing(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    examples = example_set(project, "dev")
    planned = plan(project, ONE, (5, 10, 40), repeats=2)
    first, refused = points(project, planned, examples)
    assert Learner.trained == [5, 10, 40, 5, 10, 40] and not refused
    assert [context.seed for context in Learner.contexts] == [0, 0, 0, 1, 1, 1]
    again, _ = points(project, plan(project, ONE, (5, 10, 40), repeats=2), examples)
    assert len(Learner.trained) == 6
    assert [point.predictions for point in again] == [point.predictions for point in first]
    points(project, plan(project, ONE, (5, 20, 40), repeats=2), examples)
    assert Learner.trained[6:] == [20, 20]


def test_what_was_killed_goes_on_at_the_point_that_was_lost(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    examples = example_set(project, "dev")
    planned = plan(project, ONE, (5, 10, 20, 40), repeats=1)
    Learner.killed_at = 2
    with pytest.raises(KeyboardInterrupt):
        points(project, planned, examples)
    assert Learner.trained == [5, 10]
    Learner.killed_at = None
    found, _ = points(project, planned, examples)
    assert Learner.trained == [5, 10, 20, 40] and len(found) == 4


def test_no_artefact_and_no_folder_is_left(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    points(project, plan(project, ONE, (10, 40)), example_set(project, "dev"))
    assert newest_artefact(project, "learner") is None
    assert list(project.artefacts.iterdir()) == []


def test_subsets_are_nested_and_other_labels_are_other_points(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    examples = example_set(project, "dev")
    points(project, plan(project, ONE, (10, 40), 1), examples)
    some = next(project.store.labels.read("train"))
    project.store.labels.add([Label(some.example.id, "bad" if some.value == "good" else "good", "human:ada")])
    points(project, plan(project, ONE, (40,), 1), examples)
    assert Learner.trained == [10, 40, 40]


def test_test_is_another_measurement_than_dev(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    splits: list[Split] = ["dev", "test", "test"]
    for split in splits:
        points(project, plan(project, ONE, (10,), 1), example_set(project, split))
    assert Learner.trained == [10, 10]


def test_sizes_that_are_too_small_are_told_and_the_rest_is_trained(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    found = measure_curves(project, [ONE], example_set(project, "dev"), CurveOptions((2, 5, 40), 1))
    (curve,) = found.curves
    assert [size.size for size in curve.sizes] == [5, 40]
    assert [(one.size, one.reason) for one in curve.refused] == [(2, "2 labelled examples are too few.")]
    text = curves_text(found)
    assert "2 examples, repeat 1: 2 labelled examples are too few." in text
    assert "No curve is fitted: that takes at least three sizes." in text


def test_who_has_no_curve_is_left_out_with_the_reason(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    asked = Candidate("asked", "prompted", Family("llm", Settings, lambda *_: None, lambda *_: None), Settings())
    found = measure_curves(project, [ONE, asked], example_set(project, "dev"), CurveOptions((5, 10, 20, 40), 1))
    assert found.skipped == {"asked": "'asked' has no learning curve: its family 'prompted' is not a student."}
    with pytest.raises(UsageError, match="No candidate has a learning curve"):
        measure_curves(project, [asked], example_set(project, "dev"))


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    project, shares = project_of(tmp_path), list[float]()
    examples = example_set(project, "dev")
    points(project, plan(project, ONE, (5, 10), 2), examples, lambda what, share, shown: shares.append(share))
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert 1 / 8 in shares  # half of the first of four


@pytest.mark.skipif(find_spec("profanity_check") is None, reason="the extra 'toxicity' is not installed")
def test_texts_are_scored_for_toxicity_as_well(tmp_path: Path) -> None:
    project = project_of(tmp_path, TEXT, ("a calm sea", "you are a stupid idiot"))
    found = measure_curves(project, [ONE], example_set(project, "dev"), CurveOptions((10, 20, 40), 2))
    toxic = [size.toxic for size in found.curves[0].sizes]
    assert all(one is not None for one in toxic)
    values = [one.value for one in toxic if one]
    assert values[0] < values[-1] == 0.5  # it answers more of the words, and every second answer is an insult
    assert "alt-profanity-check" in curves_text(found)
