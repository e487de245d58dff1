"""How many calibration examples would do: the power of the test at the error rates that were found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from tutelage.evaluation.metrics import Floats
from tutelage.routing.testing import Limit

POWER = 0.8
MOST = 1_000_000


@dataclass(frozen=True)
class Needed:
    """So many calibration examples prove `threshold` with probability POWER, if its mean loss is the `mean` found on n."""

    n: int
    threshold: float
    mean: float
    most: float

    @property
    def sentence(self) -> str:
        return (
            f"About {self.n:,} calibration examples would do (with probability {POWER:.0%}, if the loss stays {self.mean:.4g} "
            f"where the limit is {self.most:.4g})."
        )


def enough(mean: float, most: float, level: float) -> int | None:
    """The least n at which the binomial test at `level` proves a mean of `most` with probability POWER, if it is `mean`;
    None where none below MOST does. For losses between 0 and 1, whose variance is smaller, it is an upper estimate."""
    if mean >= most:
        return None
    n = 20
    while n < MOST:
        wrong = int(binom.ppf(level, n, most))
        wrong -= binom.cdf(wrong, n, most) > level
        if wrong >= 0 and binom.cdf(wrong, n, mean) >= POWER:
            return n
        n = max(n + 1, int(n * 1.05))
    return None


def needed(limits: Sequence[Limit], order: Floats, level: float, answers: Callable[[float], bool]) -> Needed | None:
    """The fewest examples that would prove some threshold at which the first stage answers anything; None where at every one
    the loss found is at or over its limit."""
    best: Needed | None = None
    for threshold in order[np.unique(np.linspace(0, len(order) - 1, 50).astype(int))].tolist():
        if not answers(threshold):
            continue
        each = []
        for one in limits:
            losses = one.of(threshold) if one.members is None else one.of(threshold)[one.members]
            n = enough(float(losses.mean()), one.most, level)
            each.append(
                None if n is None else (n * len(one.of(threshold)) // len(losses), float(losses.mean()), one.most)
            )
        if any(found is None for found in each):
            continue
        n, mean, most = max(found for found in each if found is not None)
        if best is None or n < best.n:
            best = Needed(n, threshold, mean, most)
    return best
