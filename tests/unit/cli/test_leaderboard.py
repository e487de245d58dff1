"""`tutelage leaderboard` as a user calls it: by scores, by a judge's stored verdicts, by votes in a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_verbs import last_json, run

from tutelage.answering.lines import answer
from tutelage.evaluation.preference.shown import preference_section
from tutelage.labels.splitting import example_id
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.project import open_project
from tutelage.review.preferring import Preferring
from tutelage.types import Prediction

N = 30
TEXTS = [f"{'parcel' if at % 2 else 'password'} question number {at}" for at in range(N)]
WRONG = {"large": {0}, "small": set(range(9)), "poor": set(range(5, 28))}
"""Which of the examples each candidate gets wrong; "poor" fails on one more."""


def better_value_wins(message: str) -> str:
    """A fair judge: the answer "good" is better."""
    given = dict(re.findall(r"^\[([\w ]+)\]\n(.*?)\n\[end of \1\]$", message, re.MULTILINE | re.DOTALL))
    return json.dumps({"label": "1" if given["answer 1"] == "good" else "2"})


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer=better_value_wins)) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> Path:
    """Three recorded candidates on 30 labelled examples; the right answer is always "good"."""
    task = 'name = "moods"\noutput = "label"\nlabels = ["good", "bad"]\n'
    for name, wrong in WRONG.items():
        task += f'\n[candidates.{name}]\nfamily = "replay"\nfile = "{name}.jsonl"\n'
        given = [None if (name, at) == ("poor", 29) else "bad" if at in wrong else "good" for at in range(N)]
        lines = [
            answer(example_id({"text": text}), Prediction(value, error=None if value else "broken"))
            for text, value in zip(TEXTS, given, strict=True)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task += f'\n[judges.strict]\nkind = "pairwise"\nmodel = "big"\nbase_url = "{server.base_url}"\nrepairs = 0\n'
    (tmp_path / "task.toml").write_text(task + "\n[prices.big]\ninput = 1.0\noutput = 2.0\n")
    rows = [{"text": text, "split": "test", "label": "good"} for text in TEXTS]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("add", tmp_path / "texts.jsonl", "--label", "label", "-C", tmp_path) == 0
    capsys.readouterr()
    return tmp_path


@pytest.fixture
def evaluated(project: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run("evaluate", "-C", project) == 0
    capsys.readouterr()
    return project


def board(project: Path, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run("leaderboard", *arguments, "-C", project, "--json") == 0
    found = last_json(capsys)
    assert isinstance(found, dict)
    return found


def played(found: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {row["model"]: (row["wins"], row["ties"], row["losses"]) for row in found["overall"]["ratings"]}


def test_by_scores_of_evaluated_candidates(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("leaderboard", "-C", evaluated, "--input", "password question", "--domains", 2) == 0
    text = capsys.readouterr().out
    assert "on 30 inputs between 3 models, by scores: accuracy on 30 examples of test, against gold labels" in text
    assert re.search(r"^1 +large ", text, re.MULTILINE) and "chance in % that the row wins" in text
    assert "for the input 'password question'" in text and "predictor of (input, A, B)" in text
    assert "domains, by the words" in text and "password" in text and "parcel" in text
    files = {path.name for path in (evaluated / "reports").iterdir()}
    assert {"leaderboard.json", "win-probability.png", "win-probability.svg", "ratings.png"} <= files
    assert "win-probability-input.svg" in files
    written = json.loads((evaluated / "reports" / "leaderboard.json").read_text())
    assert written["overall"]["ratings"][0]["model"] == "large"


def test_better_wins_and_equal_ties(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = board(evaluated, capsys, "large", "small")
    assert played(found) == {"large": (8, 22, 0), "small": (0, 22, 8)}
    assert found["overall"]["unbounded"] == ["large", "small"] and found["ties"] == 22
    everyone = played(board(evaluated, capsys, "--anchor", "poor"))
    assert sum(everyone["poor"]) == 2 * N
    assert everyone["large"][0] == 8 + 24  # small is wrong on 8 more, poor on 24 more, its failure included


def test_candidates_without_answers_are_named_and_two_are_needed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("leaderboard", "-C", project) == 1
    assert "0 candidates have answered all 30 labelled examples" in capsys.readouterr().err
    assert run("evaluate", "large", "small", "-C", project) == 0
    assert board(project, capsys)["absent"] == ["poor: not evaluated on test; run: tutelage evaluate poor --split test"]


def test_by_stored_verdicts_of_a_judge_and_nobody_is_asked(
    evaluated: Path, server: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("leaderboard", "--by", "strict", "-C", evaluated) == 1
    assert "No verdict of judge 'strict' on 'test' is stored. Get some with: tutelage judge" in capsys.readouterr().err
    assert run("judge", "large", "small", "--by", "strict", "--limit", 20, "-C", evaluated) == 0
    judged, asked = capsys.readouterr().out, len(server.asked)
    found = board(evaluated, capsys, "large", "small", "--by", "strict")
    assert len(server.asked) == asked and found["source"].startswith("judge strict: its stored verdicts on test")
    wins, ties, losses = played(found)["large"]
    assert f"wins {wins}, " in judged and losses == 0
    assert (
        0 <= int(re.findall(r"ties (\d+)", judged)[0]) - ties < 5
    )  # equal answers behind the last verdict do not count
    assert run("judge", "small", "poor", "--by", "strict", "-C", evaluated) == 0
    capsys.readouterr()
    everyone = board(evaluated, capsys, "--by", "strict")
    assert sum(played(everyone)["poor"]) >= N - 5 and everyone["overall"]["ratings"][0]["model"] == "large"


def test_by_votes_in_a_file_with_bad_rows_named_by_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"input": f"i{at}", "model_a": "x", "model_b": "y", "winner": "ab"[at % 3 == 0]} for at in range(12)]
    bad = [json.dumps(rows[0] | {"winner": "z"})] * 7
    votes = project / "votes.jsonl"
    votes.write_text("\n".join([*map(json.dumps, rows), *bad]) + "\n")
    assert run("leaderboard", "--file", votes, "-C", project) == 0
    text, problems = capsys.readouterr()
    assert "line 13: winner must be a, b or tie, found 'z'. Left out." in problems and "... and 2 more rows" in problems
    assert "left out: 7 rows that cannot be used" in text and "12 matches (0 ties)" in text
    found = board(project, capsys, "--file", votes)
    assert found["bad"][0] == {"line": 13, "reason": "winner must be a, b or tie, found 'z'"} and found["unusable"] == 7


def test_what_cannot_be_is_said_in_one_line(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = evaluated / "votes.jsonl"
    votes.write_text('{"input": "i", "model_a": "x", "model_b": "y", "winner": "a"}\n')
    assert run("leaderboard", "--by", "strict", "--file", votes, "-C", evaluated) == 2
    assert "never mixed. Choose one." in capsys.readouterr().err
    assert run("leaderboard", "--source", "me", "-C", evaluated) == 2
    assert run("leaderboard", "--input", " ", "-C", evaluated) == 2
    assert run("leaderboard", "--anchor", "nobody", "-C", evaluated) == 2
    assert "'nobody' is not a known model of these matches" in capsys.readouterr().err
    assert run("leaderboard", "--file", votes, "x", "-C", evaluated) == 1
    assert "No match is between x." in capsys.readouterr().err


def test_a_section_for_the_report(evaluated: Path) -> None:
    found = preference_section(open_project(evaluated))
    assert found is not None and found.title == "Leaderboard" and len(found.rows) == 3 and len(found.charts) == 2
    assert all(len(row) == len(found.columns) for row in found.rows)
    assert preference_section(open_project(evaluated), "dev") is None


def test_by_people_of_the_store_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "-C", project) == 0 and run("leaderboard", "--from", "people", "-C", project) == 1
    assert "tutelage prefer A B --split test" in capsys.readouterr().err
    opened = open_project(project)
    desk = Preferring(opened, ["large", "small"], "test")
    while question := desk.next("Ada"):
        scores = [1.0 if shown.given[0].candidate == "large" else 0.0 for shown in question.answers]
        desk.answer("Ada", question.example.id, question.id, scores)
    opened.store.close()
    assert run("leaderboard", "large", "small", "--from", "people", "--json", "-C", project) == 0
    found: Any = last_json(capsys)
    rows = {row["model"]: row for row in found["overall"]["ratings"]}
    assert found["source"] == "1 person who compared answers on test"
    assert rows["large"]["wins"] == desk.standing("Ada").total == 8 and rows["large"]["losses"] == 0
    assert run("leaderboard", "--from", "people", "--by", "strict", "-C", project) == 2
    assert run("judge", "--check-people", "--by", "strict", "--json", "-C", project) == 0
    checked: Any = last_json(capsys)
    assert checked["check"]["n"] == 8
    assert run("judge", "--check-people", "--check", "votes.jsonl", "--by", "strict", "-C", project) == 2
    assert "Choose one." in capsys.readouterr().err
