"""`tutelage label --batch` against the fake endpoint, killed where it hurts most: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tutelage.models.fake import FakeOpenAI, Script
from tutelage.models.fake_batches import BatchScript
from tutelage.project import open_project
from tutelage.types import Example, digest

pytestmark = pytest.mark.e2e

COUNT = 40
TASK = """
name = "tone"
output = "label"
labels = ["happy", "sad"]
teacher = "teacher"
[prices.fake]
input = 0.15
output = 0.6
[candidates.teacher]
family = "prompted"
model = "fake"
base_url = "{url}"
"""


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer='{"label": "sad"}', batches=BatchScript(polls=2, create_delay=30.0))) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, server: FakeOpenAI) -> Path:
    (tmp_path / "task.toml").write_text(TASK.format(url=server.base_url))
    project = open_project(tmp_path)
    texts = [{"text": f"text {number}"} for number in range(COUNT)]
    project.store.examples.add([Example(digest(input), input, "train") for input in texts])
    project.store.close()
    return tmp_path


def killed_when(folder: Path, happened: Callable[[], bool]) -> None:
    """Start labelling and kill it, without a chance to tidy up, at the moment that something has happened."""
    with subprocess.Popen(command(folder), stdout=subprocess.DEVNULL) as process:
        while not happened():
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        process.kill()


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tutelage", "label", "--batch", "--json", "-C", str(folder)]


def test_killed_at_every_step_it_pays_for_nothing_twice(folder: Path, server: FakeOpenAI) -> None:
    batches = server.batches
    killed_when(folder, lambda: bool(batches.held))  # the batch is made, its name has not been said
    assert batches.script
    batches.script = replace(batches.script, create_delay=0.0, content_delay=30.0)
    killed_when(folder, lambda: any(held.polls for held in batches.held.values()))  # it runs
    killed_when(folder, lambda: batches.downloads > 0)  # the answers are being fetched
    batches.script = replace(batches.script, content_delay=0.0)
    done = subprocess.run(command(folder), check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert (report["problem"], report["waiting"], report["skipped"] + report["answered"]) == (None, 0, COUNT)

    assert len(batches.held) == 1
    paid = server.answered() + Counter(digest(body["messages"][-1]["content"]) for body in batches.bodies)
    assert len(paid) == COUNT and set(paid.values()) == {1}
    project = open_project(folder)
    labels = Counter(found.example.id for found in project.store.labels.read("train", "teacher"))
    usages = project.store.predictions.by_source(report["source"], "train").values()
    assert len(labels) == COUNT and set(labels.values()) == {1}
    dollars = sum(found.usage.dollars or 0.0 for found in usages)
    assert project.store.spend.spent(report["source"]) == pytest.approx(dollars)
    project.store.close()
