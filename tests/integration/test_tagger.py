"""The tagger trained for real on a tiny random base: it learns, survives saving, and refuses what it cannot learn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.tiny import make_base
from tutelage.answering import spans
from tutelage.errors import StoreError, TrainingError
from tutelage.students import FAMILIES
from tutelage.students.base import FitContext
from tutelage.students.tagger import TaggerSettings, TaggerStudent
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Input, Labelled, Split, digest

TASK = StringsTask("names", ("text",), "", grounded=True)
NAMES = ["Patty", "Oliver", "Mrs. Finch", "Bo Lee", "Zed"]
PLAIN = ["the", "dog", "ran", "to", "a", "house", "and", "sang", "while", "it", "saw", "red", "boats"]


def story(rng: random.Random, length: int = 12) -> Labelled:
    names = rng.sample(NAMES, rng.randint(0, 2))
    words = [rng.choice(PLAIN) for _ in range(length)]
    for name in names:
        words.insert(rng.randrange(len(words)), name)
    text = " ".join(words) + "."
    return labelled({"text": text}, sorted(names, key=text.index))


def labelled(input: Input, value: list[str], split: Split = "train") -> Labelled:
    return Labelled(Example(digest(input), input, split), value, "human:me")


def stories(n: int, seed: int) -> list[Labelled]:
    rng = random.Random(seed)
    return [story(rng) for _ in range(n)]


def context(folder: Path, shown: list[float] | None = None) -> FitContext:
    folder.mkdir()
    return FitContext(folder, Path, lambda share, _facts: None if shown is None else shown.append(share))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), [*NAMES, *PLAIN, "."])


@pytest.fixture(scope="module")
def settings(base: Path) -> TaggerSettings:
    return TaggerSettings(str(base), epochs=12, learning_rate=5e-3, batch_size=8, max_length=32, threads=1)


class Fitted:
    def __init__(self, settings: TaggerSettings, folder: Path) -> None:
        self.shares: list[float] = []
        self.student = TaggerStudent(TASK, settings)
        train = [*stories(80, 1), labelled({"text": "the dog sang ."}, ["Nobody"])]
        self.facts = self.student.fit(train, stories(20, 2), context(folder, self.shares))


@pytest.fixture(scope="module")
def fitted(settings: TaggerSettings, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return Fitted(settings, tmp_path_factory.mktemp("work") / "fit")


def inputs(examples: Sequence[Labelled]) -> list[Input]:
    return [one.example.input for one in examples]


def test_it_learns(fitted: Fitted) -> None:
    test = stories(40, 3)
    predictions = fitted.student.predict_batch(inputs(test))
    right = [set(one.value) == set(p.value or []) for one, p in zip(test, predictions, strict=True)]
    assert sum(right) >= 36
    assert all(p.confidence is not None and 0 <= p.confidence <= 1 for p in predictions)
    assert fitted.student.predict_batch([]) == []


def test_the_card_says_what_happened(fitted: Fitted) -> None:
    facts = fitted.facts
    assert facts["strings_not_in_text"] == 1
    assert facts["strings_not_in_text_shown"] == ["Nobody"]
    assert facts["chosen_on"] == "dev"
    assert facts["base"]["licence"] == "apache-2.0"
    assert facts["dev_scores"][facts["best_epoch"] - 1] == max(facts["dev_scores"])
    assert facts["int8"].keys() == facts["fp32"].keys() == {"dev_score", "megabytes"}
    assert facts["precision"] == "fp32" or facts["int8_loss"] <= 0.005
    assert facts["merge_dev_scores"].keys() == {"none", "contained"}
    assert sorted(fitted.shares) == fitted.shares
    assert fitted.shares[-1] == 1.0


def test_saved_and_loaded_it_answers_the_same(fitted: Fitted, settings: TaggerSettings, tmp_path: Path) -> None:
    test = inputs(stories(10, 4))
    fitted.student.save(tmp_path / "saved")
    again = TaggerStudent.load(TASK, settings, tmp_path / "saved")
    assert again.predict_batch(test) == fitted.student.predict_batch(test)
    assert again.answerer and fitted.student.answerer and again.answerer.merge == fitted.student.answerer.merge
    (tmp_path / "saved" / "student.json").unlink()
    with pytest.raises(StoreError, match="Train it again"):
        TaggerStudent.load(TASK, settings, tmp_path / "saved")


def test_overlong_texts_are_read_to_the_end(fitted: Fitted) -> None:
    long = {"text": " ".join([*PLAIN * 20, "Patty", *PLAIN * 20, "Zed", "saw", "boats"])}
    [prediction] = fitted.student.predict_batch([long])
    assert prediction.value == ["Patty", "Zed"]


def test_an_empty_text_has_no_names(fitted: Fitted) -> None:
    [empty, short] = fitted.student.predict_batch([{"text": ""}, {"text": "dog"}])
    assert (empty.value, empty.confidence) == ([], 1.0)
    assert short.value == []


def test_without_dev_a_part_is_held_out_and_the_same_seed_gives_the_same_student(
    settings: TaggerSettings, tmp_path: Path
) -> None:
    one_epoch = replace(settings, epochs=2, quantise="none", max_length=10)
    train, answers = stories(30, 5), []
    for run in ("a", "b"):
        student = TaggerStudent(TASK, one_epoch)
        facts = student.fit(train, [], context(tmp_path / run))
        assert facts["chosen_on"] == "3 examples held out of train, since dev is empty"
        assert facts["precision"] == "fp32"
        assert (facts["merge"], list(facts["merge_dev_scores"])) == ("none", ["none"])
        assert facts["windows"] > 27
        answers.append(student.predict_batch(inputs(stories(10, 6))))
    assert answers[0] == answers[1]


def test_short_forms_are_learned_and_merged_where_the_labels_hold_one_entry_each(
    settings: TaggerSettings, tmp_path: Path
) -> None:
    rng, train = random.Random(0), []
    for at in range(60):
        first, plain = ["Patty", "Oliver", "Zed"][at % 3], rng.sample(PLAIN, 8)
        whole = at % 2 == 0
        text = " ".join(
            [*plain[:3], f"{first} Lee" if whole else first, *plain[3:], *([first, "ran"] if whole else [])]
        )
        train.append(labelled({"text": text}, [f"{first} Lee" if whole else first]))
    student = TaggerStudent(TASK, replace(settings, quantise="none"))
    facts = student.fit(train, train, context(tmp_path / "fit"))
    assert (facts["short_forms_learned"], facts["merge"]) == (30, "contained")
    answers = student.predict_batch([{"text": "the dog saw Zed Lee and Zed ran"}, {"text": "a house and Zed ran"}])
    assert [answer.value for answer in answers] == [["Zed Lee"], ["Zed"]]


@pytest.mark.parametrize(("allowed", "precision"), [(1.0, "int8"), (-1.0, "fp32")])
def test_int8_is_kept_as_far_as_the_loss_allows(
    settings: TaggerSettings, tmp_path: Path, allowed: float, precision: str
) -> None:
    student = TaggerStudent(TASK, replace(settings, epochs=1, max_int8_loss=allowed))
    facts = student.fit(stories(10, 8), stories(5, 9), context(tmp_path / "fit"))
    assert facts["precision"] == precision
    assert ("int8-mixed" in facts) == (precision == "fp32")
    assert student.predict_batch([{"text": "the dog"}])[0].value is not None


def test_several_fields_and_forced_int8(settings: TaggerSettings, tmp_path: Path) -> None:
    task = StringsTask("names", ("title", "text"), "", grounded=True)
    train = [labelled({"title": "Patty", "text": one.example.input["text"]}, ["Patty"]) for one in stories(60, 7)]
    student = TaggerStudent(task, replace(settings, quantise="int8", epochs=20))
    facts = student.fit(train, train, context(tmp_path / "fit"))
    assert facts["precision"] == "int8"
    assert student.predict_batch([{"title": "Patty", "text": "the dog"}])[0].value == ["Patty"]


@pytest.mark.parametrize(
    ("grounded", "train", "message"),
    [
        (False, stories(4, 8), "Set: grounded = true"),
        (True, [], "at least 2 labelled examples in train, found 0"),
        (True, stories(1, 8), "at least 2 labelled examples in train, found 1"),
        (
            True,
            [labelled({"text": "a b"}, []), labelled({"text": "c"}, ["Zed"])],
            "no labelled string stands in the text",
        ),
    ],
)
def test_what_cannot_be_learned_is_one_line(
    settings: TaggerSettings, tmp_path: Path, grounded: bool, train: list[Labelled], message: str
) -> None:
    student = TaggerStudent(StringsTask("names", ("text",), "", grounded=grounded), settings)
    with pytest.raises(TrainingError, match=message):
        student.fit(train, [], context(tmp_path / "fit"))


@pytest.mark.parametrize("base", ["./not-here", "/nor/here"])
def test_a_base_that_does_not_exist_is_one_line(base: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^base = .* does not exist: there is no folder .*\.$"):
        TaggerStudent(TASK, TaggerSettings(base)).fit(stories(4, 9), [], context(tmp_path / "fit"))


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"^base = .* cannot be loaded: "):
        TaggerStudent(TASK, TaggerSettings(str(tmp_path / "empty"))).fit(stories(4, 9), [], context(tmp_path / "fit"))


def test_a_student_that_is_not_fitted_says_so(settings: Any, tmp_path: Path) -> None:
    student = TaggerStudent(TASK, settings)
    with pytest.raises(TrainingError, match="not fitted"):
        student.predict_batch([{"text": "a"}])
    with pytest.raises(TrainingError, match="not fitted"):
        student.save(tmp_path)


def test_the_family_is_in_the_table() -> None:
    family = FAMILIES.load("tagger")
    assert (family.role, family.student, family.settings) == ("student", TaggerStudent, TaggerSettings)
    assert spans.TAGS[spans.B] == "B"
