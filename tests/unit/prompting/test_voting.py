"""Votes: what several answers have in common, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.prompting.voting import Vote, vote
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.matching import normal
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask
from tutelage.types import Prediction, Value

LABEL = LabelTask("tone", ("text",), "", "accuracy", labels=("happy", "sad", "angry"))
STRINGS = StringsTask("names", ("text",), "", "f1")


def voted(task: Task, values: Sequence[Value | None], probabilities: Sequence[float] = ()) -> Vote:
    signals = [{"mean_probability": p} for p in probabilities] or [{} for _ in values]
    draws = [Prediction(value, signals=given) for value, given in zip(values, signals, strict=True)]
    found = vote(task, draws)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("values", "probabilities", "value", "agreement"),
    [
        (["sad", "happy", "sad"], (), "sad", 2 / 3),
        (["sad", "happy", "angry", "sad", "happy"], (), "sad", 2 / 5),
        (["sad", "happy"], (0.5, 0.9), "happy", 1 / 2),
        (["sad", None, None], (), "sad", 1 / 3),
    ],
)
def test_a_label_is_the_most_frequent_then_the_surest_then_the_first(
    values: list[Value | None], probabilities: tuple[float, ...], value: str, agreement: float
) -> None:
    shares = {label: values.count(label) / len(values) for label in values if isinstance(label, str)}
    assert voted(LABEL, values, probabilities) == Vote(value, agreement, agreement, shares)


def test_a_free_text_has_no_shares_of_others() -> None:
    assert voted(TextTask("title", ("text",), ""), ["One", "Two", "one"]).parts == {}


def test_strings_are_kept_when_more_than_half_hold_them_in_their_most_frequent_spelling() -> None:
    values: list[Value | None] = [["Tom", "Mrs. Finch"], ["Mrs.  finch", "Ann"], ["Tom", "Mrs. Finch"], ["Tom"], None]
    found = voted(STRINGS, values)
    assert found.value == ["Tom", "Mrs. Finch"]
    assert found.parts == {"Tom": 3 / 5, "Mrs. Finch": 3 / 5}
    assert (found.agreement, found.exact) == (3 / 5, 2 / 5)


def test_an_empty_list_is_agreed_on_by_those_that_are_empty() -> None:
    assert voted(STRINGS, [[], ["Tom"], ["Ann"], []]) == Vote([], 1 / 2, 1 / 2, {})


def test_labels_that_differ_in_case_alone_stay_apart() -> None:
    task = LabelTask("word", ("text",), "", "accuracy", labels=("Polish", "polish"))
    assert voted(task, ["polish", "Polish", "polish"]).agreement == 2 / 3


RECORD = RecordTask(
    "invoice",
    ("text",),
    "",
    answer_schema={
        "type": "object",
        "properties": {
            "number": {"type": "string"},
            "total": {"type": "number"},
            "lines": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["number"],
    },
)


def test_a_record_is_voted_field_by_field_as_the_fields_are_compared() -> None:
    values: list[Value | None] = [
        {"number": "A 7", "total": 12.5, "lines": None},
        {"number": "a  7", "total": 12.0, "lines": ["tea", "milk"]},
        {"number": "B 8", "total": 12.5, "lines": ["milk", "tea"]},
        None,
    ]
    found = voted(RECORD, values)
    assert found.value == {"number": "A 7", "total": 12.5, "lines": ["tea", "milk"]}
    assert found.parts == {"number": 2 / 4, "total": 2 / 4, "lines": 2 / 4}
    assert (found.agreement, found.exact) == (1 / 2, 0.0)


def test_nothing_answered_is_no_vote() -> None:
    assert vote(LABEL, [Prediction(None), Prediction(None)]) is None


labels = st.lists(st.sampled_from(LABEL.labels), min_size=1, max_size=9)
lists = st.lists(
    st.lists(st.sampled_from(["Tom", "tom", "Ann", "Mrs. Finch", "Bo"]), max_size=4), min_size=1, max_size=9
)


@given(lists, st.randoms())
def test_the_order_of_the_draws_does_not_matter_for_strings(drawn: list[list[str]], chance: object) -> None:
    values = [STRINGS.canonical(one) for one in drawn]
    shuffled = list(values)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = voted(STRINGS, values), voted(STRINGS, shuffled)
    assert {normal(text) for text in before.value} == {normal(text) for text in after.value}
    assert before.agreement == pytest.approx(after.agreement) and before.exact == after.exact


@given(labels, st.randoms())
def test_the_order_of_the_draws_does_not_matter_for_labels_that_do_not_tie(drawn: list[str], chance: object) -> None:
    shuffled = list(drawn)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = voted(LABEL, drawn), voted(LABEL, shuffled)
    assert before.agreement == after.agreement
    counts = sorted((drawn.count(label) for label in set(drawn)), reverse=True)
    if counts[1:2] != counts[:1]:
        assert before == after


@given(st.one_of(labels.map(lambda found: (LABEL, found)), lists.map(lambda found: (STRINGS, found))))
def test_the_result_was_drawn_and_shares_are_shares(case: tuple[Task, list[Value]]) -> None:
    task, drawn = case
    values = [task.canonical(value) for value in drawn]
    found = voted(task, values)
    if isinstance(found.value, str):
        assert found.value in values
    else:
        assert set(found.value) <= {text for value in values for text in value}
        assert set(found.parts) == set(found.value)
    assert all(0 < share <= 1 for share in found.parts.values())
    assert 0 <= found.exact <= found.agreement + 1e-9 and found.agreement <= 1


@given(
    st.one_of(labels.map(lambda found: (LABEL, found[0])), lists.map(lambda found: (STRINGS, found[0]))),
    st.integers(1, 6),
)
def test_one_voice_is_certain(case: tuple[Task, Value], n: int) -> None:
    task, value = case[0], case[0].canonical(case[1])
    found = voted(task, [value] * n)
    assert (found.value, found.agreement, found.exact) == (value, 1.0, 1.0)
