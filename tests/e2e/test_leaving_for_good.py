"""Exported wheels in environments of their own: no tutelage, no torch, nothing but what they require.

pip installs each wheel without an index; of the packages here, exactly its declared requirements and theirs are linked
beside it, so that a requirement that is missing from the wheel is missing there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from packaging.requirements import Requirement

pytest.importorskip("torch")

from tests.tiny import make_base

pytestmark = pytest.mark.e2e

STORIES = Path(__file__).parents[2] / "examples" / "characters" / "stories.jsonl"
WORDS = {"money": ["card", "transfer", "bank", "refund"], "weather": ["rain", "sun", "storm", "cloud"]}
SETTINGS = 'base = "base"\nepochs = 3\nlearning_rate = 0.005\nmax_length = 48\nthreads = 1\n'
TASKS = {
    "topic": """name = "topic"\noutput = "label"\nlabels = ["money", "weather"]\nteacher = "linear"
[candidates.linear]\nfamily = "linear"
[candidates.encoder]\nfamily = "encoder"\n"""
    + SETTINGS,
    "characters": """name = "characters"\noutput = "strings"\ngrounded = true\nteacher = "tagger"
[candidates.tagger]\nfamily = "tagger"\n"""
    + SETTINGS,
}
TASK_OF = {"linear": "topic", "encoder": "topic", "tagger": "characters"}


class Left(NamedTuple):
    """A student in its project and out of it."""

    name: str
    project: Path
    command: Path
    inputs: Path


def tutelage(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tutelage", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def topics(n: int, seed: int) -> list[dict[str, str]]:
    draw = random.Random(seed)
    found = []
    for at in range(n):
        label = draw.choice(sorted(WORDS))
        found.append({"text": f"a {draw.choice(WORDS[label])} today {at} {draw.random()}", "topic": label})
    return found


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    stories = [json.loads(line) for line in STORIES.read_text(encoding="utf-8").splitlines()]
    for task, file in TASKS.items():
        folder = tmp_path_factory.mktemp(task)
        examples = topics(120, 0) if task == "topic" else stories[:60]
        make_base(folder / "base", [str(one["text"]) for one in examples])
        (folder / "task.toml").write_text(file, encoding="utf-8")
        (folder / "data.jsonl").write_text("".join(json.dumps(one) + "\n" for one in examples), encoding="utf-8")
        tutelage("add", "data.jsonl", "--label", task, cwd=folder)
        tutelage("train", *(name for name, of in TASK_OF.items() if of == task), cwd=folder)
        inputs = topics(100, 1) if task == "topic" else stories[60:160]
        (folder / "inputs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in inputs), encoding="utf-8")
        found[task] = folder
    return found


@pytest.fixture(scope="module", params=TASK_OF)
def left(request: pytest.FixtureRequest, projects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Left:
    name: str = request.param
    project = projects[TASK_OF[name]]
    told = json.loads(tutelage("export", name, "--to", "wheel", "--json", cwd=project))
    wheel = project / told["written"][0]
    home = tmp_path_factory.mktemp(f"home-{name}")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    own = metadata.Distribution.at(next(site.glob("*.dist-info")))
    link(own.requires or [], site)
    return Left(name, project, home / "bin" / TASK_OF[name], project / "inputs.jsonl")


def link(requires: list[str], site: Path) -> None:
    """Link the distributions here that `requires` names, and all that they require, into `site`."""
    for line in requires:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = metadata.distribution(requirement.name)
        assert requirement.specifier.contains(found.version, prereleases=True)
        fresh = False
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))))
                fresh = True
        if fresh:
            link(found.requires or [], site)


def ran(left: Left, *arguments: str) -> subprocess.CompletedProcess[str]:
    alone = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": "/nonexistent"}
    return subprocess.run(
        [left.command, *arguments], cwd="/", env=alone, capture_output=True, text=True, check=False, timeout=60
    )


def answers(lines: str) -> list[dict[str, Any]]:
    """Without what they cost."""
    return [{key: value for key, value in json.loads(line).items() if key != "usage"} for line in lines.splitlines()]


def nearly(answer: dict[str, Any]) -> dict[str, Any]:
    """scipy and numpy add up in different orders; on some processors the last digit of a float32 shows it."""
    within = {"confidence": 1e-5, "parts": 2e-6}
    return answer | {name: pytest.approx(answer[name], abs=most) for name, most in within.items() if name in answer}


def test_nothing_of_the_project_is_there(left: Left) -> None:
    python = left.command.with_name("python")
    for package in ("tutelage", "torch", "sklearn", "transformers", "starlette", "pydantic", "scipy"):
        done = subprocess.run([python, "-c", f"import {package}"], cwd="/", capture_output=True, check=False)
        assert done.returncode == 1, package


def test_the_answers_are_the_projects(left: Left) -> None:
    there = tutelage("predict", left.name, str(left.inputs), cwd=left.project)
    here = ran(left, "predict", str(left.inputs))
    assert here.returncode == 0, here.stderr
    assert len(here.stdout.splitlines()) == 100
    assert answers(here.stdout) == [nearly(one) for one in answers(there)]


def test_the_first_answer_is_there_in_two_seconds(left: Left, tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    one.write_text(left.inputs.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert ran(left, "predict", str(one)).returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 6  # 2 s on a quiet machine; this test runs on busy ones


@pytest.fixture
def url(left: Left) -> Iterator[str]:
    server = subprocess.Popen(
        [left.command, "serve", "--port", "0", "--json"], cwd="/", stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"]
    server.send_signal(signal.SIGTERM)
    assert server.wait(10) == 0
    server.stdout.close()


def test_openais_client_gets_what_predict_says(left: Left, url: str) -> None:
    texts = [json.loads(line)["text"] for line in left.inputs.read_text(encoding="utf-8").splitlines()[:5]]
    values = [json.loads(line)["value"] for line in ran(left, "predict", str(left.inputs)).stdout.splitlines()]
    client = openai.OpenAI(base_url=url, api_key="none")
    assert [model.id for model in client.models.list()] == [left.name]
    for text, value in zip(texts, values, strict=False):
        reply = client.chat.completions.create(model=left.name, messages=[{"role": "user", "content": text}])
        (found,) = json.loads(reply.choices[0].message.content or "").values()
        assert found == value


def test_the_card_is_in_the_package(left: Left) -> None:
    assert ran(left, "card").stdout.startswith("---\nlicense: ")


@pytest.mark.parametrize("name", ["encoder", "tagger"])
def test_the_readme_of_an_onnx_export_answers(name: str, projects: dict[str, Path], tmp_path: Path) -> None:
    project = projects[TASK_OF[name]]
    tutelage("export", name, "--to", "onnx", "--out", str(tmp_path), cwd=project)
    text = json.loads((project / "inputs.jsonl").read_text(encoding="utf-8").splitlines()[0])["text"][:60]
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    program = readme.partition("```python\n")[2].partition("```")[0]
    assert len(program.splitlines()) <= 26
    (tmp_path / "use.py").write_text(program.replace("text = '...'", f"text = {text!r}"), encoding="utf-8")
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    wanted = json.loads(tutelage("predict", name, str(tmp_path / "one.jsonl"), cwd=project))
    if name == "encoder":
        assert found["label"] == wanted["value"]
        assert found["confidence"] == pytest.approx(wanted["confidence"], abs=1e-3)
    else:
        assert {tag for _, tag in found} <= {0, 1, 2}


def test_a_hub_folder_holds_all(projects: dict[str, Path], tmp_path: Path) -> None:
    tutelage("export", "encoder", "--to", "hub-folder", "--out", str(tmp_path), cwd=projects["topic"])
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"README.md", "card.json", "task.json", "student.json", "model/model.onnx", "model/tokenizer.json"} <= names
    assert (tmp_path / "README.md").read_text().startswith("---\nlicense: apache-2.0\nbase_model: base\n")
    shutil.rmtree(tmp_path)
