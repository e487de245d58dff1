"""What every way to choose shots keeps: never itself, the same again, how many, the budget, nothing but the pool."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.letters import Letters, pool_of, texts_of

from tutelage.errors import UsageError
from tutelage.prompting.selectors import SELECTORS, Selector, ShotOptions, build_selector
from tutelage.prompting.selectors.pool import shot_tokens
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Labelled, canonical_json

TASK = LabelTask("letter", ("text",), "", labels=("a", "b", "c"))
KINDS = sorted(SELECTORS.rows())


def make(kind: str, pool: Sequence[Labelled], shots: int, budget: int | None = None, task: Task = TASK) -> Selector:
    return build_selector(task, pool, ShotOptions(selector=kind, shots=shots, shot_tokens=budget), Letters())


texts = st.text(st.sampled_from("ab cde\u0301é漢字!"), max_size=12)
pools = st.lists(st.tuples(texts, st.sampled_from("abc")), max_size=12, unique_by=lambda pair: pair[0])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(pairs=pools, asked=texts, shots=st.integers(0, 8), budget=st.none() | st.integers(1, 120))
def test_shots_are_of_the_pool_without_the_input_itself_at_most_as_many_and_within_the_budget(
    kind: str, pairs: list[tuple[str, str]], asked: str, shots: int, budget: int | None
) -> None:
    pool = pool_of(*pairs)
    selector = make(kind, pool, shots, budget)
    chosen = selector.select({"text": asked})
    assert [shot for shot in chosen if shot not in pool] == []
    assert len({shot.example.id for shot in chosen}) == len(chosen) <= shots
    assert asked not in texts_of(chosen)
    if budget is not None:
        assert sum(shot_tokens(TASK, shot) for shot in chosen) <= budget
    elif kind != "fixed":  # which shows the same examples to all but itself
        others = {one.example.id for one in pool if one.example.input["text"] != asked}
        assert len(chosen) >= min(shots, len(others)) - 1
    assert list(selector.select({"text": asked})) == list(chosen)
    assert list(make(kind, pool, shots, budget).select({"text": asked})) == list(chosen)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fixed"])
def test_an_input_is_itself_in_either_unicode_form(kind: str) -> None:
    pool = pool_of(("caf\u00e9", "a"), ("tea", "b"))
    assert texts_of(make(kind, pool, 2).select({"text": "cafe\u0301"})) == ["tea"]


@pytest.mark.parametrize("kind", ["jaccard", "bm25", "nearest", "mmr", "balanced"])
def test_the_most_similar_stands_last_and_ties_are_broken_by_the_pools_order(kind: str) -> None:
    pool = pool_of(("xx xx", "a"), ("ab cd", "b"), ("cd ab", "c"), ("ab zz", "a"))
    assert texts_of(make(kind, pool, 2).select({"text": "ab cd !"})) == ["cd ab", "ab cd"]


@pytest.mark.parametrize("kind", KINDS)
def test_facts_change_with_the_pool_the_number_and_the_budget(kind: str) -> None:
    pool = pool_of(("one", "a"), ("two", "b"), ("three", "c"))
    relabelled = [*pool_of(("one", "b")), *pool[1:]]
    facts = [
        canonical_json(selector.facts())
        for selector in (make(kind, pool, 2), make(kind, relabelled, 2), make(kind, pool, 1), make(kind, pool, 2, 1))
    ]
    assert len(set(facts)) == 4
    assert canonical_json(make(kind, pool, 2).facts()) == facts[0]


def test_fixed_facts_stay_when_the_pool_grows() -> None:
    few, more = pool_of(("one", "a")), pool_of(("one", "a"), ("two", "b"))
    assert make("fixed", few, 1).facts() == make("fixed", more, 1).facts()


def test_facts_name_the_encoder_only_where_it_decides() -> None:
    pool = pool_of(("one", "a"))
    assert "letters" in canonical_json(make("nearest", pool, 1).facts())
    assert "letters" not in canonical_json(make("bm25", pool, 1).facts())


def test_random_differs_by_input_and_by_seed() -> None:
    pool = pool_of(*((f"t{number}", "a") for number in range(100)))
    selector = make("random", pool, 5)
    other = build_selector(TASK, pool, ShotOptions(selector="random", shots=5, seed=1))
    chosen = {tuple(texts_of(selector.select({"text": asked}))) for asked in "uvwxyz"}
    assert len(chosen) == 6
    assert list(other.select({"text": "u"})) != list(selector.select({"text": "u"}))
    assert other.facts() != selector.facts()


def test_the_budget_drops_the_least_relevant_first_and_never_shows_one_that_alone_is_over_it() -> None:
    pool = pool_of(("ab", "a"), ("ab cd " + "ef " * 200, "b"), ("ab cd", "c"), ("zz", "a"))
    one = shot_tokens(TASK, pool[2])
    assert texts_of(make("bm25", pool, 3, 2 * one).select({"text": "ab cd ef"})) == ["ab", "ab cd"]
    assert texts_of(make("bm25", pool, 3, one).select({"text": "ab cd ef"})) == ["ab cd"]
    assert texts_of(make("fixed", pool, 3, 2 * one).select({"text": "ab cd ef"})) == ["ab", "ab cd"]


@pytest.mark.parametrize("kind", ["nearest", "mmr"])
def test_without_an_encoder_one_line_says_which_setting_is_missing(kind: str) -> None:
    with pytest.raises(UsageError, match=rf"selector = '{kind}' .* Set base"):
        build_selector(TASK, [], ShotOptions(selector=kind, shots=1))


def test_balanced_says_that_it_does_not_go_with_an_output_without_classes() -> None:
    with pytest.raises(UsageError, match="goes with output 'label' or 'labels', not with 'strings'"):
        make("balanced", [], 1, task=StringsTask("names", ("text",), ""))


def test_the_pool_is_encoded_once_and_a_question_once_also_by_many_threads() -> None:
    encoder, pool = Letters(), pool_of(("ab", "a"), ("cd", "b"), ("ef", "c"))
    selector = build_selector(TASK, pool, ShotOptions(selector="nearest", shots=1), encoder)
    assert encoder.calls == []
    threads = [threading.Thread(target=selector.select, args=({"text": "abc"},)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert encoder.calls.count(3) == 1
    before = len(encoder.calls)
    selector.select({"text": "abc"})
    assert len(encoder.calls) == before
