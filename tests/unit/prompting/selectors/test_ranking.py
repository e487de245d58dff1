"""Each way to choose by what it says it does: Jaccard's and BM25's formulas, cosine, marginal relevance, labels covered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.letters import Letters, pool_of, texts_of

from tutelage.prompting.selectors import ShotOptions, build_selector
from tutelage.prompting.selectors.balanced import BalancedShots
from tutelage.prompting.selectors.vectors import MmrShots, NearestShots
from tutelage.prompting.selectors.words import words
from tutelage.tasks.label import LabelTask
from tutelage.types import Example, Labelled

TASK = LabelTask("letter", ("text",), "", labels=("a", "b", "c"))

sentences = st.lists(
    st.lists(st.sampled_from(["ab", "bc", "cd", "de", "ef", "fg"]), min_size=1, max_size=6), min_size=1, max_size=9
)


def ranked(kind: str, texts: Sequence[str], asked: str) -> list[str]:
    """The whole pool, best first."""
    pool = [Labelled(Example(str(at), {"text": text}, "train"), "a", "import") for at, text in enumerate(texts)]
    selector = build_selector(TASK, pool, ShotOptions(selector=kind, shots=len(texts)))
    return texts_of(selector.select({"text": asked}))[::-1]


def by_score(texts: Sequence[str], scores: Sequence[float]) -> list[str]:
    return [text for _, text in sorted(zip(scores, texts, strict=True), key=lambda pair: -pair[0])]


@settings(max_examples=40)
@given(sentences)
def test_jaccard_is_shared_words_over_all_words(found: list[list[str]]) -> None:
    asked = {"ab", "cd", "zz"}
    scores = [len(asked & set(one)) / len(asked | set(one)) for one in found]
    texts = [" ".join(one) for one in found]
    assert ranked("jaccard", texts, "ab cd zz!") == by_score(texts, scores)


@settings(max_examples=40)
@given(sentences)
def test_bm25_is_the_formula(found: list[list[str]]) -> None:
    asked, mean = ["ab", "cd", "cd", "zz"], sum(map(len, found)) / len(found)

    def score(one: list[str]) -> float:
        total = 0.0
        for word in asked:
            holders, count = sum(word in other for other in found), one.count(word)
            weight = math.log(1 + (len(found) - holders + 0.5) / (holders + 0.5))
            total += weight * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(one) / mean))
        return round(total, 5)  # the library counts in float32

    texts = [" ".join(one) for one in found]
    order = ranked("bm25", texts, " ".join(asked))
    best = dict(zip(texts, map(score, found), strict=True))
    assert all(best[one] >= best[other] - 1e-5 for one, other in itertools.pairwise(order))


@pytest.mark.parametrize("kind", ["jaccard", "bm25"])
@pytest.mark.parametrize("texts", [["", "!"], ["one", "two"]])
@pytest.mark.parametrize("asked", ["?", "three"])
def test_where_no_word_is_shared_the_pools_order_decides(kind: str, texts: list[str], asked: str) -> None:
    assert ranked(kind, texts, asked) == texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't PANIC, Straße 42!", ["don", "t", "panic", "strasse", "42"]),
        ("日本語 ok", ["日", "本", "語", "ok"]),
        ("snake_case", ["snake_case"]),
        ("?!", []),
    ],
)
def test_words_are_folded_and_unspaced_scripts_give_characters(text: str, expected: list[str]) -> None:
    assert words(text) == expected


class AllRelevance(MmrShots):
    weight = 1.0


class HalfAndHalf(MmrShots):
    weight = 0.5


class AllDifference(MmrShots):
    weight = 0.0


@given(st.lists(st.text("abcdef", min_size=1, max_size=6), max_size=12, unique=True), st.text("abcdef", max_size=6))
def test_mmr_that_cares_for_relevance_alone_is_nearest(texts: list[str], asked: str) -> None:
    options = ShotOptions(selector="mmr", shots=4)
    pool = pool_of(*((text, "a") for text in texts))
    chosen = [kind(TASK, pool, options, Letters()).select({"text": asked}) for kind in (AllRelevance, NearestShots)]
    assert chosen[0] == chosen[1]


def test_mmr_takes_the_nearest_and_then_what_is_unlike_it() -> None:
    pool = pool_of(("aab", "a"), ("aaab", "a"), ("bbc", "a"), ("ffffff", "a"))
    options = ShotOptions(selector="mmr", shots=2)
    assert texts_of(NearestShots(TASK, pool, options, Letters()).select({"text": "aaabb"})) == ["aaab", "aab"]
    assert texts_of(HalfAndHalf(TASK, pool, options, Letters()).select({"text": "aaabb"})) == ["bbc", "aab"]
    assert texts_of(AllDifference(TASK, pool, options, Letters()).select({"text": "aaabb"})) == ["ffffff", "aab"]


@pytest.mark.parametrize("encoder", [None, Letters()])
@settings(max_examples=40)
@given(
    labels=st.lists(st.sampled_from("abc"), min_size=1, max_size=30), shots=st.integers(1, 8), seed=st.integers(0, 99)
)
def test_balanced_covers_the_labels_and_shows_none_twice_more_than_another(
    encoder: Letters | None, labels: list[str], shots: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    pool = pool_of(*((f"{at} {' '.join(draw.choice(list('abcdef'), 4))}", label) for at, label in enumerate(labels)))
    selector = BalancedShots(TASK, pool, ShotOptions(selector="balanced", shots=shots), encoder)
    shown = [str(shot.value) for shot in selector.select({"text": "a b c"})]
    assert len(shown) == min(shots, len(pool))
    assert len(set(shown)) == min(shots, len(set(labels)))
    for label in set(shown):
        rest = [shown.count(other) for other in set(labels) if labels.count(other) > shown.count(other)]
        assert shown.count(label) <= min(rest, default=len(shown)) + 1


def test_balanced_prefers_an_example_that_brings_a_new_label_of_several() -> None:
    many = [("ab cd", ["a"]), ("ab cd ef", ["a"]), ("ab zz", ["a", "b"]), ("ab yy xx", [])]
    pool = [Labelled(Example(text, {"text": text}, "train"), value, "import") for text, value in many]
    selector = BalancedShots(TASK, pool, ShotOptions(selector="balanced", shots=3), None)
    assert texts_of(selector.select({"text": "ab cd !"})) == ["ab yy xx", "ab zz", "ab cd"]


def test_mmr_chooses_many_shots_by_marginal_relevance_and_the_rest_by_relevance() -> None:
    pool = pool_of(*((f"{'a' * number}b", "a") for number in range(1, 40)))

    class Few(MmrShots):
        most = 2

    options = ShotOptions(selector="mmr", shots=30)
    few, nearest = (kind(TASK, pool, options, Letters()).select({"text": "aab!"})[::-1] for kind in (Few, NearestShots))
    assert few[0] == nearest[0]
    assert len(few) == len({shot.example.id for shot in few}) == 30
    assert few[2:] == [shot for shot in nearest if shot not in few[:2]][:28]
