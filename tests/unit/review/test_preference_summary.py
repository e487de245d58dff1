"""What comparisons say so far: counts by annotator and rival, several annotators of one example once, agreement."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.compared import compared_project

from tutelage.review.preference_summary import summary
from tutelage.review.preferring import Preferring


def say(desk: Preferring, who: str, verdicts: dict[int, str]) -> None:
    """The candidate that is better, or "tie", by the number of the example in the page's order."""
    for at, better in verdicts.items():
        question = desk.question(who, desk.ids[at])
        scores = [0.5 if better == "tie" else float(shown.given[0].candidate == better) for shown in question.answers]
        desk.answer(who, question.example.id, question.id, scores)


def test_wins_by_rival_and_annotator(tmp_path: Path) -> None:
    project = compared_project(tmp_path, {"small": [*"abcd", "e"], "large": [*"ABCD", "e"]})
    desk = Preferring(project, ["small", "large"], "dev")
    nothing = summary(desk)
    assert (nothing.comparisons, nothing.rivals, nothing.alike, nothing.answered, nothing.asked) == (0, (), None, 5, 4)
    say(desk, "Ada", {0: "small", 1: "large", 2: "tie", 3: "large"})
    assert summary(desk).alike is None
    say(desk, "Bob", {0: "large", 1: "large"})
    found = summary(desk)
    assert found.annotators == {"Ada": 4, "Bob": 2} and found.comparisons == 6
    (rivals,) = found.rivals
    assert (rivals.a, rivals.b, rivals.n, rivals.wins, rivals.ties, rivals.losses) == ("small", "large", 4, 1, 1, 4)
    assert rivals.win_rate.value == pytest.approx((0.5 + 0 + 0.5 + 0) / 4)
    assert found.alike and (found.alike.n, found.alike.share.value) == (2, 0.5)


def test_a_ranking_is_about_each_two_candidates_also_those_that_answer_alike(tmp_path: Path) -> None:
    project = compared_project(tmp_path, {"small": ["a"], "copy": ["a"], "large": ["A"]})
    desk = Preferring(project, ["small", "copy", "large"], "dev", "ranking")
    question = desk.question("Ada", desk.ids[0])
    scores = [2.0 if len(shown.given) == 2 else 6.0 for shown in question.answers]
    desk.answer("Ada", question.example.id, question.id, scores)
    found = summary(desk)
    assert [(one.a, one.b, one.losses, one.n) for one in found.rivals] == [
        ("small", "large", 1, 1),
        ("copy", "large", 1, 1),
    ]
    assert summary(Preferring(project, ["small", "large"], "dev")).comparisons == 1
