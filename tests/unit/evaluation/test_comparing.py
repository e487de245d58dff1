"""Two runs side by side: found by a few letters or a name, what differs is named, scores are paired."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest
from click.testing import CliRunner

from tutelage.cli.entry import cli
from tutelage.errors import UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.comparing import compare_runs, dev_score, find_run, status_now, summary
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.store import Run
from tutelage.students.training import train
from tutelage.types import Example, Label, Split

TASK = """
name = "moods"
output = "label"
labels = ["glad", "sad"]

[candidates.plain]
family = "linear"
effort = "low"

[candidates.other]
family = "linear"
effort = "low"
seed = 7
"""
WORDS = {"glad": ["sang", "laughed", "smiled"], "sad": ["wept", "sighed", "cried"]}


def add(project: Project, split: Split, first: int, n: int, source: str = "import") -> None:
    for at in range(first, first + n):
        mood = "glad" if at % 2 else "sad"
        one = {"text": f"they {WORDS[mood][at % 3]} on day {at}"}
        project.store.examples.add([Example(example_id(one), one, split)])
        project.store.labels.add([Label(example_id(one), mood, source)])


def fit(project: Project, name: str) -> Run:
    one = candidate(project, name)
    assert one.family.student is not None
    train(project, name, one.family_name, one.family.student, one.settings, lambda share, shown: None)
    return find_run(project, name)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(TASK)
    found = open_project(tmp_path)
    add(found, "train", 0, 20)
    add(found, "test", 100, 12)
    return found


def ask(project: Project, name: str) -> None:
    asyncio.run(evaluate(project, candidate(project, name), example_set(project, "test")))


def test_an_older_run_of_a_candidate_keeps_its_scores(project: Project) -> None:
    first = fit(project, "plain")
    ask(project, "plain")
    add(project, "train", 20, 10)
    second = fit(project, "plain")
    ask(project, "plain")
    found = compare_runs(project, first, second, example_set(project, "test"), "test")
    assert (found.n, found.unscored) == (12, None) and next(iter(found.scores)) == "accuracy"
    score = found.scores["accuracy"]
    assert score.difference.low <= score.b.value - score.a.value == score.difference.value <= score.difference.high
    changed = {one.name: (one.a, one.b) for one in found.data}
    assert changed["train.n"] == (20, 30) and "data_fingerprint" in changed
    assert found.settings == found.versions == []


def test_settings_that_differ_are_named(project: Project) -> None:
    found = compare_runs(project, fit(project, "plain"), fit(project, "other"), None, "test")
    assert [(one.name, one.a, one.b) for one in found.settings] == [("seed", 0, 7)]
    assert found.data == [] and found.unscored == "no example of test has a label to score against"


def test_what_was_not_evaluated_says_how(project: Project) -> None:
    runs = fit(project, "plain"), fit(project, "other")
    found = compare_runs(project, *runs, example_set(project, "test"), "test")
    assert found.unscored == f"{runs[0].id} has no stored answers on test; run: tutelage evaluate plain"


def test_runs_are_found_by_name_and_by_the_beginning_of_their_id(project: Project) -> None:
    first, second = fit(project, "plain"), fit(project, "other")
    assert find_run(project, "plain") == first and find_run(project, second.id) == second
    shared = "".join(a for a, b in takewhile(lambda pair: pair[0] == pair[1], zip(first.id, second.id, strict=True)))
    assert find_run(project, second.id[: len(shared) + 1]) == second
    with pytest.raises(UsageError, match=rf"'{shared}' begins 2 runs: {first.id}, {second.id}\. Write more"):
        find_run(project, shared)
    with pytest.raises(UsageError, match=r"'nothing' begins no run's id .* Trained: other, plain \(tutelage list runs"):
        find_run(project, "nothing")
    with pytest.raises(UsageError, match="Both are run"):
        compare_runs(project, first, first, None, "test")


def test_a_failed_run_is_not_the_newest_of_its_candidate(project: Project) -> None:
    done = fit(project, "plain")
    project.store.runs.put(replace(done, id="99999999-0", status="failed", started="2999"))
    assert find_run(project, "plain") == done


def test_the_verb_prints_both_and_json(project: Project) -> None:
    for name in ("plain", "other"):
        fit(project, name)
        ask(project, name)
    where = ["-C", str(project.folder)]
    shown = CliRunner().invoke(cli, ["compare", "plain", "other", *where])
    assert shown.exit_code == 0, shown.output
    assert "A: plain " in shown.output and "data: the same" in shown.output and "  seed: 0 -> 7" in shown.output
    assert "scores on 12 examples of test, against gold labels" in shown.output and "B - A +0.000" in shown.output
    found = json.loads(CliRunner().invoke(cli, ["compare", "plain", "other", *where, "--json"]).output)
    assert found["n"] == 12 and set(found["scores"]["accuracy"]) == {"a", "b", "difference"}


def test_the_list_of_runs_says_what_became_of_them(project: Project) -> None:
    run = fit(project, "plain")
    [one] = json.loads(CliRunner().invoke(cli, ["list", "runs", "--json", "-C", str(project.folder)]).output)
    assert one["candidate"] == "plain" and one["family"] == "linear" and one["status"] == "done"
    assert one["artefact"].endswith(run.id) and 0 <= one["dev_score"] <= 1
    assert one["data"] == f"{run.facts['data_fingerprint'][:8]} (20 + 0 dev)"


def test_a_run_whose_process_is_gone_was_killed(project: Project) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    def run(node: str, pid: int, status: str = "running") -> Run:
        return Run("1", "train", "plain", status, "", None, {"process": [node, pid]})

    assert status_now(run(platform.node(), process.pid)) == "killed"
    assert status_now(run(platform.node(), os.getpid())) == "running"
    assert status_now(run("elsewhere", process.pid)) == "running"
    assert status_now(run(platform.node(), process.pid, "failed")) == "failed"
    assert summary(project, Run("1", "train", "plain", "running", "", None, {}))["data"] is None


@pytest.mark.parametrize(
    ("fit", "score"),
    [
        ({"precision": "int8", "int8": {"dev_score": 0.5}, "fp32": {"dev_score": 0.75}}, 0.5),
        ({"dev_accuracy": 0.25}, 0.25),
        ({"dev_scores": [0.25, 0.5, 0.125]}, 0.5),
        ({}, None),
    ],
)
def test_the_dev_score_is_that_of_what_was_kept(fit: dict[str, object], score: float | None) -> None:
    assert dev_score({"fit": fit}) == score
