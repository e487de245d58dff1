"""The live audit: evidence that never goes below nothing, rarely lies, and adds up."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import DataError, UsageError
from tutelage.routing.audit import (
    BETS,
    AuditState,
    begin_audit,
    bets,
    joined,
    least_audits,
    read_audit,
    told,
    update_audit,
    waiting,
)

LOSSES = st.lists(st.floats(0, 1), max_size=60)
LIMITS = st.sampled_from([0.001, 0.03, 0.3, 0.97])


@given(LIMITS, LOSSES)
def test_evidence_is_never_negative_and_always_finite(limit: float, losses: list[float]) -> None:
    state = update_audit(begin_audit(limit), losses)
    assert 0 <= state.evidence <= state.peak < math.inf
    assert min(state.sums) >= 0 and 0 < state.rest <= 1


@given(LIMITS, st.floats(0, 1))
def test_a_step_expects_no_gain_at_the_limit(limit: float, high: float) -> None:
    """Two losses with mean `limit`, weighted by their probabilities: the evidence after the step is in the mean that before."""
    state = update_audit(begin_audit(limit), [0.0, 1.0, 0.5])
    high = max(high, limit)
    chance = limit / high
    mean = chance * update_audit(state, [high]).evidence + (1 - chance) * update_audit(state, [0.0]).evidence
    assert mean == pytest.approx(state.evidence)


@given(LIMITS, LOSSES, LOSSES, LOSSES)
def test_audits_of_several_workers_add_up_to_one(limit: float, a: list[float], b: list[float], c: list[float]) -> None:
    whole = update_audit(begin_audit(limit), a + b + c)
    first = update_audit(begin_audit(limit), a)
    second = update_audit(begin_audit(limit, before=len(a)), b)
    third = update_audit(begin_audit(limit, before=len(a + b)), c)
    for found in (joined(joined(first, second), third), joined(first, joined(second, third))):
        assert found.evidence == pytest.approx(whole.evidence)
        assert found.rest == pytest.approx(whole.rest)
        assert found.audited == whole.audited and found.loss == pytest.approx(whole.loss)


@given(LOSSES)
@settings(max_examples=30)
def test_a_state_goes_to_json_and_back(losses: list[float]) -> None:
    state = update_audit(begin_audit(0.03), losses)
    assert read_audit(json.loads(json.dumps(state.json()))) == state


def test_updating_in_parts_is_updating_at_once() -> None:
    losses = [0.0] * 20 + [1.0, 0.25, 1.0] + [0.0] * 5
    at_once = update_audit(begin_audit(0.1), losses)
    parts = update_audit(update_audit(begin_audit(0.1), losses[:7]), losses[7:])
    assert parts == at_once


def test_masses_of_bets_and_moments_sum_to_one() -> None:
    for limit in (0.001, 0.03, 0.5, 0.97):
        stakes, masses = bets(limit)
        assert stakes.shape == masses.shape == (BETS,) and masses.sum() == pytest.approx(1)
        assert stakes.min() > 0 and stakes.max() < 1
    assert waiting(0) == 1 and waiting(1) == 0.5
    assert all(waiting(n + 1) < waiting(n) for n in range(1000))


def simulated(chance: np.random.Generator, loss: float, n: int, runs: int) -> list[AuditState]:
    return [update_audit(begin_audit(0.2), (chance.random(n) < loss).astype(float).tolist()) for _ in range(runs)]


def test_evidence_is_at_most_one_in_the_mean_and_alarms_are_rare() -> None:
    found = simulated(np.random.default_rng(3), 0.2, 100, 400)
    evidence = np.array([state.evidence for state in found])
    assert evidence.mean() <= 1 + 3 * evidence.std() / math.sqrt(len(evidence))
    assert sum(state.alarm for state in found) <= 0.05 * len(found) + 3 * math.sqrt(0.05 * 0.95 * len(found))


def test_a_loss_that_doubled_is_found_and_the_alarm_stays() -> None:
    found = simulated(np.random.default_rng(4), 0.4, 150, 40)
    assert sum(state.alarm for state in found) >= 36
    later = update_audit(next(state for state in found if state.alarm), [0.0] * 200)
    assert later.alarm and later.evidence < 20 <= later.peak


def test_a_change_after_a_long_quiet_time_is_found() -> None:
    chance = np.random.default_rng(5)
    quiet = update_audit(begin_audit(0.1), (chance.random(3000) < 0.02).astype(float).tolist())
    assert not quiet.alarm and max(quiet.products) < 1e-3
    assert update_audit(quiet, (chance.random(400) < 0.3).astype(float).tolist()).alarm


def test_rarely_drawn_answers_count_for_more() -> None:
    """Half of the answers are wrong with 30 % and drawn with 0.5, the rest never wrong and drawn with 0.1: the mean is 15 %."""
    chance = np.random.default_rng(6)
    risky = chance.random(60_000) < 0.5
    wrong = risky & (chance.random(60_000) < 0.3)
    share = np.where(risky, 0.5, 0.1)
    kept = chance.random(60_000) < share
    losses, shares = wrong[kept].astype(float).tolist(), share[kept].tolist()
    weighted = update_audit(begin_audit(0.16, least_share=0.1), losses[:4000], shares[:4000])
    assert weighted.mean_loss == pytest.approx(0.15, abs=0.02) and not weighted.alarm
    assert update_audit(begin_audit(0.16, least_share=0.1), losses[:4000]).alarm, (
        "unweighted, the risky half counts for all"
    )
    assert update_audit(begin_audit(0.1, least_share=0.1), losses, shares).alarm


def test_that_all_is_well_again_is_tested_on_what_went_right() -> None:
    chance = np.random.default_rng(8)
    right = 1 - (chance.random(2000) < 0.005)
    assert update_audit(begin_audit(1 - 0.03), right.astype(float).tolist()).alarm


def test_what_the_best_test_needs() -> None:
    assert least_audits(0.03, 0.06) == pytest.approx(math.log(20) / 0.0120575, rel=1e-3)
    assert least_audits(0.03, 1.0) == pytest.approx(math.log(20) / math.log(1 / 0.03))
    assert least_audits(0.03, 0.03) == math.inf


def test_what_is_told() -> None:
    assert told(begin_audit(0.03)) == "Nothing audited yet; certified: a mean loss of at most 3.00%."
    calm = told(update_audit(begin_audit(0.03), [0.0] * 50))
    assert calm.startswith("50 answers audited, mean loss 0.00%") and calm.endswith("of 20: no alarm.")
    assert "ALARM" in told(update_audit(begin_audit(0.03), [1.0] * 8))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limit": 0.0}, "limit = 0.0"),
        ({"limit": 3}, "limit = 3"),
        ({"limit": 0.03, "delta": 1.0}, "delta = 1.0"),
        ({"limit": 0.03, "least_share": 0.0}, "least_share = 0.0"),
        ({"limit": 0.03, "before": -1}, "before = -1"),
        ({"limit": math.nan}, "limit = nan"),
    ],
)
def test_audits_that_cannot_be(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        begin_audit(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("losses", "shares", "said"),
    [
        ([1.5], None, "1.5 is no loss"),
        ([-0.1], None, "-0.1 is no loss"),
        ([math.nan], None, "nan is no loss"),
        ([1.0], [0.01], "0.01 is no share"),
        ([1.0], [1.5], "1.5 is no share"),
        ([1.0, 0.0], [1.0], "2 losses and 1 shares"),
    ],
)
def test_losses_that_cannot_be(losses: list[float], shares: list[float] | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        update_audit(begin_audit(0.03, least_share=0.1), losses, shares)


def test_audits_of_other_limits_are_not_joined() -> None:
    with pytest.raises(DataError, match=r"limit is 0\.03 and 0\.05"):
        joined(begin_audit(0.03), begin_audit(0.05))


@pytest.mark.parametrize(
    "change",
    [{"sums": [1.0]}, {"rest": -1}, {"peak": "much"}, {"limit": 2}, {"audited": -3}, {"more": 1}, {"loss": math.nan}],
)
def test_what_is_no_state_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match="no state of an audit"):
        read_audit(begin_audit(0.03).json() | change)
