from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.cli.test_verbs import run

from tutelage.errors import UsageError
from tutelage.project import Project, open_project
from tutelage.review.next import next_for_certificate, next_for_gain
from tutelage.review.orders import order
from tutelage.students.subset import covering
from tutelage.types import Example, Label

TOML = 'name = "mood"\noutput = "label"\nlabels = ["happy", "sad"]\nfields = ["text"]\ninstructions = "Mood?"\n'
TEXTS = {
    "known": "where is my card",
    "alike": "where is my card now",
    "far": "exchange rates in euro",
    "twin": "exchange rates in euros",
    "other": "top up by cheque",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "task.toml").write_text(TOML)
    project = open_project(tmp_path)
    project.store.examples.add([Example(id, {"text": text}, "train") for id, text in TEXTS.items()])
    project.store.labels.add([Label("known", "sad", "human:ann"), Label("alike", "sad", "teacher:m@1")])
    yield project
    project.store.close()


def test_far_from_the_labelled_and_from_each_other_first(project: Project) -> None:
    found = next_for_gain(project, "train")
    assert {one.example_id for one in found} == TEXTS.keys() - {"known"}
    first = [one.example_id for one in found[:2]]
    assert "other" in first and ("far" in first) != ("twin" in first)
    assert found[0].reason and found[0].reason.endswith("like what is labelled")
    assert found[0].score is not None and found[0].score > 0.9
    assert [one.example_id for one in order(project, "next", "train")][:4] == [one.example_id for one in found]


def test_what_stands_for_many_unsure_ones_comes_first() -> None:
    angles = np.radians([0, 10, 20, 90, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    nothing = np.zeros(5, np.float32)
    taken, gains = covering(vectors, 3, np.ones(5, np.float32), nothing)
    assert taken[0] == 2 and gains[0] == pytest.approx(
        1 + np.cos(np.radians(10)) + np.cos(np.radians(20)) + np.cos(np.radians(70))
    )
    assert list(gains) == sorted(gains, reverse=True)
    taken, _ = covering(vectors, 1, np.array([0.1, 0.1, 0.1, 0.1, 1.0], np.float32), nothing)
    assert taken.tolist() == [4]
    taken, _ = covering(vectors, 1, np.ones(5, np.float32), np.array([1, 1, 1, 0, 1], np.float32))
    assert taken.tolist() == [3]


def test_chance_chooses_for_a_certificate(project: Project) -> None:
    examples = [Example(f"c{number}", {"text": f"number {number}"}, "calibration") for number in range(20)]
    project.store.examples.add(examples)
    project.store.labels.add([Label("c3", "sad", "import"), Label("c4", "sad", "teacher:m@1")])
    found = [one.example_id for one in next_for_certificate(project, "calibration")]
    assert set(found) == {one.id for one in examples} - {"c3"}
    assert found != sorted(found)
    with pytest.raises(UsageError, match="calibration"):
        next_for_certificate(project, "train")


def test_where_none_is_left(project: Project) -> None:
    project.store.labels.add([Label(id, "sad", "import") for id in TEXTS])
    with pytest.raises(UsageError, match="tutelage add"):
        next_for_gain(project, "train")


def test_the_first_of_them_as_the_page_says(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("quality", "--next", 2, "-C", project.folder) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5 and said[-1].endswith("tutelage review --order next --split train")
    assert run("quality", "--next", 2, "--split", "calibration", "-C", project.folder) == 2
    assert "tutelage add" in capsys.readouterr().err
