"""A router of a trained student and a recorded teacher, certified on stored answers, served and computed again."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.cascades import refused, run
from tutelage.labels.splitting import example_id
from tutelage.project import LEARNED_FROM, newest_artefact, open_project
from tutelage.routing.certificate import certificate_path, read_certificate
from tutelage.types import Example, Label, Split

WORDS = {"billing": ("invoice", "refund", "fee"), "login": ("password", "account", "code")}
COUNTS: dict[Split, int] = {"train": 150, "dev": 150, "calibration": 400, "test": 100}
HEAD = """name = "topic"
output = "label"
labels = ["billing", "login"]
[candidates.linear]
family = "linear"
labels = "gold"
[candidates.teacher]
family = "replay"
file = "teacher.jsonl"
[candidates.router]
family = "router"
candidates = ["linear", "teacher"]
strategy = "certified"
[hardware]
dollars_per_hour = 0.08
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Half of the messages are of the student's kind; of the others, which begin otherwise, the words say nothing."""
    (tmp_path / "task.toml").write_text(HEAD)
    project, chance, lines = open_project(tmp_path), random.Random(3), []
    for split, n in COUNTS.items():
        for at in range(n):
            label, plain = chance.choice(list(WORDS)), chance.random() < 0.5
            word = chance.choice(WORDS[label if plain else chance.choice(list(WORDS))])
            begin = "my" if plain else "FWD: they say"
            given = {"text": f"{begin} {word}, {split} {at}"}
            one = Example(example_id(given), given, split)
            project.store.examples.add([one])
            project.store.labels.add([Label(one.id, label, "human:ada")])
            lines.append(json.dumps({"id": one.id, "value": label, "usage": {"dollars": 0.001, "seconds": 1.0}}))
    (tmp_path / "teacher.jsonl").write_text("\n".join(lines))
    project.store.close()
    return tmp_path


def test_a_router_of_a_real_student_is_certified_on_stored_answers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "linear", "-C", folder) == 0
    assert run("evaluate", "linear", "teacher", "-C", folder, "--split", "dev") == 0
    assert run("calibrate", "router", "-C", folder, "--max-loss", "0.05") == 0
    project = open_project(folder)
    one, artefact = read_certificate(certificate_path(project, "router")), newest_artefact(project, "router")
    assert artefact is not None
    dev = {example.id for example in project.store.examples.read("dev")}
    assert set((artefact / LEARNED_FROM).read_text().split()) == dev
    assert one.learned is not None
    assert (one.learned["artefact"], one.status) == (artefact.name, "proved")
    assert one.stages[0].artefact_sha256
    assert 0.2 < one.answered_by["linear"] < 0.8
    assert run("verify", "-C", folder) == 0
    capsys.readouterr()
    assert run("evaluate", "router", "-C", folder, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["candidates"]
    assert row["scores"]["accuracy"]["value"] > 0.9
    with (artefact / "router.json").open("a") as file:
        file.write(" ")
    _, line = refused(capsys, "predict", "router", folder / "task.toml", "-C", folder)
    assert "is not of this 'router': its artefact_sha256 was" in line
