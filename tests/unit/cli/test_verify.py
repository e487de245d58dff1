"""tutelage verify and the report: a certificate is refused when anything it names has changed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cascades import make_project, refused, run

from tutelage.labels.splitting import example_id
from tutelage.project import LEARNED_FROM, Project, newest_artefact, open_project
from tutelage.routing.certificate import certificate_path, read_certificate
from tutelage.types import Example, Label, Split, digest


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def change(project: Project, what: str) -> None:
    """Something after which the certificate is not the same any more."""
    if what == "a label":
        one = next(iter(project.store.labels.read("calibration", "gold")))
        project.store.labels.add([Label(one.example.id, "no" if one.value == "yes" else "yes", "human:bob")])
    elif what == "an example":
        add(project, "calibration", "one more")
    elif what == "a dev example":
        add(project, "dev", "one more")
    else:
        path = certificate_path(project, "cascade")
        known = read_certificate(path).stages[0].confidence
        assert known is not None
        stages = [{**known, "map": {"kind": "platt", "parameters": [9.0, 9.0]}}, None]
        changes: dict[str, dict[str, Any]] = {
            "threshold": {"threshold": 0.0},
            "its maps": {"stages": stages},
            "how many": {"n": 4000},
        }
        write_edited(path, changes[what])


def write_edited(path: Path, changes: dict[str, Any]) -> None:
    """As somebody would who also makes the digest fit."""
    facts = json.loads(path.read_text())
    del facts["digest"]
    for key, value in changes.items():
        if key == "stages":
            for stage, confidence in zip(facts["stages"], value, strict=True):
                stage["confidence"] = confidence
        else:
            facts[key] = value
    path.write_text(json.dumps({**facts, "digest": digest(facts)}))


def add(project: Project, split: Split, text: str) -> None:
    given = {"text": text}
    one = Example(example_id(given), given, split)
    project.store.examples.add([one])
    project.store.labels.add([Label(one.id, "yes", "human:ada")])


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("a label", "The calibration examples are not those of the certificate"),
        ("threshold", "threshold is 0."),
        ("its maps", "stages is ["),
        ("how many", "n is 400, the certificate says 4000"),
    ],
)
def test_verify_refuses_what_is_not_as_certified(
    project: Project, capsys: pytest.CaptureFixture[str], what: str, told: str
) -> None:
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.06") == 0
    change(project, what)
    code, line = refused(capsys, "verify", "-C", project.folder)
    assert code == 1
    assert told in line


@pytest.mark.parametrize(("what", "split"), [("an example", "calibration"), ("a dev example", "dev")])
def test_verify_asks_nobody_about_what_came_since(
    project: Project, capsys: pytest.CaptureFixture[str], what: str, split: str
) -> None:
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.06") == 0
    change(project, what)
    code, line = refused(capsys, "verify", "-C", project.folder)
    assert code == 1
    assert f"has not answered all {401 if split == 'calibration' else 201} examples of {split}" in line


def test_verify_refuses_another_task_and_a_missing_file(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("calibrate", "-C", project.folder, "--max-loss", "0.06") == 0
    code, line = refused(capsys, "verify", project.folder / "nowhere.json", "-C", project.folder)
    assert code == 1
    assert "There is no certificate" in line
    file = project.folder / "task.toml"
    file.write_text(file.read_text().replace('name = "kinds"', 'name = "sorts"'))
    code, line = refused(capsys, "verify", "-C", project.folder)
    assert code == 1
    assert "The certificate is of task 'kinds', this project's is 'sorts'." in line


def test_the_report_shows_certificates_and_survives_one_that_cannot_be_read(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.folder
    assert run("calibrate", "-C", folder, "--max-loss", "0.06") == 0
    assert run("evaluate", "-C", folder) == 0
    assert run("report", "-C", folder) == 0
    page = (folder / "reports" / "report.html").read_text(encoding="utf-8")
    for shown in ("Confidence", "Certificates", "Reliability", "Risk and coverage", "cascade: student"):
        assert shown in page
    certificate_path(project, "cascade").write_text("broken")
    capsys.readouterr()
    assert run("report", "-C", folder) == 0
    out = capsys.readouterr().out
    assert "student" in out
    page = (folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "cascade.json cannot be read" in page
    assert run("report", "-C", folder, "--json") == 0
    sections = {one["title"]: one for one in said(capsys)["sections"]}
    assert set(sections) >= {"Confidence", "Certificates"}
    assert sections["Certificates"]["rows"] == []


WORDS = {
    "billing": ("invoice", "refund", "fee"),
    "login": ("password", "account", "code"),
    "other": ("hello", "shop", "thanks"),
}
REAL = """name = "topic"
output = "label"
labels = ["billing", "login", "other"]
[candidates.linear]
family = "linear"
labels = "gold"
[candidates.teacher]
family = "replay"
file = "teacher.jsonl"
[candidates.cascade]
family = "cascade"
stages = ["linear", "teacher"]
[hardware]
dollars_per_hour = 0.08
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a real student: of a fifth of the messages the words mislead."""
    folder, chance, lines = tmp_path_factory.mktemp("topic"), random.Random(3), []
    (folder / "task.toml").write_text(REAL)
    project = open_project(folder)
    for split, n in (("train", 150), ("dev", 120), ("calibration", 300), ("test", 60)):
        for at in range(n):
            label = chance.choice(list(WORDS))
            words = [chance.choice(WORDS[label if chance.random() < 0.8 else chance.choice(list(WORDS))]) for _ in "12"]
            given = {"text": f"{split} {at} my {words[0]} {words[1]}"}
            one = Example(example_id(given), given, split)  # type: ignore[arg-type]
            project.store.examples.add([one])
            project.store.labels.add([Label(one.id, label, "human:ada")])
            lines.append(json.dumps({"id": one.id, "value": label, "usage": {"dollars": 0.001, "seconds": 1.0}}))
    (folder / "teacher.jsonl").write_text("\n".join(lines))
    project.store.close()
    assert run("train", "linear", "-C", folder) == 0
    assert run("calibrate", "-C", folder, "--max-loss", "0.1") == 0
    return folder


@pytest.fixture
def real(trained: Path, tmp_path: Path) -> Project:
    return open_project(Path(shutil.copytree(trained, tmp_path / "topic")))


def test_a_real_student_is_certified_with_the_hash_of_its_files(real: Project) -> None:
    one = read_certificate(certificate_path(real, "cascade"))
    artefact = newest_artefact(real, "linear")
    assert artefact is not None
    assert one.stages[0].artefact == artefact.name
    assert len(one.stages[0].artefact_sha256) == 64
    assert one.answered_by["linear"] > 0.1
    assert one.dollars_per_1000 is not None
    assert run("verify", "-C", real.folder) == 0


def test_a_student_whose_files_changed_or_that_was_trained_again_is_refused(
    real: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = newest_artefact(real, "linear")
    assert artefact is not None
    with (artefact / "terms.json").open("a") as file:
        file.write(" ")
    code, line = refused(capsys, "verify", "-C", real.folder)
    assert code == 1
    assert "is not of this 'linear': its artefact_sha256 was" in line
    code, line = refused(capsys, "predict", "cascade", real.folder / "task.toml", "-C", real.folder)
    assert "its artefact_sha256 was" in line
    label_more(real)
    assert run("train", "linear", "-C", real.folder) == 0
    code, line = refused(capsys, "verify", "-C", real.folder)
    assert "its artefact was" in line
    assert line.endswith("Certify what is there now: tutelage calibrate cascade")


def label_more(project: Project) -> None:
    given = {"text": "my invoice once more"}
    one = Example(example_id(given), given, "train")
    project.store.examples.add([one])
    project.store.labels.add([Label(one.id, "billing", "human:ada")])


def test_calibration_examples_that_were_trained_on_are_refused(
    real: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = newest_artefact(real, "linear")
    assert artefact is not None
    learned = artefact / LEARNED_FROM
    ids = learned.read_text().split()
    seen = {one.id for split in ("train", "dev") for one in real.store.examples.read(split)}
    assert set(ids) == seen
    # An example that a student learned from moves to calibration.
    with real.store.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE examples SET split = 'calibration' WHERE id = '{min(seen)}'")
    code, line = refused(capsys, "calibrate", "-C", real.folder, "--max-loss", "0.1")
    assert code == 1
    assert "'linear' learned from 1 of the 301 calibration examples, for instance" in line
    assert "nothing can be proved on them. Make it again: tutelage train linear" in line
    learned.unlink()
    code, line = refused(capsys, "calibrate", "-C", real.folder, "--max-loss", "0.1")
    assert code == 1
    assert "does not say which examples it learned from (learned_from.txt is missing)" in line


NOVEL = """
[candidates.gated]
family = "cascade"
stages = ["student", "teacher"]
novelty = 0.1
"""


def test_a_novelty_gate_is_certified_with_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts: dict[Split, int] = {"train": 150, "dev": 150, "calibration": 300, "test": 60}
    project = make_project(tmp_path, counts=counts, more=NOVEL)
    assert run("calibrate", "gated", "-C", project.folder, "--max-loss", "0.08") == 0
    assert "a novelty gate passes on 10.0% of usual inputs" in capsys.readouterr().out
    one = read_certificate(certificate_path(project, "gated"))
    assert one.gate is not None
    assert (one.gate["folder"], one.gate["rate"]) == ("certificates/gated-gate", 0.1)
    assert run("verify", "-C", project.folder) == 0
    assert "ok: novelty gate: " in capsys.readouterr().out
    assert run("evaluate", "gated", "-C", project.folder) == 0
    with (project.folder / "certificates" / "gated-gate" / "gate.json").open("a") as file:
        file.write(" ")
    code, line = refused(capsys, "verify", "-C", project.folder)
    assert code == 1
    assert "is not the certified one (sha256 " in line
    shutil.rmtree(project.folder / "certificates" / "gated-gate")
    code, line = refused(capsys, "predict", "gated", project.folder / "task.toml", "-C", project.folder)
    assert code == 1
    assert "is not the certified one (sha256 " in line


def test_a_gate_that_finds_everything_novel_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, counts={"dev": 60, "calibration": 150}, more=NOVEL)
    lines = [{"text": f"Lieferschein Nr. {at} vom Montag"} for at in range(120)]
    project.store.examples.add([Example(example_id(one), one, "train") for one in lines])
    code, line = refused(capsys, "calibrate", "gated", "-C", project.folder)
    assert code == 1
    assert (
        "At no threshold does it answer: its answers failed, or the novelty gate finds every input unlike train's."
        in line
    )


def test_a_gate_needs_training_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = make_project(tmp_path, counts={"dev": 100, "calibration": 200}, more=NOVEL)
    code, line = refused(capsys, "calibrate", "gated", "-C", project.folder)
    assert code == 1
    assert "A novelty gate needs" in line
