"""Servers on one store: what several send at once, also in one annotator's name, is stored once each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.compared import compared_project
from tutelage.errors import StaleDecision
from tutelage.review.preferring import Preferring


def test_each_question_is_answered_once_whoever_asks(database_url: str, tmp_path: Path) -> None:
    answers = {name: [f"{name} {at}" for at in range(12)] for name in ("small", "large")}
    project = compared_project(tmp_path, answers, database=database_url)
    desks = [Preferring(project, ["small", "large"], "dev") for _ in range(2)]

    def compare(work: tuple[Preferring, str, int]) -> int:
        desk, who, choice = work
        refused = 0
        while question := desk.next(who):
            try:
                desk.answer(who, question.example.id, question.id, [1.0, 0.0] if choice else [0.0, 1.0])
            except StaleDecision:
                refused += 1
        return refused

    works = [(desk, who, at) for at, desk in enumerate(desks) for who in ("Ada", "Bob", "Bob")]
    with ThreadPoolExecutor(len(works)) as pool:
        list(pool.map(compare, works))
    stored = project.store.preferences.stand()
    assert sorted((one.annotator, one.example_id) for one in stored) == sorted(
        (who, id) for who in ("Ada", "Bob") for id in desks[0].ids
    )
    assert [desk.standing("Bob").done for desk in desks] == [12, 12]
    project.store.close()
