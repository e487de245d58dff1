"""Traces in the store: once each, charged in the same transaction, found by what was asked, forgotten in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.traced import trace

from tutelage.store import Feedback, Step, Store, Trace, TraceFilter, open_store
from tutelage.store.ledger import Want
from tutelage.store.trace_table import PAGE
from tutelage.store.traces import decoded, encoded, trace_of
from tutelage.types import Usage


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url)
    yield store
    store.close()


FULL = Trace(
    id="0" * 31 + "1",
    created="2026-11-21T10:00:00+00:00",
    model="support",
    endpoint="responses",
    task="support",
    key="k1",
    source="tagger",
    status=429,
    cache="hit",
    confidence=0.25,
    threshold=0.5,
    escalated=False,
    mode="shadow",
    input=[{"role": "user", "content": 'a "quoted" “Zoë”\n'}],
    output={"label": "ä"},
    steps=(
        Step(name="tagger", seconds=0.25, usage=Usage(3, 1, 0.5, 0.25, 2), answer=["x"], confidence=0.5),
        Step(name="gpt", role="audit", error="HTTP 500"),
    ),
    usage=Usage(3, 1, 0.5, 0.25, 2),
    first=0.125,
    seconds=0.25,
    error="broken",
    note="repaired",
    nanodollars=2**40,
    accounts=("key:k1:2026-11", "team:t"),
    owner="w1",
)


def test_a_trace_comes_back_as_it_was(store: Store) -> None:
    assert store.traces.add([FULL]) == 1
    assert store.traces.get(FULL.id) == FULL
    assert trace_of(decoded(encoded(FULL))) == FULL
    assert store.traces.get("0" * 32) is None


def test_a_trace_is_added_and_charged_once(store: Store) -> None:
    store.ledger.lease([Want(account="a", limit=100, need=60, least=10)], "w1")
    charged = [trace(accounts=("a", "b"), nanodollars=n, owner="w1") for n in (3, 4, 5)]
    free = [trace(accounts=("a",)), trace(nanodollars=9), trace(accounts=("a",), nanodollars=0)]
    assert store.traces.add([*charged, *free, charged[0]]) == 6
    assert store.traces.add([*free, trace(accounts=("b",), nanodollars=1), *charged]) == 1
    assert store.ledger.usage(["a", "b"]) == {"a": (12, 48), "b": (13, 0)}
    assert store.traces.count() == 7
    assert store.traces.add([]) == 0


def test_a_trace_that_no_row_can_hold_stops_all_of_its_page_and_charges_nothing(store: Store) -> None:
    good = trace(accounts=("a",), nanodollars=5)
    bad: Any = trace(status="ok")
    with pytest.raises(ValueError, match=r"This is no trace|invalid literal"):
        store.traces.add([good, bad])
    assert (store.traces.count(), store.ledger.usage(["a"])) == (0, {"a": (0, 0)})


def test_what_databases_refuse_is_mended(store: Store) -> None:
    odd = trace(
        model="m\0n\ud800", error="\0", input={"text": "\0\ud800", 3: {1, 2}}, usage=Usage(2**40, 1), nanodollars=2**70
    )
    odder = trace_of(decoded(encoded(odd)))
    assert store.traces.add([odd, trace(key="k" * 99, cache="c" * 99, seconds=None)]) == 2
    found = store.traces.get(odder.id)
    assert found is not None
    assert (found.model, found.error, found.usage.input_tokens) == ("mn?", "", 2**31 - 1)
    assert found.input["text"] == "\0\ud800"


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)
    | st.dictionaries(st.text(), st.text())
)
@example([-(2**63) - 1, 2**64, {"a": 2**200}, "\ud800"])
def test_whatever_json_holds_comes_back(value: Any) -> None:
    assert decoded(encoded(value)) == value


def test_traces_are_found_by_what_was_asked_newest_first(store: Store) -> None:
    made = {
        "plain": trace(created="2026-11-01", task="t", source="tagger", confidence=0.9, threshold=0.8),
        "doubtful": trace(created="2026-11-02", task="t", source="gpt", confidence=0.7, threshold=0.8),
        "unsure": trace(created="2026-11-03", task="u", source="gpt", threshold=0.8, key="k1"),
        "told": trace(created="2026-11-04", escalated=True, confidence=0.9, threshold=0.8, cache="hit"),
        "failed": trace(created="2026-11-05", status=502, error="All of 100% failed", model="other"),
        "killed": trace(created="2026-11-06", status=0),
        "said": trace(created="2026-11-07", input={"text": 'Say "Grüße" 100%'}, steps=(Step(name="a", answer="Deep"),)),
    }
    store.traces.add(list(made.values()))
    store.feedback.add(Feedback(trace=made["plain"].id, verdict="wrong", who="ada"))

    def found(**which: Any) -> list[str]:
        names = {one.id: name for name, one in made.items()}
        return [names[one.id] for one in store.traces.find(TraceFilter(**which))]

    assert found() == list(reversed(made))
    assert found(task="t") == ["doubtful", "plain"]
    assert found(model="other") == ["failed"]
    assert found(key="k1", source="gpt") == ["unsure"]
    assert found(status=502) == ["failed"]
    assert found(errors=True) == ["killed", "failed"]
    assert found(since="2026-11-03", until="2026-11-05") == ["told", "unsure"]
    assert found(escalated=True) == ["told", "unsure", "doubtful"]
    assert found(escalated=False) == ["plain"]
    assert found(cache="hit") == ["told"]
    assert found(cache="", task="u") == ["unsure"]
    assert found(feedback="any") == found(feedback="wrong") == ["plain"]
    assert found(feedback="right") == []
    assert found(text='say "') == found(text="grüße") == found(text="DEEP") == ["said"]
    assert found(text="100%") == ["said", "failed"]
    assert found(text="text") == []  # a name, not something said
    assert found(text="1%0") == []
    assert store.traces.count(TraceFilter(task="t")) == 2
    assert store.traces.count(TraceFilter(text="deep")) == 1


def test_pages_join_without_a_gap(store: Store) -> None:
    made = [trace(task="t" if n % 3 else "u") for n in range(PAGE + 20)]
    store.traces.add(made)
    ids = [one.id for one in made if one.task == "t"][::-1]
    assert [one.id for one in store.traces.read(TraceFilter(task="t"))] == ids
    first = store.traces.find(TraceFilter(task="t"), limit=7)
    rest = store.traces.find(TraceFilter(task="t"), limit=10**6, before=first[-1].id)
    assert [one.id for one in (*first, *rest)] == ids
    assert [one.id for one in store.traces.tail(made[-3].id)] == [made[-2].id, made[-1].id]
    assert store.traces.newest() == made[-1].id


def test_old_traces_are_forgotten_with_their_feedback_and_what_was_spent_stays(store: Store) -> None:
    old = [trace(created=f"2026-10-{day:02d}", accounts=("a",), nanodollars=1) for day in range(1, 11)]
    young = trace(created="2026-11-01")
    store.traces.add([*old, young])
    for one in (old[0], young):
        store.feedback.add(Feedback(trace=one.id, verdict="right", who="ada"))
    assert store.traces.forget("2026-11-01", limit=6) == 6
    assert store.traces.get(old[5].id) is None
    assert store.traces.get(old[6].id) is not None
    assert [store.traces.forget("2026-11-01", limit=6) for _ in range(2)] == [4, 0]
    assert store.traces.find() == [young]
    assert [one.trace for one in store.feedback.read()] == [young.id]
    assert store.ledger.usage(["a"]) == {"a": (10, 0)}


def test_feedback_is_appended_and_never_twice_the_same(store: Store) -> None:
    one = Feedback(trace="t1", verdict="corrected", who="ada", value={"b": 1, "a": ["ü"]}, note="n", created="2026")
    assert store.feedback.add(one)
    assert not store.feedback.add(one)
    assert store.feedback.add(Feedback(trace="t1", verdict="right", who="bob"))
    assert store.feedback.add(Feedback(trace="t1", verdict="wrong", who="ada"))
    assert store.feedback.add(one)
    assert store.feedback.of(["t1", "t2"])["t1"][0] == one
    assert [said.verdict for said in store.feedback.of(["t1"])["t1"]] == ["corrected", "right", "wrong", "corrected"]
    assert store.feedback.counts() == {"corrected": 2, "right": 1, "wrong": 1}
