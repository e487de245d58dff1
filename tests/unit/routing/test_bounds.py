"""P-values of a mean loss: right figures, and never too small where the loss is at its limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator
from scipy.stats import binomtest, kstest

from tutelage.evaluation.metrics import Floats
from tutelage.routing.bounds import betting_p, exact_p, hoeffding_bentkus_p, shuffled, uniform_of

LEVEL = 0.05
DRAWS = 600
NOISE = 3 * float(np.sqrt(LEVEL * (1 - LEVEL) / DRAWS))
"""Three standard deviations of the share of DRAWS that has a chance of LEVEL."""


def losses(wrong: int, n: int) -> Floats:
    return (np.arange(n) < wrong).astype(np.float64)


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.001, 0.999))
def test_the_exact_test_is_scipys(n: int, share: float, limit: float) -> None:
    wrong = round(share * n)
    expected = binomtest(wrong, n, limit, alternative="less").pvalue
    assert exact_p(losses(wrong, n), limit) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_randomising_never_raises_the_p_value(n: int, share: float, u: float) -> None:
    found = losses(round(share * n), n)
    fewer = exact_p(losses(round(share * n) - 1, n), 0.1) if found.sum() else 0.0
    assert fewer - 1e-12 <= exact_p(found, 0.1, u) <= exact_p(found, 0.1) + 1e-12


def test_the_randomised_p_value_is_uniform_where_the_loss_is_at_its_limit() -> None:
    rng, n, limit = np.random.default_rng(1), 200, 0.03
    drawn = [
        exact_p(losses(k, n), limit, u) for k, u in zip(rng.binomial(n, limit, 4000), rng.random(4000), strict=True)
    ]
    assert kstest(drawn, "uniform").pvalue > 0.01
    plain = np.mean([exact_p(losses(k, n), limit) <= LEVEL for k in rng.binomial(n, limit, 4000)])
    assert plain < 0.03 < np.mean(np.array(drawn) <= LEVEL)  # what randomising buys


def bernoulli(rng: Generator, limit: float, n: int) -> Floats:
    return np.asarray(rng.random(n) < limit, dtype=np.float64)


def beta(rng: Generator, limit: float, n: int) -> Floats:
    return np.asarray(rng.beta(2 * limit, 2 * (1 - limit), n))


def narrow(rng: Generator, limit: float, n: int) -> Floats:
    return np.asarray(rng.beta(50 * limit, 50 * (1 - limit), n))


def rarely_all(rng: Generator, limit: float, n: int) -> Floats:
    """Mostly a little, rarely everything: the shape that a bound by normal approximation gets wrong."""
    return np.where(rng.random(n) < limit / 2, 1.0, limit / 2 / (1 - limit / 2))


@pytest.mark.parametrize("drawn", [bernoulli, beta, narrow, rarely_all])
@pytest.mark.parametrize(("limit", "spread"), [(0.05, 0.2), (0.3, 0.05)])
def test_at_the_limit_p_values_are_small_as_seldom_as_they_say(
    drawn: Callable[[Generator, float, int], Floats], limit: float, spread: float
) -> None:
    rng = np.random.default_rng(2)
    sets = [drawn(rng, limit, 150) for _ in range(DRAWS)]
    assert np.mean([betting_p(one, limit, LEVEL, spread) <= LEVEL for one in sets]) <= LEVEL + NOISE
    assert np.mean([hoeffding_bentkus_p(one, limit) <= LEVEL for one in sets]) <= LEVEL + NOISE


def test_betting_proves_what_varies_little_where_the_other_bound_does_not() -> None:
    """Half the limit, with a small variance: the case of 1 - F1."""
    rng = np.random.default_rng(3)
    sets = [rng.beta(3, 57, 100) for _ in range(50)]  # a mean of 0.05
    betting = np.mean([betting_p(one, 0.1, LEVEL, 0.05) <= LEVEL for one in sets])
    other = np.mean([hoeffding_bentkus_p(one, 0.1) <= LEVEL for one in sets])
    assert betting == 1.0 > other


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.01, 0.99), st.floats(0, 2))
def test_p_values_lie_between_0_and_1(found: list[float], limit: float, spread: float) -> None:
    each = np.array(found)
    for p in (betting_p(each, limit, LEVEL, spread), hoeffding_bentkus_p(each, limit)):
        assert 0 <= p <= 1


def test_a_loss_over_its_limit_is_no_proof() -> None:
    for p in (exact_p(losses(50, 100), 0.3), hoeffding_bentkus_p(losses(50, 100), 0.3)):
        assert p > 0.99
    assert betting_p(np.full(100, 0.5), 0.3, LEVEL, 0.2) == 1.0


@given(st.lists(st.text(max_size=8), min_size=1, max_size=30, unique=True), st.randoms())
def test_order_and_randomisation_follow_from_the_ids_alone(ids: list[str], chance: object) -> None:
    mixed = list(ids)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert uniform_of(mixed) == uniform_of(ids)
    assert [mixed[at] for at in shuffled(mixed)] == [ids[at] for at in shuffled(ids)]
    assert sorted(shuffled(ids).tolist()) == list(range(len(ids)))


def test_the_number_of_a_set_of_ids_is_uniform() -> None:
    drawn = [uniform_of([f"{at}", f"{at + 1}"]) for at in range(2000)]
    assert kstest(drawn, "uniform").pvalue > 0.01
