"""The multitask tagger trained for real on a tiny random base: fields from spans, closed sets, lists, saved and loaded."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.tiny import make_base
from tutelage.errors import StoreError, TrainingError
from tutelage.students import FAMILIES
from tutelage.students.base import FitContext
from tutelage.students.multitask import MultitaskSettings, MultitaskStudent
from tutelage.tasks.record import RecordTask
from tutelage.types import Example, Input, Labelled, digest

SCHEMA = {
    "type": "object",
    "properties": {
        "seller": {"type": "string"},
        "day": {"type": "string", "format": "date"},
        "total": {"type": "number"},
        "paid": {"type": "boolean"},
        "things": {"type": "array", "items": {"type": "string"}},
    },
}
TASK = RecordTask("bill", ("text",), "", answer_schema=SCHEMA)
SELLERS, THINGS = ["Ada Lane", "Bo Ltd", "Cy and Sons"], ["tea", "cake", "milk"]
WORDS = [*SELLERS, *THINGS, "from to dated sum is paid open thanks . , Zed", "2025 - 0 1 2 3 4 5 6 7 8 9"]


def bill(rng: random.Random) -> Labelled:
    seller, things = rng.choice(SELLERS), rng.sample(THINGS, rng.randint(0, 2))
    day, total, paid = f"2025-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}", rng.randint(10, 99), rng.random() < 0.5
    lines = [
        f"from {seller}",
        f"dated {day}",
        f"sum is {total}",
        "paid, thanks" if paid else "open",
        " , ".join(things),
    ]
    value = {"seller": seller, "day": day, "total": total, "paid": paid, "things": things}
    return labelled("\n".join(lines), value)


def labelled(text: str, value: dict[str, Any]) -> Labelled:
    return Labelled(Example(digest(text), {"text": text}, "train"), TASK.canonical(value), "human:me")


def bills(n: int, seed: int) -> list[Labelled]:
    rng = random.Random(seed)
    return [bill(rng) for _ in range(n)]


def inputs(examples: list[Labelled]) -> list[Input]:
    return [one.example.input for one in examples]


def context(folder: Path) -> FitContext:
    folder.mkdir()
    return FitContext(folder, Path)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> MultitaskSettings:
    base = make_base(tmp_path_factory.mktemp("base"), WORDS)
    return MultitaskSettings(str(base), epochs=14, learning_rate=5e-3, batch_size=8, threads=1)


class Fitted:
    def __init__(self, settings: MultitaskSettings, folder: Path) -> None:
        self.student = MultitaskStudent(TASK, settings)
        odd = labelled("from Ada Lane\nopen", {"seller": "Zed", "paid": False})
        self.facts = self.student.fit([*bills(120, 1), odd], bills(30, 2), context(folder))


@pytest.fixture(scope="module")
def fitted(settings: MultitaskSettings, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return Fitted(settings, tmp_path_factory.mktemp("work") / "fit")


def test_it_learns_every_kind_of_field(fitted: Fitted) -> None:
    test = bills(40, 3)
    predictions = fitted.student.predict_batch(inputs(test))
    right = [one.value == found.value for one, found in zip(test, predictions, strict=True)]
    assert sum(right) >= 34
    for found in predictions:
        assert set(found.parts) == set(SCHEMA["properties"])
        assert found.confidence == min(found.parts.values())
    assert fitted.student.predict_batch([]) == []


def test_the_card_says_how_each_field_is_read_and_what_stands_nowhere(fitted: Fitted) -> None:
    facts = fitted.facts
    assert {name: one["reading"] for name, one in facts["fields"].items()} == {
        "seller": "text",
        "day": "date",
        "total": "number",
        "paid": "closed set",
        "things": "text",
    }
    assert (facts["values_not_in_text"], facts["values_not_in_text_shown"]) == (1, ["seller: Zed"])
    assert facts["chosen_on"] == "dev"
    assert facts["precision"] == "fp32" or facts["int8_loss"] <= 0.005


def test_saved_and_loaded_it_answers_the_same(fitted: Fitted, settings: MultitaskSettings, tmp_path: Path) -> None:
    test = inputs(bills(10, 4))
    fitted.student.save(tmp_path / "saved")
    again = MultitaskStudent.load(TASK, settings, tmp_path / "saved")
    assert again.predict_batch(test) == fitted.student.predict_batch(test)
    (tmp_path / "saved" / "student.json").unlink()
    with pytest.raises(StoreError, match="Train it again"):
        MultitaskStudent.load(TASK, settings, tmp_path / "saved")


def test_overlong_texts_are_read_to_the_end(fitted: Fitted) -> None:
    text = "\n".join(["open"] * 80 + ["from Bo Ltd"])
    [found] = fitted.student.predict_batch([{"text": text}])
    assert isinstance(found.value, dict) and found.value["seller"] == "Bo Ltd"


def test_the_same_seed_gives_the_same_student(settings: MultitaskSettings, tmp_path: Path) -> None:
    short, answers = replace(settings, epochs=1, quantise="none"), []
    for run in ("a", "b"):
        student = MultitaskStudent(TASK, short)
        facts = student.fit(bills(20, 5), [], context(tmp_path / run))
        assert facts["chosen_on"] == "2 examples held out of train, since dev is empty"
        answers.append(student.predict_batch(inputs(bills(5, 6))))
    assert answers[0] == answers[1]


def test_members_answer_together_and_learn_apart(settings: MultitaskSettings, tmp_path: Path) -> None:
    short, scores, told = replace(settings, epochs=1, quantise="none", members=2), [], []
    for run in ("a", "b"):
        folder = context(tmp_path / run)
        student = MultitaskStudent(TASK, short)
        facts = student.fit(
            bills(20, 5), bills(5, 7), replace(folder, progress=lambda share, shown: told.append((share, shown)))
        )
        assert (facts["members"], len(facts["best_epochs"]), len(facts["dev_scores"])) == (2, 2, 2)
        assert student.answerer is not None
        scores.append([one.parts for one in student.predict_batch(inputs(bills(5, 6)))])
    assert scores[0] == scores[1]
    assert {shown.get("member") for _, shown in told} == {1, 2, None}
    assert [share for share, _ in told[: len(told) // 2]] == sorted(share for share, _ in told[: len(told) // 2])


def test_no_member_is_one_line(settings: MultitaskSettings, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="members = 0 must be 1 or more"):
        MultitaskStudent(TASK, replace(settings, members=0)).fit(bills(5, 1), [], context(tmp_path / "fit"))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (bills(1, 8), "at least 2 labelled examples in train, found 1"),
        ([labelled(f"a {at}", {"seller": f"Z{at}"}) for at in "bcde"], "no field's value stands in the text"),
    ],
)
def test_what_cannot_be_learned_is_one_line(
    settings: MultitaskSettings, tmp_path: Path, train: list[Labelled], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        MultitaskStudent(TASK, settings).fit(train, [], context(tmp_path / "fit"))


def test_a_student_that_is_not_fitted_says_so(settings: MultitaskSettings, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not fitted"):
        MultitaskStudent(TASK, settings).save(tmp_path)


def test_the_family_is_in_the_table() -> None:
    family = FAMILIES.load("multitask-tagger")
    assert (family.role, family.student, family.settings) == ("student", MultitaskStudent, MultitaskSettings)
