"""tutelage init: the file it writes is one that the other verbs take."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.cli.entry import main
from tutelage.cli.init import IGNORED, task_text
from tutelage.project import open_project
from tutelage.tasks import OUTPUTS
from tutelage.tasks.file import TaskFile, validated
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_label_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my topics"
    assert run("init", folder, "--output", "label", "--labels", 'billing, Größe ,a"b,,') == 0
    project = open_project(folder)
    assert isinstance(project.task, LabelTask)
    assert project.task.labels == ("billing", "Größe", 'a"b')
    assert (project.task.name, project.task.fields, project.task.metric) == ("my-topics", ("text",), "accuracy")
    assert project.file.teacher == "teacher" and project.file.prices == {}
    assert project.candidate("teacher") == {"family": "prompted", "model": "gpt-5-mini"}
    assert set(project.file.candidates) == {"teacher", "linear"}
    assert (folder / ".gitignore").read_text() == IGNORED
    out = capsys.readouterr().out
    assert out.startswith(f"Made {folder / 'task.toml'}.\nNext:\n  1. write the instructions")
    assert "tutelage add FILE" in out and "tutelage label" in out


def test_a_project_of_grounded_strings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "characters"
    assert run("init", folder, "--output", "strings", "--grounded", "--field", "title", "--field", "body") == 0
    task = open_project(folder).task
    assert isinstance(task, StringsTask)
    assert task.grounded and task.fields == ("title", "body")
    assert '# family = "tagger"' in (folder / "task.toml").read_text()


def test_a_project_of_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "letters"
    assert run("init", folder, "--output", "record") == 0
    out = capsys.readouterr().out
    assert "write the fields and the instructions" in out and "--label fields when" in out
    task = open_project(folder).task
    assert isinstance(task, RecordTask) and task.metric == "field_f1"
    names = ["title", "date", "amount", "kind", "urgent", "topics"]
    assert [one.name for one in task.answer_fields] == names
    assert [one.name for one in task.answer_fields if one.required] == ["title"]


def test_a_project_of_label_sets(tmp_path: Path) -> None:
    assert run("init", tmp_path / "t", "--output", "labels", "--labels", "a,b") == 0
    task = open_project(tmp_path / "t").task
    assert isinstance(task, LabelsTask) and (task.labels, task.metric) == (("a", "b"), "f1")


@pytest.mark.parametrize("output", OUTPUTS.rows())
def test_the_metrics_in_the_comment_are_the_tasks_own(output: str) -> None:
    text = task_text("t", output, ["text"], ["a", "b"], False)
    task = validated(TaskFile, tomllib.loads(text), "task.toml").task()
    known = re.search(r"Known: (.*)\.\nmetric", text)
    assert known and set(known[1].split(", ")) <= set(task.metrics)


def test_labels_from_a_file_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes("\ufeffone, two\r\n\r\nthree\r\n".encode())
    assert run("init", tmp_path / "t", "--output", "label", "--labels", f"@{labels}", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "folder": str(tmp_path / "t"),
        "task_file": str(tmp_path / "t" / "task.toml"),
        "name": "t",
        "output": "label",
    }
    task = open_project(tmp_path / "t").task
    assert isinstance(task, LabelTask) and task.labels == ("one, two", "three")


def test_labels_may_be_filled_in_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("init", tmp_path, "--output", "label") == 0
    assert "write the labels and the instructions" in capsys.readouterr().out
    assert run("add", "x.csv", "-C", tmp_path) == 2
    assert "at least two labels, found []. Set: labels" in capsys.readouterr().err


def test_the_current_folder_and_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expected in (("2nd try!", "task-2nd-try"), ("---", "task"), ("Ünder", "nder")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert run("init", ".", "--output", "strings") == 0
        assert open_project(Path(".")).task.name == expected


def test_a_project_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    assert run("init", tmp_path, "--output", "strings") == 0
    before = (tmp_path / "task.toml").read_text()
    capsys.readouterr()
    assert run("init", tmp_path, "--output", "label", "--labels", "a,b") == 2
    err = capsys.readouterr().err
    assert (
        err
        == f"Error: {tmp_path / 'task.toml'} exists already and is left as it is. Edit it, or name another folder.\n"
    )
    assert (tmp_path / "task.toml").read_text() == before
    assert (tmp_path / ".gitignore").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--output", "label", "--grounded"], 2, "--grounded goes with --output strings only"),
        (["--output", "strings", "--labels", "a,b"], 2, "--labels goes with --output label or labels only"),
        (["--output", "label", "--labels", "a,b,a"], 2, "Labels occur twice: a."),
        (["--output", "label", "--labels", "a"], 2, "at least two labels, found ['a']"),
        (["--output", "strings", "--field", "my text"], 2, "'my text' cannot be a field"),
        (["--output", "strings", "--field", "a", "--field", "a"], 2, "'a' is named twice"),
        (["--output", "label", "--labels", "@none.txt"], 1, "none.txt cannot be read: No such file"),
        (["--output", "label", "--labels", "@latin.txt"], 1, "latin.txt is not UTF-8 (byte 1). Save it as UTF-8."),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("aé\nb".encode("latin-1"))
    assert run("init", "new", *arguments) == code
    err = capsys.readouterr().err
    assert err.startswith("Error: ") and message in err and err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_folders_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run("init", tmp_path / "file", "--output", "strings") == 2
    assert "a file is in the way" in capsys.readouterr().err
    assert run("init", tmp_path / "file" / "deeper", "--output", "strings") == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


label = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)


@given(st.lists(label, min_size=2, max_size=5, unique=True))
def test_any_labels_can_be_written(labels: list[str]) -> None:
    text = task_text("t", "label", ["text"], labels, False)
    task = validated(TaskFile, tomllib.loads(text), "task.toml").task()
    assert isinstance(task, LabelTask) and list(task.labels) == labels


@pytest.mark.parametrize(("output", "grounded"), [*((output, False) for output in OUTPUTS.rows()), ("strings", True)])
def test_what_is_commented_out_works_when_it_is_not(tmp_path: Path, output: str, grounded: bool) -> None:
    text = task_text("t", output, ["text"], ["a", "b"], grounded)
    lines = text.splitlines()
    for at, line in enumerate(lines):
        start = line.removeprefix("# ").split(" ", 1)[0]
        if line.startswith("# [") or (line.startswith("# ") and line.partition(" = ")[1] and start.islower()):
            lines[at] = line.removeprefix("# ")
    file = validated(TaskFile, tomllib.loads("\n".join(lines)), "task.toml")
    assert file.prices["gpt-5-mini"].output == 2.0 and file.hardware.name == "my server"
    assert len(file.candidates) == (3 if output == "label" else 1) + 2 * grounded
    assert (file.normalisers is not None) == (output == "record")
    file.task()
