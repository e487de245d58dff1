"""Ratings: known strengths come back, evalica finds the same maximum, and nothing is infinite."""

from __future__ import annotations

import numpy as np
import pytest
from evalica import Winner, bradley_terry, newman
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tutelage.errors import DataError, UnknownName
from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference.bradley_terry import SCALE, fit, fit_many, probabilities
from tutelage.evaluation.preference.elo import K, elo
from tutelage.evaluation.preference.matches import OUTCOMES, Match, bounded, tabulate
from tutelage.evaluation.preference.ranking import rank

TRUTH = np.array([1300, 1100, 950, 650]) / SCALE


def played(n: int, seed: int = 0, tie: float = -0.5) -> tuple[Match, ...]:
    """`n` matches on as many inputs between models "0" to "3" of known strengths, sides at random."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(n):
        a, b = rng.choice(4, 2, replace=False)
        winner = OUTCOMES[rng.choice(3, p=probabilities(TRUTH[a], TRUTH[b], tie))]
        found.append(Match(f"input {at}", str(a), str(b), winner))
    return tuple(found)


def match(a: str, b: str, winner: str, times: int = 1, start: int = 0) -> list[Match]:
    return [Match(f"{a}{b}{winner}{start + at}", a, b, winner) for at in range(times)]  # type: ignore[arg-type]


def by_evalica(counts: Floats, models: int) -> Floats:
    """The same maximum by another's hand: counts with a finite maximum, all (pairs, 3)."""
    i, j = np.triu_indices(models, 1)
    method = newman if counts[:, 2].any() else bradley_terry  # newman does not converge without ties on sparse counts
    won = [Winner.X, Winner.Y, Winner.Draw] * len(i)
    found = method(
        np.repeat(i, 3).tolist(),
        np.repeat(j, 3).tolist(),
        won,
        weights=counts.ravel().tolist(),
        tolerance=1e-12,
        limit=10**5,
    )
    values = np.log(found.scores.sort_index().to_numpy())
    return np.asarray(values - values.mean())


@pytest.mark.parametrize(("models", "rate", "ties"), [(5, 20, 1), (5, 2, 1), (8, 3, 0), (12, 2, 1)])
def test_the_maximum_is_the_one_that_evalica_finds(models: int, rate: float, ties: int) -> None:
    pairs = np.triu_indices(models, 1)
    counts = np.random.default_rng(0).poisson(rate, (20, len(pairs[0]), 3)).astype(np.float64)
    counts[:, :, 2] *= ties
    counts = counts[bounded(counts, pairs, models)]
    found = fit_many(counts, pairs, models).values
    assert len(counts) > 15
    np.testing.assert_allclose(found, [by_evalica(row, models) for row in counts], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=6, max_size=6))
def test_any_results_give_finite_ratings_and_a_maximum_where_there_is_one(rows: list[list[int]]) -> None:
    counts, pairs = np.array(rows, np.float64)[None], np.triu_indices(4, 1)
    values, ties = fit_many(counts, pairs, 4)
    assert np.isfinite(values).all() and np.abs(values).max() < 20
    if bounded(counts, pairs, 4)[0]:

        def loss(free: Floats) -> float:
            chances = probabilities(free[pairs[0]], free[pairs[1]], free[4])
            return float(-(counts[0] * np.log(np.maximum(chances, 1e-300))).sum())

        best = minimize(loss, np.zeros(5)).fun
        assert loss(np.append(values[0], ties[0])) <= best + 1e-4


def test_known_strengths_and_the_tie_parameter_come_back() -> None:
    found = fit(tabulate(played(6000)))
    np.testing.assert_allclose(found.values, TRUTH - TRUTH.mean(), atol=0.1)
    assert found.tie == pytest.approx(-0.5, abs=0.1)
    assert found.unbounded == ()


def test_two_models_have_the_odds_of_their_wins_whatever_the_ties() -> None:
    matches = match("a", "b", "a", 30) + match("a", "b", "b", 3) + match("a", "b", "tie", 50)
    found = rank(tuple(matches), resamples=50)
    best, worst = found.ratings
    assert best.rating.value - worst.rating.value == pytest.approx(400)  # odds of 10 to 1
    assert (best.model, best.wins, best.ties, best.losses) == ("a", 30, 50, 3)
    win, loss, tie = found.grid[0][1]
    assert win / loss == pytest.approx(10) and win + loss + tie == pytest.approx(1)
    assert tie == pytest.approx(50 / 83)
    assert found.grid[1][0] == pytest.approx((loss, win, tie))


def test_naming_the_other_side_first_changes_nothing() -> None:
    matches = played(200)
    flipped = tuple(one.flipped if at % 2 else one for at, one in enumerate(matches))
    assert flipped != matches and matches[0].flipped.flipped == matches[0]
    assert rank(matches, resamples=20) == rank(flipped, resamples=20)


def test_the_interval_holds_the_truth_and_narrows() -> None:
    few, many = rank(played(200), resamples=300), rank(played(2000), resamples=300)
    for found in (few, many):
        truth = 1000 + SCALE * (TRUTH - TRUTH.mean())
        assert sum(row.rating.low <= truth[int(row.model)] <= row.rating.high for row in found.ratings) >= 3
    assert [row.model for row in many.ratings] == ["0", "1", "2", "3"]
    assert [row.ranks for row in many.ratings] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    wide, narrow = (np.mean([row.rating.high - row.rating.low for row in one.ratings]) for one in (few, many))
    assert narrow < wide / 2


def test_matches_on_one_input_are_resampled_together() -> None:
    alone = played(100)
    copied = tuple(one for one in alone for _ in range(10))  # each outcome ten times on its input: no new evidence
    first, second = rank(alone, resamples=300), rank(copied, resamples=300)
    assert second.n == 1000 and second.inputs == 100
    for a, b in zip(first.ratings, second.ratings, strict=True):
        assert a.rating.low == pytest.approx(b.rating.low, abs=1) and a.rating.high == pytest.approx(
            b.rating.high, abs=1
        )


def test_an_anchor_has_1000_and_no_interval() -> None:
    found = rank(played(400), anchor="2", resamples=50)
    rows = {row.model: row for row in found.ratings}
    assert rows["2"].rating.value == rows["2"].rating.low == rows["2"].rating.high == 1000
    assert rows["2"].elo == pytest.approx(1000)
    with pytest.raises(UnknownName, match="'5' is not a known model of these matches"):
        rank(played(40), anchor="5")


@pytest.mark.parametrize(
    ("matches", "named"),
    [
        (match("a", "b", "a", 9), ("a", "b")),
        (
            match("a", "b", "a", 5) + match("a", "b", "b", 4) + match("c", "a", "a", 3) + match("b", "c", "tie", 0),
            ("c",),
        ),
        (match("a", "b", "tie", 9), ("a", "b")),
        (match("a", "b", "a", 9) + match("a", "b", "tie", 9), ("a", "b")),
    ],
    ids=["never lost", "never won", "all ties", "wins and ties, no loss"],
)
def test_the_undefeated_get_no_infinite_rating(matches: list[Match], named: tuple[str, ...]) -> None:
    found = rank(tuple(matches), resamples=100)
    assert set(named) <= set(found.unbounded) or set(found.unbounded) & set(named)
    for row in found.ratings:
        assert np.isfinite([row.rating.value, row.rating.low, row.rating.high]).all()
        assert abs(row.rating.value - 1000) < 1000
        assert row.rating.high - row.rating.low > 50  # nothing was seen that could make anyone sure


def test_one_match_and_one_input_make_nobody_sure() -> None:
    alone = rank(tuple(match("a", "b", "a")), resamples=400)
    assert [row.ranks for row in alone.ratings] == [(1, 2), (1, 2)]
    assert alone.ratings[0].rating.high - alone.ratings[0].rating.low > 300
    many = rank(tuple(match("a", "b", "a", 30)), resamples=400)
    assert [row.ranks for row in many.ratings] == [(1, 1), (2, 2)]
    same = tuple(Match("one input", "a", "b", winner) for winner in OUTCOMES * 5)
    both = rank(same, resamples=200)
    assert both.ratings[0].rating.high - both.ratings[0].rating.low > 50


def test_models_that_nothing_compares_are_refused_by_name() -> None:
    matches = match("a", "b", "a") + match("a", "b", "b") + match("c", "d", "a") + match("c", "d", "b")
    with pytest.raises(DataError, match=r"nothing compares them: a, b; c, d\."):
        rank(tuple(matches))
    with pytest.raises(DataError, match="at least two models"):
        rank(())


def test_elo_moves_both_sides_by_what_was_not_expected() -> None:
    even = elo(match("a", "b", "a"), ["a", "b"])
    np.testing.assert_allclose(even, [1000 + K / 2, 1000 - K / 2])
    np.testing.assert_allclose(elo(match("a", "b", "tie", 3), ["a", "b"]), [1000, 1000])
    assert elo(match("a", "b", "a", 400), ["a", "b"])[0] > 1300
    assert elo(played(3000), ["0", "1", "2", "3"]).argsort().tolist() == [3, 2, 1, 0]
