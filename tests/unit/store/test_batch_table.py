"""Batches in the store: money and examples are taken together, stages follow one another, answers are kept once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tutelage.errors import BudgetExceeded, StoreError
from tutelage.store import Store, Submitted, open_store
from tutelage.types import Label, Prediction, Usage

SOURCE = "teacher:m@1"
ONE = Submitted("k1", "http://e/v1", SOURCE, "f" * 32, "host:1", "uploading", None, 2, 0, 0)
TWO = replace(ONE, key="k2")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url)
    yield store
    store.close()


def test_an_example_is_in_one_batch_at_a_time(store: Store) -> None:
    store.batches.begin(ONE, ["a", "b"], 1.0, 10.0)
    with pytest.raises(StoreError, match="sending 1 of these 2 examples"):
        store.batches.begin(TWO, ["b", "c"], 1.0, 10.0)
    assert store.batches.pending(SOURCE) == {"a", "b"} and store.spend.spent(SOURCE) == 1.0
    store.batches.begin(replace(TWO, source="teacher:m@2"), ["b", "c"], 1.0, 10.0)


def test_without_money_nothing_is_taken(store: Store) -> None:
    with pytest.raises(BudgetExceeded):
        store.batches.begin(ONE, ["a"], 2.0, 1.0)
    assert store.batches.open() == [] and store.spend.spent(SOURCE) == 0.0


def test_a_dropped_batch_frees_its_money_and_tells_its_sender(store: Store) -> None:
    store.batches.begin(ONE, ["a", "b"], 1.0, None)
    assert not store.batches.drop("k1", "creating") and store.batches.drop("k1", "uploading")
    assert not store.batches.creating("k1") and not store.batches.created("k1", "remote")
    assert store.spend.spent(SOURCE) == 0.0 and store.batches.pending(SOURCE) == set()


def test_a_batch_ends_once_with_all_that_came_of_it(store: Store) -> None:
    store.batches.begin(ONE, ["a", "b"], 1.0, None)
    assert store.batches.creating("k1") and store.batches.created("k1", "remote")
    (found,) = store.batches.open()
    assert (found.stage, found.remote, found.examples, found.owner) == ("created", "remote", 2, "host:1")
    assert 0 <= found.idle <= found.age < 60 and sorted(store.batches.ids("k1")) == ["a", "b"]
    came, labels = [("a", Prediction("x", usage=Usage(dollars=0.2)))], [Label("a", "x", SOURCE)]
    assert store.batches.finish(found, came, labels, 0.2)
    assert not store.batches.finish(found, came, [Label("a", "y", SOURCE)], 0.3)
    assert store.spend.spent(SOURCE) == 0.2 and store.labels.labelled_by(SOURCE) == {"a"}
    assert store.batches.open() == [] and store.predictions.read("f" * 32, ["a", "b"])["a"].value == "x"


def test_what_a_batch_cost_may_not_be_known(store: Store) -> None:
    store.batches.begin(ONE, ["a"], 1.0, None)
    store.batches.begin(replace(TWO, predictor=None), ["b"], None, None)
    for key in ("k1", "k2"):
        assert store.batches.creating(key) and store.batches.created(key, "remote " + key)
    for found in store.batches.open():
        assert store.batches.finish(found, [("a", Prediction("x"))], [], None)
    assert store.spend.spent(SOURCE) == 1.0
