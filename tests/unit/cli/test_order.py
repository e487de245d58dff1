"""tutelage order, and calibrate for votes and verifiers, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.panels import ask, recorded_project

from tutelage.cli.entry import cli
from tutelage.errors import TutelageError, UsageError
from tutelage.project import Project, open_project
from tutelage.tasks.file import read_task_file

MORE = """
[candidates.panel]
family = "vote"
of = ["small", "middle", "large"]
weights = "dev"

[candidates.equal]
family = "vote"
of = ["small", "middle"]

[candidates.sure]
family = "verified"
of = "panel"
"""


def small(at: int) -> tuple[str | None, float | None]:
    return ("yes", 0.9) if at % 3 else ("no", 0.2)


def middle(at: int) -> tuple[str | None, float | None]:
    return ("yes", 0.8) if at % 5 else ("no", 0.4)


def large(at: int) -> tuple[str | None, float | None]:
    return ("yes" if at % 12 else "maybe"), None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return recorded_project(
        tmp_path, {"small": small, "middle": middle, "large": large}, MORE, splits=("dev", "calibration")
    )


def run(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "-C", str(project.folder)])


def test_the_best_cascade_is_printed_with_lines_for_the_task_file(project: Project) -> None:
    result = run(project, "order", "--max-loss", "0.1", "small", "large")
    assert result.exit_code == 0, result.output
    assert "fewest dollars for a loss of at most 0.1; 200 examples of dev, gold labels" in result.output
    assert "small -> large" in result.output
    assert "tutelage calibrate ordered --max-loss SHARE" in result.output
    lines = result.output.split("For task.toml:\n\n")[1].split("\n\n")[0]
    with (project.folder / "task.toml").open("a") as file:
        file.write("\n" + lines)
    assert read_task_file(project.folder / "task.toml").candidates["ordered"]["stages"] == ["small", "large"]
    proved = run(open_project(project.folder), "calibrate", "ordered", "--max-loss", "0.15")
    assert proved.exit_code == 0, (proved.output, proved.exception)
    assert "ordered: small -> large, PROVED" in proved.output


def test_json_has_the_figures_and_where_one_candidate_is_best_no_cascade(project: Project) -> None:
    found = json.loads(run(project, "order", "--budget", "0.11", "small", "large", "--json").output)
    assert found["chosen"]["stages"] == ["small"]
    assert found["task_toml"] == ""
    assert found["n"] == 200
    assert found["chosen"]["loss"]["low"] < found["chosen"]["loss"]["value"] < found["chosen"]["loss"]["high"]
    assert "One candidate alone is best: small." in run(project, "order", "--budget", "0.11", "small", "large").output


@pytest.mark.parametrize("given", [[], ["--budget", "1", "--max-loss", "0.1"]])
def test_one_wish_at_a_time(project: Project, given: list[str]) -> None:
    result = run(project, "order", *given)
    assert isinstance(result.exception, UsageError)


def test_what_is_not_answered_or_is_a_cascade_is_left_out_and_named(project: Project) -> None:
    output = run(project, "order", "--budget", "2").output
    assert "Left out: panel has not answered dev (tutelage evaluate panel --split dev)." in output


def test_calibrate_learns_parts_before_what_is_made_of_them(project: Project) -> None:
    first = run(project, "calibrate", "sure", "panel")
    assert isinstance(first.exception, TutelageError)
    assert "'panel' has not answered all 200 examples of dev" in str(first.exception)
    ask(project, "panel", "dev")
    result = run(project, "calibrate", "sure", "panel")
    assert result.exit_code == 0, (result.output, result.exception)
    panel, sure = result.output.split("\n\n")
    assert panel.startswith("panel: weights from 200 examples of dev: small 0.68 (0.665 right)")
    assert sure.startswith("sure: verifier of 200 answers on dev (0.9")
    again = run(project, "calibrate", "sure", "--json")
    assert json.loads(again.output) == {"certified": {}, "learned": ["sure"]}


def test_a_vote_of_equals_has_nothing_to_learn(project: Project) -> None:
    result = run(project, "calibrate", "equal")
    assert isinstance(result.exception, UsageError)
    assert "'equal' is no cascade, and nothing is learned of it" in str(result.exception)
