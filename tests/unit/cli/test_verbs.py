"""Verbs end to end in one process: a label task from init to report, and what bad input gets."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tutelage.cli.entry import VERBS, main

WORDS = {"fruit": ("apple", "pear", "plum"), "tool": ("hammer", "saw", "drill")}


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "things"
    assert run("init", folder, "--output", "label", "--labels", "fruit,tool") == 0
    lines = []
    for at in range(60):
        label = ("fruit", "tool")[at % 2]
        word = WORDS[label][at // 2 % 3]
        split = "test" if at >= 48 else "dev" if at >= 40 else "train"
        lines.append({"text": f"number {at}: a {word} please", "label": label, "split": split})
    (folder / "things.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = (folder / "task.toml").read_text().replace('teacher = "teacher"', 'teacher = "recorded"\nrun = ["linear"]')
    (folder / "task.toml").write_text(text + '\n[candidates.recorded]\nfamily = "replay"\nfile = "recorded.jsonl"\n')
    return folder


def added(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", project / "things.jsonl", "-C", project, "--label", "label", "--source", "human:ada") == 0
    capsys.readouterr()


def last_json(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_from_add_to_report(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added(project, capsys)
    assert run("train", "-C", project, "--json") == 0
    first = last_json(capsys)[0]  # type: ignore[index]
    assert first["skipped"] is False and first["card"]["train"]["origins"] == {"gold": 40}
    assert run("train", "-C", project, "--json") == 0
    assert last_json(capsys)[0]["skipped"] is True  # type: ignore[index]
    assert run("evaluate", "linear", "-C", project) == 0
    assert "linear" in capsys.readouterr().out
    assert run("report", "-C", project, "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict)
    assert {"task", "output", "metric", "split", "n", "fingerprint", "candidates"} <= set(report)
    (row,) = report["candidates"]
    assert row["name"] == "linear" and row["scores"]["accuracy"]["value"] == 1.0
    assert row["scores"]["accuracy"]["low"] < 1.0 and row["dollars_per_1000"] is None
    assert set(row["seconds"]) == {"p50", "p75", "p90", "p99"}
    assert "recorded" in report["skipped"]
    assert (project / "reports" / "report.html").is_file()


def test_predict_then_replay_the_record(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added(project, capsys)
    assert run("train", "-C", project) == 0
    capsys.readouterr()
    assert run("predict", "linear", project / "things.jsonl", "-C", project) == 0
    out = capsys.readouterr().out
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == 60
    assert set(answers[0]) == {"id", "value", "confidence", "source", "usage", "error", "parts"}
    assert set(answers[0]["usage"]) == {"input_tokens", "output_tokens", "dollars", "seconds"}
    (project / "recorded.jsonl").write_text(out)
    assert run("label", "-C", project, "--json") == 0
    assert last_json(capsys)["answered"] == 40  # type: ignore[index]
    assert run("label", "-C", project, "--json") == 0
    assert last_json(capsys)["skipped"] == 40  # type: ignore[index]
    assert run("evaluate", "recorded", "linear", "-C", project, "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict)
    rows = {row["name"]: row for row in report["candidates"]}
    assert rows["linear"]["difference"] == {"to": "recorded", "value": 0.0, "low": 0.0, "high": 0.0}


def test_predict_answers_every_line_also_the_unusable_ones(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added(project, capsys)
    assert run("train", "-C", project) == 0
    inputs = project / "inputs.jsonl"
    inputs.write_text('{"text": "a saw"}\nnot json\n[1]\n{"txt": "x"}\n{"text": "an apple"}\n')
    capsys.readouterr()
    assert run("predict", "linear", inputs, "-C", project) == 1
    out, err = capsys.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]
    assert [a["value"] for a in answers] == ["tool", None, None, None, "fruit"]
    assert "line 2: not JSON" in answers[1]["error"] and "'text' is missing" in answers[3]["error"]
    assert "3 inputs got no answer" in err


def test_run_does_everything_and_nothing_twice(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '\n[[data]]\nfile = "things.jsonl"\nlabel = "label"\nsource = "human:ada"\n'
    (project / "task.toml").write_text((project / "task.toml").read_text() + text)
    (project / "recorded.jsonl").write_text("")
    assert run("run", "-C", project) == 0
    out, err = capsys.readouterr()
    assert "linear" in out and "60 examples added" in err
    assert run("run", "-C", project, "--json") == 0
    out, err = capsys.readouterr()
    assert "0 examples added" in err and "up to date" in err
    assert json.loads(out.strip().splitlines()[-1])["candidates"][0]["name"] == "linear"


def test_list_and_path(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added(project, capsys)
    assert run("list", "-C", project, "--json") == 0
    found = last_json(capsys)
    assert isinstance(found, dict)
    assert found["labels"] == [
        {"source": "human:ada", "split": "dev", "examples": 8},
        {"source": "human:ada", "split": "test", "examples": 12},
        {"source": "human:ada", "split": "train", "examples": 40},
    ]
    assert run("list", "candidates", "-C", project) == 0
    assert "not trained" in capsys.readouterr().out
    assert run("path", "reports", "-C", project) == 0
    assert capsys.readouterr().out.strip() == str(project / "reports")
    assert run("path", "linear", "-C", project) == 1
    assert "tutelage train linear" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples_and_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    out = capsys.readouterr().out
    assert "Examples:" in out and f"tutelage {verb}" in out.replace("$(", "") and "--json" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["evaluate", "liner"], 2, "'liner' is not a known candidate. Did you mean 'linear'?"),
        (["train", "recorded"], 2, "'recorded' is not trained"),
        (["train", "linear"], 1, "no example in train has a label"),
        (["evaluate"], 1, "No labels to score against"),
        (["predict", "linear", "nowhere.jsonl"], 1, "'linear' is not trained yet. Run: tutelage train linear"),
        (["label"], 1, "recorded.jsonl cannot be read: No such file"),
        (["serve", "linear", "--port", "0"], 1, "'linear' is not trained yet"),
        (["add", "nowhere.csv"], 1, "nowhere.csv"),
        (["frobnicate"], 2, "No such command"),
        (["add", "--splitt"], 2, "No such option"),
    ],
)
def test_bad_calls_get_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    options = [] if arguments[0] == "frobnicate" else ["-C", project]
    assert run(arguments[0], *options, *arguments[1:]) == code
    out, err = capsys.readouterr()
    assert said in err.replace("\n", " ") and "Traceback" not in err and out == ""


def test_no_project_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "-C", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_port_in_use_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run("serve", "-C", project, "--port", taken.getsockname()[1]) == 2
    assert "is in use" in capsys.readouterr().err


def test_a_missing_api_key_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    added(project, capsys)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert run("evaluate", "teacher", "-C", project) == 2
    assert "OPENAI_API_KEY is not set" in capsys.readouterr().err
