"""`tutelage synthesize` against the fake endpoint, from writing to the gain of a student."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.models.fake import FakeOpenAI, Script
from tutelage.project import open_project

WARM = ["sun", "beach", "summer", "garden", "picnic", "holiday", "sand", "swimming", "icecream", "shade"]
COLD = ["snow", "frost", "winter", "icicle", "sledge", "mittens", "fireplace", "blizzard", "skiing", "shiver"]
OTHER = ["the", "we", "with", "and", "near", "our", "after", "before", "some", "every", "quiet", "little"]


def text_of(kind: str, seed: object) -> str:
    chance = random.Random(str(seed))
    words = chance.sample(WARM if kind == "warm" else COLD, 3) + chance.sample(OTHER, 5)
    chance.shuffle(words)
    return " ".join(words)


CALLS = itertools.count()


def answer(asked: str) -> str:
    """The writer, with something else each time, where inputs are asked for, else the teacher."""
    if "Write" in asked and "new input" in asked:
        label = re.search(r'"(warm|cold)" is the right', asked)
        kind = label.group(1) if label else "warm"
        number, count = next(CALLS), int(re.search(r"Write (\d+)", asked).group(1))  # type: ignore[union-attr]
        return json.dumps({"examples": [{"text": text_of(kind, [number, at])} for at in range(count)]})
    return json.dumps({"label": "warm" if any(word in asked.split() for word in WARM) else "cold"})


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer=answer, delay=0.02)) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "task.toml").write_text(
        f"""
name = "weather"
output = "label"
labels = ["warm", "cold"]
instructions = "What is the weather like?"
teacher = "big"

[candidates.big]
family = "prompted"
model = "big"
base_url = "{server.base_url}"
concurrency = 2

[candidates.linear]
family = "linear"

[candidates.bare]
family = "linear"
synthetic = "leave"

[prices.big]
input = 1.0
output = 2.0
"""
    )
    rows = [
        {"text": text_of(kind, [split, at]), "weather": kind, "split": split}
        for split, n in (("train", 6), ("dev", 15), ("test", 3))
        for kind in ("warm", "cold")
        for at in range(n)
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("add", tmp_path / "texts.jsonl", "-C", tmp_path, "--label", "weather") == 0
    capsys.readouterr()
    return tmp_path


def test_a_dry_run_asks_nothing(project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("synthesize", "-C", project, "--n", 20, "--dry-run") == 0
    assert "Would make 4 calls of 5 inputs" in capsys.readouterr().out
    assert run("synthesize", "-C", project, "--n", 20, "--dry-run", "--per-call", 2, "--json") == 0
    estimate = last_json(capsys)
    assert isinstance(estimate, dict) and estimate["calls"] == 10 and estimate["dollars"] > 0
    assert server.asked == []


def test_from_writing_to_the_gain(project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("synthesize", "-C", project, "--gain", "linear") == 1
    assert "Run: tutelage synthesize" in capsys.readouterr().err
    assert run("synthesize", "-C", project, "--n", 20, "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict) and report["kept"] == report["new"] == 20 and report["problem"] is None
    paid = len(server.asked)
    assert run("synthesize", "-C", project, "--n", 20) == 0
    assert "0 new inputs in train, 20 of 20" in capsys.readouterr().out and len(server.asked) == paid
    assert run("synthesize", "-C", project, "--gain", "linear") == 1
    assert "None of the 20 has a label. Run: tutelage label" in capsys.readouterr().err

    assert run("label", "-C", project, "--json") == 0
    labelled = last_json(capsys)
    assert isinstance(labelled, dict) and labelled["answered"] == 32  # the 12 real ones have gold, not the teacher's
    assert run("synthesize", "-C", project, "--n", 20) == 0
    assert "the teacher labelled 20 of what was written for a label: 20 as asked for" in capsys.readouterr().out

    assert run("train", "-C", project) == 0
    told = capsys.readouterr().out
    assert "linear: trained" in told and "12 gold + 20 teacher labels, 20 of them of synthetic inputs" in told
    assert "bare: trained" in told and "(12 gold labels, 30" in told
    assert run("list", "examples", "-C", project, "--json") == 0
    listed = last_json(capsys)
    assert isinstance(listed, list) and listed[0] == {
        "split": "train",
        "examples": 32,
        "synthetic": 20,
        "writers": {report["writer"]: 20},
    }

    assert run("synthesize", "-C", project, "--gain", "bare") == 1
    assert 'says synthetic = "leave"' in capsys.readouterr().err
    assert run("synthesize", "-C", project, "--gain", "linear", "--repeats", 2) == 0
    told = capsys.readouterr().out
    assert "12 real examples" in told and "20 synthetic ones" in told and "gain per dollar" in told
    assert run("synthesize", "-C", project, "--gain", "linear", "--repeats", 2, "--json") == 0
    found = last_json(capsys)
    assert isinstance(found, dict)
    assert (found["real"], found["synthetic"], found["n"], found["repeats"]) == (12, 20, 30, 2)
    after, before = found["with_synthetic"]["value"], found["without"]["value"]
    assert found["gain"]["value"] == pytest.approx(after - before)
    assert found["gain"]["low"] <= found["gain"]["value"] <= found["gain"]["high"]
    assert found["agreed"]["value"] == 1.0 and found["dollars_as_labels"] >= 20
    parts = found["writing"]["dollars"], found["labelling"]["dollars"]
    assert found["dollars"] == pytest.approx(sum(parts)) and min(parts) > 0
    spent = open_project(project).store.spend.spent("synthesis:big")
    assert found["writing"]["dollars"] == pytest.approx(spent)


def test_the_hard_region_is_where_a_student_and_candidates_doubt(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("synthesize", "-C", project, "--strategy", "region", "--n", 5, "--student", "linear", "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict) and report["kept"] == 5
    prompts = [" ".join(one["content"] for one in body["messages"]) for body in server.bodies]
    store = open_project(project).store
    train = {one.input["text"] for one in store.examples.read("train") if not one.synthetic}
    others = {one.input["text"] for split in ("dev", "test") for one in store.examples.read(split)}
    assert all("easily answered wrongly" in text and any(one in text for one in train) for text in prompts)
    assert not any(one in text for one in others for text in prompts)
    assert run("synthesize", "-C", project, "--strategy", "region", "--student", "big") == 2
    assert "'big' is not a student" in capsys.readouterr().err


def test_who_cannot_write_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("synthesize", "-C", project, "--by", "linear") == 2
    assert "'linear' is of family 'linear' and cannot write" in capsys.readouterr().err
    text = (project / "task.toml").read_text()
    (project / "task.toml").write_text(text.replace('teacher = "big"\n', ""))
    assert run("synthesize", "-C", project) == 2
    assert "name who writes with --by: big" in capsys.readouterr().err
    (project / "task.toml").write_text(text.replace('"leave"', '"drop"'))
    assert run("train", "bare", "-C", project) == 2
    assert "synthetic: input should be 'use' or 'leave', found 'drop'" in capsys.readouterr().err


def test_a_spent_budget_is_one_line_and_exit_code_1(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("synthesize", "-C", project, "--budget", "0.00001") == 1
    told = capsys.readouterr()
    assert "The budget of $0.0000 is used up" in told.err and told.err.count("Error:") == 1
    assert server.asked == []


def test_a_killed_process_loses_nothing_that_was_answered(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "tutelage", "synthesize", "-C", str(project), "--n", "60", "--per-call", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(server.asked) < 8 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    asked = len(server.asked)
    assert 8 <= asked < 30
    store = open_project(project).store
    before = {one.id for one in store.examples.read("train") if one.synthetic}
    assert run("synthesize", "-C", project, "--n", 60, "--per-call", 2, "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict) and report["kept"] == 60
    after = {one.id for one in store.examples.read("train") if one.synthetic}
    assert before < after and len(after) == 60
    # At most the calls under way at the kill are paid for again: two, and two whose answers were on their way.
    calls = Counter(json.dumps([body["messages"], body.get("seed")]) for body in server.bodies)
    assert sum(n > 1 for n in calls.values()) <= 4 and report["reused"] >= asked - 4


def test_synthetic_examples_are_never_scored(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("synthesize", "-C", project, "--n", 5) == 0
    assert run("label", "-C", project) == 0
    store = open_project(project).store
    assert {one.example.split for one in store.labels.read("train") if one.example.synthetic} == {"train"}
    capsys.readouterr()
    assert run("train", "linear", "-C", project) == 0
    assert run("evaluate", "linear", "-C", project, "--split", "train", "--json") in (0, 2)
    told = capsys.readouterr().out.strip().splitlines()[-1]
    if told.startswith("{"):
        assert json.loads(told)["n"] == 12
