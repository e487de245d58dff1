"""tutelage add, and the options that verbs share."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from tutelage.cli.entry import main
from tutelage.cli.options import emit, plain
from tutelage.cli.progress import progress


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of a label task, which is also the current folder."""
    (tmp_path / "task.toml").write_text('name = "topics"\noutput = "label"\nlabels = ["billing", "other"]\n')
    (tmp_path / "data.csv").write_text(
        "body,topic,by,split\nwhere is it,other,ann,train\npaid twice,billing,bob,test\npaid twice,billing,bob,dev\n,other,cy,\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_add_says_what_became_of_the_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", "data.csv", "--field", "text=body", "--label", "topic") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "data.csv: 4 rows, 2 examples added (1 train, 0 dev, 0 calibration, 1 test), 2 labels added",
        "1 were there already.",
        "1 of them are in another split than the file wants, and stay there.",
        f"1 could not be used, see {Path('rejects/data.rejects.jsonl')}",
    ]
    assert json.loads(Path("rejects/data.rejects.jsonl").read_text())["line"] == 5


def test_add_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["add", folder / "data.csv", "-C", folder, "--field", "text=body", "--label", "topic", "--split", "dev"]
    assert run(*arguments, "--group", "by", "--source", "human:ada", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "file": str(folder / "data.csv"),
        "format": "csv",
        "read": 4,
        "added": 2,
        "duplicates": 1,
        "labelled": 2,
        "rejected": 1,
        "rejects_file": str(folder / "rejects" / "data.rejects.jsonl"),
        "by_split": {"train": 0, "dev": 2, "calibration": 0, "test": 0},
        "moved": 0,
    }
    assert err == "" and out.count("\n") == 1


def test_another_database(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", "data.csv", "--field", "text=body", "--database", f"sqlite:///{folder / 'other.db'}") == 0
    assert (folder / "other.db").exists() and not (folder / "tutelage.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["data.csv"], 2, "data.csv has no column 'text'. Columns: body, topic, by, split."),
        (["data.csv", "--field", "body"], 2, "'body' does not map a field. Write: --field NAME=COLUMN"),
        (["data.csv", "--field", "=body"], 2, "'=body' does not map a field."),
        (["data.csv", "--field", "body=text"], 2, "'body' is not a field of task 'topics'. Fields: text."),
        (["data.csv", "--field", "text=body", "--label", "label"], 2, "has no column 'label'."),
        (["data.csv", "--source", "me"], 2, "'me' is not a source. Known: import, human:NAME, teacher:NAME."),
        (["none.csv"], 1, "There is no file none.csv."),
        (["task.toml"], 1, "task.toml is in no known format. Known: .csv, .csv.gz, .jsonl"),
        (["latin.csv"], 1, "latin.csv is not UTF-8: line 2, byte 7 is 0xFC. Save it as UTF-8"),
        (["empty.csv"], 1, "empty.csv is empty."),
        (["huge.csv"], 1, "No row of huge.csv can be used. Line 2: field 'text' has 10,000,000 characters"),
        (["data.csv", "-C", "nowhere"], 2, "There is no task.toml in nowhere."),
        (["data.csv", "--field", "text=body", "--database", "none/x.db"], 1, "unable to open database file."),
        (["data.csv", "--field", "text=body", "--database", "data.csv"], 1, "file is not a database."),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    (folder / "latin.csv").write_bytes(b"text\nG" + "rü".encode("latin-1") + b"n\n")
    (folder / "empty.csv").touch()
    if "huge.csv" in arguments:
        (folder / "huge.csv").write_text("text\n" + "x" * 10_000_000)
    assert run("add", *arguments) == code
    out, err = capsys.readouterr()
    assert err.startswith("Error: ") and message in err
    assert err.count("\n") == 1 and out == ""


def test_a_split_that_does_not_exist_is_a_usage_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", "data.csv", "--split", "holdout") == 2
    assert "'holdout' is not one of 'train', 'dev', 'calibration', 'test'" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", "--help") == 0
    out = capsys.readouterr().out
    assert "tutelage add stories.csv" in out and "--database URL" in out and "-C, --project DIR" in out


@dataclass(frozen=True)
class Facts:
    where: Path
    scores: dict[str, float]
    names: tuple[str, ...] = ("é",)


def test_results_are_printed_as_one_line_of_json_or_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    facts = Facts(Path("a/b"), {"f1": float("nan"), "recall": 0.5, "cost": float("inf")})
    emit(facts, True, "text")
    assert capsys.readouterr().out == (
        '{"where": "a/b", "scores": {"f1": null, "recall": 0.5, "cost": null}, "names": ["é"]}\n'
    )
    emit(facts, False, "text")
    assert capsys.readouterr().out == "text\n"
    assert plain([Facts, frozenset({1})]) == [Facts, [1]]


def test_progress_is_drawn_on_terminals_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Adding", 10) as advance:
        advance(3, cost="$1")
    assert capsys.readouterr() == ("", "")
    for total, shown in ((10, "7/10"), (None, "7/?")):
        screen = io.StringIO()
        with progress("Adding", total, Console(file=screen, force_terminal=True, width=100)) as advance:
            advance(3)
            advance(4, cost="$0.12", errors=2)
        assert shown in screen.getvalue() and "cost $0.12 errors 2" in screen.getvalue()
