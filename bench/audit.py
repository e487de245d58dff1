"""The live audit, simulated: how often it lies, and after how many audited answers it sees that the loss has risen.

    OMP_NUM_THREADS=1 python -m bench.audit         # 1 minute on a quiet core; appends to bench/LOG.md

1,000 simulations of each case, seeds fixed. Losses are 0 or 1 but where said; certified is a mean loss of at most 3 %.
Beside the audit as shipped: the same bets all begun at the first answer; a single bet that adapts (approximate Kelly,
aGRAPA of Waudby-Smith and Ramdas 2023); Wald's likelihood ratio, which is told the new loss and when it begins; and a
Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo 2022) with the same bets, whose threshold of 200,000 promises a mean
of 200,000 audited answers between false alarms: in 10,000 of them a false alarm with about 5 %.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from bench.projects import write_log
from tutelage.routing.audit import begin_audit, bets, least_audits, update_audit, waiting

LIMIT, DELTA, RUNS, SEED = 0.03, 0.05, 1000, 20261121
BETWEEN_FALSE = 200_000

Numbers: TypeAlias = NDArray[np.float64]
"""Losses (runs, answers), or the number of answers until the alarm (runs,), infinite where there was none."""
Rule: TypeAlias = Callable[[Numbers, Numbers | None], Numbers]


def main() -> int:
    start = time.monotonic()
    _same_as_shipped()
    body = f"Certified: at most {LIMIT:.0%}; delta {DELTA:.0%}; {RUNS:,} simulations of each case, seed {SEED}.\n\n"
    body += false_alarms() + "\n" + delays() + "\n" + NOTES
    write_log("live audit, simulated", f"{body}\n\n{time.monotonic() - start:.0f} s on one core of a busy machine.")
    return 0


NOTES = """- Told: Wald's likelihood ratio, which knows the new loss and the moment; log(1 / delta) / KL is what it needs in the
  mean, but for the overshoot. After a quiet time what any test with a probability of false alarms over all time pays is more,
  since the moment is unknown.
- A median "none" means that fewer than half of the simulations had an alarm within the answers simulated.
- The e-detector's is another promise: on average one false alarm in 200,000 answers, so one is raised some day for certain."""


def false_alarms() -> str:
    """Cases in which the null holds: the share of simulations with an alarm within 10,000 answers."""
    n = 10_000
    cases: dict[str, tuple[Numbers, Numbers | None]] = {
        "loss 3 % (the limit)": (_right_or_wrong(0, [LIMIT] * n), None),
        "loss 3 %, of many sizes (Beta(0.06, 1.94))": (_chance(1).beta(0.06, 1.94, (RUNS, n)), None),
        "loss 3 %, three groups drawn with 5, 10 and 50 %": _groups(2, n, LIMIT),
        "loss 3 % by day, 0 by night": (_right_or_wrong(3, ([LIMIT] * 100 + [0.0] * 100) * (n // 200)), None),
        "loss 2 %": (_right_or_wrong(4, [0.02] * n), None),
    }
    lines = [
        "| false alarms within 10,000 | as shipped | from the start only | one bet that adapts |",
        "|---|---|---|---|",
    ]
    for name, (losses, parts) in cases.items():
        shown = [_share(rule(losses, parts)) for rule in (shipped, from_the_start, adapting)]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def delays() -> str:
    """Cases in which the loss rises: answers from the rise to the alarm, median and 90th percentile."""
    drift = [LIMIT + min(1.0, at / 2000) * 2 * LIMIT for at in range(6000)]
    cases: dict[str, tuple[int, float, list[float]]] = {
        "1.5 times, from the start": (0, 0.045, [0.045] * 8000),
        "doubled, from the start": (0, 0.06, [0.06] * 4000),
        "tripled, from the start": (0, 0.09, [0.09] * 2000),
        "ten times, from the start": (0, 0.3, [0.3] * 500),
        "drifts to three times within 2,000": (0, math.nan, drift),
        "doubled after 2,000 at 3 %": (2000, 0.06, [LIMIT] * 2000 + [0.06] * 4000),
        "doubled after 10,000 at 3 %": (10_000, 0.06, [LIMIT] * 10_000 + [0.06] * 5000),
        "doubled after 2,000 at 1 %": (2000, 0.06, [0.01] * 2000 + [0.06] * 5000),
        "doubled after 10,000 at 1 %": (10_000, 0.06, [0.01] * 10_000 + [0.06] * 5000),
        "tripled after 10,000 at 1 %": (10_000, 0.09, [0.01] * 10_000 + [0.09] * 5000),
    }
    rules = (shipped, from_the_start, adapting, detector)
    lines = [
        "| answers from the rise to the alarm: median (90th percentile) | as shipped | from the start only | one bet that "
        "adapts | e-detector (another promise) | told: simulated | log(1 / delta) / KL |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, (name, (rise, loss, path)) in enumerate(cases.items()):
        losses = _right_or_wrong(100 + number, path)
        shown = [_delay(rule(losses, None), rise) for rule in rules]
        told, bound = "", ""
        if not math.isnan(loss):
            told = _delay(likelihood_ratio(losses[:, rise:], loss), 0)
            bound = f"{least_audits(LIMIT, loss, DELTA):.0f}"
        lines.append(f"| {name} | {' | '.join(shown)} | {told} | {bound} |")
    return "\n".join(lines) + "\n"


def shipped(losses: Numbers, parts: Numbers | None) -> Numbers:
    """As `update_audit`, all simulations at once."""
    return _mixture(losses, parts, waiting, 1 / DELTA)


def from_the_start(losses: Numbers, parts: Numbers | None) -> Numbers:
    return _mixture(losses, parts, lambda count: 0.0 if count else 1.0, 1 / DELTA)


def detector(losses: Numbers, parts: Numbers | None) -> Numbers:
    """Mass 1 begins at every answer: evidence is no e-value, but its mean grows by at most 1 an answer."""
    return _mixture(losses, parts, lambda count: -float(count), BETWEEN_FALSE)


def _mixture(losses: Numbers, parts: Numbers | None, mass_after: Callable[[int], float], stop: float) -> Numbers:
    stakes, masses = bets(LIMIT)
    sums, alarms = np.zeros((len(losses), len(stakes))), np.full(len(losses), math.inf)
    rest = mass_after(0)
    for at in range(losses.shape[1]):
        later = mass_after(at + 1)
        gains = losses[:, at] / LIMIT - 1
        if parts is not None:
            gains = gains * parts[:, at]
        sums = np.minimum((sums + (rest - later) * masses) * (1 + np.multiply.outer(gains, stakes)), 1e200)
        rest = later
        hit = (sums.sum(axis=1) + max(rest, 0.0) >= stop) & np.isinf(alarms)
        alarms[hit] = at + 1
    return alarms


def adapting(losses: Numbers, parts: Numbers | None) -> Numbers:
    """One bet: approximate Kelly on the mean and variance of the answers before, begun at mean 2 x limit and its variance."""
    if parts is not None:
        losses = LIMIT + parts * (losses - LIMIT)
    guess = 2 * LIMIT
    total = np.full(len(losses), guess)
    squares = np.full(len(losses), guess * (1 - guess))
    wealth, alarms = np.zeros(len(losses)), np.full(len(losses), math.inf)
    for at in range(losses.shape[1]):
        mean, variance = total / (at + 1), squares / (at + 1)
        above = np.maximum(mean - LIMIT, 0.0)
        stake = np.minimum(above / (variance + above**2) * LIMIT, 0.9)
        found = losses[:, at]
        wealth += np.log1p(stake * (found / LIMIT - 1))
        total, squares = total + found, squares + (found - mean) ** 2
        alarms[(wealth >= math.log(1 / DELTA)) & np.isinf(alarms)] = at + 1
    return alarms


def likelihood_ratio(losses: Numbers, loss: float) -> Numbers:
    wrong, right = math.log(loss / LIMIT), math.log((1 - loss) / (1 - LIMIT))
    crossed = np.cumsum(np.where(losses > 0, wrong, right), axis=1) >= math.log(1 / DELTA)
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1.0, math.inf)


def _chance(case: int) -> np.random.Generator:
    return np.random.default_rng([SEED, case])


def _right_or_wrong(case: int, path: list[float]) -> Numbers:
    """Losses of 0 and 1, (runs, answers), answer i wrong with probability path[i]."""
    return (_chance(case).random((RUNS, len(path))) < np.array(path)).astype(float)


def _groups(case: int, n: int, mean: float) -> tuple[Numbers, Numbers]:
    """Audited answers of three groups served equally often, with losses 0, `mean` and 2 x `mean`; and least / their share."""
    chance, shares = _chance(case), np.array([0.05, 0.1, 0.5])
    group = chance.choice(3, (RUNS, n), p=shares / shares.sum())
    losses = (chance.random((RUNS, n)) < (mean * np.array([0.0, 1.0, 2.0]))[group]).astype(float)
    return losses, (shares.min() / shares)[group]


def _share(alarms: Numbers) -> str:
    count = int(np.isfinite(alarms).sum())
    low, high = binomtest(count, len(alarms)).proportion_ci()
    return f"{count / len(alarms):.3f} ({low:.3f} to {high:.3f})"


def _delay(alarms: Numbers, rise: int) -> str:
    """Of the simulations without an alarm before the rise; how many had one is said."""
    early = alarms <= rise
    left = alarms[~early] - rise
    shown = [
        f"{value:.0f}" if math.isfinite(value) else "none" for value in np.quantile(left, [0.5, 0.9], method="higher")
    ]
    before = f"; {early.mean():.1%} before" if rise else ""
    return f"{shown[0]} ({shown[1]}{before})"


def _same_as_shipped() -> None:
    """What is simulated here is what is shipped. Raises AssertionError."""
    losses = _right_or_wrong(99, [0.06] * 1500)[:5]
    expected = shipped(losses, None)
    for row, alarm in zip(losses, expected, strict=True):
        state, at = begin_audit(LIMIT, DELTA), 0
        while at < len(row) and not state.alarm:
            state, at = update_audit(state, [float(row[at])]), at + 1
        assert (at if state.alarm else math.inf) == alarm


if __name__ == "__main__":
    sys.exit(main())
