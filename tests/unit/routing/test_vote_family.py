"""Votes of candidates: who wins, how members count, what is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from tests.panels import ask, recorded_project

from tutelage.errors import DataError, StoreError, TaskFileError, TrainingError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.harness import answers, example_set
from tutelage.evaluation.parts import Composed
from tutelage.evaluation.reporting import make_report
from tutelage.project import LEARNED_FROM, Project, newest_artefact
from tutelage.prompting.voting import EQUAL, vote
from tutelage.routing.vote import LEAST, WEIGHTS, Panel, fit_votes, weights_of
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Input, Prediction, Usage, Value

LABEL = LabelTask("kinds", ("text",), "", "accuracy", labels=("yes", "no", "maybe"))
STRINGS = StringsTask("names", ("text",), "", "f1")
RECORD = RecordTask(
    "bill",
    ("text",),
    "",
    "field_f1",
    answer_schema={"type": "object", "properties": {"who": {"type": "string"}, "sum": {"type": "string"}}},
)
PANEL = '[candidates.panel]\nfamily = "vote"\nof = {of}\n{more}\n'
TURNS = {
    "one": lambda at: ("no" if at % 4 == 0 else "yes", 0.9),
    "two": lambda at: ("no" if at % 4 == 1 else "yes", 0.8),
    "three": lambda at: ("maybe" if at % 4 == 2 else "yes", None),
}
UNEQUAL = {
    "weak": lambda at: ("no" if at % 5 < 2 else "yes", None),
    "also-weak": lambda at: ("no" if at % 5 < 2 else "yes", None),
    "strong": lambda at: ("maybe" if at % 20 == 19 else "yes", None),
}


def panel(of: Iterable[str], more: str = "") -> str:
    return PANEL.format(of=json.dumps(list(of)), more=more)


def accuracy(project: Project, name: str) -> float:
    ask(project, name, "test")
    report, _ = make_report(project, [candidate(project, name)], example_set(project, "test"))
    return report.candidates[0].scores["accuracy"].value


class Fixed:
    """A member with ready answers."""

    def __init__(self, name: str, given: Sequence[Prediction]) -> None:
        self.name, self.given, self.asked = name, list(given), 0

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        self.asked += len(inputs)
        return self.given[: len(inputs)]


def settled(task: Task, given: Sequence[Prediction], weights: Sequence[float] = ()) -> Prediction:
    members = [Fixed(f"m{at}", [one]) for at, one in enumerate(given)]
    found = Panel("panel", task, members, [{"": one} for one in weights] or [EQUAL] * len(given))
    return asyncio.run(found.predict([{"text": "x"}]))[0]


def test_members_that_err_in_turn_are_right_together(tmp_path: Path) -> None:
    project = recorded_project(tmp_path, TURNS, panel(TURNS))
    assert accuracy(project, "one") == 0.75
    assert accuracy(project, "panel") == 1.0
    found = answers(project, candidate(project, "panel"), example_set(project, "test"))
    assert found is not None
    assert {round(one.confidence or 0, 3) for one in found[0]} == {0.667, 1.0}
    report, _ = make_report(project, [candidate(project, "panel")], example_set(project, "test"))
    row = report.candidates[0]
    assert row.role == "system"
    assert row.dollars_per_1000 == pytest.approx(0.1 + 1 + 10)


def test_all_members_are_asked_and_paid_and_the_slowest_is_waited_for() -> None:
    given = [Prediction("yes", usage=Usage(3, 1, 0.5, 2.0)), Prediction("no", usage=Usage(2, 1, 0.25, 1.0))]
    assert settled(LABEL, given).usage == Usage(5, 2, 0.75, 2.0)
    assert settled(LABEL, [given[0], Prediction("no")]).usage.dollars is None


def test_a_tie_goes_to_the_member_named_first_whatever_its_probability() -> None:
    given = [Prediction("no", signals={"mean_probability": 0.2}), Prediction("yes", signals={"mean_probability": 0.9})]
    found = settled(LABEL, given)
    assert (found.value, found.confidence, found.parts) == ("no", 0.5, {"no": 0.5, "yes": 0.5})


def test_who_fails_does_not_vote_and_lowers_the_agreement() -> None:
    found = settled(LABEL, [Prediction(None, error="down"), Prediction("yes"), Prediction("yes")])
    assert (found.value, found.note) == ("yes", "no answer from m0")
    assert found.confidence == pytest.approx(2 / 3)
    found = settled(LABEL, [Prediction(None, error="down"), Prediction(None, error="too")])
    assert (found.value, found.confidence, found.error) == (None, None, "No member answered: down")


def test_a_heavy_member_outvotes_two_light_ones() -> None:
    given = [Prediction("no"), Prediction("no"), Prediction("yes")]
    found = settled(LABEL, given, [0.4, 0.4, 3.0])
    assert found.value == "yes"
    assert found.confidence == pytest.approx(3.0 / 3.8)


def test_support_is_how_sure_those_are_that_agree() -> None:
    given = [Prediction("yes", 0.9), Prediction("no", 0.8), Prediction("yes", 0.5), Prediction(None)]
    assert settled(LABEL, given).signals["support"] == pytest.approx(1.4 / 4)
    assert settled(LABEL, given, [3, 1, 1, 1]).signals["support"] == pytest.approx(3.2 / 6)
    assert "support" not in settled(LABEL, [*given, Prediction("yes")]).signals
    lists = [Prediction(["Ann", "Tom"], 0.8), Prediction(["Ann"], 0.6), Prediction(["Ann"], 0.6)]
    assert settled(STRINGS, lists).signals["support"] == pytest.approx((0.8 / 2 + 1.2) / 3)


def test_strings_are_kept_by_weight_and_half_is_not_enough() -> None:
    given: list[Value] = [["Ann", "Tom"], ["Ann"], ["Tom", "Eve"]]
    answers = [Prediction(value) for value in given]
    assert settled(STRINGS, answers).value == ["Ann", "Tom"]
    assert settled(STRINGS, answers, [1, 1, 3]).value == ["Tom", "Eve"]
    assert settled(STRINGS, answers[:2]).value == ["Ann"]


def test_fields_are_voted_one_by_one_with_their_own_weights() -> None:
    given = [
        Prediction({"who": "Ann", "sum": "1"}),
        Prediction({"who": "Ann", "sum": "1"}),
        Prediction({"who": "Tom", "sum": "2"}),
    ]
    weights = [{"": 1.0, "who": 1.0}, {"": 1.0}, {"": 1.0, "sum": 3.0}]
    found = vote(RECORD, given, weights)
    assert found is not None
    assert found.value == {"who": "Ann", "sum": "2"}
    assert found.parts == {"who": 2 / 3, "sum": 3 / 5}
    assert found.exact == 0


def test_weights_are_log_odds_of_being_right_by_field() -> None:
    gold: list[Value] = [{"who": "Ann", "sum": str(at)} for at in range(10)]
    good: list[Value | None] = list(gold)
    half: list[Value | None] = [{"who": "Tom", "sum": str(at)} for at in range(8)] + [None, None]
    first, second = weights_of(RECORD, gold, [good, half])
    assert first["who"] == pytest.approx(3.0445, abs=1e-3)  # ln 10.5 / 0.5
    assert second["who"] == LEAST
    assert second["sum"] == pytest.approx(2.8332, abs=1e-3)  # ln 8.5 / 0.5: failed answers teach nothing
    assert second[""] == LEAST
    assert weights_of(RECORD, gold[:1], [[None], [gold[0]]])[0] == {"": LEAST}


def test_weights_of_lists_count_strings_that_are_missed_too() -> None:
    gold: list[Value] = [["Ann", "Tom"]] * 4
    [all_found, one_found] = weights_of(STRINGS, gold, [[["Ann", "Tom"]] * 4, [["Ann", "Eve", "ann"]] * 4])
    # Of Ann, Tom and Eve the first is right about all three, the second about Ann.
    assert all_found[""] == pytest.approx(3.2189, abs=1e-3)
    assert one_found[""] == LEAST


def test_weights_learned_on_dev_let_the_strong_member_win(tmp_path: Path) -> None:
    more = panel(UNEQUAL) + panel(UNEQUAL, 'weights = "dev"').replace("panel", "weighted")
    project = recorded_project(tmp_path, UNEQUAL, more)
    with pytest.raises(TrainingError, match="tutelage calibrate weighted"):
        candidate(project, "weighted").build(project)
    before = candidate(project, "weighted").fingerprint(project)
    folder = fit_votes(project, "weighted")
    assert fit_votes(project, "weighted") == folder == newest_artefact(project, "weighted")
    assert candidate(project, "weighted").fingerprint(project) != before
    assert (accuracy(project, "panel"), accuracy(project, "weighted")) == (0.6, 0.95)
    learned = (folder / LEARNED_FROM).read_text().split()
    assert set(learned) == {one.id for one in project.store.examples.read("dev")}
    (folder / WEIGHTS).write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        candidate(project, "weighted").build(project)


def test_parts_are_asked_through_what_wraps_them() -> None:
    member, other = Fixed("a", [Prediction("yes")]), Fixed("b", [Prediction("yes")])
    found = Panel("panel", LABEL, [member, other], [EQUAL, EQUAL])
    assert isinstance(found, Composed)
    spare = Fixed("a", [Prediction("no")])
    wrapped = found.through(lambda name, one: spare if name == "a" else one)
    [answer] = asyncio.run(wrapped.predict([{"text": "x"}]))
    assert (answer.value, member.asked, spare.asked) == ("no", 0, 1)
    assert asyncio.run(found.predict([])) == []
    asyncio.run(found.close())


def test_what_cannot_vote_is_refused_in_one_line(tmp_path: Path) -> None:
    more = panel(["one", "one"]) + panel(["one", "ring"]).replace("panel", "ring")
    more += panel(["one", "two"], 'weights = "dev"').replace("panel", "unasked")
    project = recorded_project(tmp_path, TURNS, more, n=5, splits=("calibration",))
    with pytest.raises(TaskFileError, match="'one' stands twice"):
        candidate(project, "panel").build(project)
    with pytest.raises(TaskFileError, match="part of itself: ring -> ring"):
        candidate(project, "ring").build(project)
    with pytest.raises(DataError, match="No labels to score against"):
        fit_votes(project, "unasked")
    with pytest.raises(UsageError, match="nothing to learn"):
        fit_votes(project, "panel")


def test_weights_of_other_members_are_not_taken(tmp_path: Path) -> None:
    project = recorded_project(tmp_path, TURNS, panel(["one", "two"], 'weights = "dev"'), n=30)
    fit_votes(project, "panel")
    project.file.candidates["panel"]["of"] = ["two", "one"]
    with pytest.raises(TrainingError, match="learned how much one, two count"):
        candidate(project, "panel").build(project)


def test_a_vote_in_a_vote_takes_what_its_members_have_answered(tmp_path: Path) -> None:
    more = panel(["one", "two"]).replace("panel", "inner") + panel(["inner", "three"])
    project = recorded_project(tmp_path, TURNS, more, n=8, splits=("test",))
    examples = example_set(project, "test")
    # What is stored is not what would be answered now: whoever asks again is found out.
    for name in ("one", "two"):
        stored = [(id, Prediction("maybe", usage=Usage(dollars=0.0))) for id in examples.ids]
        project.store.predictions.add(candidate(project, name).fingerprint(project), stored)
    ask(project, "panel", "test")
    inner = answers(project, candidate(project, "inner"), examples)
    outer = answers(project, candidate(project, "panel"), examples)
    assert inner is not None
    assert outer is not None
    assert {one.value for one in inner[0]} == {one.value for one in outer[0]} == {"maybe"}
