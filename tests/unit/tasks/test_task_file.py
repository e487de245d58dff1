"""task.toml: what is wrong is said in one line that names the place, the value and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tutelage.errors import TaskFileError, UsageError
from tutelage.project import open_project
from tutelage.tasks.file import Hardware, read_task_file, validated
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask

GOOD = 'name = "topics"\noutput = "label"\nlabels = ["a", "b"]\n'


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "task.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    text = """
name = "names"
output = "strings"
grounded = true
fields = ["title", "text"]
instructions = \"\"\"
List the names.
\"\"\"
metric = "alias_f1"
teacher = "big"
[[data]]
file = "a.csv"
split = "test"
fields = {text = "body"}
label = "names"
[candidates.big]
family = "prompted"
model = "m"
[prices."m"]
input = 1
output = 2.5
[hardware]
occupancy = 1.0
"""
    file = read_task_file(write(tmp_path, text))
    task = file.task()
    assert task == StringsTask("names", ("title", "text"), "List the names.", "alias_f1", grounded=True)
    assert file.data[0].fields == {"text": "body"} and file.data[0].source == "import"
    assert file.prices["m"].output == 2.5 and file.hardware.occupancy == 1.0
    project = open_project(tmp_path)
    assert project.task == task and project.candidate("big") == {"family": "prompted", "model": "m"}
    with pytest.raises(UsageError, match=r"'bog' is not a known candidate. Did you mean 'big'\?"):
        project.candidate("bog")


def test_defaults(tmp_path: Path) -> None:
    task = read_task_file(write(tmp_path, GOOD)).task()
    assert task == LabelTask("topics", ("text",), "", "accuracy", labels=("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "lables = []\n", r"unknown key 'lables'. Known: name, output, fields, .*labels"),
        (GOOD + "[hardware]\nname = 'x'\nwatts = 3\n", r"unknown key 'hardware.watts'. Known: name, dollars_per_hour"),
        (GOOD + "[[data]]\nfile = 'x'\nsplits = 'test'\n", r"unknown key 'data.0.splits'. Known: file, split"),
        (GOOD + "[prices.m]\ninput = 1\noutput = 1\ncash = 1\n", r"unknown key 'prices.m.cash'. Known: input, output"),
        (GOOD.replace('"topics"', "7"), r"name: input should be a valid string, found 7"),
        (GOOD.replace('"topics"', '"my topics"'), r"name: .*pattern.*, found 'my topics'"),
        (GOOD.replace('["a", "b"]', '"a"'), r"labels: input should be a valid list, found 'a'"),
        (GOOD.replace('["a", "b"]', '["a", "b", "a"]'), r"Labels occur twice: a"),
        (GOOD.replace('labels = ["a", "b"]', ""), r"at least two labels, found \[\]. Set: labels"),
        (GOOD + "fields = []\n", r"fields: .*at least 1 item"),
        (GOOD + "grounded = true\n", r"'grounded' does not go with output = 'label'"),
        (GOOD + 'metric = "f1"\n', r"metric = 'f1' does not go with output = 'label'. Known: accuracy, macro_f1"),
        (
            GOOD.replace('"label"', '"recrod"'),
            r"'recrod' is not a known output kind. Did you mean 'record'\? Known: label",
        ),
        (GOOD.replace('name = "topics"\n', ""), r"name: field required"),
        (
            GOOD + "[[data]]\nfile = 'x'\nsplit = 'eval'\n",
            r"data.0.split: .*'train', 'dev', 'calibration' or 'test', found 'eval'",
        ),
        (GOOD + "[hardware]\noccupancy = 0\n", r"hardware.occupancy: input should be greater than 0, found 0"),
        (GOOD + "[prices.m]\ninput = -1\noutput = 1\n", r"prices.m.input: .*greater than or equal to 0, found -1"),
        ("name = \n", r"is not valid TOML: .*line 1"),
        ("name = 'Ä'".encode("latin-1"), r"is not UTF-8 \(byte 8\). Save it as UTF-8"),
        ("", r"name: field required"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        read_task_file(path).task()
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_a_folder_without_one_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=r"There is no task.toml in .* tutelage init"):
        open_project(tmp_path)
    (tmp_path / "task.toml").mkdir()
    with pytest.raises(TaskFileError, match="cannot be read: Is a directory"):
        open_project(tmp_path)


@dataclass(frozen=True)
class Settings:
    model: str
    shots: int = 0


def test_settings_of_candidates_are_checked_in_the_same_way() -> None:
    assert validated(Settings, {"model": "m"}, "x") == Settings("m")
    assert validated(Hardware, {"occupancy": 1}, "x").occupancy == 1
    for data, message in (
        ({"model": "m", "shot": 1}, "x: unknown key 'shot'. Known: model, shots."),
        ({"model": "m", "shots": "many"}, "x: shots: input should be a valid integer.*, found 'many'"),
        ({}, "x: model: field required."),
    ):
        with pytest.raises(TaskFileError, match=message):
            validated(Settings, data, "x")
