"""Bootstrap intervals (Efron 1987), by scipy where its methods apply."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap

from tutelage.evaluation.metrics import Floats, Mean, Statistic

RESAMPLES = 2000
BCA_LIMIT = 3000
"""Above this many examples the percentile interval is used: the BCa correction is negligible there and costs n squared."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def estimate(statistic: Statistic, n: int, *, seed: int = 0, confidence: float = 0.95) -> Estimate:
    """The statistic on all n examples with a bootstrap interval over examples.

    The bias-corrected and accelerated interval for up to BCA_LIMIT examples, else the percentile one. Where all
    examples score alike a bootstrap cannot vary; there the interval is Clopper and Pearson's for n successes (or
    failures) out of n, which also covers any score in [0, 1] with that observed value.
    """
    value = float(np.ravel(statistic(np.arange(n)[None, :]))[0])
    if isinstance(statistic, Mean) and np.ptp(statistic.scores) == 0:
        if value not in (0.0, 1.0):
            return Estimate(value, value, value)
        exact = binomtest(round(value * n), n).proportion_ci(confidence, method="exact")
        return Estimate(value, float(exact.low), float(exact.high))
    low, high = _interval(statistic, n, seed, confidence)
    return Estimate(value, max(0.0, low), min(1.0, high))


def difference(ours: Statistic, theirs: Statistic, n: int, *, seed: int = 0, confidence: float = 0.95) -> Estimate:
    """`ours` minus `theirs` on the same n examples, with a paired bootstrap interval."""

    def paired(draws: NDArray[np.int64]) -> Floats:
        return np.asarray(ours(draws) - theirs(draws))

    value = float(np.ravel(paired(np.arange(n)[None, :]))[0])
    if isinstance(ours, Mean) and isinstance(theirs, Mean) and np.ptp(ours.scores - theirs.scores) == 0:
        return Estimate(value, value, value)
    low, high = _interval(paired, n, seed, confidence)
    return Estimate(value, low, high)


def _interval(statistic: Statistic, n: int, seed: int, confidence: float) -> tuple[float, float]:
    def along(draws: NDArray[np.int64], axis: int = -1) -> Floats:
        moved = np.moveaxis(draws, axis, -1)
        return statistic(moved.reshape(-1, moved.shape[-1])).reshape(moved.shape[:-1])

    for method in ("BCa", "percentile") if n <= BCA_LIMIT else ("percentile",):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # scipy warns where BCa is undefined; the percentile interval follows
            result = bootstrap(
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
