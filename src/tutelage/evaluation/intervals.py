"""Bootstrap intervals (Efron 1987), by scipy where its methods apply."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.metrics import Floats, Mean, Statistic
from tutelage.registry import load

BETA, BOOTSTRAP = "scipy.stats:beta", "scipy.stats:bootstrap"
"""Loaded when an interval is computed: the library takes 50 MB and a second, and a server computes none."""
RESAMPLES = 2000
BCA_LIMIT = 3000
"""Above this many examples the percentile interval is used: the BCa correction is negligible there and costs n squared."""


def estimate(statistic: Statistic, n: int, *, seed: int = 0, confidence: float = 0.95) -> Estimate:
    """The statistic on all n examples with a bootstrap interval over examples.

    The bias-corrected and accelerated interval for up to BCA_LIMIT examples, else the percentile one. Where no
    resample differs (all examples score alike, or n is 1) a bootstrap would claim certainty; there the interval is
    Clopper and Pearson's for value x n successes out of n: exact for right or wrong, wider than needed otherwise.
    """
    value = float(np.ravel(statistic(np.arange(n)[None, :]))[0])
    if n == 1 or (isinstance(statistic, Mean) and np.ptp(statistic.scores) == 0):
        return Estimate(value, *_binomial(value, n, confidence))
    low, high = _interval(statistic, n, seed, confidence)
    if low == high:
        low, high = _binomial(value, n, confidence)
    return Estimate(value, max(0.0, low), min(1.0, high))


def difference(ours: Statistic, theirs: Statistic, n: int, *, seed: int = 0, confidence: float = 0.95) -> Estimate:
    """`ours` minus `theirs` on the same n examples, with a paired bootstrap interval.

    Where no resample differs the difference is 0 for certain (equal answers), else as wide as n allows: Clopper and
    Pearson's interval on [0, 1], stretched to [-1, 1].
    """

    def paired(draws: NDArray[np.int64]) -> Floats:
        return np.asarray(ours(draws) - theirs(draws))

    value = float(np.ravel(paired(np.arange(n)[None, :]))[0])
    constant = isinstance(ours, Mean) and isinstance(theirs, Mean) and np.ptp(ours.scores - theirs.scores) == 0
    low, high = (value, value) if n == 1 or constant else _interval(paired, n, seed, confidence)
    if low == high and value != 0:
        low, high = (2 * end - 1 for end in _binomial((value + 1) / 2, n, confidence))
    return Estimate(value, low, high)


def independent(ours: Estimate, theirs: Estimate) -> Estimate:
    """`ours` minus `theirs`, estimated on different examples; the interval by squaring and adding the distances of both
    to their ends (Newcombe 1998; Zou & Donner 2008, MOVER)."""
    value = ours.value - theirs.value
    down = math.hypot(ours.value - ours.low, theirs.high - theirs.value)
    up = math.hypot(ours.high - ours.value, theirs.value - theirs.low)
    return Estimate(value, value - down, value + up)


def proportion(total: float, n: int, confidence: float = 0.95) -> Estimate:
    """The mean of n numbers in [0, 1] that sum to `total`, with Clopper and Pearson's interval: exact for numbers that are 0
    or 1, wider than needed otherwise."""
    return Estimate(total / n, *_binomial(total / n, n, confidence))


def _binomial(value: float, n: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval for `value` x n successes out of n; the count need not be whole."""
    right, tail = value * n, (1 - confidence) / 2
    low = 0.0 if value <= 0 else float(load(BETA).ppf(tail, right, n - right + 1))
    high = 1.0 if value >= 1 else float(load(BETA).ppf(1 - tail, right + 1, n - right))
    return low, high


def _interval(statistic: Statistic, n: int, seed: int, confidence: float) -> tuple[float, float]:
    def along(draws: NDArray[np.int64], axis: int = -1) -> Floats:
        moved = np.moveaxis(draws, axis, -1)
        return statistic(moved.reshape(-1, moved.shape[-1])).reshape(moved.shape[:-1])

    for method in ("BCa", "percentile") if n <= BCA_LIMIT else ("percentile",):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # scipy warns where BCa is undefined; the percentile interval follows
            result = load(BOOTSTRAP)(
                (np.arange(n),),
                along,
                n_resamples=RESAMPLES,
                batch=max(1, 2_000_000 // n),
                confidence_level=confidence,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite([result.low, result.high]).all():
            return float(result.low), float(result.high)
    raise AssertionError("a percentile interval of finite values is finite")
