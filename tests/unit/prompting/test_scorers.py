"""Scorers give an answer a score in [0, 1]."""

from __future__ import annotations

import pytest

from tutelage.prompting.scorers import SCORERS, grounded, shorter
from tutelage.tasks.strings import StringsTask
from tutelage.types import Value

TASK = StringsTask("names", ("title", "text"), "", "f1")
INPUT = {"title": "Invoice 7", "text": "Mrs. Finch  paid 12.50 for tea."}


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (["mrs. finch", "Tom"], 1 / 2),
        (
            {"who": "Mrs. Finch", "total": 12.50, "number": 7, "paid": True, "due": None, "lines": ["tea", "milk"]},
            4 / 5,
        ),
        ("paid 12.50", 1.0),
        ([], 1.0),
    ],
)
def test_what_occurs_in_the_input_is_grounded(value: Value, score: float) -> None:
    assert grounded(TASK, INPUT, value) == pytest.approx(score)


def test_the_shorter_answer_scores_more() -> None:
    scores = [shorter(TASK, INPUT, value) for value in ("", "tea", ["tea", "milk"])]
    assert scores[0] == 1.0 and scores == sorted(scores, reverse=True) and scores[2] > 0


def test_every_row_is_a_scorer() -> None:
    assert all(0 <= SCORERS.load(name)(TASK, INPUT, ["tea"]) <= 1 for name in SCORERS.rows())
