"""The encoder trained for real on a tiny random base."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny import make_base
from tutelage.errors import TrainingError
from tutelage.students import FAMILIES
from tutelage.students.base import FitContext
from tutelage.students.encoder import EncoderSettings, EncoderStudent
from tutelage.students.finetune.loop import _mean_loss
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.types import Example, Labelled, digest

TASK = LabelTask("topics", ("text",), "", labels=("animal", "colour", "number"))
WORDS = {"animal": ["dog", "owl", "cat", "hen"], "colour": ["red", "blue", "green"], "number": ["one", "two", "six"]}
PLAIN = ["the", "saw", "a", "and", "was", "by"]


def examples(n: int, seed: int, length: int = 8) -> list[Labelled]:
    rng, made = random.Random(seed), []
    for at in range(n):
        label = sorted(WORDS)[at % 3]
        words = [rng.choice(PLAIN) for _ in range(length)]
        words[rng.randrange(length)] = rng.choice(WORDS[label])
        made.append(labelled(" ".join(words), label))
    return made


def labelled(text: str, label: str) -> Labelled:
    return Labelled(Example(digest(text), {"text": text}, "train"), label, "import")


def context(folder: Path) -> FitContext:
    folder.mkdir()
    return FitContext(folder, Path)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    base = make_base(
        tmp_path_factory.mktemp("base"), [*PLAIN, *(word for words in WORDS.values() for word in words)], licence=None
    )
    return EncoderSettings(str(base), epochs=10, learning_rate=5e-3, batch_size=8, max_length=24, threads=1)


@pytest.fixture(scope="module")
def student(settings: EncoderSettings, tmp_path_factory: pytest.TempPathFactory) -> EncoderStudent:
    student = EncoderStudent(TASK, settings)
    facts = student.fit(examples(90, 1), examples(30, 2), context(tmp_path_factory.mktemp("work") / "fit"))
    assert facts["labels"] == 3
    assert facts["base"]["licence"] == "not stated"
    assert facts["chosen_on"] == "dev"
    return student


def test_it_learns_and_says_how_sure_it_is(student: EncoderStudent) -> None:
    test = examples(60, 3)
    predictions = student.predict_batch([one.example.input for one in test])
    assert sum(one.value == p.value for one, p in zip(test, predictions, strict=True)) >= 54
    assert all(p.confidence is not None and 1 / 3 <= p.confidence <= 1 for p in predictions)
    assert student.predict_batch([]) == []


def test_saved_and_loaded_it_answers_the_same(
    student: EncoderStudent, settings: EncoderSettings, tmp_path: Path
) -> None:
    student.save(tmp_path)
    inputs = [one.example.input for one in examples(12, 4)]
    assert EncoderStudent.load(TASK, settings, tmp_path).predict_batch(inputs) == student.predict_batch(inputs)


def test_overlong_and_empty_texts_are_answered(student: EncoderStudent) -> None:
    long = " ".join(["owl dog cat", *PLAIN] * 10)
    predictions = student.predict_batch([{"text": long}, {"text": ""}])
    assert predictions[0].value == "animal"
    assert predictions[1].value in TASK.labels


def test_a_label_with_one_example_is_learned_and_one_without_is_never_predicted(
    settings: EncoderSettings, tmp_path: Path
) -> None:
    train = [one for one in examples(12, 5) if one.value == "animal"] + [labelled("red blue", "colour")]
    student = EncoderStudent(TASK, replace(settings, epochs=2, quantise="none"))
    facts = student.fit(train, [], context(tmp_path / "fit"))
    assert student.answerer and student.answerer.labels == ["animal", "colour"]
    assert "held out of train" in facts["chosen_on"]
    assert {p.value for p in student.predict_batch([one.example.input for one in examples(9, 6)])} <= {
        "animal",
        "colour",
    }


@pytest.mark.parametrize(
    ("train", "message"),
    [([], "found 0 of none"), ([labelled("a dog", "animal"), labelled("an owl", "animal")], "found .* of 'animal'")],
)
def test_too_few_labels_are_one_line(
    settings: EncoderSettings, tmp_path: Path, train: list[Labelled], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        EncoderStudent(TASK, settings).fit(train, [], context(tmp_path / "fit"))


TOPICS = LabelsTask("topics", ("text",), "", labels=("number", "animal", "colour", "shape"))


def sets(n: int, seed: int) -> list[Labelled]:
    """Texts about none, one or several of three topics."""
    rng, made = random.Random(seed), []
    for _ in range(n):
        value = [label for label in TOPICS.labels[:3] if rng.random() < 0.4]
        words = [rng.choice(PLAIN) for _ in range(5)] + [rng.choice(WORDS[label]) for label in value]
        rng.shuffle(words)
        made.append(replace(labelled(" ".join(words), ""), value=value))
    return made


def test_several_labels_or_none(settings: EncoderSettings, tmp_path: Path) -> None:
    student = EncoderStudent(TOPICS, settings)
    facts = student.fit(sets(200, 1), sets(30, 2), context(tmp_path / "fit"))
    assert facts["labels_without_examples"] == ["shape"] and 0 < facts["threshold"] < 1
    test = sets(60, 3)
    found = student.predict_batch([one.example.input for one in test])
    assert sum(one.value == p.value for one, p in zip(test, found, strict=True)) >= 45
    assert any(p.value == [] for p in found)
    assert all(list(p.parts) == ["number", "animal", "colour"] for p in found)
    student.save(tmp_path)
    loaded = EncoderStudent.load(TOPICS, settings, tmp_path)
    assert loaded.predict_batch([one.example.input for one in test]) == found
    long = " ".join(["owl dog cat", *PLAIN] * 10)  # several windows, learned and answered
    windowed = [*sets(30, 4), replace(labelled(long, ""), value=["animal"])]
    EncoderStudent(TOPICS, replace(settings, epochs=1)).fit(windowed, windowed, context(tmp_path / "windows"))


def test_labels_that_count_less_are_learned_less(settings: EncoderSettings, tmp_path: Path) -> None:
    """Half of the labels are the next one; the right ones win where those hardly count, and do not where all count alike."""
    given, labels = examples(60, 7), sorted(WORDS)
    wrong = [replace(one, value=labels[(labels.index(str(one.value)) + 1) % 3], weight=0.01) for one in given]
    student = EncoderStudent(TASK, replace(settings, epochs=6))
    student.fit([*given, *wrong], given, context(tmp_path / "fit"))
    found = student.predict_batch([one.example.input for one in given])
    assert sum(a.value == b.value for a, b in zip(found, given, strict=True)) > 50
    assert sum((a.confidence or 0) > 0.8 for a in found) > 40  # alike, right and wrong would share the probability


def test_weighed_losses_add_up() -> None:
    network, wanted = torch.nn.Linear(3, 3), torch.tensor([[0], [2]])
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    each = [_mean_loss(network, logits[at : at + 1], wanted[at : at + 1]) for at in range(2)]
    assert torch.isclose(_mean_loss(network, logits, wanted), (each[0] + each[1]) / 2)


def test_one_set_of_labels_for_all_is_one_line(settings: EncoderSettings, tmp_path: Path) -> None:
    alike = [replace(one, value=[]) for one in sets(20, 1)]
    with pytest.raises(TrainingError, match="all 20 examples to learn from have no label"):
        EncoderStudent(TOPICS, settings).fit(alike, alike, context(tmp_path / "fit"))


def test_a_student_that_is_not_fitted_says_so(settings: EncoderSettings, tmp_path: Path) -> None:
    student = EncoderStudent(TASK, settings)
    with pytest.raises(TrainingError, match="not fitted"):
        student.predict_batch([{"text": "a"}])
    with pytest.raises(TrainingError, match="not fitted"):
        student.save(tmp_path)


def test_the_family_is_in_the_table() -> None:
    family = FAMILIES.load("encoder")
    assert (family.role, family.student, family.settings) == ("student", EncoderStudent, EncoderSettings)
