"""P-values for "the mean loss exceeds the limit", from independent losses in [0, 1]: small where the loss is surely lower.

**Exact binomial** for losses of 0 or 1: P(Bin(n, limit) <= k), by which no test is uniformly more powerful. A binomial is
discrete, so at n = 1,000 and a limit of 3 % a level of 5 % is in truth one of 3.3 %; with the auxiliary uniform number u of
Neyman and Pearson's randomised test, P(Bin < k) + u P(Bin = k), the level is exact. u comes from the hash of the examples' ids,
so it is the same each time and knows no label.

**Betting** for losses in [0, 1] (Waudby-Smith & Ramdas 2023): the wealth prod(1 + b (limit - loss)) of a gambler against the
limit has a mean of at most 1 where the mean loss exceeds it, at every moment, so 1 / its highest value is a p-value (Ville's
inequality). The stakes b are fixed before the first loss, from n, the limit and the variance expected; the wealth is their mean.
The losses are taken in an order that knows nothing of them.

**Hoeffding-Bentkus** (Bates et al. 2021), the smaller of two bounds on the same tail, to compare with.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from tutelage.evaluation.metrics import Floats

STAKES = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Stakes as shares of the best for a loss that is normally distributed about the one expected."""

BOLDEST = 0.9
"""The most of its wealth that the gambler risks on one example."""


def uniform_of(ids: Sequence[str]) -> float:
    """A number in [0, 1) that follows from which examples there are, in whatever order, and from nothing else."""
    text = "\n".join(["tutelage certificate", *sorted(ids)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def shuffled(ids: Sequence[str]) -> NDArray[np.int64]:
    """An order of the examples that follows from their ids alone, shape (n,)."""
    keys = [hashlib.sha256(f"tutelage order {id}".encode()).digest() for id in ids]
    return np.array(sorted(range(len(ids)), key=lambda at: keys[at]), dtype=np.int64)


def exact_p(losses: Floats, limit: float, u: float = 1.0) -> float:
    """P-value of the binomial test; `losses` are 0 or 1, shape (n,). With u = 1 it is the test without randomisation."""
    n, wrong = len(losses), round(float(losses.sum()))
    # scipy.special's function takes 1 microsecond where scipy.stats' takes 100, and there are thousands of thresholds.
    below = float(bdtr(wrong - 1, n, limit)) if wrong else 0.0
    return below + u * (float(bdtr(wrong, n, limit)) - below)


def betting_p(losses: Floats, limit: float, delta: float, spread: float) -> float:
    """P-value of the betting test, for `losses` in [0, 1], shape (n,), in an order that knows nothing of them.

    `delta` is the level aimed at and `spread` the standard deviation expected of a loss: both only set the stakes, and the
    p-value holds whatever they are.
    """
    n = len(losses)
    best = math.sqrt(2 * math.log(1 / delta) / n) / max(spread, 1e-6)
    stakes = np.minimum(np.array(STAKES) * best, BOLDEST / (1 - limit))
    growth = np.log1p(stakes[:, None] * (limit - losses[None, :]))
    logs = np.cumsum(growth, axis=1)
    wealth = np.exp(np.minimum(logs, 700)).mean(axis=0)
    return float(min(1.0, 1 / max(wealth.max(initial=0.0), 1e-300)))


def hoeffding_bentkus_p(losses: Floats, limit: float) -> float:
    """P-value by Hoeffding's and Bentkus' inequalities, for `losses` in [0, 1], shape (n,)."""
    n, mean = len(losses), float(losses.mean())
    if mean >= limit:
        return 1.0
    divergence = mean * math.log(mean / limit) if mean > 0 else 0.0
    divergence += (1 - mean) * math.log((1 - mean) / (1 - limit))
    bentkus = math.e * float(bdtr(math.ceil(n * mean), n, limit))
    return min(1.0, math.exp(-n * divergence), bentkus)
