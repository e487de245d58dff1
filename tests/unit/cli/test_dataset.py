"""tutelage dataset, and a labelled project that goes out of the command line in every format and comes in again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.formatted import SUFFIX, kept, project

from tutelage.cli.entry import main
from tutelage.labels.formats import FORMATS
from tutelage.labels.splitting import example_id
from tutelage.project import open_project
from tutelage.types import Example, Label

CHARACTERS = Path(__file__).parents[3] / "examples" / "characters"


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stories of the example, with the labels of two annotators, one of whom rejected some."""
    folder = tmp_path_factory.mktemp("characters")
    shutil.copy(CHARACTERS / "task.toml", folder)
    stories = CHARACTERS / "stories.jsonl"
    assert run("add", stories, "-C", folder, "--label", "characters", "--source", "human:ada", "--json") == 0
    one = open_project(folder)
    labels = []
    for at, example in enumerate(one.store.examples.read()):
        found = one.store.labels.of([example.id])[example.id][0]
        if at % 5 == 0:
            labels.append(
                Label(example.id, list(found.value)[:1], "human:bob", note="one is missing", status="rejected")
            )
        labels.append(Label(example.id, found.value, "teacher:gpt@1a2b", f"2026-11-20T09:00:00.{at:06}+00:00"))
    one.store.labels.add(labels)
    one.store.close()
    return folder


@pytest.mark.parametrize("name", FORMATS.rows())
def test_a_labelled_project_goes_out_and_comes_in_again(characters: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / f"stories{SUFFIX.get(name, '.jsonl')}"
    options = ["--split", "all", "--labels", "all", "--unlabelled"]
    assert run("dataset", "-C", characters, "--to", name, "--out", out, *options) == 0
    shutil.copy(CHARACTERS / "task.toml", tmp_path)
    assert run("add", out, "-C", tmp_path, "--json") == 0
    before, after = kept(open_project(characters)), kept(open_project(tmp_path))
    assert len(before) == 160
    if name == "openai":  # which has no place for who gave an answer
        assert {id: entry[0].input for id, entry in after.items()} == {
            id: entry[0].input for id, entry in before.items()
        }
        assert all(entry[1][-1].value == before[id][1][0].value for id, entry in after.items())
    else:
        assert after == before


def test_what_is_said_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = project(tmp_path / "p", "label")
    for at, text in enumerate(["a", "b", "c"]):
        example = Example(example_id({"text": text}), {"text": text}, "dev" if at else "train", "g")
        one.store.examples.add([example])
        if at < 2:
            one.store.labels.add([Label(example.id, "yes", "human:ada", note="sure")])
    one.store.close()
    where = ["-C", tmp_path / "p", "--out", tmp_path / "out.jsonl", "--to"]
    assert run("dataset", *where, "openai") == 2
    assert "'openai' has no place for splits. Say which is written: --split train" in capsys.readouterr().err
    assert run("dataset", *where, "openai", "--split", "all") == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "1 examples without such a label were left out.",
        "openai has no place for: splits, groups, sources, times, notes.",
    ]
    assert run("dataset", *where, "prodigy") == 1
    assert "is there already" in capsys.readouterr().err
    assert run("dataset", *where, "label-studio", "--force", "--unlabelled", "--split", "dev") == 0
    said = capsys.readouterr().out
    assert "2 examples (2 dev), 1 labels\n1 of them have no label." in said and '<Choices name="label"' in said
    assert run("dataset", *where, "jsonl", "--force", "--whose", "teacher") == 1
    assert "None of 3 examples has such a label" in capsys.readouterr().err
    assert run("dataset", *where, "jsonl", "--force", "--json") == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (report["examples"], report["labels"], report["left_out"]) == (2, 2, 1)
    assert report["by_split"] == {"train": 1, "dev": 1, "calibration": 0, "test": 0}
    assert run("dataset", *where, "xml") == 2
    said = capsys.readouterr().err
    assert "'xml' is not a known format. Known: argilla, csv, dpo" in said and "preferences" in said


def test_what_is_said_of_a_tools_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path, "label")
    result = [{"from_name": "q", "to_name": "text", "type": "choices", "value": {"choices": ["yes"]}}]
    tasks = [{"id": 1, "data": {"text": "a"}, "annotations": [{"completed_by": 4, "result": result}]}]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    assert run("add", tmp_path / "tasks.json", "-C", tmp_path) == 0
    assert "tasks.json (label-studio): 1 rows, 1 examples added" in capsys.readouterr().out
    assert run("add", tmp_path / "tasks.json", "-C", tmp_path, "--label", "r") == 2
    assert "'r' is no question and no type of spans in this file. There are: q." in capsys.readouterr().err
    (tmp_path / "other.json").write_text("[{}]")
    assert run("add", tmp_path / "other.json", "-C", tmp_path) == 2
    assert "Say so with: --format label-studio or --format argilla" in capsys.readouterr().err
