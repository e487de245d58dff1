"""A certificate is kept as it was written, and holds only while everything it names is as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cascades import make_project

from tutelage.errors import TaskFileError, TutelageError, UnknownName
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.estimates import Estimate
from tutelage.project import Project, open_project
from tutelage.routing.certificate import (
    VERSION,
    Certificate,
    LossFacts,
    certificate_path,
    folder_hash,
    read_certificate,
    stage_facts,
    write_certificate,
)
from tutelage.routing.confidence import Confidence
from tutelage.types import digest

STAGES = ["student", "teacher"]
SETTINGS = {"stages": STAGES, "novelty": None, "abstain": False, "escalate": "answer"}


def certificate(project: Project) -> Certificate:
    """One that was made of nothing, of the cascade as it is now."""
    return Certificate(
        task="kinds",
        candidate="cascade",
        status="proved",
        threshold=0.1 + 0.2,
        max_loss=0.03,
        confidence=0.95,
        level=0.05,
        bound="exact binomial, randomised, fixed sequence of thresholds",
        losses=[LossFacts("wrong", 0.03, 0.01, 400, 0.04), LossFacts("metric", 0.03, 0.01, 40, None, "small — ü")],
        against="gold",
        reference="gold labels (400 from human:ada)",
        n=400,
        stages=[stage_facts(project, "student", Confidence().json()), stage_facts(project, "teacher", None)],
        settings=SETTINGS,
        answered_by={"student": 0.75, "teacher": 0.25},
        escalated=Estimate(0.25, 0.2, 0.3),
        dollars_per_1000=None,
        cost_basis="",
        assumes="exchangeable",
        calibration_fingerprint="a" * 32,
        dev_fingerprint="b" * 32,
        curve=[{"threshold": 0.5, "answered": 0.75, "loss": 0.01}],
        tried=["cascade"],
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, counts={"dev": 30, "calibration": 40})


def written(project: Project) -> Path:
    path = certificate_path(project, "cascade")
    write_certificate(path, certificate(project))
    return path


def says(project: Project) -> str:
    """What the cascade says instead of being built."""
    with pytest.raises(TutelageError) as refused:
        candidate(project, "cascade").build(project)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_it_comes_back_as_it_was_written(project: Project) -> None:
    path = written(project)
    one = read_certificate(path)
    assert one.json() == json.loads(json.dumps(certificate(project).json()))
    assert one.threshold == 0.1 + 0.2
    assert one.losses[1] == certificate(project).losses[1]
    write_certificate(path, one)
    assert read_certificate(path) == one
    assert [file.name for file in path.parent.iterdir()] == ["cascade.json"]
    assert candidate(project, "cascade").build(project).name == "cascade"


def test_it_can_be_read_by_people(project: Project) -> None:
    text = written(project).read_text(encoding="utf-8")
    assert '"max_loss": 0.03,\n' in text
    assert "small — ü" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "cannot be read"),
        ("[]", "is no certificate: it has no version"),
        ("{}", "is no certificate: it has no version"),
        ('{"version": 99}', f"has version 99, this tutelage reads {VERSION}. Make it again."),
        ('{"version": 1, "task": "kinds"}', "has been edited: its digest is None"),
    ],
)
def test_what_is_no_certificate_is_refused_in_one_line(project: Project, text: str, said: str) -> None:
    path = written(project)
    path.write_text(text)
    assert said in says(project)


def test_one_that_lacks_something_is_refused_by_name(project: Project) -> None:
    path = written(project)
    facts = json.loads(path.read_text())
    del facts["digest"], facts["threshold"]
    path.write_text(json.dumps({**facts, "digest": digest(facts)}))
    assert "is no certificate: threshold: field required" in says(project)


@pytest.mark.parametrize(
    ("was", "now"),
    [('"threshold": 0.3', '"threshold": 0.1'), ('"max_loss": 0.03', '"max_loss": 0.01'), ('"platt"', '"raw"')],
)
def test_one_that_was_edited_is_refused(project: Project, was: str, now: str) -> None:
    path = certificate_path(project, "cascade")
    fitted = Confidence.of_json({**Confidence().json(), "map": {"kind": "platt", "parameters": [2.0, 1.0]}})
    plain = certificate(project)
    stages = [stage_facts(project, "student", fitted.json()), plain.stages[1]]
    write_certificate(path, replace(plain, stages=stages))
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, now))
    assert "has been edited: its digest is" in says(project)
    assert "Make it again: tutelage calibrate cascade" in says(project)


def test_without_one_a_cascade_does_not_answer(project: Project) -> None:
    assert "There is no certificate" in says(project)
    assert "Make one with: tutelage calibrate cascade" in says(project)


def test_a_folder_in_its_place_is_one_line(project: Project) -> None:
    certificate_path(project, "cascade").mkdir(parents=True)
    assert "cannot be read" in says(project)


def test_a_stage_that_answers_otherwise_now_is_named_with_its_hash(project: Project) -> None:
    written(project)
    was = candidate(project, "teacher").fingerprint(project)
    with (project.folder / "teacher.jsonl").open("a") as file:
        file.write("\n")
    now = candidate(project, "teacher").fingerprint(project)
    said = says(project)
    assert "is not of this 'teacher'" in said
    assert f"its fingerprint was {was[:16]} and is {now[:16]}" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'stages = ["student", "other", "teacher"]',
            'stages = ["student", "teacher"], task.toml says ["student", "other"',
        ),
        ('stages = ["student", "teacher"]\nabstain = true', "abstain = false, task.toml says true"),
        ('stages = ["student", "teacher"]\nnovelty = 0.05', "novelty = null, task.toml says 0.05"),
    ],
)
def test_other_settings_in_the_task_file_need_another_certificate(project: Project, line: str, said: str) -> None:
    written(project)
    file = project.folder / "task.toml"
    text = file.read_text().replace('stages = ["student", "teacher"]', line)
    file.write_text(text + '[candidates.other]\nfamily = "replay"\nfile = "student.jsonl"\n')
    changed = open_project(project.folder)
    assert said in says(changed)
    assert says(changed).endswith("Certify what is there now: tutelage calibrate cascade")


def test_stages_that_cannot_be_are_refused(project: Project) -> None:
    file = project.folder / "task.toml"
    text = file.read_text()
    for second, refused, told in (
        ("student", TaskFileError, "'student' stands twice"),
        ("cascade", TaskFileError, "it is part of itself: cascade -> cascade"),
        ("techer", UnknownName, "'techer' is not a known candidate"),
    ):
        file.write_text(text.replace('["student", "teacher"]', f'["student", "{second}"]'))
        changed = open_project(project.folder)
        with pytest.raises(refused, match=told):
            candidate(changed, "cascade").fingerprint(changed)


def test_cascades_of_one_another_are_refused(project: Project) -> None:
    file = project.folder / "task.toml"
    text = file.read_text().replace('["student", "teacher"]', '["student", "other"]')
    file.write_text(text + '[candidates.other]\nfamily = "cascade"\nstages = ["student", "cascade"]\n')
    changed = open_project(project.folder)
    one = candidate(changed, "cascade")
    for what in (lambda: one.fingerprint(changed), lambda: one.hosted(changed)):
        with pytest.raises(TaskFileError):
            what()


def test_an_unreadable_certificate_leaves_the_candidate_a_fingerprint(project: Project) -> None:
    path = written(project)
    one, before = candidate(project, "cascade"), candidate(project, "cascade").fingerprint(project)
    path.write_text("broken")
    assert one.fingerprint(project) != before
    path.unlink()
    assert one.fingerprint(project) not in (before, "")


def test_when_it_was_made_does_not_make_stored_answers_stale(project: Project) -> None:
    path = certificate_path(project, "cascade")
    found = []
    for one in (
        certificate(project),
        replace(certificate(project), created="2026-01-01T00:00:00+00:00", versions={"numpy": "9"}),
        replace(certificate(project), threshold=0.5),
    ):
        write_certificate(path, one)
        found.append(candidate(project, "cascade").fingerprint(project))
    assert found[0] == found[1] != found[2]


def test_the_hash_of_a_folder_knows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = folder_hash(tmp_path)
    assert folder_hash(tmp_path) == first
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = folder_hash(tmp_path)
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, second, folder_hash(tmp_path)}) == 3
