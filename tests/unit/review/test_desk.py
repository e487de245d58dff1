"""Who gets which example when."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.reviews import a_review, listed, say, word

from tutelage.errors import DataError, UnknownName, UsageError
from tutelage.review.annotators import annotator_name, check_review, doubled, owners
from tutelage.review.desk import LEASE, Desk
from tutelage.store import Queued, in_force
from tutelage.types import Example, Label


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_two_at_once_never_get_the_same_example(tmp_path: Path) -> None:
    clock = Clock()
    desk = Desk(a_review(tmp_path), "train", clock)
    assert desk.next("ann") == ["e0"] == desk.next("ann")
    assert desk.next("ben") == ["e1"]
    say(desk, "e0", "d0", "ann")
    assert desk.next("ann") == ["e2"]
    assert desk.next("ben", count=10) == ["e1", "e3", "e4", "e5"]
    clock.now = LEASE + 1
    assert desk.next("cy", count=10) == ["e1", "e2", "e3", "e4", "e5"]


def test_many_threads_at_once_decide_each_example_once(tmp_path: Path) -> None:
    project = a_review(tmp_path, suggested=["money"] * 60)
    desks = [Desk(project, "train"), Desk(project, "train")]  # as two servers on one store

    def work(at: int) -> None:
        name, desk = f"a{at}", desks[0]
        while found := desk.next(name):
            say(desk, found[0], f"{name}{found[0]}", name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    made = Counter(one.example_id for one in project.store.decisions.read())
    assert len(made) == 60 and set(made.values()) == {1}
    assert desks[1].next("eve") == [] and desks[1].progress().decided == 60


def test_an_order_is_kept_and_says_why(tmp_path: Path) -> None:
    more = 'teacher = "t"\n'  # the order by confidence asks candidates, of which there are none here
    desk = Desk(a_review(tmp_path, more + 'output = "label"\nlabels = ["money", "a"]\n'), "train")
    with pytest.raises(UsageError):
        desk.next("ann", "doubtful")
    with pytest.raises(UnknownName, match="not a known order"):
        desk.next("ann", "alphabetical")
    found = desk.next("ann", "audit", 6)
    assert sorted(found) == [f"e{at}" for at in range(6)] and desk.why("audit", found[0]) is not None


def test_what_is_skipped_is_left_to_others_and_can_be_looked_at_again(tmp_path: Path) -> None:
    desk = Desk(a_review(tmp_path, suggested=["money"] * 2), "train")
    say(desk, "e0", "d0", "ann", "skip")
    assert desk.next("ann") == ["e1"] and desk.next("ben") == ["e0"]
    assert desk.next("ann", "skipped") == desk.skipped("ann") == ["e0"]
    say(desk, "e0", "d1", "ann", "accept")
    assert desk.skipped("ann") == [] and desk.next("ben") == []


def test_an_undone_example_comes_up_again(tmp_path: Path) -> None:
    desk = Desk(a_review(tmp_path), "train")
    for at in range(3):
        say(desk, desk.next("ann")[0], f"d{at}", "ann")
    desk.undo(word(desk, "e2", "u", "ann", "undo"), "d2")
    desk.undo(word(desk, "e1", "v", "ann", "undo"), "d1")
    assert desk.next("ann", count=3) == ["e1", "e2", "e3"]
    assert desk.progress().decided == 1


def test_what_other_processes_decide_is_learnt(tmp_path: Path) -> None:
    project = a_review(tmp_path)
    here, there = Desk(project, "train"), Desk(project, "train")
    assert here.next("ann") == ["e0"]
    say(there, "e1", "d0", "ben")
    assert here.next("cy", count=2) == ["e2", "e3"]
    assert here.progress().decided == 1
    project.store.labels.add([Label("e0", "money", "human:dan")])
    assert Desk(project, "train").next("eve") == ["e2"]


def test_new_examples_come_up_once_the_old_are_done(tmp_path: Path) -> None:
    clock = Clock()
    project = a_review(tmp_path, suggested=["money"])
    desk = Desk(project, "train", clock)
    say(desk, desk.next("ann")[0], "d0", "ann")
    project.store.examples.add([Example("new", {"text": "new"}, "train"), Example("t", {"text": "t"}, "test")])
    assert desk.next("ann") == []
    clock.now = 60
    assert desk.next("ann") == ["new"]
    assert desk.progress().total == 2
    assert desk.show(["t", "nothing"], "ann") == []
    with pytest.raises(DataError, match="no example 't' in train"):
        desk.decide("t", word(desk, "new", "d1", "ann"))


def test_assigned_examples_are_shared_out(tmp_path: Path) -> None:
    names = ["ann", "ben", "cy"]
    project = a_review(tmp_path, suggested=["money"] * 90, more=f"annotators = {listed(names)}\nassign = true\n")
    desk = Desk(project, "train")
    shares = {name: set(desk.next(name, count=100)) for name in names}
    assert set.union(*shares.values()) == {f"e{at}" for at in range(90)}
    assert sum(map(len, shares.values())) == 90 and min(map(len, shares.values())) > 15
    fewer = a_review(tmp_path / "fewer", suggested=[], more=f"annotators = {listed(names[:2])}\nassign = true\n")
    moved = [id for id in shares["ann"] | shares["ben"] if owners(fewer, id) != owners(project, id)]
    assert moved == []


def test_a_share_is_labelled_twice_and_blind(tmp_path: Path) -> None:
    project = a_review(tmp_path, suggested=["money"] * 60, more="double = 0.25\n")
    twice = [f"e{at}" for at in range(60) if doubled(project, f"e{at}")]
    assert 6 < len(twice) < 25
    desk, times = Desk(project, "train"), Counter[str]()
    for name in ("ann", "ben", "cy"):
        while found := desk.next(name):
            (shown,) = desk.show(found, name)
            blind = found[0] in twice
            assert (shown.suggestion is None) == blind and shown.purpose == ("double" if blind else "review")
            assert set(shown.words) <= {name}
            value = "sport" if (name, found[0]) == ("ben", twice[0]) else "money"
            say(desk, found[0], f"{name}{found[0]}", name, "edit", value)
            times[found[0]] += 1
            if name != "cy" and times.total() % 7 == 0:
                break  # somebody else goes on
    for name in ("ben", "ann", "cy"):
        while found := desk.next(name):
            say(desk, found[0], f"{name}{found[0]}", name, "edit", "money")
            times[found[0]] += 1
    assert {id for id, n in times.items() if n == 2} == set(twice) and len(times) == 60
    assert desk.next("dan", count=5, single=True) == []


def test_a_conflict_ends_with_a_newer_word(tmp_path: Path) -> None:
    project = a_review(tmp_path)
    desk = Desk(project, "train")
    say(desk, "e0", "d0", "ann", "edit", "sport")
    say(desk, "e0", "d1", "ben", "edit", "weather")
    say(desk, "e1", "d2", "ann", "reject")
    say(desk, "e1", "d3", "ben", "accept")
    say(desk, "e2", "d4", "ann", "reject")
    say(desk, "e2", "d5", "ben", "edit", "sport")
    assert desk.conflicts() == ["e0", "e1"] == Desk(project, "train").conflicts()
    (shown,) = desk.show(["e0"], "ann", "conflict")
    assert {who: one.value for who, one in shown.words.items()} == {"ann": "sport", "ben": "weather"}
    settled = replace(word(desk, "e0", "d6", "ann", "edit", "sport"), seen=shown.seen)
    desk.decide("e0", settled, "conflict")  # what she has said before, but now the newest word of all
    assert desk.conflicts() == ["e1"] == Desk(project, "train").conflicts()
    found = in_force(project.store.labels.of(["e0"])["e0"])
    assert found is not None and found.value == "sport"
    desk.undo(word(desk, "e0", "u", "ann", "undo"), "d6")
    assert sorted(desk.conflicts()) == ["e0", "e1"]


def test_names_and_settings_that_cannot_be(tmp_path: Path) -> None:
    project = a_review(tmp_path, more='annotators = ["Ann", "Ben"]\n')
    assert annotator_name(project, "  Ann ") == "Ann"
    with pytest.raises(DataError, match=r"'Cy' is not among \[review\] annotators in task.toml: Ann, Ben"):
        annotator_name(project, "Cy")
    free = a_review(tmp_path / "free")
    for name, reason in (("  ", "needs a name"), ("x" * 61, "61 characters"), ("a\u202eb", "holds letters")):
        with pytest.raises(DataError, match=reason):
            annotator_name(free, name)
    for at, (more, reason) in enumerate(
        [
            ("assign = true\n", "names none"),
            ('annotators = ["A"]\ndouble = 0.5\n', "two"),
            ('annotators = [""]\n', "name"),
        ]
    ):
        with pytest.raises(UsageError, match=reason):
            check_review(a_review(tmp_path / str(at), more=more))


def test_probable_errors_come_up_whoever_gave_the_label(tmp_path: Path) -> None:
    project = a_review(tmp_path, suggested=["money"] * 3)
    ids = [f"e{at}" for at in range(3)]
    project.store.labels.add([Label(id, "sport", "human:author") for id in ids])
    project.store.queues.put("errors", "train", [Queued(id) for id in ids])
    desk = Desk(project, "train")
    assert desk.next("ann") == [] and desk.next("author", "errors") == ["e0"]
    (shown,) = desk.show(["e0"], "ann")
    assert shown.suggestion is not None and shown.suggestion.value == "sport"
    assert shown.suggestion.source == "human:author"
    say(desk, "e0", "d0", "author", "edit", "weather")
    say(desk, "e1", "d1", "ann", "edit", "weather")
    say(desk, "e2", "d2", "ann")
    assert desk.next("ann", "errors") == []
    found = project.store.labels.of(ids)
    assert [label.value for id in ids if (label := in_force(found[id]))] == ["weather", "weather", "sport"]
    assert desk.conflicts() == []  # who corrects an answer has seen it
    desk.undo(word(desk, "e2", "u0", "ann"), "d2")
    assert desk.next("ann", "errors") == ["e2"]
