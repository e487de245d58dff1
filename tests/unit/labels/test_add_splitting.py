"""Ids and splits are hashes: stable, even, independent of order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tutelage.labels.splitting import canonical_input, example_id, split_of
from tutelage.types import digest


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
def test_the_id_is_the_hash_of_the_canonical_input(input: dict[str, str]) -> None:
    assert example_id(input) == example_id(dict(reversed(input.items()))) == digest(canonical_input(input))
    assert canonical_input(canonical_input(input)) == canonical_input(input)
    assert list(canonical_input(input)) == sorted(input)


def test_equal_texts_meet_and_others_do_not() -> None:
    assert example_id({"text": "e\u0301"}) == example_id({"text": "é"})
    others = [{"text": "é "}, {"text": "É"}, {"text": "e"}, {"body": "é"}, {"text": "é", "title": ""}]
    assert len({example_id(input) for input in [{"text": "é"}, *others]}) == 6


def test_ids_and_splits_never_change() -> None:
    # Stored data depends on these.
    assert example_id({"text": "hello"}) == "cbbbdcd27692344de5dbab3abcaba413"
    assert {key: split_of(key) for key in "abcdefghijkl"} == {
        "a": "train",
        "b": "dev",
        "c": "train",
        "d": "train",
        "e": "train",
        "f": "test",
        "g": "train",
        "h": "train",
        "i": "train",
        "j": "calibration",
        "k": "calibration",
        "l": "test",
    }


def test_shares_are_70_and_thrice_10() -> None:
    counts = Counter(split_of(str(n)) for n in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.7) < 0.01
    assert all(abs(counts[split] / 20_000 - 0.1) < 0.01 for split in ("dev", "calibration", "test"))


def test_the_split_is_independent_of_the_ids_first_digits() -> None:
    low = [split_of(id) for id in (example_id({"text": str(n)}) for n in range(20_000)) if id[0] in "01"]
    assert abs(low.count("train") / len(low) - 0.7) < 0.03
