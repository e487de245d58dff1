"""How many calibration examples would do: the power of the test at the error rates that were found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from tutelage.evaluation.metrics import Floats
from tutelage.routing.losses import as_given
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


def needed(limits: Sequence[Limit], order: Floats, level: float, answered: Callable[[float], float]) -> Needed | None:
    """How many examples would prove, at the losses found, every threshold from the safest to the one at which the stages before
    the last answer half of what they would at the lowest threshold that keeps the limits; None where no number would.

    `answered` gives the share that those stages answer at a threshold.
    """
    tried = order[np.unique(np.linspace(0, len(order) - 1, 100).astype(int))].tolist()
    keeping = [threshold for threshold in tried if all(_mean(one, threshold) < one.most for one in limits)]
    aim = max((answered(threshold) for threshold in keeping), default=0.0) / 2
    hardest: Needed | None = None
    for threshold in tried:
        for one in limits:
            mean = _mean(one, threshold)
            n = enough(mean, one.most, level)
            if n is None:
                return None
            size = len(one.of(threshold))
            n = n if one.members is None else math.ceil(n * size / len(one.members))
            if hardest is None or n > hardest.n:
                loss = one.name.partition("\t")[0]
                hardest = Needed(n, threshold, as_given(loss, mean), as_given(loss, one.most))
        if aim and answered(threshold) >= aim:
            return hardest
    return None


def _mean(limit: Limit, threshold: float) -> float:
    losses = limit.of(threshold)
    return float((losses if limit.members is None else losses[limit.members]).mean())
