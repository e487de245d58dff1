"""`tutelage judge` as a user calls it, against the fake endpoint: a biased judge, a fair one, one that fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.answering.lines import answer
from tutelage.labels.splitting import example_id
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.types import Prediction

N = 12
Judging = Callable[[str], str]


def fields(message: str) -> dict[str, str]:
    """What a judge's prompt holds, by field."""
    return dict(re.findall(r"^\[([\w ]+)\]\n(.*?)\n\[end of \1\]$", message, re.MULTILINE | re.DOTALL))


def label(text: str) -> str:
    return json.dumps({"label": text})


def first(message: str) -> str:
    return label("1")


def good_wins(message: str) -> str:
    given = fields(message)
    return label("1" if given["answer 1"] == "good" else "2")


@pytest.fixture
def judging() -> Iterator[dict[str, Judging]]:
    yield {"by": good_wins}


@pytest.fixture
def server(judging: dict[str, Judging]) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer=lambda text: judging["by"](text))) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> Path:
    """`ours` answers good on all 12 examples but one that failed, `theirs` bad on all but three; none is labelled."""
    texts = [f"text {at}" for at in range(N)]
    ours = [None if at == 11 else "good" for at in range(N)]
    theirs = ["good" if at < 3 else "bad" for at in range(N)]
    for name, values in (("ours", ours), ("theirs", theirs)):
        lines = [
            answer(example_id({"text": text}), Prediction(value, error=None if value else "broken"))
            for text, value in zip(texts, values, strict=True)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": text, "split": "test"}) for text in texts))
    (tmp_path / "task.toml").write_text(
        f"""
name = "moods"
output = "label"
labels = ["good", "bad"]
instructions = "Say how it feels."

[candidates.ours]
family = "replay"
file = "ours.jsonl"

[candidates.theirs]
family = "replay"
file = "theirs.jsonl"

[judges.strict]
kind = "pairwise"
model = "big"
base_url = "{server.base_url}"
repairs = 0

[judges.quality]
kind = "rubric"
model = "big"
base_url = "{server.base_url}"
repairs = 0
criteria = {{ right = "Is it right?", kind = "Is it kind?" }}

[prices.big]
input = 1.0
output = 2.0
"""
    )
    assert run("add", tmp_path / "texts.jsonl", "-C", tmp_path) == 0
    capsys.readouterr()
    return tmp_path


@pytest.fixture
def answered(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run("evaluate", "ours", "theirs", "--unlabelled", "-C", project) == 0
    assert "ours, theirs: answers for all 12 examples of test" in capsys.readouterr().out
    return project


def judged(project: Path, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run("judge", *arguments, "-C", project, "--json") == 0
    found = last_json(capsys)
    assert isinstance(found, dict)
    return found


def test_answers_must_be_there_and_the_command_that_gets_them_is_said(
    project: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("judge", "ours", "theirs", "--by", "strict", "-C", project) == 1
    assert "tutelage evaluate ours theirs --split test --unlabelled" in capsys.readouterr().err
    assert server.asked == []


def test_a_fair_judge_prefers_the_better_candidate(
    answered: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    found = judged(answered, capsys, "ours", "theirs", "--by", "strict")
    assert (found["wins"], found["ties"], found["losses"], found["failed"]) == (8, 3, 1, 0)
    assert (found["equal"], found["unanswered"], found["asked"]) == (3, 1, 16)
    assert found["win_rate"]["value"] == (8 + 1.5) / N
    assert found["positions"]["bias"]["value"] == 0 and found["positions"]["consistent"]["value"] == 1
    assert found["dollars"] > 0 and len(server.asked) == 16
    assert fields(server.bodies[0]["messages"][-1]["content"])["task"] == "Say how it feels."


def test_no_judgement_is_paid_for_twice_whichever_candidate_is_named_first(
    answered: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = judged(answered, capsys, "ours", "theirs", "--by", "strict", "--limit", 5)
    asked = len(server.asked)
    assert ours["n"] == 5 and asked < 16
    judged(answered, capsys, "ours", "theirs", "--by", "strict")
    assert len(server.asked) == 16
    theirs = judged(answered, capsys, "theirs", "ours", "--by", "strict")
    assert (theirs["wins"], theirs["losses"], theirs["asked"], len(server.asked)) == (1, 8, 0, 16)
    text = (answered / "task.toml").read_text()
    (answered / "task.toml").write_text(text.replace("repairs = 0", 'repairs = 0\ninstructions = "Be mild."', 1))
    assert judged(answered, capsys, "ours", "theirs", "--by", "strict")["asked"] == 16


def test_a_judge_that_always_says_1_is_biased_and_gives_ties(
    answered: Path, judging: dict[str, Judging], capsys: pytest.CaptureFixture[str]
) -> None:
    judging["by"] = first
    found = judged(answered, capsys, "ours", "theirs", "--by", "strict")
    assert (found["wins"], found["ties"], found["losses"]) == (0, 11, 1)
    positions = found["positions"]
    assert (positions["n"], positions["first"], positions["second"], positions["bias"]["value"]) == (8, 8, 0, 1.0)
    assert positions["consistent"]["value"] == 0
    assert run("judge", "ours", "theirs", "--by", "strict", "-C", answered) == 0
    out = capsys.readouterr().out
    assert "wins 0, ties 11, losses 1\n" in out and "(8 the first, 0 the second)" in out


def test_failed_verdicts_are_kept_counted_and_asked_again(
    answered: Path, judging: dict[str, Judging], server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    judging["by"] = lambda message: "hm" if fields(message)["input"] == "text 5" else good_wins(message)
    found = judged(answered, capsys, "ours", "theirs", "--by", "strict")
    assert (found["wins"], found["ties"], found["losses"], found["failed"], found["n"]) == (7, 3, 1, 1, N)
    assert found["win_rate"]["value"] == (7 + 0.5 * 4) / N and found["positions"]["n"] == 7
    assert found["errors"][0][1] == 2 and "'hm' is not a label" in found["errors"][0][0]
    judging["by"] = good_wins
    assert judged(answered, capsys, "ours", "theirs", "--by", "strict")["asked"] == 2


def test_a_rubric_marks_each_criterion_alone(
    answered: Path, judging: dict[str, Judging], server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    judging["by"] = lambda message: label("5" if fields(message)["question"] == "Is it right?" else "2")
    found = judged(answered, capsys, "ours", "--by", "quality")
    assert found["criteria"]["right"]["value"] == 11 / N and found["criteria"]["kind"]["value"] == 0.25 * 11 / N
    assert found["score"]["value"] == pytest.approx(0.625 * 11 / N)
    assert (found["unanswered"], found["failed"], found["asked"], len(server.asked)) == (1, 0, 22, 22)
    text = (answered / "task.toml").read_text()
    (answered / "task.toml").write_text(text.replace("criteria = { ", 'criteria = { short = "Is it short?", '))
    assert judged(answered, capsys, "ours", "--by", "quality")["asked"] == 11
    judging["by"] = lambda message: "hm"
    (answered / "task.toml").write_text(text.replace("Is it right?", "Is it true?"))
    found = judged(answered, capsys, "ours", "--by", "quality", "--limit", 3)
    assert found["score"] is None and found["failed"] == 3
    assert run("judge", "ours", "--by", "quality", "-C", answered) == 0
    assert "11 marks missing" in capsys.readouterr().out


def test_where_gold_labels_exist_it_says_that_report_is_surer(
    answered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (answered / "gold.jsonl").write_text(json.dumps({"text": "text 1", "mood": "good"}))
    assert run("add", answered / "gold.jsonl", "-C", answered, "--label", "mood", "--source", "human:ada") == 0
    assert "gold" not in capsys.readouterr().err
    assert run("judge", "ours", "theirs", "--by", "strict", "-C", answered) == 0
    out, err = capsys.readouterr()
    assert "'test' has gold labels; `tutelage report`" in err and "win rate of ours" in out


def test_examples_without_answers_are_left_out_and_said(answered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (answered / "more.jsonl").write_text(json.dumps({"text": "text 99", "split": "test"}))
    assert run("add", answered / "more.jsonl", "-C", answered) == 0
    capsys.readouterr()
    assert run("judge", "ours", "theirs", "--by", "strict", "-C", answered) == 0
    assert "1 examples of 'test' have no answers to judge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ours", "theirs", "--by", "stric"], "Did you mean 'strict'?"),
        (["ours", "--by", "strict"], "one candidate need kind = 'rubric'"),
        (["ours", "theirs", "--by", "quality"], "two candidates need kind = 'pairwise'"),
        (["--by", "strict"], "Name two candidates"),
        (["ours", "--by", "strict", "--check", "votes.jsonl"], "Leave out ours"),
    ],
)
def test_calls_that_make_no_sense_are_one_line(
    answered: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("judge", *arguments, "-C", answered) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('kind = "best"', "kind: input should be 'pairwise' or 'rubric', found 'best'"),
        ('kind = "pairwise"\nshots = 3', "a judge is shown no examples"),
        ('kind = "pairwise"\ncriteria = { a = "b" }', "criteria go with kind = 'rubric'"),
        ('kind = "rubric"', "has no criteria"),
        ('kind = "pairwise"\nmodle = "x"', "unknown key 'modle'"),
    ],
)
def test_a_judge_that_is_badly_described_is_one_line(
    answered: Path, wrong: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (answered / "task.toml").read_text().replace('kind = "pairwise"', wrong)
    (answered / "task.toml").write_text(text)
    assert run("judge", "ours", "theirs", "--by", "strict", "-C", answered) == 2
    assert said in capsys.readouterr().err


def votes(folder: Path) -> Path:
    """Ten pairs in which the longer answer is A's in six; people prefer A in seven, tie in one; and four bad rows."""
    rows: list[object] = []
    for at in range(10):
        long, short = f"good {at} at some length", f"bad {at}"
        a, b = (long, short) if at < 6 else (short, long)
        people = "model_a" if at < 7 else "model_b" if at < 9 else "tie"
        single = [people, people, "tie"]
        rows.append({"text": f"text {at}", "response_a": a, "response_b": b, "label": people, "votes": single})
    rows += [
        {"text": "t", "response_a": "x", "response_b": "y", "label": "no_majority"},
        {"text": "t", "response_a": True, "response_b": "y", "label": "tie"},
        {"text": "t", "response_a": "x", "response_b": "y", "label": "A"},
        {"text": " ", "response_a": "x", "response_b": "y", "label": "tie"},
    ]
    file = folder / "votes.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n{broken\n")
    return file


def test_a_judge_is_measured_against_people_beside_length_position_and_chance(
    project: Path, judging: dict[str, Judging], server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    judging["by"] = lambda message: label("1" if len(fields(message)["answer 1"]) > 8 else "2")
    assert run("judge", "--check", votes(project), "--by", "strict", "-C", project) == 0
    out, err = capsys.readouterr()
    assert "line 12: response_a must be text, found True" in err and "line 13: label must be one of" in err
    assert "line 14: text is empty" in err and "line 15: it is not JSON" in err
    assert "1 without a majority left out, 4 unusable rows left out" in out and "two people agree" in out
    found = judged(project, capsys, "--check", project / "votes.jsonl", "--by", "strict")
    rows = {row["name"]: row for row in found["check"]["rows"]}
    assert rows["strict"]["all"] == rows["the longer answer"]["all"] and len(server.asked) == 20
    assert rows["strict"]["all"]["value"] == 0.8 and rows["strict"]["half"]["value"] == 0.85
    assert rows["strict"]["decided"]["value"] == pytest.approx(8 / 9) and rows["strict"]["n_decided"] == 9
    assert rows["always the first"]["all"]["value"] == 0.7 and rows["always the first"]["kappa"]["value"] == 0
    assert rows["chance"]["all"]["value"] == 0.45 and rows["chance"]["half"]["value"] == 0.5
    assert found["undecided"] == 1 and [row["line"] for row in found["bad"]] == [12, 13, 14, 15]
    assert found["check"]["people"]["value"] == pytest.approx((9 / 3 + 1) / 10)


def test_a_rubric_judge_is_measured_by_whose_marks_are_better(
    project: Path, judging: dict[str, Judging], server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    judging["by"] = lambda message: label("4" if "good" in fields(message)["answer"] else "3")
    found = judged(project, capsys, "--check", votes(project), "--by", "quality")
    assert found["check"]["rows"][0]["all"]["value"] == 0.8 and found["check"]["positions"] is None
    assert found["check"]["asked"] == 40


def test_a_file_without_a_usable_vote_says_why(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "votes.jsonl").write_text('{"text": "t"}\n')
    assert run("judge", "--check", project / "votes.jsonl", "--by", "strict", "-C", project) == 1
    assert "line 1: response_a must be text, found None" in capsys.readouterr().err


def test_a_judge_that_cannot_be_asked_is_one_line_and_what_it_said_is_kept(
    answered: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(answered, capsys, "ours", "theirs", "--by", "strict", "--limit", 4)
    asked = len(server.asked)
    server.script = replace(server.script, models=["another"])
    assert run("judge", "ours", "theirs", "--by", "strict", "-C", answered) == 1
    err = capsys.readouterr().err
    assert "The model 'big' is not at" in err and err.count("\n") == 1
    server.script = replace(server.script, models=[])
    found = judged(answered, capsys, "ours", "theirs", "--by", "strict")
    assert found["asked"] == 16 - asked > 0
