"""Live audit: are served answers still as good as was certified?

    state = begin_audit(limit=0.03)                  # certified: a mean loss of at most 3 %
    state = update_audit(state, [0, 1, 0])           # losses in [0, 1] of answers drawn at random, as they are judged
    if state.alarm: ...                              # sure at 1 - delta, however often it was asked before

A share of the served answers, drawn at random, is also answered by the teacher or a person. The null hypothesis is that
the expected loss of every audited answer, given all before, is at most `limit`. Against it one bets: a bet that stakes
the share f of its wealth at each answer, f in (0, 1), multiplies it by 1 + f (loss / limit - 1), which can never become
negative and under the null does not grow in expectation (Waudby-Smith and Ramdas 2023, "Estimating means of bounded
random variables by betting"; for losses of 0 and 1 each f is the likelihood ratio of one alternative). The evidence is
the mean wealth over a fixed mixture of bets and of moments at which betting begins, so it is a supermartingale that
starts at 1, and by Ville's inequality it ever reaches 1 / delta with probability at most delta: over all time, not a look.

Moments to begin are what finds a late change: a bet from the start loses while all is well, and would have to win all
that back. The mass of moments after the t-th answer is 1 / (2 + log2 t): half begins at the first, and what begins late
gets so little less that a change after n quiet answers costs about log(n) + 2 log log(n) of evidence (nats) more. This
is the mixture form of an e-detector (Shin, Ramdas and Rinaldo 2022) with its mass summing to 1: their CUSUM-like form is
quicker after a quiet time, but bounds the average time between false alarms, not the probability of ever raising one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from tutelage.errors import DataError, UsageError

BETS = 16
MOST_STAKED = 0.9
"""Of its wealth, by the boldest bet: at 1 a single loss of 0 would ruin it."""
CEILING = 1e200
"""Wealth is cut here, which can only take evidence away."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AuditState:
    """All that an audit remembers: plain numbers, of one size whatever has been audited.

    `limit`, `delta`, `least_share` are what `begin_audit` was given. `before` answers were audited elsewhere when this one
    began, `audited` since. `weight` and `loss` are sums over the audited answers, weighted by how rarely they are drawn.
    `sums` is the wealth of each bet over all moments begun so far, times the bet's mass; `products` its growth since
    this state began; `rest` the mass of the moments to come; `peak` the highest evidence so far.
    """

    limit: float
    delta: float
    least_share: float
    before: int
    audited: int
    weight: float
    loss: float
    rest: float
    peak: float
    sums: tuple[float, ...]
    products: tuple[float, ...]

    @property
    def evidence(self) -> float:
        """The e-value now: at most 1 in expectation while the loss is at most `limit`."""
        return math.fsum(self.sums) + self.rest

    @property
    def alarm(self) -> bool:
        """Whether the evidence has ever reached 1 / delta."""
        return self.peak >= 1 / self.delta

    @property
    def mean_loss(self) -> float | None:
        """Mean loss of what was audited, each weighted by 1 / its share; None where nothing was. An estimate, no bound."""
        return self.loss / self.weight if self.weight else None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def begin_audit(limit: float, delta: float = 0.05, *, least_share: float = 1.0, before: int = 0) -> AuditState:
    """An audit that has seen nothing.

    `least_share` is the smallest probability with which any answer is drawn, where they differ (by stage or group; see
    `update_audit`). `before`: how many answers have been audited elsewhere, for a state that is to be joined to another.
    Raises UsageError for a limit or delta outside (0, 1), a share outside (0, 1], a negative `before`.
    """
    for name, value in (("limit", limit), ("delta", delta)):
        if not 0 < value < 1:
            raise UsageError(f"{name} = {value!r} is not between 0 and 1. Give a share such as 0.03.")
    if not 0 < least_share <= 1:
        raise UsageError(f"least_share = {least_share!r} is no probability above 0. Give the smallest share drawn.")
    if before < 0:
        raise UsageError(f"before = {before!r} is no count of answers.")
    nothing, one = (0.0,) * BETS, (1.0,) * BETS
    return AuditState(limit, delta, least_share, before, 0, 0.0, 0.0, 1.0, 1.0, nothing, one)


def update_audit(state: AuditState, losses: Sequence[float], shares: Sequence[float] | None = None) -> AuditState:
    """The state after `losses`, each in [0, 1], in the order in which they were judged.

    `shares` are the probabilities with which these answers were drawn, where they are not all the same: a loss then
    counts for least_share / share of a loss, so that what is tested is the mean over all served answers and not over
    the audited ones. Raises DataError for a loss outside [0, 1], or a share below `least_share` or above 1.
    """
    if shares is not None and len(shares) != len(losses):
        raise DataError(f"There are {len(losses)} losses and {len(shares)} shares. Give one share a loss.")
    stakes, masses = bets(state.limit)
    sums, products = np.array(state.sums), np.array(state.products)
    rest, peak, count = state.rest, state.peak, state.before + state.audited
    weight, loss = state.weight, state.loss
    for at, given in enumerate(losses):
        share = state.least_share if shares is None else shares[at]
        _check(given, share, state.least_share)
        part = state.least_share / share
        factors = 1 + stakes * (part * (given / state.limit - 1))
        count += 1
        later = rest * waiting(count) / waiting(count - 1)
        sums = np.minimum((sums + (rest - later) * masses) * factors, CEILING)
        products = np.minimum(products * factors, CEILING)
        rest, weight, loss = later, weight + part, loss + part * given
        peak = max(peak, math.fsum(sums.tolist()) + rest)
    seen = replace(state, audited=state.audited + len(losses), weight=weight, loss=loss, rest=rest, peak=peak)
    return replace(seen, sums=tuple(sums.tolist()), products=tuple(products.tolist()))


def joined(first: AuditState, later: AuditState) -> AuditState:
    """Both audits' evidence as one, `later`'s answers counted after `first`'s.

    Several workers each begin with `before` = what the common state has audited, and join theirs to it now and then.
    One after the other this gives what `update_audit` would have given; at the same time it is still a valid mixture
    of bets. The evidence is looked at when joined, so a peak of `later` alone does not count. Raises DataError where the
    two do not test the same.
    """
    for name in ("limit", "delta", "least_share"):
        if getattr(first, name) != getattr(later, name):
            values = f"{getattr(first, name)!r} and {getattr(later, name)!r}"
            raise DataError(f"The audits cannot be joined: {name} is {values}. Join audits of the same certificate.")
    sums = np.array(first.sums) * np.array(later.products) + first.rest * np.array(later.sums)
    products = np.array(first.products) * np.array(later.products)
    result = replace(
        first,
        audited=first.audited + later.audited,
        weight=first.weight + later.weight,
        loss=first.loss + later.loss,
        rest=first.rest * later.rest,
        sums=tuple(np.minimum(sums, CEILING).tolist()),
        products=tuple(np.minimum(products, CEILING).tolist()),
    )
    return replace(result, peak=max(first.peak, result.evidence))


def read_audit(data: Mapping[str, Any]) -> AuditState:
    """The state that `AuditState.json` gave. Raises DataError where it is not one."""
    names = {field.name for field in fields(AuditState)}
    try:
        state = TypeAdapter(AuditState).validate_python(dict(data))
        numbers = [state.weight, state.loss, state.rest, state.peak, *state.sums, *state.products]
        broken = set(data) != names or {len(state.sums), len(state.products)} != {BETS}
        broken = broken or not all(math.isfinite(number) and number >= 0 for number in numbers) or state.audited < 0
        begin_audit(state.limit, state.delta, least_share=state.least_share, before=state.before)
    except (ValidationError, UsageError) as error:
        raise DataError(f"This is no state of an audit: {' '.join(str(error).split())}") from None
    if broken:
        raise DataError("This is no state of an audit, or one of another version. Begin the audit anew.")
    return state


def told(state: AuditState) -> str:
    """One line for people."""
    if state.mean_loss is None:
        return f"Nothing audited yet; certified: a mean loss of at most {state.limit:.2%}."
    verdict = "ALARM: the loss exceeds what was certified" if state.alarm else "no alarm"
    return (
        f"{state.audited:,} answers audited, mean loss {state.mean_loss:.2%} (certified: at most {state.limit:.2%}); "
        f"evidence {state.evidence:,.3g}, at its highest {state.peak:,.3g} of {1 / state.delta:,.4g}: {verdict}."
    )


def least_audits(limit: float, loss: float, delta: float = 0.05) -> float:
    """About how many audited answers the best test needs in the mean, told beforehand that the loss is now `loss`.

    log(1 / delta) / KL(loss, limit) for losses of 0 and 1 (Wald 1945): no test of this kind does better by more than the
    overshoot. Infinite where `loss` is at most `limit`.
    """
    if loss <= limit:
        return math.inf
    divergence = loss * math.log(loss / limit)
    if loss < 1:
        divergence += (1 - loss) * math.log((1 - loss) / (1 - limit))
    return math.log(1 / delta) / divergence


def waiting(count: int) -> float:
    """The mass of the moments that come after `count` answers."""
    return 1 / (2 + math.log2(count)) if count else 1.0


@cache
def bets(limit: float) -> tuple[Numbers, Numbers]:
    """The share of its wealth that each bet stakes, and the bet's mass: both (BETS,), masses sum to 1.

    With losses of 0 and 1 the best bet against a loss of `p` stakes (p - limit) / (1 - limit) (Kelly 1956). Stakes are
    evenly spaced in their logarithm, from a loss of 1.1 times the limit up to MOST_STAKED; one half of the mass is even,
    for losses of other shapes; the other a bell around the doubled loss, of a factor e either way.
    """
    stakes = np.geomspace(0.1 * limit, MOST_STAKED, BETS)
    doubled = min(limit / (1 - limit), MOST_STAKED)
    bell = np.exp(-0.5 * np.square(np.log(stakes / doubled)))
    return stakes, 0.5 / BETS + 0.5 * bell / bell.sum()


def _check(loss: float, share: float, least: float) -> None:
    if not 0 <= loss <= 1:
        raise DataError(f"{loss!r} is no loss: losses are numbers from 0 (right) to 1 (wrong).")
    if not least <= share <= 1:
        raise DataError(f"{share!r} is no share of this audit: answers are drawn with probabilities {least!r} to 1.")
