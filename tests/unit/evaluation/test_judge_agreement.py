"""How two verdicts become one outcome, and the figures of agreement with people, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from tutelage.evaluation.judge.agreement import CODES, Kappa, agreement, chance, cohen, longer
from tutelage.evaluation.judge.judges import JudgingTask
from tutelage.evaluation.judge.pairwise import Pair, Verdict, Winner, positions
from tutelage.evaluation.judge.votes import Vote, sample

OUTCOMES = st.sampled_from(["a", "b", "tie", None])
LABELS = st.sampled_from(["a", "b", "tie"])


@pytest.mark.parametrize(
    ("first", "second", "winner", "followed"),
    [
        ("1", "2", "a", None),
        ("2", "1", "b", None),
        ("1", "1", "tie", "1"),
        ("2", "2", "tie", "2"),
        ("tie", "tie", "tie", None),
        ("tie", "1", "tie", None),
        ("1", "tie", "tie", None),
        (None, "1", None, None),
        ("tie", None, None, None),
        (None, None, None, None),
    ],
)
def test_an_answer_wins_only_when_it_wins_in_both_orders(
    first: str | None, second: str | None, winner: str | None, followed: str | None
) -> None:
    verdict = Verdict(first, second)
    assert (verdict.winner, verdict.followed) == (winner, followed)


@pytest.mark.parametrize(
    ("verdict", "surer"),
    [
        (Verdict("1", "1", 0.2), "a"),
        (Verdict("1", "1", -0.2), "b"),
        (Verdict("2", "2", 0.2), "b"),
        (Verdict("tie", "1", 0.2), "tie"),
        (Verdict("tie", "1", -0.2), "b"),
        (Verdict("1", "1", 0.0), "tie"),
        (Verdict("1", "2", -0.9), "a"),
        (Verdict(None, "1", 0.0), None),
    ],
)
def test_where_the_orders_contradict_the_surer_one_may_count(verdict: Verdict, surer: str | None) -> None:
    assert verdict.outcome("surer") == surer


@settings(max_examples=20)
@given(st.lists(st.tuples(*[st.sampled_from(["1", "2", "tie", None])] * 2), min_size=1, max_size=20))
def test_swapping_the_answers_swaps_the_outcome_and_keeps_the_bias(said: list[tuple[str | None, str | None]]) -> None:
    ours = [Verdict(first, second) for first, second in said]
    theirs = [Verdict(second, first) for first, second in said]
    swapped = {"a": "b", "b": "a", "tie": "tie", None: None}
    assert [swapped[one.winner] for one in ours] == [one.winner for one in theirs]
    assert positions(ours) == positions(theirs)


def test_positions_are_counted_over_the_pairs_judged_both_times() -> None:
    found = positions([Verdict("1", "1"), Verdict("2", "2"), Verdict("1", "1"), Verdict("1", "2"), Verdict("1", None)])
    assert found and (found.n, found.first, found.second) == (4, 2, 1)
    assert (found.bias.value, found.consistent.value) == (0.75, 0.25)
    assert 0 < found.bias.low < 0.75 < found.bias.high <= 1
    assert positions([Verdict(None, "1")]) is None


@given(st.lists(st.tuples(LABELS, OUTCOMES), min_size=2, max_size=30))
def test_kappa_is_scikit_learns(pairs: list[tuple[Winner, Winner | None]]) -> None:
    gold, found = (np.array([CODES[one] for one in side]) for side in zip(*pairs, strict=True))
    if len({*gold.tolist(), *found.tolist()}) == 1:
        assert cohen(gold, found) is None
        return
    wanted = cohen_kappa_score(gold, found)
    assert 2 * Kappa(gold, found)(np.arange(len(gold))[None, :])[0] - 1 == pytest.approx(wanted, abs=1e-12)


def test_agreement_counts_ties_as_an_outcome_as_half_and_not_at_all() -> None:
    labels: list[Winner] = ["a", "a", "b", "tie", "tie", "b"]
    found = agreement("judge", labels, ["a", "b", "tie", "tie", "a", None])
    assert found.all.value == pytest.approx(2 / 6)
    assert found.half.value == pytest.approx((1 + 0 + 0.5 + 1 + 0.5 + 0) / 6)
    assert found.decided and (found.decided.value, found.n_decided, found.failed) == (0.5, 2, 1)
    assert found.kappa and -1 <= found.kappa.low <= found.kappa.value <= found.kappa.high <= 1
    ties = agreement("ties", labels, ["tie"] * 6)
    assert ties.decided is None and ties.half.value == pytest.approx(4 / 6)
    assert ties.kappa and ties.kappa.low == ties.kappa.high == 0


@settings(max_examples=15)
@given(st.lists(LABELS, min_size=1, max_size=9))
def test_chance_is_the_mean_of_both_tosses_of_a_coin(labels: list[Winner]) -> None:
    sides: tuple[Winner, ...] = ("a", "b")
    tosses = [agreement("coin", labels, [side] * len(labels)) for side in sides]
    coin = chance(labels)
    assert coin.all.value == pytest.approx(sum(one.all.value for one in tosses) / 2)
    assert coin.half.value == pytest.approx(sum(one.half.value for one in tosses) / 2)


def test_the_longer_answer_is_the_one_with_more_characters() -> None:
    pairs = [Pair("", "x", "long", "s"), Pair("", "x", "s", "long"), Pair("", "x", "same", "size")]
    assert [longer(pair) for pair in pairs] == ["a", "b", "tie"]


def test_a_larger_sample_only_adds() -> None:
    votes = [Vote(Pair("", f"text {at}", "a", "b"), "a") for at in range(20)]
    assert sample(votes, 5) == sample(votes[::-1], 12)[:5] and len(sample(votes, None)) == 20


def test_two_people_agree_as_often_as_their_votes_say() -> None:
    pair = Pair("", "x", "a", "b")
    assert Vote(pair, "a", ("a", "a", "b")).agreement == pytest.approx(1 / 3)
    assert Vote(pair, "a", ("a",)).agreement is None


def test_what_is_judged_is_marked_off_and_an_empty_answer_is_said() -> None:
    task = JudgingTask("verdict", ("task", "input", "answer_1", "answer_2"), "", labels=("1", "2", "tie"))
    text = task.input_text({"task": "", "input": "Hi", "answer_1": "", "answer_2": "[input]\nHo"})
    assert text == (
        "[input]\nHi\n[end of input]\n\n[answer 1]\n(empty)\n[end of answer 1]\n\n[answer 2]\n[input]\nHo\n[end of answer 2]"
    )
