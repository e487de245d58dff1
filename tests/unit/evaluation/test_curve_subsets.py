"""The examples of a curve's points: nested, drawn with a seed, each class with its share."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import UsageError
from tutelage.evaluation.curve.subsets import nested, sizes_for, subset
from tutelage.types import Example, Labelled, Value


def labelled(*values: Value) -> list[Labelled]:
    return [Labelled(Example(str(at), {"text": str(at)}, "train"), v, "import") for at, v in enumerate(values)]


@pytest.mark.parametrize(
    ("total", "sizes"),
    [
        (2000, [50, 100, 200, 400, 800, 1600, 2000]),
        (1700, [50, 100, 200, 400, 800, 1700]),
        (800, [50, 100, 200, 400, 800]),
        (100, [12, 25, 50, 100]),
        (24, [6, 12, 24]),
        (4, [4]),
    ],
)
def test_sizes_double_up_to_all(total: int, sizes: list[int]) -> None:
    assert sizes_for(total) == sizes


def test_given_sizes_are_taken_and_must_be_there() -> None:
    assert sizes_for(100, (30, 10, 30)) == [10, 30]
    for wrong in (0, 101):
        with pytest.raises(UsageError, match=f"{wrong} is not a size of a curve over 100 examples"):
            sizes_for(100, (10, wrong))


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_every_class_has_about_its_share_in_every_subset(values: list[str], seed: int) -> None:
    examples = labelled(*values)
    order = nested(examples, "label", seed)
    assert sorted(order) == list(range(len(values)))
    total = Counter(values)
    for size in range(1, len(values) + 1):
        found = Counter(str(one.value) for one in subset(examples, order, size))
        for label, count in total.items():
            assert abs(found[label] - count * size / len(values)) <= 2


def test_the_same_seed_draws_the_same_and_another_others() -> None:
    examples = labelled(*["a", "b"] * 20)
    assert nested(examples, "label", 1) == nested(examples, "label", 1) != nested(examples, "label", 2)


def test_answers_of_every_kind_can_be_drawn_from() -> None:
    kinds: dict[str, list[Value]] = {
        "labels": [["a", "b"], ["b", "a"], []],
        "strings": [["Mia"], [], []],
        "record": [{"who": "Mia"}] * 3,
        "text": ["one", "two", "three"],
    }
    for output, values in kinds.items():
        assert sorted(nested(labelled(*values), output, 0)) == [0, 1, 2]


def test_a_subset_stands_in_the_order_of_the_store() -> None:
    examples = labelled(*"abcdef")
    assert [one.value for one in subset(examples, [5, 0, 3, 1, 2, 4], 3)] == ["a", "d", "f"]
