"""Near-duplicates, contradictions among them, and leaks between splits."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from tests.cascades import refused, run

from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.review.duplicates import conflicts, twins
from tutelage.review.leakage import leakage
from tutelage.store import Decision
from tutelage.types import Example, Label, Split, Value

LONG = "Why was I charged a fee for my transfer to a friend abroad"


def project_of(folder: Path, toml: str = 'output = "label"\nlabels = ["fee", "card"]\n') -> Project:
    (folder / "task.toml").write_text(f'name = "desk"\n{toml}', encoding="utf-8")
    return open_project(folder)


def given(project: Project, text: str, label: Value | None, split: Split = "train") -> str:
    id = example_id({"text": text})
    project.store.examples.add([Example(id, {"text": text}, split)])
    if label is not None:
        project.store.labels.add([Label(id, label, "import")])
    return id


def test_texts_that_are_nearly_the_same_are_found_and_others_are_not(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    first = given(project, LONG, "fee", "test")
    case = given(project, f"  {LONG.upper()} ", "fee", "train")
    word = given(project, f"{LONG}?", "card", "train")
    given(project, "Where is my card", "card")
    found = twins(project)
    assert {(one.first.id, one.second.id): one.share == 1.0 for one in found} == {
        (case, first): True,
        (case, word): False,
    }
    assert found[0].share == 1.0
    (conflict,) = conflicts(project, found)
    assert (conflict.labels, conflict.sources) == (("fee", "card"), ("import", "import"))
    leaks = leakage(project, found)
    assert [(one.first.id, one.second.id) for one in leaks.pairs] == [(case, first)]
    assert [(one.split, one.n, one.leaked) for one in leaks.splits] == [("test", 1, 1)]


def test_calibration_and_test_may_be_alike_dev_and_test_may_not(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    for split, mark in (("calibration", "."), ("test", "!")):
        given(project, LONG + mark, "fee", split)  # type: ignore[arg-type]
    assert len(twins(project)) == 1 and leakage(project, twins(project)).pairs == []
    given(project, LONG + "?", "fee", "dev")
    assert {one.split: one.leaked for one in leakage(project, twins(project)).splits} == {
        "dev": 0,
        "calibration": 1,
        "test": 1,
    }


def test_where_answers_come_from_the_text_only_the_same_text_must_have_the_same(tmp_path: Path) -> None:
    project = project_of(tmp_path, 'output = "strings"\n')
    given(project, f"Ann asks: {LONG}", ["Ann"])
    given(project, f"ann asks: {LONG}", ["Ann", "friend"])
    given(project, f"Tom asks: {LONG}", ["Tom"])
    found = twins(project, 0.7)
    assert len(found) == 2 and [one.labels for one in conflicts(project, found)] == [(["Ann"], ["Ann", "friend"])]


def test_thousands_of_inputs_made_by_one_template_take_seconds(tmp_path: Path) -> None:
    project, chance = project_of(tmp_path), random.Random(1)
    texts = [f"{LONG}, number {chance.random()}" for _ in range(800)]
    project.store.examples.add([Example(example_id({"text": text}), {"text": text}, "train") for text in texts])
    start = time.monotonic()
    found = twins(project, 0.6)
    assert len(found) > 800 and time.monotonic() - start < 60


def test_the_verb_says_it_loudly_and_writes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = project_of(tmp_path)
    for at in range(15):
        given(project, f"the fee number {at * 7919} that was taken", "fee")
        given(project, f"the card number {at * 7919} that was sent", "card")
    wrong = given(project, "=fee that was taken as number 12 of all", "card")
    given(project, LONG, "fee")
    given(project, LONG + "!", "card", "test")
    said = {"annotator": "ada", "verdict": "accept", "suggestion": "fee", "value": "fee", "suggested_by": "import"}
    project.store.decisions.add(Decision(id="one", example_id=example_id({"text": LONG}), tags=("wrong",), **said))  # type: ignore[arg-type]
    for number, verdict in enumerate(("accept", "edit", "accept")):  # another person, who once says otherwise
        id = example_id({"text": f"the fee number {number * 7919} that was taken"})
        for who, said_so in (("ada", "accept"), ("bob", verdict)):
            value = "fee" if said_so == "accept" else "card"
            facts = said | {"annotator": who, "verdict": said_so, "value": value}
            project.store.decisions.add(Decision(id=f"{who} {number}", example_id=id, **facts))  # type: ignore[arg-type]
    where = ("-C", tmp_path, "--out", tmp_path / "out")
    code, message = refused(capsys, "quality", *where, "--near", "0.9")
    assert code == 1 and "what is learned from or chosen on: 1 of 1 test examples" in message
    files = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"quality.json", "errors.csv", "conflicts.csv", "leakage.csv"}
    assert "'=fee that was taken" in files["errors.csv"] and wrong in files["errors.csv"]
    known = json.loads(files["quality.json"])
    assert known["errors"]["n"] == 32 and known["errors"]["suspects"][0]["example_id"] == wrong
    assert len(known["errors"]["suspects"]) == 32 and known["leakage"]["splits"][0]["leaked"] == 1
    assert known["conflicts"][0]["first"]["label"] == "fee" and known["conflicts"][0]["second"]["label"] == "card"
    assert run("quality", "-C", tmp_path, "--no-duplicates", "--top", "1") == 0
    shown = capsys.readouterr().out
    assert "reviewed in train: 4 of 32 examples\n    of 7 suggestions: unchanged 85.7% (95 %: " in shown
    assert "annotators on 3 examples, say the same: 66.7% (95 %: " in shown and "Krippendorff's alpha " in shown
    assert "    tags: 1 wrong" in shown and "right: not known. Review some at random" in shown
    assert "train: 32 examples; 32 by import" in shown and "=fee that was taken as number 12 of all" in shown
    assert run("quality", "-C", tmp_path, "--no-errors", "--near", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["errors"] is None and told["leakage"]["pairs"] == []


def test_of_texts_it_says_that_errors_do_not_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project_of(tmp_path, 'output = "text"\n')
    assert run("quality", "-C", tmp_path) == 0
    assert "Probable label errors: texts have no one right answer" in capsys.readouterr().out
