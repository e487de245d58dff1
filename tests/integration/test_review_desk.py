"""Reviewing on every database: two servers at once, undo, conflicts, what others decide."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.reviews import a_review, say, word
from tutelage.project import open_project
from tutelage.review.desk import Desk
from tutelage.types import Example, Label


def test_two_servers_on_one_database_share_the_work(database_url: str, tmp_path: Path) -> None:
    folder = a_review(tmp_path, suggested=[]).folder
    projects = [open_project(folder, database_url) for _ in range(2)]
    store = projects[0].store
    store.examples.add([Example(f"e{at}", {"text": str(at)}, "train") for at in range(30)])
    store.labels.add([Label(f"e{at}", "money", "teacher:m@1") for at in range(30)])
    desks = [Desk(project, "train") for project in projects]

    def work(at: int) -> int:
        """Each server keeps its own list of who has what before them, so that two may decide the same example."""
        done = 0
        while found := desks[at].next(f"a{at}"):
            say(desks[at], found[0], f"{at}{found[0]}", f"a{at}", "edit", "sport" if at else "money")
            done += 1
        return done

    with ThreadPoolExecutor(2) as pool:
        done = sum(pool.map(work, range(2)))
    made = Counter(one.example_id for one in store.decisions.read())
    assert len(made) == 30 and made.total() == done
    twice = {id for id, count in made.items() if count > 1}
    assert [set(desk.conflicts()) for desk in desks] == [twice, twice]
    say(desks[0], "e0", "again", "a0", "reject")
    newest = desks[1].newest("a0")
    assert newest is not None and newest.id == "again"
    desks[1].undo(replace(word(desks[1], "e0", "undo", "a0", "undo")), "again")
    assert desks[0].progress().decided == 30
    for project in projects:
        project.store.close()
