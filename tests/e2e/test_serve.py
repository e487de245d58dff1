"""`tutelage serve` as a process, asked by the official OpenAI client for a trained student's answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

pytestmark = pytest.mark.e2e

TUTELAGE = [sys.executable, "-m", "tutelage"]


def tutelage(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([*TUTELAGE, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "topics"
    tutelage("init", str(folder), "--output", "label", "--labels", "money,weather", cwd=folder.parent)
    words = {"money": ["card", "transfer", "bank", "refund"], "weather": ["rain", "sun", "storm", "cloud"]}
    lines = ["text,label"] + [f"a {w} today {n},{k}" for k, ws in words.items() for w in ws for n in range(10)]
    (folder / "topics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tutelage("add", "topics.csv", "--label", "label", cwd=folder)
    tutelage("train", "linear", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    server = subprocess.Popen(
        [*TUTELAGE, "serve", "--port", "0", "--json"], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"]
    server.send_signal(signal.SIGTERM)
    assert server.wait(15) in (0, -signal.SIGTERM)


def test_the_client_lists_the_ready_candidates(url: str) -> None:
    # The teacher of a new project needs a key that is not set, so it is not served; the rest is.
    client = openai.OpenAI(base_url=url, api_key="none")
    assert "linear" in [model.id for model in client.models.list()]


def test_the_client_gets_the_students_answer(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none")
    reply = client.chat.completions.create(
        model="linear", messages=[{"role": "user", "content": "my bank lost a transfer"}], temperature=0, seed=1
    )
    assert json.loads(reply.choices[0].message.content or "") == {"label": "money"}
    assert reply.choices[0].finish_reason == "stop"


def test_served_and_predicted_answers_are_equal(url: str, project: Path) -> None:
    texts = ["rain and sun", "a refund for my card", "clouds"]
    (project / "inputs.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    predicted = [json.loads(line) for line in tutelage("predict", "linear", "inputs.jsonl", cwd=project).splitlines()]
    client = openai.OpenAI(base_url=url, api_key="none")
    for text, answer in zip(texts, predicted, strict=True):
        reply = client.chat.completions.with_raw_response.create(
            model="linear", messages=[{"role": "user", "content": text}]
        )
        assert json.loads(reply.parse().choices[0].message.content or "") == {"label": answer["value"]}
        assert float(reply.headers["x-tutelage-confidence"]) == pytest.approx(answer["confidence"], abs=1e-4)
