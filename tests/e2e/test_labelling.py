"""`tutelage label` against the fake endpoint, killed and resumed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutelage.project import open_project
from tutelage.types import Example, digest

pytestmark = pytest.mark.e2e

COUNT, DELAY, KILLS = 240, 0.1, 3
TASK = """
name = "tone"
output = "label"
labels = ["happy", "sad"]
instructions = "Is the text happy or sad?"
teacher = "teacher"
[prices.fake]
input = 0.15
output = 0.6
[candidates.teacher]
family = "prompted"
model = "{model}"
base_url = "{url}"
concurrency = 8
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "asked.jsonl"


@pytest.fixture
def url(log: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tutelage.models.fake", "--log", str(log), "--delay", str(DELAY)]
    command += ["--answer", '{"label": "sad"}', "--fault", "cut=0.03", "--fault", "malformed=0.03"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def make(folder: Path, url: str, model: str = "fake") -> list[str]:
    """A project of COUNT examples, and the command that labels them."""
    (folder / "task.toml").write_text(TASK.format(url=url, model=model))
    project = open_project(folder)
    texts = [{"text": f"text {number}"} for number in range(COUNT)]
    project.store.examples.add([Example(digest(input), input, "train") for input in texts])
    project.store.close()
    return [sys.executable, "-m", "tutelage", "label", "--json", "-C", str(folder)]


def stored(folder: Path) -> set[str]:
    with sqlite3.connect(folder / "tutelage.db") as database:
        return {id for (id,) in database.execute("SELECT example_id FROM labels")}


def test_killed_and_resumed_it_asks_for_no_stored_answer_again(tmp_path: Path, url: str, log: Path) -> None:
    command = make(tmp_path, url)
    kills: list[tuple[float, set[str]]] = []
    for number in range(1, KILLS + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while len(stored(tmp_path)) < number * COUNT // (KILLS + 1):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        process.kill()
        process.wait()
        kills.append((time.time(), {digest(text) for text in texts_of(tmp_path, stored(tmp_path))}))
    done = subprocess.run([*command, "--budget", "100"], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["problem"] is None

    asked = [json.loads(line) for line in log.read_text().splitlines()]
    for moment, had in kills:
        assert had and not [a for a in asked if a["message"] in had and a["time"] > moment + DELAY]
    with sqlite3.connect(tmp_path / "tutelage.db") as database:
        counts = Counter(id for (id,) in database.execute("SELECT example_id FROM labels"))
    assert len(counts) == COUNT and set(counts.values()) == {1}


def texts_of(folder: Path, ids: set[str]) -> list[str]:
    project = open_project(folder)
    try:
        return [example.input["text"] for example in project.store.examples.read() if example.id in ids]
    finally:
        project.store.close()


def test_an_endpoint_that_is_down_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = make(tmp_path, "http://127.0.0.1:9/v1")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr and len(done.stderr.strip().splitlines()) == 1
