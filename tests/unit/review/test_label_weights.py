"""How probably a label is right, learnt from reviewed ones: wrong ones are told, stored, and students can drop them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.errors import TrainingError
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.review.weights import reviewed_labels, weigh
from tutelage.store.qualities import label_key
from tutelage.types import Example, Label

WORDS = {"good": ["sun", "joy", "smile", "cake"], "bad": ["rain", "grief", "tears", "mud"]}
N, REVIEWED, WRONG = 200, 80, 0.2


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Labels by a teacher, a fifth of them wrong; the first REVIEWED are looked at by a person."""
    (tmp_path / "task.toml").write_text(
        'name = "moods"\noutput = "label"\nlabels = ["good", "bad"]\n'
        '[candidates.linear]\nfamily = "linear"\neffort = "low"\nlabels = "teacher"\nquality = "drop"\n'
    )
    project, draw = open_project(tmp_path), random.Random(0)
    for at in range(N):
        gold = draw.choice(("good", "bad"))
        given = {"text": " ".join(draw.choices(WORDS[gold], k=3)) + f" {at}"}
        id = example_id(given)
        said = gold if draw.random() > WRONG else ("bad" if gold == "good" else "good")
        project.store.examples.add([Example(id, given, "train")])
        project.store.labels.add([Label(id, said, "teacher:big@1", note=gold)])
        if at < REVIEWED:
            project.store.labels.add([Label(id, gold, "human:ada")])
    return project


def test_wrong_labels_are_told_from_right_ones_and_dropped(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    report = weigh(project)
    assert report.reviewed == REVIEWED and report.estimated == N - REVIEWED
    assert report.auroc.value > 0.9 and 0.8 < report.auroc.low < report.auroc.high <= 1
    assert report.brier < report.brier_base and report.right.low < report.right.value < report.right.high
    rest = [one for one in reviewed_labels(project, "train") if one.right is None]
    found = project.store.qualities.of([label_key(o.example.id, o.label.source, o.label.value) for o in rest])
    assert len(found) == len(rest) == N - REVIEWED
    told = [
        (found[label_key(one.example.id, one.label.source, one.label.value)] < 0.5)
        == (one.label.value != one.label.note)
        for one in rest
    ]
    assert sum(told) / len(told) > 0.9
    assert report.mean == pytest.approx(1 - WRONG, abs=0.08)
    assert run("train", "-C", project.folder) == 0
    assert "labels left out that are probably wrong" in capsys.readouterr().out


def test_the_verb_prints_how_well_it_tells(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("quality", "--weigh", "-C", project.folder) == 0
    said = capsys.readouterr().out
    assert "people reviewed 80 labels" in said and "AUROC " in said and "n = 80, cross-fitted" in said
    assert run("quality", "--weigh", "-C", project.folder, "--json") == 0
    facts = last_json(capsys)
    assert isinstance(facts, dict) and facts["estimated"] == 120 and facts["auroc"]["low"] > 0.8


def test_what_a_person_rejected_was_wrong_and_what_was_withdrawn_says_nothing(project: Project) -> None:
    some = reviewed_labels(project, "train")[REVIEWED : REVIEWED + 3]
    first, second, third = some
    store = project.store.labels
    store.add([Label(first.example.id, first.label.value, "human:bo", status="rejected")])
    store.add([Label(second.example.id, second.label.value, "human:bo")])
    store.add([Label(second.example.id, second.label.value, "human:bo", status="withdrawn")])
    store.add([Label(third.example.id, third.label.value, "human:bo")])
    found = {one.example.id: one.right for one in reviewed_labels(project, "train")}
    assert [found[one.example.id] for one in some] == [False, None, True]


def test_too_few_reviewed_labels_are_told(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('name = "moods"\noutput = "label"\nlabels = ["good", "bad"]\n')
    with pytest.raises(
        TrainingError, match=r"found 0 right and 0 wrong. At least 5 of each are needed.*tutelage review"
    ):
        weigh(open_project(tmp_path))
