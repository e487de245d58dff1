"""`tutelage label` and a prompted candidate against the fake endpoint, as a user would call them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.models.fake import FakeOpenAI, Script
from tutelage.models.fake_batches import BatchScript

N = 12


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer='{"label": "good"}', models=["big"])) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "task.toml").write_text(
        f"""
name = "moods"
output = "label"
labels = ["good", "bad"]
teacher = "big"

[candidates.big]
family = "prompted"
model = "big"
base_url = "{server.base_url}"

[candidates.linear]
family = "linear"
labels = "teacher"

[prices.big]
input = 1.0
output = 2.0
"""
    )
    rows = [{"text": f"text {at}", "split": "test" if at < 2 else "train"} for at in range(N)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("add", tmp_path / "texts.jsonl", "-C", tmp_path) == 0
    capsys.readouterr()
    return tmp_path


def test_a_dry_run_asks_nothing(project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("label", "-C", project, "--dry-run") == 0
    assert f"Would ask {N - 2} questions" in capsys.readouterr().out
    assert run("label", "-C", project, "--dry-run", "--limit", 3, "--split", "all", "--json") == 0
    estimate = last_json(capsys)
    assert isinstance(estimate, dict) and estimate["calls"] == 3 and estimate["dollars"] > 0
    assert server.asked == []


def test_labels_are_paid_for_once(project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("label", "-C", project, "--limit", 4, "--json") == 0
    first = last_json(capsys)
    assert isinstance(first, dict) and (first["answered"], first["skipped"]) == (4, 0)
    assert run("label", "-C", project) == 0
    assert f"{N - 6} labels from {N - 6} questions" in capsys.readouterr().out
    assert len(server.asked) == N - 2
    assert len({asked.message for asked in server.asked}) == N - 2


def test_a_spent_budget_is_one_line_and_exit_code_1(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("label", "-C", project, "--budget", "0.0001") == 1
    assert "The budget of $0.0001 is used up" in capsys.readouterr().err
    assert server.asked == []


def test_a_model_that_does_not_exist_stops_at_once(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project / "task.toml").read_text().replace('model = "big"', 'model = "huge"\nconcurrency = 1')
    (project / "task.toml").write_text(text.replace("[prices.big]", "[prices.huge]"))
    assert run("label", "-C", project) == 1
    err = capsys.readouterr().err
    assert "The model 'huge' is not at" in err and err.count("Error:") == 1
    assert server.asked == []


def test_predict_and_evaluate_ask_a_prompted_candidate(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", "big", project / "texts.jsonl", "-C", project) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["value"] for answer in answers] == ["good"] * N
    assert all(answer["source"].startswith("teacher:big@") and answer["usage"]["dollars"] > 0 for answer in answers)
    labels = [{"text": f"text {at}", "mood": ("good", "bad")[at]} for at in range(2)]
    (project / "gold.jsonl").write_text("\n".join(map(json.dumps, labels)))
    assert run("add", project / "gold.jsonl", "-C", project, "--label", "mood", "--source", "human:ada") == 0
    capsys.readouterr()
    assert run("evaluate", "big", "-C", project, "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict)
    (row,) = report["candidates"]
    assert (row["scores"]["accuracy"]["value"], row["cost_basis"]) == (0.5, "API price per token")
    asked = len(server.asked)
    assert run("evaluate", "big", "-C", project) == 0
    assert len(server.asked) == asked


def test_run_goes_on_without_a_candidate_that_cannot_be_had(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "gold.jsonl").write_text(
        "\n".join(json.dumps({"text": f"text {at}", "mood": "good"}) for at in range(2))
    )
    assert run("add", project / "gold.jsonl", "-C", project, "--label", "mood", "--source", "human:ada") == 0
    assert run("run", "-C", project, "--json") == 0
    out, err = capsys.readouterr()
    report = json.loads(out.strip().splitlines()[-1])
    assert [row["name"] for row in report["candidates"]] == ["big"]
    assert "linear was left out" in err  # its teacher's labels are all alike: nothing to learn


def test_a_batch_is_submitted_and_picked_up(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("label", "-C", project, "--batch", "--dry-run") == 0
    assert "at the price of batches" in capsys.readouterr().out and server.bodies == []
    assert run("label", "-C", project, "--batch", "--no-wait") == 0
    text = capsys.readouterr().out
    assert f"1 labels from {N - 2} questions" in text and f"{N - 3} in batches that are not done" in text
    assert run("label", "-C", project) == 0
    assert f"{N - 3} in batches" in capsys.readouterr().out and len(server.bodies) == 1
    assert run("label", "-C", project, "--batch", "--json") == 0
    report = last_json(capsys)
    assert isinstance(report, dict) and (report["answered"], report["waiting"]) == (N - 3, 0)
    assert len(server.batches.bodies) == N - 3


def test_a_batch_that_expires_is_one_line_and_exit_code_1(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    server.batches.script = BatchScript(ends="expired", answers=lambda text: text == "text 5")
    assert run("label", "-C", project, "--batch") == 1
    told = capsys.readouterr()
    assert f"1 of its {N - 3} examples were answered" in told.err and told.err.count("Error:") == 1
    assert f"{N - 4} not answered" in told.out


def test_a_dry_run_needs_no_key(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    text = (project / "task.toml").read_text()
    (project / "task.toml").write_text("\n".join(line for line in text.splitlines() if "base_url" not in line))
    assert run("label", "-C", project, "--dry-run") == 0
    assert f"Would ask {N - 2} questions" in capsys.readouterr().out
    assert run("label", "-C", project, "--dry-run", "--batch") == 0
    assert run("label", "-C", project) == 2
    assert "OPENAI_API_KEY is not set" in capsys.readouterr().err
