"""Probable label errors: exchanged labels come first, in every output kind, by answers to what was not trained on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from tutelage.errors import TrainingError, UsageError
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.review.claims import claims
from tutelage.review.errors import find_errors, scored
from tutelage.review.folds import BUILT_IN, Unseen, cut, unseen
from tutelage.review.orders import order
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Example, Label, Labelled, Prediction, Split, Value

WORDS = {"card": "card plastic chip pin", "money": "cash coins euro notes", "phone": "call ring dial number"}
HEAD = 'name = "desk"\nlabels = ["card", "money", "phone"]\n'


def texts(kind: str, n: int) -> list[str]:
    chance = random.Random(kind)
    return [f"{' '.join(chance.choices(WORDS[kind].split(), k=5))} {at}" for at in range(n)]


def labelled(project: Project, given: Mapping[str, Value], split: Split = "train") -> dict[str, str]:
    """Ids by text."""
    ids = {text: example_id({"text": text}) for text in given}
    project.store.examples.add([Example(id, {"text": text}, split) for text, id in ids.items()])
    project.store.labels.add([Label(ids[text], value, "teacher:big@1") for text, value in given.items()])
    return ids


def project_of(folder: Path, toml: str) -> Project:
    (folder / "task.toml").write_text(HEAD + toml, encoding="utf-8")
    return open_project(folder)


def test_exchanged_labels_come_first_and_the_order_is_kept(tmp_path: Path) -> None:
    project = project_of(tmp_path, 'output = "label"\n')
    given: dict[str, Value] = {text: kind for kind in WORDS for text in texts(kind, 20)}
    wrong = {"card": "money", "money": "phone", "phone": "card"}
    exchanged = [text for kind in WORDS for text in texts(kind, 20)[:2]]
    given |= {text: wrong[str(given[text])] for text in exchanged}
    ids = labelled(project, given)
    told: list[float] = []
    found = find_errors(project, "train", progress=lambda share, shown: told.append(share))
    first = {one.example_id for one in found.suspects[:6]}
    assert first == {ids[text] for text in exchanged} and told[-1] == 1.0
    assert (found.student, found.trained_on, found.n) == (BUILT_IN, "4 of 5 parts of train", 60)
    flagged = {one.example_id for one in found.suspects if one.flagged}
    assert first <= flagged and len(flagged) == found.flagged <= 8 and found.share.low < 0.1 < found.share.high
    worst = found.suspects[0]
    assert f"; built-in says {worst.said} (" in worst.reason and worst.reason.startswith(f"labelled {worst.label} (")
    queue = order(project, "errors", "train")
    assert [one.example_id for one in queue] == [one.example_id for one in found.suspects]
    assert (queue[0].score, queue[0].reason) == (worst.score, worst.reason)
    # A second look trains nothing, and says the same.
    runs = len(list(project.artefacts.glob("*")))
    assert find_errors(project, "train") == found and len(list(project.artefacts.glob("*"))) == runs
    # Labels of another split are judged by all of train, also where all are the same.
    labelled(project, {f"{text} again": "money" for text in texts("card", 20)}, "dev")
    other = find_errors(project, "dev")
    assert (other.trained_on, other.n, other.flagged) == ("train", 20, 0)
    assert sum(one.said == "card" for one in other.suspects) >= 18


def test_several_labels_are_each_looked_at(tmp_path: Path) -> None:
    project = project_of(tmp_path, 'output = "labels"\n')
    given: dict[str, Value] = {text: [kind] for kind in WORDS for text in texts(kind, 20)}
    both = [f"{one} {other}" for one, other in zip(texts("card", 20), texts("money", 20), strict=True)]
    given |= {text: ["card", "money"] for text in both} | {both[0]: ["card"]}
    ids = labelled(project, given)
    worst = find_errors(project, "train").suspects[0]
    assert worst.example_id == ids[both[0]] and worst.reason.startswith(
        "money is left out, with which built-in agrees by 0."
    )


def test_strings_and_records_are_looked_at_claim_by_claim() -> None:
    task = StringsTask("names", ("text",), "", grounded=True)
    answer = Prediction(["Ann", "Tom"], 0.9, parts={"Ann": 0.95, "Tom": 0.8})
    found = {one.words: (one.given, round(one.right, 6)) for one in claims(task, ["ann", "Bob"], answer)}
    assert found == {
        "ann: it is unsure": (True, 0.95),
        "Bob: it does not find that": (True, 0.1),
        "Tom: it finds that too": (False, 0.2),
    }
    schema = {"type": "object", "properties": {"total": {"type": "number"}, "name": {"type": ["string", "null"]}}}
    record = RecordTask("bills", ("text",), "", answer_schema=schema)
    said = Prediction({"total": 120.0, "name": None}, 0.9, parts={"total": 0.97, "name": 0.9})
    both = claims(record, {"total": 12, "name": None}, said)
    assert [(one.given, round(one.right, 6)) for one in both] == [(True, 0.03), (False, 0.03), (True, 0.9)]
    assert both[0].words == "total: 12; it says 120.0"
    assert claims(task, ["Ann"], Prediction(None, error="it failed")) == []


def test_wrong_fields_of_records_come_first() -> None:
    """Answers drawn as a student that is right as often as it says would give them."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("who", "where", "what")}}
    task, chance = RecordTask("bills", ("text",), "", answer_schema=schema), random.Random(4)
    labels, answers, wrong = [], [], set()
    for at in range(400):
        truth = {name: f"{name} {chance.randrange(50)}" for name in ("who", "where", "what")}
        parts = {name: chance.betavariate(9, 0.5) for name in truth}
        said = {name: value if chance.random() < parts[name] else "other" for name, value in truth.items()}
        value = dict(truth)
        if at % 20 == 3:
            value[chance.choice(list(value))] = "a slip"
            wrong.add(f"{at:032x}")
        labels.append(Labelled(Example(f"{at:032x}", {"text": str(at)}, "train"), value, "teacher:big@1"))
        answers.append(Prediction(said, min(parts.values()), parts=parts))
    ranked = sorted(scored(task, Unseen("multi", "train", labels, answers)), key=lambda one: one.score)
    first = {one.example_id for one in ranked[:40]}
    assert len(first & wrong) >= 14  # at random 2
    assert ": a slip; it says " in ranked[0].reason and all(0 <= one.score <= 1 for one in ranked)
    flagged = [one for one in ranked if one.flagged]
    assert 10 <= len(flagged) <= 90 and sum(one.example_id in wrong for one in flagged) >= 10
    # Who agrees everywhere, or fails, flags nothing.
    same = [Prediction(one.value, 0.9) for one in labels]
    assert not any(one.flagged for one in scored(task, Unseen("multi", "train", labels, same)))
    failed = [Prediction(None, error="it failed") for _ in labels]
    assert {one.score for one in scored(task, Unseen("multi", "train", labels, failed))} == {1.0}


def test_groups_stay_whole_and_parts_hold_each_answer_alike() -> None:
    def one(at: int, group: str | None = None) -> Labelled:
        return Labelled(Example(f"{at:032x}", {"text": str(at)}, "train", group), "ab"[at % 2], "import")

    examples = [one(at) for at in range(20)] + [one(at, "together") for at in range(20, 26)]
    parts = cut(examples, 5)
    assert cut(examples[::-1], 5) == parts and sum(map(len, parts)) == 26
    assert sum(any(each.example.group for each in part) for part in parts) == 1
    alone = [[each.value for each in part if not each.example.group] for part in parts]
    assert all(part.count("a") == 2 and part.count("b") == 2 for part in alone)


def test_what_cannot_be_looked_at_says_why(tmp_path: Path) -> None:
    project = project_of(tmp_path, 'output = "label"\n[candidates.teacher]\nfamily = "replay"\nfile = "t.jsonl"\n')
    with pytest.raises(TrainingError, match="'train' has 0 labelled examples: too few"):
        find_errors(project, "train")
    with pytest.raises(UsageError, match="'teacher' is not a student that learns output 'label'"):
        unseen(project, "train", "teacher")
    for output, reason in (
        ("text", "no one right answer"),
        ("strings", "names no student that learns output 'strings'"),
    ):
        folder = tmp_path / output
        folder.mkdir()
        (folder / "task.toml").write_text(f'name = "x"\noutput = "{output}"\n')
        with pytest.raises(UsageError, match=reason):
            find_errors(open_project(folder), "train")
