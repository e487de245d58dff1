"""Evaluation asks only for what is missing, keeps every answer, and compares on the same examples."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tutelage.answering.lines import answer
from tutelage.errors import DataError, ModelError, TaskFileError, UnknownName
from tutelage.evaluation.asking import Progress
from tutelage.evaluation.candidates import Candidate, candidate, teacher_name
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.evaluation.replay import read_record
from tutelage.evaluation.reporting import make_report
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.registry import Family, Role
from tutelage.types import Example, Input, Label, OneByOne, Prediction, Split, Usage

TASK = """
name = "moods"
output = "label"
labels = ["good", "bad"]
teacher = "teacher"

[candidates.teacher]
family = "replay"
file = "teacher.jsonl"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(TASK)
    return open_project(tmp_path)


def fill(project: Project, n: int = 6, split: Split = "test", source: str = "human:ada") -> list[Example]:
    inputs = [{"text": f"{split} {at} {'good' if at % 2 else 'bad'}"} for at in range(n)]
    examples = [Example(example_id(input), input, split) for input in inputs]
    project.store.examples.add(examples)
    labels = [Label(e.id, e.input["text"].split()[-1], source) for e in examples]
    project.store.labels.add(labels)
    return examples


@dataclass(frozen=True)
class Nothing:
    pass


class Echo:
    """Answers the last word; the texts in `broken` fail. Counts what it was asked."""

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.name, self.broken, self.asked = "echo", set(broken), []  # type: tuple[str, set[str], list[str]]

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [self.answer(input["text"]) for input in inputs]

    def answer(self, text: str) -> Prediction:
        self.asked.append(text)
        if text in self.broken:
            return Prediction(None, error="broken")
        return Prediction(text.split()[-1], 0.9, Usage(10, 2, 0.001, 0.5))


class EchoOneByOne(Echo):
    """As a paid endpoint: may die in the middle."""

    dies_at = ""

    async def predict_one(self, input: Input) -> Prediction:
        if input["text"] == self.dies_at:
            await asyncio.sleep(0.05)
            raise KeyboardInterrupt
        return self.answer(input["text"])


def as_candidate(predictor: Any, name: str = "echo", role: Role = "llm") -> Candidate:
    family = Family(role, Nothing, lambda *_: predictor, lambda *_: None)
    return Candidate(name, "echo", family, Nothing())


def test_what_is_answered_is_not_asked_again_and_failures_are(project: Project) -> None:
    examples = fill(project)
    broken = examples[2].input["text"]
    echo, told = Echo([broken]), list[Progress]()
    tests = example_set(project, "test")
    assert asyncio.run(evaluate(project, as_candidate(echo), tests, told.append)) == 6
    assert (told[-1].done, told[-1].total) == (6, 6)
    assert told[-1].dollars == pytest.approx(0.005)
    report, answered = make_report(project, [as_candidate(echo)], tests)
    (row,) = report.candidates
    assert row.failures == 1
    assert row.scores["accuracy"].value == pytest.approx(5 / 6)
    assert answered[2].scores == {"echo": 0.0} and answered[2].predictions["echo"].error == "broken"
    assert row.dollars_per_1000 is None  # a failed answer without a price: the mean is not known
    echo.broken, echo.asked = set(), []
    assert asyncio.run(evaluate(project, as_candidate(echo), tests)) == 1
    assert echo.asked == [broken]
    (row,) = make_report(project, [as_candidate(echo)], tests)[0].candidates
    assert (row.failures, row.latency.p50) == (0, 0.5)
    assert row.dollars_per_1000 == pytest.approx(1.0)
    assert (row.input_tokens, row.output_tokens) == (60, 12)


def test_an_interrupted_evaluation_keeps_what_was_answered(project: Project) -> None:
    examples = fill(project)
    echo = EchoOneByOne()
    assert isinstance(echo, OneByOne)
    echo.dies_at = examples[-1].input["text"]
    tests = example_set(project, "test")
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(evaluate(project, as_candidate(echo), tests))
    assert make_report(project, [as_candidate(echo)], tests)[0].skipped.keys() == {"echo"}
    echo.dies_at, echo.asked = "", []
    asyncio.run(evaluate(project, as_candidate(echo), tests))
    assert echo.asked == [examples[-1].input["text"]]


class Failing(EchoOneByOne):
    """An endpoint that goes away: some answers arrive, then every call fails for good at once."""

    async def predict_one(self, input: Input) -> Prediction:
        if input["text"] in self.broken:
            raise ModelError("The endpoint is gone.", fatal=True)
        return self.answer(input["text"])


@pytest.mark.parametrize("answered", [0, 2, 5])
def test_an_endpoint_that_goes_away_is_said_once_and_what_arrived_is_kept(
    project: Project, caplog: pytest.LogCaptureFixture, answered: int
) -> None:
    examples = fill(project)
    asked = as_candidate(Failing([example.input["text"] for example in examples[: 6 - answered]]))
    with pytest.raises(ModelError, match="gone"):
        asyncio.run(evaluate(project, asked, example_set(project, "test")))
    gc.collect()
    assert caplog.records == []  # no task is left behind to complain
    stored = project.store.predictions.read(asked.fingerprint(project), [example.id for example in examples])
    assert len(stored) == answered


def test_local_candidates_are_measured_one_at_a_time_and_in_a_batch(project: Project) -> None:
    fill(project)
    tests = example_set(project, "test")
    echo = Echo()
    local = as_candidate(echo, role="pretrained")
    assert asyncio.run(evaluate(project, local, tests)) == 6
    facts = project.store.measurements.get(local.fingerprint(project), "test")
    assert facts is not None and facts["n"] == 6 and facts["items_per_second"] > 0
    assert "6 one at a time, 6 in one batch" in facts["how"]
    echo.asked = []
    assert asyncio.run(evaluate(project, local, tests)) == 0 and echo.asked == []


def test_differences_are_to_the_teacher_where_it_answered_else_to_the_best(project: Project) -> None:
    fill(project)
    tests = example_set(project, "test")
    good = as_candidate(Echo(), "good")
    bad = Candidate("bad", "bad", good.family, Nothing())
    key = bad.fingerprint(project)
    project.store.predictions.add(key, [(id, Prediction("bad", usage=Usage(dollars=0.0))) for id in tests.ids])
    asyncio.run(evaluate(project, good, tests))
    report, _ = make_report(project, [bad, good], tests)
    assert [row.name for row in report.candidates] == ["good", "bad"]
    assert report.candidates[0].difference is None
    assert report.candidates[1].difference is not None and report.candidates[1].difference.to == "good"
    assert report.candidates[1].difference.estimate.value == pytest.approx(-0.5)
    assert [row.on_pareto_front for row in report.candidates] == [True, True]


def test_gold_and_teacher_labels_are_never_mixed(project: Project) -> None:
    with pytest.raises(DataError, match="'test' has 0 examples, none labelled"):
        example_set(project, "test")
    fill(project, 4, source="teacher:big@1")
    assert example_set(project, "test").reference == "teacher labels (4 from teacher:big@1)"
    with pytest.raises(DataError, match="No gold labels"):
        example_set(project, "test", "gold")
    fill(project, 2)
    found = example_set(project, "test")
    assert (len(found.examples), found.reference) == (2, "gold labels (2 from human:ada)")
    assert len(example_set(project, "test", "teacher").examples) == 4
    assert found.fingerprint != example_set(project, "test", "teacher").fingerprint


def test_candidates_that_do_not_exist_are_one_line(project: Project) -> None:
    with pytest.raises(UnknownName, match=r"'techer' is not a known candidate. Did you mean 'teacher'"):
        candidate(project, "techer")
    project.file.candidates["odd"] = {"family": "replay", "fil": "x"}
    with pytest.raises(TaskFileError, match=r"\[candidates.odd\]: unknown key 'fil'. Known: file."):
        candidate(project, "odd")
    project.file.candidates["odd"] = {"family": "liner"}
    with pytest.raises(UnknownName, match="Did you mean 'linear'"):
        candidate(project, "odd")
    project.file.candidates["odd"] = {}
    with pytest.raises(TaskFileError, match="has no family"):
        candidate(project, "odd")
    assert teacher_name(project) == "teacher"


def test_the_fingerprint_changes_with_what_decides_the_answers(project: Project) -> None:
    path = project.folder / "teacher.jsonl"
    path.write_text("{}")
    before = candidate(project, "teacher").fingerprint(project)
    assert candidate(project, "teacher").fingerprint(project) == before
    path.write_text("{ }")
    assert candidate(project, "teacher").fingerprint(project) != before


def test_replay_gives_the_recorded_answer_with_its_cost(project: Project) -> None:
    examples = fill(project, 3)
    usage = {"input_tokens": 7, "output_tokens": 1, "dollars": 0.002, "seconds": 3.0}
    lines = [
        {
            "id": examples[0].id,
            "value": "bad",
            "confidence": 0.5,
            "source": "teacher:m@1",
            "usage": usage,
            "error": None,
        },
        {
            "id": examples[1].id,
            "value": None,
            "confidence": None,
            "source": "teacher:m@1",
            "usage": usage,
            "error": "no",
        },
    ]
    (project.folder / "teacher.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    replay = candidate(project, "teacher").build(project)
    first, second, third = asyncio.run(replay.predict([e.input for e in examples]))
    assert first == Prediction("bad", 0.5, Usage(7, 1, 0.002, 3.0), "teacher:m@1")
    assert (second.value, second.error) == (None, "no")
    assert third.value is None and third.error and "not among the recorded" in third.error
    tests = example_set(project, "test")
    asyncio.run(evaluate(project, candidate(project, "teacher"), tests))
    report, _ = make_report(project, [candidate(project, "teacher")], tests)
    assert report.candidates[0].latency.how == "as recorded, one at a time"
    assert report.candidates[0].latency.p50 == 3.0


def test_what_predict_writes_is_replayed_whole(project: Project) -> None:
    (one,) = fill(project, 1)
    usage = Usage(7, 1, 0.002, 3.0, cached_input_tokens=5)
    given = Prediction("bad", 0.5, usage, "m", None, "mended", {"agreement": 0.8}, {"bad": 0.7, "good": 1 / 3})
    (project.folder / "teacher.jsonl").write_text(json.dumps(answer(one.id, given)))
    assert asyncio.run(candidate(project, "teacher").build(project).predict([one.input])) == [given]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "x", "value": "bad", "parts": [1]}\n', "line 1: not a recorded answer"),
        ('{"id": "x", "value": "bad", "signals": {"sure": "very"}}\n', "line 1: not a recorded answer"),
        ("", "holds no recorded answers"),
        ("not json\n", "line 1: not a recorded answer"),
        ('\n{"id": "x"}\n', "line 2: not a recorded answer"),
        ('{"id": "x", "value": "ugly"}\n', "line 1: not a recorded answer ('ugly' is not a label"),
    ],
)
def test_a_bad_record_names_the_line(project: Project, text: str, said: str) -> None:
    path = project.folder / "teacher.jsonl"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_record(path, project.task)
    assert said in str(error.value)


def test_a_missing_record_is_one_line(project: Project) -> None:
    with pytest.raises(DataError, match=r"teacher.jsonl cannot be read: No such file"):
        read_record(project.folder / "teacher.jsonl", project.task)
