"""`tutelage prompts revise` against the fake endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.models.fake import FakeOpenAI, Script
from tutelage.project import open_project
from tutelage.store import Decision

TASK = """
name = "moods"
output = "label"
labels = ["good", "bad"]
teacher = "big"
instructions = "Say how it feels."

[candidates.big]
family = "prompted"
model = "big"
base_url = "{url}"
repairs = 0

[candidates.fixed]
family = "prompted"
model = "big"
base_url = "{url}"
user = "Think. {{text}}"
system = ""

[candidates.linear]
family = "linear"
"""
NEW = "Say how it feels.\nIrony is bad."


def answer(asked: str) -> str:
    if "instructions" in asked.lower():
        assert "Kind of mistake: irony" in asked and "text 1" in asked and "secret" not in asked
        return json.dumps({"text": NEW})
    return json.dumps({"label": "good"})


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer=answer, models=["big"])) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "task.toml").write_text(TASK.format(url=server.base_url))
    rows = [{"text": f"text {at}", "split": "train"} for at in range(4)] + [{"text": "secret", "split": "test"}]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("add", tmp_path / "texts.jsonl", "-C", tmp_path) == 0
    assert run("label", "--split", "all", "-C", tmp_path) == 0
    capsys.readouterr()
    return tmp_path


def review(project: Path) -> None:
    store = open_project(project).store
    train, test = store.examples.ids("train"), store.examples.ids("test")
    source = store.labels.counts()[0][0]
    for id, verdict, tags in [
        (train[0], "accept", ()),
        (train[1], "edit", ("irony",)),
        (train[2], "reject", ()),
        (test[0], "edit", ("irony",)),
    ]:
        value = {"edit": "bad", "accept": "good"}.get(verdict)
        facts: dict[str, Any] = {"verdict": verdict, "value": value, "tags": tags}
        store.decisions.add(
            Decision(id=id, example_id=id, annotator="ann", suggestion="good", suggested_by=source, **facts)
        )
    store.close()


def test_mistakes_become_new_instructions_in_a_file(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    review(project)
    before = (project / "task.toml").read_text()
    server.asked.clear()
    assert run("prompts", "revise", "--dry-run", "-C", project) == 0
    said = capsys.readouterr().out
    assert "2 mistakes found by people on train" in said and "irony: 1" in said and "(no tag): 1" in said
    assert server.asked == []

    assert run("prompts", "revise", "-C", project) == 0
    said = capsys.readouterr().out
    assert "+Irony is bad." in said and "tutelage label --stale" in said
    assert (project / "instructions-big.txt").read_text() == NEW + "\n"
    assert (project / "task.toml").read_text() == before
    assert len(server.asked) == 1
    assert run("prompts", "revise", "-C", project) == 2
    assert "--force" in capsys.readouterr().err
    assert run("prompts", "revise", "big", "--force", "--json", "-C", project) == 0
    found: Any = last_json(capsys)
    assert found["instructions"] == NEW and found["tags"] == {"irony": 1, "(no tag)": 1}
    assert len(found["shown"]) == 2


def test_what_cannot_be_revised_is_one_line(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("prompts", "revise", "-C", project) == 1
    assert "Nobody has found a mistake" in capsys.readouterr().err
    review(project)
    assert run("prompts", "revise", "fixed", "-C", project) == 2
    assert "does not say {{ instructions }}" in capsys.readouterr().err
    assert run("prompts", "revise", "linear", "-C", project) == 2
    assert "Candidates that are: big, fixed" in capsys.readouterr().err
