"""`tutelage label --stale` against the fake endpoint: another prompt, and what people have said meanwhile."""

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
from tutelage.types import Label

N = 12
TASK = """
name = "moods"
output = "label"
labels = ["good", "bad"]
teacher = "big"
instructions = "{instructions}"

[candidates.big]
family = "prompted"
model = "big"
base_url = "{url}"
user = "{{instructions}} {{text}}"

[candidates.linear]
family = "linear"

[prices.big]
input = 1.0
output = 2.0
"""


def answer(asked: str) -> str:
    """The first prompt calls all bad, the second one all good."""
    return json.dumps({"label": "good" if "Better" in asked else "bad"})


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer=answer, models=["big"])) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> Path:
    """Twelve labels of the first prompt; a person has answered four of them, one by the audit; the prompt has changed."""
    write = (tmp_path / "task.toml").write_text
    write(TASK.format(url=server.base_url, instructions="First."))
    rows = [{"text": f"text {at}"} for at in range(N)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("add", tmp_path / "texts.jsonl", "--split", "train", "-C", tmp_path) == 0
    assert run("label", "-C", tmp_path) == 0
    store = open_project(tmp_path).store
    for number, id in enumerate(store.examples.ids("train")[:4]):
        value = "bad" if number == 0 else "good"
        facts: dict[str, Any] = {"annotator": "ann", "verdict": "edit", "suggestion": "bad", "value": value}
        made = Decision(id=str(number), example_id=id, queue="audit" if number == 1 else "errors", **facts)
        store.decisions.add(made, [Label(id, value, "human:ann")])
    store.close()
    write(TASK.format(url=server.base_url, instructions="Better."))
    server.asked.clear()
    capsys.readouterr()
    return tmp_path


def test_stale_labels_are_replaced_and_versions_compared(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("label", "--stale", "--dry-run", "--json", "-C", project) == 0
    would = last_json(capsys)
    assert isinstance(would, dict)
    assert (would["stale"], would["reviewed"], would["calls"]) == (N - 4, 4, N)
    assert would["dollars"] > 0 and server.asked == []

    assert run("label", "--stale", "-C", project, "--json") == 0
    found: Any = last_json(capsys)
    assert len(server.asked) == N
    assert (found["labels"]["answered"], found["asked"], found["reviewed"]) == (N - 4, 4, 4)
    whole = found["all"]
    assert (whole["n"], whole["improved"], whole["worsened"]) == (4, 3, 1)
    assert (whole["before"]["value"], whole["after"]["value"], whole["difference"]["value"]) == (0.25, 0.75, 0.5)
    assert whole["difference"]["low"] < 0.5 < whole["difference"]["high"]
    assert found["audited"]["n"] == 1

    store = open_project(project).store
    ids = store.examples.ids("train")
    given = store.labels.of(ids)
    assert all(
        len({one.source for one in given[id]} - {"human:ann"}) == (1 if at < 4 else 2) for at, id in enumerate(ids)
    )
    assert [one.value for one in store.labels.read("train")] == ["bad"] + ["good"] * (N - 1)
    store.close()


def test_nothing_is_asked_twice(project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("label", "--stale", "--limit", 3, "-C", project) == 0
    said = capsys.readouterr().out
    assert "3 of 8 stale labels replaced" in said and "drawn at random" in said
    assert len(server.asked) == 7
    assert run("label", "--stale", "-C", project) == 0
    assert len(server.asked) == N
    assert run("label", "--stale", "-C", project) == 0
    assert len(server.asked) == N
    assert "0 of 0 stale labels replaced" in capsys.readouterr().out


def test_a_budget_holds_for_both_parts(project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("label", "--stale", "--budget", "0.00001", "-C", project) == 1
    assert "The budget of" in capsys.readouterr().err
    assert server.asked == []


def test_what_has_no_version_or_no_answer_now(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("label", "--stale", "--batch", "-C", project) == 2
    assert "Leave --batch out" in capsys.readouterr().err
