"""Prompt search: a better prompt is found within its bounds, a good one is kept, and no answer is paid for twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.cli.train import describe, train_one
from tutelage.errors import TrainingError, TutelageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.evaluation.search.found import PROMPT
from tutelage.evaluation.search.halving import FIRST, plan
from tutelage.evaluation.versions import version_now
from tutelage.labels.splitting import example_id
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.project import Project, open_project
from tutelage.students.training import TrainReport, train
from tutelage.types import Example, Label, Split

TASK = """
name = "tone"
output = "label"
labels = ["happy", "sad"]
instructions = "Is it happy or sad?"
[prices.m]
input = 3.0
output = 6.0
[candidates.llm]
family = "prompted"
model = "m"
base_url = "{url}"
api_key_env = "NO_KEY"
user = "{{instructions}} ## {{text}}"
[candidates.other]
family = "prompted"
model = "n"
base_url = "{url}"
[candidates.fixed]
family = "prompted"
model = "m"
base_url = "{url}"
system = "Say happy or sad."
[candidates.words]
family = "linear"
[candidates.searched]
family = "prompt-search"
of = "llm"
"""
BETTER = "Mind every mark of mood."


def model(asked: str) -> str:
    """Right about every text when told what to mind, about three of four else; writes instructions when asked to."""
    if "advice: " in asked:
        return json.dumps({"instructions": f"Look closely. {asked.rpartition('advice: ')[2]}"})
    said, _, text = asked.rpartition(" ## ")
    right = "happy" if "sun" in text else "sad"
    wrong = int(text.split()[-1]) % 4 == 0 and BETTER not in said
    return json.dumps({"label": {"happy": "sad", "sad": "happy"}[right] if wrong else right})


def project_at(folder: Path, url: str, settings: str = "", dev: int = 40) -> Project:
    (folder / "task.toml").write_text(TASK.format(url=url) + settings)
    project = open_project(folder)
    sizes: dict[Split, int] = {"train": 12, "dev": dev, "test": 12}
    for split, n in sizes.items():
        inputs = [{"text": f"{split}: the {'sun' if at % 2 else 'rain'} of day {at}"} for at in range(n)]
        project.store.examples.add([Example(example_id(one), one, split) for one in inputs])
        labels = ["happy" if "sun" in one["text"] else "sad" for one in inputs]
        project.store.labels.add(
            [Label(example_id(one), label, "import") for one, label in zip(inputs, labels, strict=True)]
        )
    return project


def searched(project: Project, tell: Callable[[float, Mapping[str, object]], None] | None = None) -> TrainReport:
    one = candidate(project, "searched")
    if tell is None:
        return train_one(project, one)
    assert one.family.student is not None
    return train(project, one.name, one.family_name, one.family.student, one.settings, tell)


OWN = f'instructions = ["Say.", "{BETTER}"]\nproposals = 1\nshots = [0, 2]\nselectors = ["bm25"]\ncalls = 80\n'


def test_a_better_prompt_is_found_within_the_calls_and_answers_from_then_on(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer=model)) as server:
        project = project_at(tmp_path, server.base_url, OWN)
        report = searched(project)
        fit, asked = report.card["fit"], list(server.bodies)
        assert (fit["replaced"], fit["best"]["instructions"], fit["best"]["score"]["value"]) == (True, BETTER, 1.0)
        assert fit["hand_written"]["instructions"] == "Is it happy or sad?" and fit["prompts"] == 8
        assert fit["difference"]["low"] > 0 and fit["n"] > FIRST
        assert fit["proposals"] == {"asked": 1, "failed": 0, "problem": None}
        assert len(asked) == fit["calls"] == fit["asked_now"] <= 80 and fit["dollars"] > 0
        assert not any("test: " in message["content"] for body in asked for message in body["messages"])
        assert "own 2 instructions, no shots: accuracy 1.000 beside 0." in describe(report)
        assert searched(project).skipped
        one, test = candidate(project, "searched"), example_set(project, "test")
        assert BETTER in json.dumps(version_now(project, one).content)  # type: ignore[union-attr]
        assert not one.hosted(project) and asyncio.run(evaluate(project, one, test)) == 12
        answers = project.store.predictions.read(one.fingerprint(project), test.ids)
        assert [answers[e.example.id].value for e in test.examples] == [e.value for e in test.examples]
    kept = json.loads((report.folder / PROMPT).read_text())
    assert kept["prompt"]["instructions"] == BETTER and kept["hand_written"]["score"]["value"] < 1


def test_the_hand_written_prompt_stays_when_none_is_better(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer=lambda asked: model(f"{BETTER} {asked}"))) as server:
        project = project_at(tmp_path, server.base_url, OWN)
        report = searched(project)
        fit = report.card["fit"]
        assert not fit["replaced"] and fit["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
        assert "so the hand-written prompt stays" in describe(report)
        # Of challengers that are equally good the one with the shortest prompt comes first.
        assert (fit["best"]["instructions"], fit["best"]["shots"]) == ("Say.", 0)
        before = len(server.bodies)
        asyncio.run(evaluate(project, candidate(project, "searched"), example_set(project, "test")))
        assert all("Is it happy or sad?" in body["messages"][-1]["content"] for body in server.bodies[before:])


def test_a_search_that_was_broken_off_goes_on_and_asks_nothing_again(tmp_path: Path) -> None:
    def stop(_share: float, shown: Mapping[str, Any]) -> None:
        if shown.get("calls") == 30:
            raise RuntimeError("killed")

    (tmp_path / "whole").mkdir()
    with FakeOpenAI(Script(answer=model)) as server:
        whole = searched(project_at(tmp_path / "whole", server.base_url, OWN)).card["fit"]
        project = project_at(tmp_path, server.base_url, OWN)
        with pytest.raises(RuntimeError, match="killed"):
            searched(project, stop)
        resumed = searched(open_project(tmp_path)).card["fit"]
    assert 0 < resumed["asked_now"] <= 80 - 30 + 1  # the one that was being counted, when it was told, is stored
    assert {**whole, "asked_now": 0} == {**resumed, "asked_now": 0}


def test_a_budget_ends_the_search_with_what_is_known(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer=model)) as server:
        fit = searched(project_at(tmp_path, server.base_url, OWN + "budget = 0.02\n")).card["fit"]
        project = open_project(tmp_path)
        assert "is used up" in fit["stopped"] and fit["n"] >= FIRST
        assert 0 < fit["dollars"] <= project.store.spend.spent("prompt-search:searched") <= 0.02
        (tmp_path / "task.toml").write_text(
            TASK.format(url=server.base_url) + OWN.replace("Say.", "Try.") + "budget = 0.02\n"
        )
        with pytest.raises(TrainingError, match=r"The budget does not pay for .*: The budget of \$0.0200 is used up"):
            searched(open_project(tmp_path))


def test_another_prompt_to_start_from_is_another_search(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer=model)) as server:
        project = project_at(tmp_path, server.base_url, OWN)
        first = searched(project)
        text = (tmp_path / "task.toml").read_text()
        (tmp_path / "task.toml").write_text(text.replace('model = "m"', 'model = "m"\nmax_tokens = 99'))
        again = searched(open_project(tmp_path))
    assert not again.skipped and again.folder != first.folder


def test_answers_that_all_fail_are_one_line(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer="perhaps")) as server:
        project = project_at(tmp_path, server.base_url, "proposals = 0\nshots = [0, 1]\ncalls = 20\n")
        with pytest.raises(TrainingError, match=r"^All \d+ answers failed, the first one: 'perhaps' is not a label"):
            searched(project)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('of = "searched"', "of = 'searched' is the candidate itself."),
        ('of = "lm"', "of = 'lm' is no candidate. Name a candidate of family 'prompted': llm, other, fixed."),
        ('of = "words"', "of = 'words' is of family 'linear'."),
        ("", "of: field required"),
        ('of = "llm"\nproposer = "words"', "proposer = 'words' is of family 'linear'."),
        ('of = "llm"\ncalls = 20', "calls leaves 16 for answers, too few: 25 prompts on 4 examples of dev take 100."),
        ('of = "llm"\nproposals = 0\nshots = []', "there is nothing to compare. Set instructions, proposals or shots."),
        ('of = "llm"\nshots = [-1]', "shots.0: input should be greater than or equal to 0"),
        ('of = "llm"\nselectors = ["best"]', "'best' is not a known shot selector."),
        ('of = "llm"\nselectors = ["nearest"]', "base"),
        ('of = "other"\nbudget = 1', "the price of 'n' is not known, so a budget cannot be kept. Set [prices.'n']"),
        ('of = "llm"\nproposer = "other"\nbudget = 1', "the price of 'n' is not known"),
        ('of = "fixed"', "the template of 'fixed' does not say {{ instructions }}"),
        ('of = "llm"\nlabels = "teacher"', "no example in train has a teacher's label."),
    ],
)
def test_what_cannot_be_searched_is_one_line_and_nothing_is_asked(tmp_path: Path, settings: str, said: str) -> None:
    with FakeOpenAI(Script(answer=model)) as server:
        project_at(tmp_path, server.base_url)
        text = TASK.format(url=server.base_url).replace('"prompt-search"\nof = "llm"', f'"prompt-search"\n{settings}')
        (tmp_path / "task.toml").write_text(text)
        with pytest.raises(TutelageError) as error:
            searched(open_project(tmp_path))
        assert said in str(error.value) and "\n" not in str(error.value) and server.bodies == []


def test_without_labels_in_dev_or_a_search_it_says_what_to_do(tmp_path: Path) -> None:
    project = project_at(tmp_path, "http://127.0.0.1:1/v1", dev=0)
    with pytest.raises(TrainingError, match="no example in dev has a label of the wanted origin"):
        searched(project)
    assert version_now(project, candidate(project, "searched")) is None
    with pytest.raises(TrainingError, match="Run: tutelage train searched"):
        candidate(project, "searched").build(project)


@given(prompts=st.integers(2, 60), examples=st.integers(1, 300), calls=st.integers(0, 3000))
def test_a_plan_never_takes_more_calls_than_there_are(prompts: int, examples: int, calls: int) -> None:
    least = prompts * min(FIRST, examples)
    if calls < least:
        with pytest.raises(TrainingError, match="too few"):
            plan(prompts, examples, calls)
        return
    rounds, spent, have = plan(prompts, examples, calls), 0, 0
    for one in rounds:
        assert have < one.examples <= examples and one.prompts >= 2
        spent, have = spent + one.prompts * (one.examples - have), one.examples
    assert spent <= calls and rounds[0].prompts == prompts and rounds[0].examples >= min(FIRST, examples)
    assert [one.prompts for one in rounds] == sorted({one.prompts for one in rounds}, reverse=True)


def test_more_calls_ask_about_more_examples() -> None:
    assert plan(30, 500, 400) == [(30, 4), (16, 8), (9, 16), (5, 32), (3, 53)]
    assert plan(30, 500, 600) == [(30, 4), (16, 8), (9, 16), (5, 32), (3, 64), (2, 148)]
    assert plan(2, 500, 400) == [(2, 200)]
    assert plan(3, 20, 1000) == [(3, 20)]
