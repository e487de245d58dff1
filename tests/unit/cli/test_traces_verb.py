"""`tutelage traces` and `tutelage harvest` as a user calls them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.traced import trace
from tests.unit.cli.test_verbs import last_json, run

from tutelage.cli.traces import beginning, following
from tutelage.store import Feedback, Step, Store, Trace, TraceFilter, open_store
from tutelage.types import Usage

TASK = 'name = "colour"\noutput = "label"\nlabels = ["red", "blue"]\ninstructions = "Name it."\n'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "task.toml").write_text(TASK)
    store = open_store(tmp_path / "tutelage.db")
    yield store
    store.close()


def escalated(**facts: Any) -> Trace:
    price = Usage(200, 10, 0.0005, 0.5)
    steps = (
        Step(name="tagger", seconds=0.004, answer="blue", confidence=0.4),
        Step(name="gpt", role="audit", seconds=0.5, usage=price, answer="red"),
        Step(name="other", error="HTTP 500"),
    )
    return trace(
        **{
            "task": "colour",
            "source": "teacher:gpt@1",
            "confidence": 0.4,
            "threshold": 0.8,
            "input": {"text": "The [bold] house\nis red"},
            "output": "red",
            "steps": steps,
            "usage": price,
            "first": 0.1,
            "seconds": 0.51,
            "nanodollars": 500_000,
            "accounts": ("key:k1:2026-11",),
            **facts,
        }
    )


def test_traces_are_listed_as_a_table_or_as_lines_of_json(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("traces", "list", "-C", tmp_path) == 0
    assert capsys.readouterr().out == "No such trace.\n"
    made = [escalated(), escalated(status=502, error="All failed", nanodollars=None), trace(cache="hit", input="hello")]
    store.traces.add(made)
    assert run("traces", "list", "-C", tmp_path) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 5
    assert [one.id[:16] in line for one, line in zip(reversed(made), out[2:], strict=True)] == [True] * 3
    assert "200 up" in out[4] and "0.40" in out[4] and "0.000500" in out[4] and "The [bold] house is red" in out[4]
    assert "502" in out[3] and "All failed" in out[3]
    assert run("traces", "list", "-C", tmp_path, "--escalated", "--since", "1h", "--contains", "HOUSE", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == [made[1].id, made[0].id]
    assert lines[1]["steps"][1]["usage"]["dollars"] == 0.0005
    assert run("traces", "list", "-C", tmp_path, "--errors", "--limit", 1, "--json") == 0
    assert last_json(capsys)["id"] == made[1].id  # type: ignore[index]


def test_the_whole_way_of_one_is_shown(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = escalated(note="repaired once")
    store.traces.add([one])
    store.feedback.add(Feedback(trace=one.id, verdict="corrected", who="ada", value="blue", note="it is night"))
    assert run("traces", "show", one.id[:20], "-C", tmp_path) == 0
    out = capsys.readouterr().out
    for part in (
        "escalated=yes",
        "note=repaired once",
        "step 1: tagger, 0.004 s, confidence 0.4\n        blue",
        "step 2: gpt (audit), 0.500 s, 200 + 10 tokens, $0.000500\n        red",
        "step 3: other, 0.000 s\n        HTTP 500",
        "output: red",
        "200 + 10 tokens, 0.510 s, 0.100 s to the first token, $0.000500 on key:k1:2026-11",
        "ada: corrected blue (it is night)",
    ):
        assert part in out, out
    assert run("traces", "show", f"chatcmpl-{one.id}", "-C", tmp_path, "--json") == 0
    assert last_json(capsys)["feedback"][0]["value"] == "blue"  # type: ignore[index]
    store.traces.add([trace(one.id[:31] + ("0" if one.id[31] != "0" else "1"))])
    assert run("traces", "show", one.id[:31], "-C", tmp_path) == 2
    assert "is the beginning of several traces" in capsys.readouterr().err
    assert run("traces", "show", "ffff", "-C", tmp_path) == 2
    assert "There is no trace 'ffff'" in capsys.readouterr().err


def test_feedback_is_given(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = escalated()
    store.traces.add([one])

    def say(*words: str) -> int:
        return run("traces", "feedback", one.id, *words, "-C", tmp_path)

    assert say("--right", "--by", "ada") == 0
    assert capsys.readouterr().out == f"{one.id}: right, says ada\n"
    assert say("--right", "--by", "ada") == 0
    assert capsys.readouterr().out == "ada has said so already.\n"
    assert say("--corrected", '["a", "b"]', "--note", "why") == 0
    assert say("--preferred", "red", "--json") == 0
    assert last_json(capsys)["value"] == "red"  # type: ignore[index]
    assert [(said.verdict, said.value, said.who) for said in store.feedback.of([one.id])[one.id]] == [
        ("right", None, "ada"),
        ("corrected", ["a", "b"], "cli"),
        ("preferred", "red", "cli"),
    ]
    assert say() == say("--wrong", "--corrected", "x") == say("--corrected", "[a") == 2
    err = capsys.readouterr().err
    assert "Say one thing" in err and "is no JSON" in err


def test_what_comes_in_is_followed(store: Store) -> None:
    store.traces.add([escalated()])
    found, new = following(store, TraceFilter(task="colour")), escalated()
    late = threading.Timer(0.3, lambda: store.traces.add([new, trace()]))
    late.start()
    assert next(found).id == new.id
    late.join()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"role": "user", "content": "a\n b"}], "a b"),
        ({"title": "a", "body": "b"}, '{"title": "a", "body": "b"}'),
        ("x" * 60, "x" * 49 + "…"),
        (None, "(not kept)"),
    ],
)
def test_the_beginning_of_an_input_is_one_line(value: object, expected: str) -> None:
    assert beginning(value) == expected


def test_harvest_says_what_it_took(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("harvest", "-C", tmp_path) == 0
    assert "Nothing was asked of this task yet" in capsys.readouterr().out
    made = [escalated(input={"text": f"house {number}"}) for number in range(50)]
    store.traces.add([*made, escalated(input=None), escalated(input={"text": "house 1"}, output="green")])
    store.feedback.add(Feedback(trace=made[7].id, verdict="corrected", who="ada", value="blue"))
    assert run("harvest", "-C", tmp_path, "--n", 10, "--dry-run") == 0
    assert "would add" in capsys.readouterr().out
    assert run("harvest", "-C", tmp_path, "--n", 10) == 0
    out = capsys.readouterr().out
    assert out.startswith("52 traces of 'colour': 50 inputs, 1 hold no input, 1 answers do not fit the task\ntaken: ")
    assert "teacher:gpt@1" in out
    assert run("harvest", "-C", tmp_path, "--n", 10, "--json") == 0
    again: Any = last_json(capsys)
    assert (again["added"], again["labels"]) == (0, {})
    other = tmp_path / "other.db"
    open_store(other).close()
    assert run("harvest", "-C", tmp_path, "--traces", other, "--json") == 0
    assert last_json(capsys)["traces"] == 0  # type: ignore[index]
