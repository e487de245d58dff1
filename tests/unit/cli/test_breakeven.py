"""`tutelage breakeven` as a user calls it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.labels.splitting import example_id

TASK = """
name = "things"
output = "label"
labels = ["fruit", "tool"]
instructions = "Say what it is."
teacher = "teacher"

[candidates.teacher]
family = "replay"
file = "teacher.jsonl"

[candidates.linear]
family = "linear"
labels = "teacher"
effort = "low"
"""
WORDS = {"fruit": ("apple", "pear", "plum", "fig", "grape"), "tool": ("hammer", "saw", "drill", "file", "axe")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose recorded teacher labelled 60 examples at $2 per 1,000, and whose student has answered test."""
    folder = tmp_path_factory.mktemp("made")
    lines, recorded = [], []
    for at in range(60):
        label = ("fruit", "tool")[at % 2]
        text = f"number {at}: a {WORDS[label][at // 2 % 5]} please"
        lines.append({"text": text, "split": "test" if at >= 50 else "dev" if at >= 40 else "train"})
        usage = {"seconds": 0.1, "dollars": 0.002, "input_tokens": 10, "cached_input_tokens": 4}
        recorded.append({"id": example_id({"text": text}), "value": label, "usage": usage})
    (folder / "things.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "teacher.jsonl").write_text("\n".join(map(json.dumps, recorded)))
    (folder / "task.toml").write_text(TASK)
    for words in (["add", folder / "things.jsonl"], ["label", "--split", "all"], ["train"], ["evaluate", "linear"]):
        assert run(*words, "-C", folder) == 0
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A copy of that project."""
    capsys.readouterr()
    return Path(shutil.copytree(made, tmp_path / "things"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a call that a user must change."""
    assert run("breakeven", *arguments) in (1, 2)
    said = capsys.readouterr().err.strip()
    assert said.startswith("Error:") and "\n" not in said and "Traceback" not in said
    return said


def test_what_the_store_knows_is_taken(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-C", project, "--escalation", "0.1", "--dollars-per-hour", "0.36", "--json")
    assert run("breakeven", *words) == 0
    found = last_json(capsys)
    assert isinstance(found, dict)
    told = found["assumptions"]
    assert told["labels_dollars"]["value"] == pytest.approx(60 * 0.002)
    assert (
        told["teacher_dollars"]["value"] == pytest.approx(2.0)
        and "recorded dollars" in told["teacher_dollars"]["basis"]
    )
    assert told["training_hours"]["value"] > 0 and "linear" in told["training_hours"]["basis"]
    assert told["student_seconds"]["value"] > 0 and "on test" in told["student_seconds"]["basis"]
    assert told["cached_share"]["value"] == pytest.approx(0.4) and told["review_hours"]["value"] == 0
    assert told["escalation"]["basis"] == "given with --escalation"
    seconds = told["student_seconds"]["value"]
    system = 1000 * seconds * 0.36 / 3600 / 0.5 + 0.1 * 2.0
    assert found["system_dollars_per_1000"] == pytest.approx(system)
    once = 60 * 0.002 + told["training_hours"]["value"] * 0.36
    assert found["days"][0]["requests_until_paid"] == pytest.approx(once / (2.0 - system) * 1000)
    with (project / "reports" / "breakeven.csv").open() as lines:
        assert [float(line["requests_per_day"]) for line in csv.DictReader(lines)] == [100, 1000, 1e4, 1e5, 1e6]
    assert json.loads((project / "reports" / "breakeven.json").read_text()) == found


def test_every_figure_can_be_given_and_the_table_tells_its_basis(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = project / "certificate.json"
    certificate.write_text('{"escalated": {"value": 0.2, "low": 0.15, "high": 0.25}}')
    words = ["--student-seconds", "0.001", "--labels-dollars", "30", "--review-hours", "2", "--training-hours", "0.5"]
    words += ["--review-dollars-per-hour", "40", "--dollars-per-hour", "1", "--audit-share", "0.01"]
    assert run("breakeven", "-C", project, "--certificate", certificate, *words, "--requests", "5000") == 0
    said = capsys.readouterr().out
    assert "It pays after 69,785 requests (65,679 to 74,439" in said and "by the interval of the escalation" in said
    assert "Once: $110.50 (labels $30.00, review $80.00, training $0.50, other $0.00)." in said
    assert "0.2 (certificate certificate.json)" in said and "given with --review-hours" in said
    page = (project / "reports" / "breakeven.html").read_text()
    assert "Content-Security-Policy" in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_machine_paid_by_the_day_needs_enough_requests(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-C", project, "--escalation", "0", "--always-on", "--dollars-per-hour", "0.5", "--requests", "1000"]
    assert run("breakeven", *words, "--requests", "10000") == 0
    said = capsys.readouterr().out
    assert "From 10,000 requests a day on it pays" in said and "never" in said


def test_what_is_not_known_is_asked_for_by_name(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "-C", project)
    assert "--escalation" in said and "--dollars-per-hour" in said and "--labels-dollars" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--escalation", "1.5"], "--escalation 1.5 cannot be"),
        (["--escalation", "0.1", "--labels-dollars", "-3"], "--labels-dollars -3 cannot be"),
        (["--escalation", "nan"], "--escalation nan cannot be"),
        (["--escalation", "0.1", "--occupancy", "0"], "--occupancy 0 cannot be"),
        (["--escalation", "0.1", "--requests", "0"], "0.0 requests a day cannot be"),
        (["--escalation", "0.1", "--review-hours", "3"], "--review-dollars-per-hour"),
        (["--escalation", "0.1", "--cached-share", "0.9"], "--cached-saving"),
        (["--escalation", "0.1", "--student", "nobody"], "'nobody' is not a known candidate"),
    ],
)
def test_figures_that_cannot_be(project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert said in refused(capsys, "-C", project, "--dollars-per-hour", "1", *words)


@pytest.mark.parametrize("content", ["{}", "no JSON", '{"escalated": "many"}', "[]", None])
def test_certificates_that_tell_nothing(project: Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    certificate = project / "certificate.json"
    if content is not None:
        certificate.write_text(content)
    said = refused(capsys, "-C", project, "--dollars-per-hour", "1", "--certificate", certificate)
    assert "certificate.json" in said


def test_a_project_with_nothing_asks_for_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "task.toml").write_text(TASK)
    said = refused(capsys, "-C", tmp_path)
    for flag in ("--training-hours", "--student-seconds", "--teacher-dollars", "--escalation"):
        assert flag in said


def test_of_two_students_one_must_be_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "task.toml").write_text(TASK + '[candidates.other]\nfamily = "linear"\n')
    assert "--student, one of: linear, other" in refused(capsys, "-C", project, "--escalation", "0.1")
