"""What a student learns from: quality weighs or drops labels, a subset is diverse and in proportion, and the card tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract import labelled

from tutelage.errors import TaskFileError, TrainingError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.store.qualities import label_key
from tutelage.students.features import fit_features
from tutelage.students.linear import LinearSettings, LinearStudent
from tutelage.students.logistic import regression
from tutelage.students.material import ALL, Material, chosen, data_of, material_of
from tutelage.students.setfit import SetFitStudent
from tutelage.students.subset import facility_location, shares, subset_of
from tutelage.students.training import train
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Label, Split

TASK = LabelTask("moods", ("text",), "", labels=("good", "bad"))
GOOD, BAD = ("sunny happy day", "lovely warm morning"), ("dark gloomy night", "cold wet evening")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(
        'name = "moods"\noutput = "label"\nlabels = ["good", "bad"]\n'
        '[candidates.all]\nfamily = "linear"\n[candidates.few]\nfamily = "linear"\nmost = 6\n'
        '[candidates.odd]\nfamily = "linear"\nquality = "much"\n'
    )
    return open_project(tmp_path)


def fill(project: Project, source: str = "import", n: int = 12, wrong: int = 0, split: Split = "train") -> list[str]:
    """Half good and half bad texts, the first `wrong` of them with the other label."""
    inputs = [{"text": f"{(GOOD, BAD)[at % 2][at // 2 % 2]} {at}"} for at in range(n)]
    ids = [example_id(one) for one in inputs]
    project.store.examples.add([Example(id, one, split) for id, one in zip(ids, inputs, strict=True)])
    values = [("good", "bad")[(at % 2) ^ (at < wrong)] for at in range(n)]
    project.store.labels.add([Label(id, value, source) for id, value in zip(ids, values, strict=True)])
    project.store.qualities.put(
        {
            label_key(id, source, value): 0.1 if at < wrong else 0.9
            for at, (id, value) in enumerate(zip(ids, values, strict=True))
        },
        "test",
    )
    return ids


def learn(project: Project, material: Material = ALL) -> Any:
    settings = LinearSettings(effort="low")
    return train(project, "all", "linear", LinearStudent, settings, lambda share, shown: None, material)


def test_labels_that_are_probably_wrong_are_dropped_or_weigh_little(project: Project) -> None:
    fill(project, wrong=3)
    dropped = learn(project, Material(quality="drop"))
    assert dropped.card["train"]["n"] == 9 and dropped.card["train"]["quality"] == {"estimated": 12, "dropped": 3}
    assert dropped.card["material"] == {"quality": "drop"}
    weighed = learn(project, Material(quality="weigh"))
    assert weighed.card["train"]["n"] == 12
    assert weighed.card["train"]["quality"] == {"estimated": 12, "mean_weight": pytest.approx(0.7)}
    every = learn(project)
    assert "quality" not in every.card["train"] and "material" not in every.card
    assert len({one.card["data_fingerprint"] for one in (dropped, weighed, every)}) == 3
    assert (
        learn(project, Material(quality="weigh")).skipped is False and learn(project, Material(quality="weigh")).skipped
    )


def test_weights_change_what_linear_learns() -> None:
    rows = [
        labelled("aa bb", "good", "1"),
        labelled("aa bb", "bad", "2"),
        labelled("cc", "good", "3"),
        labelled("dd", "bad", "4"),
    ]

    def says(weight: float) -> float:
        given = [replace(one, weight=weight if one.example.id == "2" else 1.0) for one in rows]
        parts = ("words",)
        student = LinearStudent(TASK, LinearSettings())
        features = fit_features(parts, [one.example.input["text"] for one in given], None)
        data = student._data(features, parts, given)
        weights = regression(parts, [10.0], data)[0]
        return float(weights.probabilities(data.rows)[0][list(weights.classes).index("good")])

    assert says(1.0) == pytest.approx(0.5, abs=1e-3) and says(0.1) > 0.7 and says(0.0) > says(0.1)


def test_a_persons_label_counts_in_full_whatever_was_estimated(project: Project) -> None:
    ids = fill(project, "human:ada", wrong=3)
    with pytest.raises(TrainingError, match="no label in train has an estimate"):
        learn(project, Material(quality="drop"))
    fill(project, "teacher:big@1", n=1)
    project.store.examples.add([Example("x", {"text": "one more"}, "train")])
    project.store.labels.add([Label("x", "good", "import")])
    project.store.qualities.put({label_key("x", "import", "good"): 0.2}, "test")
    found = material_of(project, "all", LinearStudent, LinearSettings(), Material(quality="weigh")).train
    assert {one.example.id: one.weight for one in found} == {id: 1.0 for id in ids} | {"x": 0.2}


def test_what_cannot_be_is_refused_in_one_line(project: Project) -> None:
    fill(project)
    with pytest.raises(UsageError, match=r'quality = "weigh" is for linear and encoder'):
        material_of(project, "few", SetFitStudent, LinearSettings(), Material(quality="weigh"))
    with pytest.raises(TrainingError, match=r"no label in train reaches least_quality = 0\.95"):
        learn(project, Material(quality="drop", least_quality=0.95))
    with pytest.raises(TrainingError, match="train has 2 labels, each of which needs an example"):
        learn(project, Material(most=1))
    with pytest.raises(TaskFileError, match=r"\[candidates.odd\]: quality: input should be .*found 'much'"):
        candidate(project, "odd")


def test_a_students_settings_say_how_many_are_learnt_from(project: Project) -> None:
    fill(project)
    one = candidate(project, "few")
    assert one.material == Material(most=6) and candidate(project, "few", {"most": 4}).material.most == 4
    student = one.family.student
    assert student is not None
    report = train(project, "few", "linear", student, one.settings, lambda share, shown: None, one.material)
    assert report.card["train"]["n"] == 6 and report.card["train"]["chosen"] == {"of": 12, "by": "diverse"}


def test_pseudo_labels_are_learnt_from_alone_and_chosen_on_what_is_known(project: Project) -> None:
    fill(project, "weak:rules@1")
    fill(project, "import", n=2)
    found = material_of(project, "all", LinearStudent, LinearSettings(labels="weak"), ALL)
    assert {one.source for one in found.train} == {"weak:rules@1"} and len(found.train) == 12
    with pytest.raises(TrainingError, match="no example in train has a teacher's label"):
        material_of(project, "all", LinearStudent, LinearSettings(labels="teacher"), ALL)


def test_a_subset_takes_one_of_each_kind_before_it_takes_two_of_one() -> None:
    texts = ["red apple pie"] * 5 + ["blue ocean wave"] * 5 + ["green forest path"] * 2
    rows = [labelled(f"{text} {at}", "good", str(at)) for at, text in enumerate(texts)]
    found = subset_of(TASK, rows, 3, "diverse", {}, 0)
    assert len({one.example.input["text"].split()[0] for one in found}) == 3
    assert subset_of(TASK, rows, 3, "diverse", {}, 0) == found
    drawn = [subset_of(TASK, rows, 3, "random", {}, seed) for seed in range(5)]
    assert all(len(one) == 3 for one in drawn) and len({tuple(e.example.id for e in one) for one in drawn}) > 1


def test_of_equally_telling_examples_the_one_that_is_probably_right_is_taken() -> None:
    rows = [labelled("red apple pie", "good", str(at)) for at in range(4)]
    assert [one.example.id for one in subset_of(TASK, rows, 1, "diverse", {"0": 0.2, "1": 0.3, "3": 0.1}, 0)] == ["2"]


def test_shares_sum_to_what_was_asked_for_and_leave_nobody_out() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        sizes = draw.integers(1, 40, draw.integers(1, 8)).tolist()
        most = int(draw.integers(len(sizes), sum(sizes) + 1))
        found = shares(sizes, most)
        assert sum(found) == most and all(1 <= count <= size for count, size in zip(found, sizes, strict=True))


def test_the_lazy_choice_is_the_greedy_one() -> None:
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(40, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    right, alike = draw.random(40), np.maximum(vectors @ vectors.T, 0)
    covered, wanted = np.zeros(40, np.float32), list[int]()
    for _ in range(10):
        gains = np.maximum(alike - covered[:, None], 0).sum(axis=0) * right
        gains[wanted] = -1
        wanted.append(int(gains.argmax()))
        covered = np.maximum(covered, alike[:, wanted[-1]])
    assert facility_location(vectors, 10, right).tolist() == wanted


def test_an_examples_weight_is_part_of_the_fingerprint_where_it_is_not_one(project: Project) -> None:
    fill(project, wrong=1)
    plain = material_of(project, "all", LinearStudent, LinearSettings(), ALL).train
    weighed, _ = chosen(project, "all", LinearStudent, plain, Material(quality="weigh"), 0)
    assert all(len(one) == 2 for one in data_of(plain))
    assert sorted(one[-1]["weight"] for one in data_of(weighed))[:2] == [0.1, 0.9]
