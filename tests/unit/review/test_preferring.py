"""Comparing answers: blind, each once, what is said kept once and taken back once."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from tests.compared import compared_project

from tutelage.errors import DataError, StaleDecision, UsageError
from tutelage.evaluation.preference.people import compared, from_people, pairs, people_votes
from tutelage.review.preferring import Preferring, Question
from tutelage.store import Answer, Preference
from tutelage.types import Value


def many(count: int) -> dict[str, list[str]]:
    return {"small": [f"No, {at}." for at in range(count)], "large": [f"Yes, {at}." for at in range(count)]}


def prefer(desk: Preferring, question: Question, name: str) -> None:
    """Say that the answer of this candidate is better."""
    scores = [1.0 if shown.given[0].candidate == name else 0.0 for shown in question.answers]
    desk.answer(question.annotator, question.example.id, question.id, scores)


def asked(desk: Preferring, annotator: str) -> Question:
    question = desk.next(annotator)
    assert question is not None
    return question


def test_a_ranking_of_k_gives_k_choose_2_pairs() -> None:
    scores = (7.0, 3.0, 3.0, 1.0, 6.0)
    answers = tuple(Answer(name, f"answer of {name}") for name in "abcde")
    found = pairs(Preference(id="x", example_id="e", annotator="Ada", kind="ranking", answers=answers, scores=scores))
    assert len(found) == 5 * 4 / 2
    assert {(one.a.candidate, one.b.candidate): one.winner for one in found} == {
        (a, b): "tie" if scores["abcde".index(a)] == scores["abcde".index(b)]
        else "a" if scores["abcde".index(a)] > scores["abcde".index(b)] else "b"
        for a, b in combinations("abcde", 2)
    }  # fmt: skip


def test_every_question_once_and_equal_or_failed_answers_never(tmp_path: Path) -> None:
    answers: dict[str, list[Value | None]] = {
        "small": ["a", "b", None, "d", "same"],
        "large": ["A", "B", "C", "D", "same"],
    }
    desk = Preferring(compared_project(tmp_path, answers), ["small", "large"], "dev")
    seen = []
    while question := desk.next("Ada"):
        seen.append(question.example.input["text"])
        prefer(desk, question, "large")
    assert sorted(seen) == ["Question 0?", "Question 1?", "Question 3?"]
    assert desk.standing("Ada").done == desk.standing("Ada").total == 3 and desk.answered == 5
    assert desk.standing("Bob").done == 0 and desk.next("Bob") is not None
    again = Preferring(desk.project, ["large", "small"], "dev")
    assert again.next("Ada") is None


def test_sides_are_shuffled_by_example_and_annotator(tmp_path: Path) -> None:
    desk = Preferring(compared_project(tmp_path, many(60)), ["small", "large"], "dev")
    left = {who: [desk.question(who, id).answers[0].given[0].candidate for id in desk.ids] for who in ("Ada", "Bob")}
    for who in ("Ada", "Bob"):
        assert 15 < Counter(left[who])["small"] < 45
    assert 15 < sum(a != b for a, b in zip(left["Ada"], left["Bob"], strict=True)) < 45
    turned = Preferring(desk.project, ["large", "small"], "dev")
    assert left["Ada"] == [turned.question("Ada", id).answers[0].given[0].candidate for id in desk.ids]


def test_sent_twice_stored_once_and_another_word_is_refused(tmp_path: Path) -> None:
    project = compared_project(tmp_path, many(3))
    desk, other = (Preferring(project, ["small", "large"], "dev") for _ in range(2))
    question = asked(desk, "Ada")
    send = ("Ada", question.example.id, question.id)
    assert desk.answer(*send, [1.0, 0.0]) == desk.answer(*send, [1.0, 0.0])
    assert other.answer(*send, [1.0, 0.0]).scores == (1.0, 0.0)
    with pytest.raises(StaleDecision, match="compared elsewhere"):
        other.answer(*send, [0.0, 1.0])
    with pytest.raises(StaleDecision):
        desk.answer("Bob", question.example.id, question.id, [0.0, 1.0])
    assert len(project.store.preferences.stand()) == 1


def test_what_is_taken_back_is_asked_again(tmp_path: Path) -> None:
    project = compared_project(tmp_path, many(2))
    desk = Preferring(project, ["small", "large"], "dev")
    first = asked(desk, "Ada")
    prefer(desk, first, "small")
    last = desk.standing("Ada").last
    assert last == first.id
    assert desk.undo("Ada", last) == desk.undo("Ada", last) == first.example.id
    with pytest.raises(DataError, match="Bob made no comparison"):
        desk.undo("Bob", last)
    again = desk.next("Ada", at=first.example.id)
    assert again and again == asked(desk, "Ada")
    assert again.example == first.example and again.id != first.id and desk.standing("Ada").last is None
    with pytest.raises(StaleDecision):  # a page that was open all the while
        desk.answer("Ada", first.example.id, first.id, [1.0, 0.0])
    prefer(desk, again, "large")
    assert [one.kind for one in project.store.preferences.read()] == ["pair", "undo", "pair"]
    assert [one.better.candidate for one in compared(project.store.preferences.stand())] == ["large"]


def test_skipping_asks_the_next_and_comes_back_at_the_end(tmp_path: Path) -> None:
    desk = Preferring(compared_project(tmp_path, many(3)), ["small", "large"], "dev")
    first = asked(desk, "Ada")
    second = desk.next("Ada", after=first.example.id)
    assert second and second.example != first.example
    prefer(desk, second, "small")
    third = desk.next("Ada", after=second.example.id)
    assert third
    prefer(desk, third, "small")
    assert desk.next("Ada", after=third.example.id) == first


def test_rankings_show_equal_answers_once_and_score_all_who_gave_them(tmp_path: Path) -> None:
    project = compared_project(tmp_path, {"a": ["x", "x"], "b": ["x", "x"], "c": ["y", None], "d": [None, "x"]})
    desk = Preferring(project, ["a", "b", "c"], "dev", "ranking")
    question = asked(desk, "Ada")
    assert len(question.answers) == 2 and desk.standing("Ada").total == 1
    scores = [6 if len(shown.given) == 2 else 2 for shown in question.answers]
    stored = desk.answer("Ada", question.example.id, question.id, scores, note=" the first is curt ")
    assert dict(zip([one.candidate for one in stored.answers], stored.scores, strict=True)) == {"a": 6, "b": 6, "c": 2}
    assert stored.note == "the first is curt" and len(pairs(stored)) == 3
    assert Preferring(project, ["a", "c"], "dev").next("Ada") is None


@pytest.mark.parametrize("scores", [(1.0, 1.0), (1.0,), (2.0, 0.0), (1.0, 0.0, 0.5)])
def test_scores_that_do_not_fit_are_refused(tmp_path: Path, scores: tuple[float, ...]) -> None:
    desk = Preferring(compared_project(tmp_path, many(1)), ["small", "large"], "dev")
    question = asked(desk, "Ada")
    with pytest.raises(DataError, match="are no scores of 2 answers"):
        desk.answer("Ada", question.example.id, question.id, scores)
    assert desk.next("Ada") == question


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    project = compared_project(tmp_path, {"a": ["x"], "b": ["x"], "c": []})
    for names, kind, says in (
        (["a"], "pair", "two candidates to compare, found 1"),
        (["a", "a"], "pair", "compared with itself"),
        (["a"], "ranking", "2 to 9 candidates to rank"),
    ):
        with pytest.raises(UsageError, match=says):
            Preferring(project, names, "dev", kind)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="answer all 1 examples of 'dev' alike"):
        Preferring(project, ["a", "b"], "dev")
    with pytest.raises(DataError, match="tutelage evaluate a c --split dev --unlabelled"):
        Preferring(project, ["a", "c"], "dev")


def test_matches_are_what_people_said_of_the_answers_given_now(tmp_path: Path) -> None:
    project = compared_project(
        tmp_path, {"small": ["a", "b", "same", None], "large": ["A", "B", "same", "D"], "old": ["z", "z", "z", "z"]}
    )
    old = Preferring(project, ["small", "old"], "dev")
    prefer(old, asked(old, "Ada"), "small")
    desk = Preferring(project, ["small", "large"], "dev")
    for who in ("Ada", "Bob"):
        for id in desk.ids:
            prefer(desk, desk.question(who, id), "large" if who == "Ada" else "small")
    found = from_people(project, "dev", ["small", "large"])
    asked_last = desk.ids[-1]
    free = [at for at, id in enumerate(sorted(one.id for one in project.store.examples.read("dev"))) if id > asked_last]
    assert Counter(one.winner for one in found.matches)["a"] == 2
    assert len(found.matches) == 2 * (4 - len(free))
    assert found.absent == ("1 comparisons of answers that none of these candidates gives now",)
    assert found.source == "2 people who compared answers on dev"
    votes = people_votes(project, "dev")
    assert (len(votes.votes), votes.undecided) == (1, 2)
    with pytest.raises(DataError, match="tutelage prefer large old --split dev"):
        from_people(project, "dev", ["large", "old"])
