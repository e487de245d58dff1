from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tutelage.errors import MissingPackage, TaskFileError, UnknownName, UsageError
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.project import Project, open_project
from tutelage.prompting import FAMILY, PromptedSettings, build_prompted
from tutelage.prompting.family import describe_prompted, selector
from tutelage.tasks.file import validated
from tutelage.types import Example, Label, Split

TASK = """
name = "tone"
output = "label"
labels = ["happy", "sad"]
instructions = "Is the text happy or sad?"
[prices.m]
input = 3.0
output = 6.0
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(TASK)
    return open_project(tmp_path)


def test_a_candidate_is_built_with_its_price_and_shots(project: Project) -> None:
    examples = [Example(str(number), {"text": f"text {number}"}, "train") for number in range(3)]
    project.store.examples.add(examples)
    project.store.labels.add([Label("0", "happy", "teacher:m@1")])
    project.store.labels.add([Label(example.id, "sad", "import") for example in examples[1:]])
    with FakeOpenAI(Script(answer="happy")) as server:
        settings = PromptedSettings("m", base_url=server.base_url, shots=2)
        predictor = build_prompted("teacher", settings, project)
        prediction = asyncio.run(predictor.predict_one({"text": "x"}))
        asyncio.run(predictor.close())
    assert predictor.name == "teacher" and prediction.value == "happy" and prediction.usage.dollars
    assert [message["content"] for message in server.bodies[0]["messages"][1:]] == [
        *("text 1", '{"label": "sad"}', "text 2", '{"label": "sad"}', "x")
    ]


def test_shots_are_a_persons_first_and_never_of_dev_or_test(project: Project) -> None:
    splits: list[Split] = ["train", "train", "dev", "test"]
    project.store.examples.add([Example(split + str(n), {"text": str(n)}, split) for n, split in enumerate(splits)])
    project.store.labels.add([Label("train0", "happy", "teacher:m@1")])
    project.store.labels.add([Label(id, "sad", "human:a") for id in ("train1", "dev2", "test3")])
    for shots, expected in [(1, ["train1"]), (2, ["train1", "train0"]), (10_000, ["train1", "train0"])]:
        chosen = selector(PromptedSettings("m", shots=shots), project)
        assert chosen and [shot.example.id for shot in chosen.select({"text": "x"})] == expected


def test_a_template_may_be_a_file_of_the_project(project: Project) -> None:
    (project.folder / "ask.jinja").write_text("Text: {{ text }}\n")
    settings = PromptedSettings("m", base_url="http://127.0.0.1:9/v1", system="You judge.", user="ask.jinja")
    predictor = build_prompted("teacher", settings, project)
    assert [message.content for message in predictor.template.messages({"text": "x"})] == ["You judge.", "Text: x"]
    before = FAMILY.fingerprint("teacher", settings, project)
    (project.folder / "ask.jinja").write_text("{text}")
    assert FAMILY.fingerprint("teacher", settings, project) != before
    with pytest.raises(TaskFileError, match=r"user = 'none\.txt' cannot be read: No such file"):
        build_prompted("teacher", replace(settings, user="none.txt"), project)


def test_a_setting_that_came_later_does_not_make_stored_answers_stale() -> None:
    plain = PromptedSettings("m")
    assert "tries" not in plain.facts() and plain.facts()["context"] == 4096
    assert replace(plain, tries=2).facts() == plain.facts() | {"tries": 2}


def test_the_fingerprint_follows_shots_and_a_local_file(project: Project) -> None:
    def fingerprint(**settings: object) -> object:
        return FAMILY.fingerprint("teacher", PromptedSettings("m.gguf", **settings), project)  # type: ignore[arg-type]

    plain = fingerprint(shots=1, provider="gguf")
    (project.folder / "m.gguf").write_bytes(b"GGUF")
    with_file = fingerprint(shots=1, provider="gguf")
    project.store.examples.add([Example("1", {"text": "a"}, "train")])
    project.store.labels.add([Label("1", "sad", "import")])
    with_shot = fingerprint(shots=1, provider="gguf")
    assert plain != with_file and with_file != with_shot and fingerprint() == fingerprint()


def test_what_cannot_be_built_is_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        build_prompted("t", PromptedSettings("m"), project)
    with pytest.raises(UnknownName, match=r"'opnai' is not a known provider\. Did you mean 'openai'"):
        build_prompted("t", PromptedSettings("m", provider="opnai"), project)
    with pytest.raises(TaskFileError, match="concurrency"):
        validated(PromptedSettings, {"model": "m", "concurrency": 0}, "[candidates.t]")
    with pytest.raises(TaskFileError, match="structured"):
        validated(PromptedSettings, {"model": "m", "structured": "xml"}, "[candidates.t]")


def test_a_missing_package_is_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.delitem(sys.modules, "tutelage.models.gguf", raising=False)
    with pytest.raises(MissingPackage, match=r"pip install 'tutelage\[local\]'"):
        build_prompted("t", PromptedSettings("m.gguf", provider="gguf"), project)


@pytest.mark.parametrize("provider", ["openai", "gguf"])
def test_a_version_is_described_as_it_is_built_and_kept(provider: str, project: Project) -> None:
    if provider == "gguf":
        pytest.importorskip("xllamacpp")
        (project.folder / "m.gguf").write_bytes(b"GGUF")
    name = "m.gguf" if provider == "gguf" else "org/m-1.5.b"
    settings = PromptedSettings(name, provider=provider, base_url="http://127.0.0.1:9/v1", seed=3, user="> {text}")
    described = describe_prompted("t", settings, project)
    assert project.store.prompts.read() == []
    built = build_prompted("t", settings, project)
    build_prompted("t2", settings, project)
    (kept,) = project.store.prompts.read()
    assert (kept.source, kept.candidate, kept.content) == (built.source, "t", built.content)
    assert (described.source, described.content) == (built.source, built.content)
    assert kept.content["user"] == "> {text}" and kept.content["settings"]["seed"] == 3
