"""`tutelage learning-curve` and `tutelage ceiling` as a user calls them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.labels.splitting import example_id

WORDS = {"fruit": ("apple", "pear", "plum", "fig", "grape"), "tool": ("hammer", "saw", "drill", "file", "axe")}


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A label task whose recorded teacher errs on every fifth example; `linear` learns gold, `imitator` the teacher."""
    lines, recorded = [], []
    for at in range(160):
        label = ("fruit", "tool")[at % 2]
        word = WORDS[label][at // 2 % 5]
        split = "test" if at >= 140 else "dev" if at >= 100 else "train"
        lines.append({"text": f"number {at}: a {word} please", "label": label, "split": split})
        said = label if at % 5 else {"fruit": "tool", "tool": "fruit"}[label]
        recorded.append({"value": said, "usage": {"seconds": 0.1, "dollars": 0.002, "input_tokens": 9}})
    (tmp_path / "things.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "task.toml").write_text(
        """
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
labels = "gold"
effort = "low"

[candidates.imitator]
family = "linear"
labels = "teacher"
effort = "low"
"""
    )
    assert run("add", tmp_path / "things.jsonl", "-C", tmp_path, "--label", "label", "--source", "human:ada") == 0

    for entry, line in zip(recorded, lines, strict=True):
        entry["id"] = example_id({"text": line["text"]})
    (tmp_path / "teacher.jsonl").write_text("\n".join(map(json.dumps, recorded)))
    assert run("label", "--split", "all", "-C", tmp_path) == 0
    assert run("evaluate", "teacher", "--split", "dev", "-C", tmp_path) == 0
    capsys.readouterr()
    return tmp_path


def test_curves_of_all_students(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("learning-curve", "-C", project, "--repeats", "2", "--json") == 0
    found = last_json(capsys)
    assert isinstance(found, dict)
    assert [one["candidate"] for one in found["curves"]] == ["linear", "imitator"]
    assert found["split"] == "dev" and found["n"] == 40 and found["skipped"] == {}
    assert found["dollars_per_1000_labels"] == pytest.approx(2.0)
    linear, imitator = found["curves"]
    assert [size["size"] for size in linear["sizes"]] == [12, 25, 50, 100]
    assert linear["sizes"][-1]["score"]["value"] > linear["sizes"][0]["score"]["value"]
    assert linear["labels"] == {"gold": 100} and imitator["labels"] == {"teacher": 100}
    assert linear["worth"][0]["candidate"] == "teacher"
    assert imitator["promise"]["n"] == 40 and imitator["promise"]["last"] == 100
    reports = project / "reports"
    for name in ("html", "json", "csv", "png", "svg"):
        assert (reports / f"learning-curve.{name}").stat().st_size > 0
    assert (reports / "false-promise.png").is_file()
    page = (reports / "learning-curve.html").read_text()
    assert "<svg" in page and "http-equiv" in page and "linear" in page
    rows = list(csv.DictReader((reports / "learning-curve.csv").read_text().splitlines()))
    assert len(rows) == 8 and float(rows[0]["accuracy_low"]) <= float(rows[0]["accuracy"])
    assert json.loads((reports / "learning-curve.json").read_text()) == found
    assert run("list", "candidates", "-C", project) == 0  # no artefact: nothing was trained for use
    assert not [path for path in (project / "artefacts").glob("*") if path.is_dir()]


def test_what_it_says_in_words(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("learning-curve", "imitator", "-C", project, "--sizes", "10,25,50,100", "--repeats", "2")
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "things: accuracy on 40 examples of dev, scored against gold labels" in text
    assert "imitator (linear, 100 teacher labels)" in text
    assert "agreement with the teacher" in text and "each doubling of the" in text
    assert "teacher (0.800): " in text and "Curves: " in text
    assert run(*arguments) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--sizes", "ten"), "'ten' is not a list of numbers such as 50,100,200."),
        (("linear", "--sizes", "50,101"), "101 is not a size of a curve over 100 examples."),
        (("teacher",), "'teacher' has no learning curve"),
        (("nobody",), "'nobody' is not a known candidate"),
        (("--repeats", "0"), "--repeats"),
    ],
)
def test_what_cannot_be_drawn(
    project: Path, arguments: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("learning-curve", *arguments, "-C", project) == 2
    assert problem in capsys.readouterr().err


def test_a_ceiling_without_asking(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "imitator", "-C", project) == 0
    assert run("evaluate", "imitator", "teacher", "-C", project) == 0
    capsys.readouterr()
    assert run("ceiling", "--limit", "0", "-C", project) == 0
    text = capsys.readouterr().out
    assert "things: The teacher's ceiling" in text and "imitator" in text
    assert run("ceiling", "--limit", "0", "-C", project, "--json") == 0
    found = last_json(capsys)
    assert isinstance(found, dict) and found["n"] == 20 and found["score"]["value"] == 0.8
    assert sum(found["students"][0]["counts"].values()) == 20


def test_a_recorded_teacher_is_not_asked_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ceiling", "-C", project) == 2
    assert "cannot be asked again" in capsys.readouterr().err
