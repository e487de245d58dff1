"""Maps of confidence: each undoes its own distortion, none is taken where raw will do, and the order stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from tutelage.evaluation.metrics import Floats
from tutelage.routing.maps import FEWEST, KINDS, Map, choose_map, fit_map, folds, log_loss, near_map

N = 20_000


def truth(n: int = N, seed: int = 0) -> tuple[Floats, np.ndarray]:
    """Probabilities of being right, and whether the answers are."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(2, 1, n)
    return probability, rng.random(n) < probability


def too_sure(p: Floats) -> Floats:
    return np.asarray(expit(3 * logit(p)))


def shifted(p: Floats) -> Floats:
    return np.asarray(expit(2 * logit(p) + 1))


def lopsided(p: Floats) -> Floats:
    """What the beta map with slopes (0.5, 2) and offset 0.3 undoes: found by looking up where it reaches p."""
    grid = np.linspace(1e-6, 1 - 1e-6, 200_001)
    return np.interp(p, Map("beta", (0.5, 2.0, 0.3))(grid), grid)


def stepwise(p: Floats) -> Floats:
    """Increasing, and no line in log odds."""
    return np.where(p < 0.5, 0.1 + 0.05 * p, 0.85 + 0.1 * p)


@pytest.mark.parametrize(
    ("kind", "distorted", "error"),
    [
        ("temperature", too_sure, 0.005),
        ("platt", shifted, 0.01),
        ("beta", lopsided, 0.015),
        ("isotonic", stepwise, 0.02),
    ],
)
def test_each_kind_undoes_its_own_distortion(kind: str, distorted: object, error: float) -> None:
    probability, right = truth()
    raw = distorted(probability)  # type: ignore[operator]
    mapped = fit_map(kind, raw, right)(raw)
    assert np.abs(raw - probability).mean() > 5 * error
    assert np.abs(mapped - probability).mean() < error
    chosen, losses = choose_map(raw, right)
    assert set(losses) == set(KINDS)
    assert log_loss(chosen(raw), right).mean() <= log_loss(mapped, right).mean() + 0.001


def test_the_parameters_are_those_of_the_distortion() -> None:
    probability, right = truth()
    assert fit_map("temperature", too_sure(probability), right).parameters[0] == pytest.approx(1 / 3, abs=0.02)
    slope, offset = fit_map("platt", shifted(probability), right).parameters
    assert slope == pytest.approx(0.5, abs=0.03)
    assert offset == pytest.approx(-0.5, abs=0.06)


def test_what_is_calibrated_mostly_stays_as_it_is_and_is_never_spoilt() -> None:
    chosen = []
    for seed in range(16):
        found, losses = choose_map(*truth(600, seed), seed)
        assert losses["raw"] <= min(losses.values()) + 0.02
        probability, right = truth(5000, 100 + seed)
        assert log_loss(found(probability), right).mean() < log_loss(probability, right).mean() + 0.01
        chosen.append(found.kind)
    assert chosen.count("raw") >= 10
    assert "isotonic" not in chosen


def test_too_few_right_or_wrong_answers_fit_nothing() -> None:
    raw = np.linspace(0, 1, 500)
    for wrong in (0, FEWEST - 1, 500):
        assert choose_map(raw, np.arange(500) >= wrong) == (Map(), {})
    assert choose_map(raw, np.arange(500) >= FEWEST)[1] != {}


pairs = st.lists(
    st.tuples(st.floats(0, 1), st.booleans()).map(lambda one: (round(one[0], 3), one[1])), min_size=12, max_size=40
)


@given(pairs, st.sampled_from(KINDS))
@settings(max_examples=60)
def test_every_map_keeps_the_order_and_gives_probabilities(found: list[tuple[float, bool]], kind: str) -> None:
    raw, right = np.array([c for c, _ in found]), np.array([r for _, r in found])
    mapped = fit_map(kind, raw, right)(np.linspace(0, 1, 101))
    assert (np.diff(mapped) >= -1e-12).all()
    assert ((mapped >= 0) & (mapped <= 1)).all()


def test_isotonic_is_never_certain_and_keeps_telling_apart() -> None:
    raw = np.linspace(0, 1, 200)
    found = fit_map("isotonic", raw, raw > 0.5)
    mapped = found(raw)
    assert 0 < mapped[0] < 0.02
    assert 0.98 < mapped[-1] < 1
    assert (np.diff(mapped) > 0).all()
    ties = fit_map("isotonic", np.array([0.5] * 10 + [0.7] * 10), np.arange(20) % 2 == 0)
    assert ties(np.array([0.5])) == pytest.approx(0.5, abs=0.01)


def test_folds_spread_right_and_wrong_evenly() -> None:
    right = np.arange(103) < 12
    fold = folds(right, 0)
    for value in (True, False):
        counts = np.bincount(fold[right == value], minlength=5)
        assert np.ptp(counts) <= 1


def test_with_few_answers_a_map_stays_near_what_holds_of_all() -> None:
    pooled, raw = Map("platt", (0.5, -0.5)), np.array([0.9])
    assert near_map(pooled, np.zeros(0), np.zeros(0, dtype=np.bool_)).parameters == pytest.approx(pooled.parameters)
    never_wrong = [near_map(pooled, np.full(n, 0.9), np.ones(n, dtype=np.bool_))(raw)[0] for n in (0, 10, 100, 1000)]
    assert never_wrong[0] == pytest.approx(pooled(raw)[0])
    assert (np.diff(never_wrong) > 0).all()
    assert never_wrong[-1] < 1
    probability, right = truth()
    many = near_map(pooled, too_sure(probability), right)(too_sure(probability))
    assert np.abs(many - probability).mean() < 0.01
    alone = near_map(Map(), np.full(30, 0.5), np.arange(30) < 15)
    assert alone(np.array([0.5]))[0] == pytest.approx(0.5, abs=0.01)
