"""`tutelage train --effort --set`: settings for one run, recorded in the card; what is odd about examples is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.entry import main
from tutelage.cli.train import read_changes
from tutelage.errors import UsageError


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "task.toml").write_text(
        'name = "things"\noutput = "label"\nlabels = ["fruit", "tool", "animal"]\n'
        '[candidates.linear]\nfamily = "linear"\nfeatures = "tfidf"\n'
    )
    words = {"fruit": "apple", "tool": "saw"}
    rows = [{"text": f"a {words[label]} {at}", "label": label} for at in range(12) for label in words]
    rows += [
        {"text": "a cat", "label": "animal"},
        {"text": "An  apple", "label": "fruit"},
        {"text": "an Apple", "label": "tool"},
    ]
    (tmp_path / "things.jsonl").write_text("\n".join(json.dumps({**row, "split": "train"}) for row in rows))
    assert run("add", tmp_path / "things.jsonl", "-C", tmp_path, "--label", "label", "--source", "human:ada") == 0
    capsys.readouterr()
    return tmp_path


def trained(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert run("train", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])[0]


def test_flags_go_before_task_toml_for_one_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = trained(capsys, "-C", project)
    assert "overridden" not in plain["card"] and plain["card"]["settings"]["effort"] == "medium"
    changed = trained(capsys, "-C", project, "--effort", "low", "--set", "seed=7", "--set", "features=auto")
    assert changed["skipped"] is False
    assert changed["card"]["overridden"] == {"effort": "low", "seed": 7, "features": "auto"}
    assert changed["card"]["settings"]["effort"] == "low" and len(changed["card"]["fit"]["tried"]) == 1
    assert trained(capsys, "-C", project, "--effort", "low", "--set", "seed=7", "--set", "features=auto")["skipped"]
    assert trained(capsys, "-C", project)["skipped"] is False


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "speed=9"], "unknown key 'speed'. Known: features, base"),
        (["--set", "seed=soon"], "seed: input should be a valid integer"),
        (["--set", "seed"], "--set 'seed' is not NAME=VALUE"),
        (["--set", "family=encoder"], "another family is another candidate"),
    ],
)
def test_wrong_flags_are_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert run("train", "-C", project, *flags) != 0
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_values_are_read_as_task_toml_has_them() -> None:
    given = ["a=5e-5", "b=true", 'c=["x", "y"]', "d=weights/minilm", "e = 'x=y'", "f="]
    assert read_changes(given) == {"a": 5e-5, "b": True, "c": ["x", "y"], "d": "weights/minilm", "e": "x=y", "f": ""}
    with pytest.raises(UsageError):
        read_changes(["=3"])


def test_what_is_odd_about_the_examples_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = trained(capsys, "-C", project)["card"]["train"]
    assert card["contradictory"] == 2 and card["labels_with_one_example"] == ["animal"]
    assert sorted(card["contradictory_shown"][0]["labels"]) == ['"fruit"', '"tool"']
    assert run("train", "-C", project) == 0
    assert "2 examples have the text of another with a different label; one example alone has the label animal" in (
        capsys.readouterr().out
    )
