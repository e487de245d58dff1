"""Projects with a router of recorded models that are right about different questions, for tests of its certificate."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

from tests.cascades import run
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.types import Example, Label, Split

COUNTS: Mapping[Split, int] = {"dev": 150, "calibration": 400, "test": 60}
KINDS = {"easy": "Hello, how are you", "hard": "Compute the sum of 12 + 30"}
HEAD = """name = "kinds"
output = "label"
labels = ["yes", "no"]
[candidates.small]
family = "replay"
file = "small.jsonl"
[candidates.large]
family = "replay"
file = "large.jsonl"
"""
ROUTER = '[candidates.{name}]\nfamily = "router"\ncandidates = ["small", "large"]\nstrategy = "certified"\n'
RIGHT = {"small": {"easy": 0.99, "hard": 0.5}, "large": {"easy": 0.995, "hard": 0.995}}
DOLLARS = {"small": 0.0001, "large": 0.01}


def make_routed(
    folder: Path,
    right: Mapping[str, Mapping[str, float]] | None = None,
    counts: Mapping[Split, int] = COUNTS,
    more: str = ROUTER.format(name="router"),
    answered: tuple[Split, ...] = ("dev",),
) -> Project:
    """Half of the questions are easy; who is right how often stands in `right`. Groups are the kinds. Only the splits `answered`
    are answered yet."""
    chance, rates = random.Random(5), right or RIGHT
    (folder / "task.toml").write_text(HEAD + more, encoding="utf-8")
    project = open_project(folder)
    lines: dict[str, list[str]] = {name: [] for name in DOLLARS}
    for split, n in counts.items():
        for at in range(n):
            kind, gold = chance.choice(list(KINDS)), chance.choice(["yes", "no"])
            add_question(project, {"text": f"{KINDS[kind]}, {split} {at}"}, split, gold, kind)
            for name, own in lines.items():
                value = gold if chance.random() < rates[name][kind] else {"yes": "no", "no": "yes"}[gold]
                id = example_id({"text": f"{KINDS[kind]}, {split} {at}"})
                own.append(recorded(id, value, name, 0.95 if kind == "easy" else 0.5))
    for name, own in lines.items():
        (folder / f"{name}.jsonl").write_text("\n".join(own), encoding="utf-8")
    for split in answered:
        assert run("evaluate", "small", "large", "-C", folder, "--split", split) == 0
    return project


def add_question(project: Project, given: Mapping[str, str], split: Split, gold: str, group: str | None = None) -> str:
    one = Example(example_id(given), given, split, group)
    project.store.examples.add([one])
    project.store.labels.add([Label(one.id, gold, "human:ada")])
    return one.id


def recorded(id: str, value: str, name: str, confidence: float = 0.8) -> str:
    usage = {"dollars": DOLLARS[name], "seconds": 0.1}
    return json.dumps({"id": id, "value": value, "confidence": confidence, "source": name, "usage": usage})
