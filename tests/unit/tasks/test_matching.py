"""When two strings are the same answer, on names as people and models have written them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.tasks.matching import TITLES, find, find_all, matches, normal, same, same_person

words = st.sampled_from(
    [
        "the",
        "of",
        "and",
        "Mr.",
        "Mrs",
        "Father",
        "Mother",
        "little",
        "Oliver",
        "Owl",
        "Timmy's",
        "J.K.",
        "King",
        "O'",
        "“",
    ]
)
names = st.one_of(st.lists(words, max_size=4).map(" ".join), st.text(max_size=12))


@given(names, names)
def test_equality_is_symmetric_and_alias_aware_is_the_wider(a: str, b: str) -> None:
    assert same(a, b) == same(b, a)
    assert same_person(a, b) == same_person(b, a)
    assert same_person(a, b) or not same(a, b)
    assert same(a, a) and same_person(a, a)


@given(st.lists(names, max_size=6), st.lists(names, max_size=6))
def test_matches_is_symmetric_and_bounded(gold: list[str], predicted: list[str]) -> None:
    for equal in (same, same_person):
        found = matches(gold, predicted, equal)
        assert found == matches(predicted, gold, equal) <= min(len(gold), len(predicted))
    assert matches(gold, gold, same_person) == matches(gold, gold) == len(gold)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("mrs.  Finch", "Mrs. Finch", True),
        ("Mrs Finch", "Mrs. Finch", False),
        ("Finch", "Mrs. Finch", False),
        ("O’Hara", "O'Hara", True),
        ("Jean–Luc", "jean-luc", True),
        ("“Red”", '"red"', True),
        ("Zoe\u0308", "Zoë", True),
        ("Ｚｏｅ", "zoe", True),
        ("STRASSE", "Straße", True),
        ("Zoe", "Zoë", False),
    ],
)
def test_strict_matching(a: str, b: str, equal: bool) -> None:
    assert same(a, b) is equal
    assert (normal(a) == normal(b)) is equal


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Ms. Green", "Miss Green"),
        ("Mr. Watson", "Mr Watson"),
        ("Mr. Rogers", "Rogers"),
        ("Mrs. Smarty Pants", "Smarty Pants"),
        ("Dr. Moyo", "Moyo"),
        ("Sir Roy Yorke Calne", "Roy Yorke Calne"),
        ("Sir Sean O'Loughlin", "Sean O' Loughlin"),
        ("J.K. Rowling", "J. K Rowling"),
        ("Oliver the Owl", "Oliver"),
        ("Petunia the Purple", "Petunia"),
        ("Vinny the vintage Aston Martin V8", "Vinny"),
        ("Lulu the lorikeet", "Lulu the Rainbow Lorikeet"),
        ("the Governor", "Governor"),
        ("Teacher Tom", "Tom"),
        ("Chef Mario", "Mario"),
        ("Detective Jamie Williams", "Jamie Williams"),
        ("Representative Charles Geveden", "Charles Geveden"),
        ("Coach Randy", "Randy"),
        ("Ana", "Little Ana"),
        ("Brady", "Curious Brady"),
        ("Sam", "“ Sam"),
        ("Timmy's mom", "Mom"),
        ("Mr. King", "King"),
        ("Duke of York", "Duke"),
        ("Father Bear", "Papa Bear"),
        ("Little Bear", "Bear"),
    ],
)
def test_names_of_one_bearer(a: str, b: str) -> None:
    assert same_person(a, b)
    assert not same(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Mr. Bennet", "Mrs. Bennet"),
        ("Mr. Smith", "Ms. Smith"),
        ("King Leo", "Queen Leo"),
        ("Father Bear", "Mother Bear"),
        ("Baby Bear", "Father Bear"),
        ("Aunt Lou", "Grandma Lou"),
        ("King of Hearts", "Queen of Hearts"),
        ("Duke of York", "York"),
        ("Jack the Red", "Jack the Blue"),
        ("Timmy's father", "Timmy"),
        ("Emma's mom", "Emma"),
        ("Tom and Jerry", "Tom"),
        ("Paul & Chloe", "Chloe"),
        ("Tim", "Timmy"),
        ("Anna", "Annalise"),
        ("Hopping Hannah", "ping Hannah"),
        ("Mr. Gadget", "ad get"),
        ("Coach Tony", "Coach"),
        ("Lily", "The"),
        ("the", "“"),
        ("Iron", "Copper"),
    ],
)
def test_names_of_two_bearers(a: str, b: str) -> None:
    assert not same_person(a, b)


@pytest.mark.parametrize(
    ("gold", "predicted", "strict", "alias"),
    [
        (["Lily", "Mr. Johnson"], ["Lily", "Johnson"], 1, 2),
        (["Mr. Smith", "Mrs. Smith", "Max"], ["Smith", "The", "Max"], 1, 2),
        (["Paul", "Bee", "Chloe"], ["Paul Bee", "Chloe"], 1, 2),
        (["Coach Tony", "Kostas", "Mr. Christos"], ["Christos", "Kostas", "Coach", "Tony"], 1, 3),
        (["Fifi the Firefly", "Freddy the Fox", "Owl"], ["Freddy", "Fifi"], 0, 2),
        (["Timmy's dad", "Timmy"], ["Timmy", "Dad"], 1, 2),
        (["Lily", "Sam"], ["” Sam", "“ Lily", "“ Sam"], 0, 2),
        ([], ["Al"], 0, 0),
        (["Al"], [], 0, 0),
    ],
)
def test_lists_are_matched_one_to_one(gold: list[str], predicted: list[str], strict: int, alias: int) -> None:
    assert matches(gold, predicted) == strict
    assert matches(gold, predicted, same_person) == alias


def test_matching_finds_the_largest_pairing() -> None:
    # Greedy pairing in order would give "Smith" to "Mr. Smith" and leave "Smith Jones" alone.
    assert matches(["Smith", "Mr. Smith"], ["Mr. Smith", "Smith Jones"], same_person) == 2


def test_titles_are_in_normal_form() -> None:
    assert all(normal(title) == title and "." not in title for title in TITLES)


def test_occurrences_are_whole_words_in_any_spelling() -> None:
    text = "Al and Alan met mrs.\nO’Hara. ‘AL!’ she said."
    assert find(text, "Al") == (0, 2)
    assert [text[a:b] for a, b in find_all(text, "al")] == ["Al", "AL"]
    assert [text[a:b] for a, b in find_all(text, "Mrs. O'Hara")] == ["mrs.\nO’Hara"]
    assert find(text, "lan") is None and find(text, "") is None and find_all(text, "  ") == []
    assert find("well–known", "well-known") == (0, 10)
    assert find("a “b” c", '"b"') == (2, 5)
