"""The share of a finite population that is right, from a sample drawn without replacement.

    interval(93, 100, 5000, coin=0.4)    # 93 of 100 drawn from 5,000 are right: Estimate(0.93, 0.866, 0.9662)

An interval is the shares that a test at 5 % does not reject. The test is the exact hypergeometric one that rejects the least
probable outcomes (Sterne 1954, "Some remarks on confidence or fiducial limits"), so that the interval is short. Its outcome at
the border is rejected by a coin (`coin`, uniform on [0, 1)): counts are whole numbers, and without it no interval covers 95 %.
Of 100 labels of which 1 % are wrong, one without a coin covers 92 % or 98 %, nothing between. The coin moves a limit by less
than one example of the sample. Where the shares that are not rejected have a gap, the interval spans it, so that it covers
94.7 to 97.0 % over a grid of samples from 30 to 400 and shares from 0.7 to 0.99 (`python -m bench.audits`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.estimates import Estimate
from tutelage.registry import load

LOG_GAMMA = "scipy.special:gammaln"
"""Loaded when an interval is computed. The library's own hypergeometric distribution takes minutes for large populations."""

LEVEL = 0.05
TIE = 1e-7
"""Two outcomes whose probabilities differ by less than this share are equally probable."""

POINTS = 1000
"""Shares that are tried at a time, until neighbouring ones differ by a single example."""

FARTHEST = 5.0
"""Standard deviations from the observed share beyond which no share is looked at."""


def interval(right: int, n: int, population: int, coin: float) -> Estimate:
    """The share of `population` that is right, with its 95 % interval, where `right` of `n` >= 1 drawn ones are."""
    if n == population:
        return Estimate(right / n, right / n, right / n)
    low, high = limits(right, n, population, coin)
    return Estimate(right / n, low / population, high / population)


def limits(right: int, n: int, population: int, coin: float) -> tuple[int, int]:
    """The least and the largest number of right ones in the population that is not rejected."""
    if n == population:
        return right, right
    wrong = n - right
    least, most = right, population - wrong
    middle = min(max(round(population * right / n), least), most)
    low, high = _bracket(right, n, population)
    low, high = max(low, least), min(high, most)
    below = _outermost(np.arange(low, middle + 1), right, n, population, coin)
    above = _outermost(np.arange(high, middle - 1, -1), right, n, population, coin)
    return below, above


def _bracket(right: int, n: int, population: int) -> tuple[int, int]:
    """Numbers beyond which every one is rejected: by the score test at FARTHEST standard deviations, as for a sample with
    replacement, of which the one without has less spread."""
    share, square = right / n, FARTHEST**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = FARTHEST / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return math.floor(population * max(0.0, middle - half)), math.ceil(population * min(1.0, middle + half))


def _outermost(numbers: NDArray[np.int64], right: int, n: int, population: int, coin: float) -> int:
    """The first of `numbers`, which run towards what was observed, that is not rejected; the last where all are."""
    while True:
        step = max(1, math.ceil(len(numbers) / POINTS))
        tried = np.append(numbers[:-1:step], numbers[-1])
        accepted = np.flatnonzero(_kept(tried, right, n, population, coin))
        first = int(accepted[0]) if len(accepted) else len(tried) - 1
        if step == 1:
            return int(tried[first])
        before = max(0, (first - POINTS // 20) * step)  # a border is no clean cut: look before it
        numbers = numbers[before : min(first * step, len(numbers) - 1) + 1]


def _kept(numbers: NDArray[np.int64], right: int, n: int, population: int, coin: float) -> NDArray[np.bool_]:
    """Which numbers of right ones in the population the test does not reject."""
    log_gamma = load(LOG_GAMMA)
    drawn, outcomes = numbers[:, None], np.arange(n + 1)[None, :]
    others, left = population - drawn, n - outcomes
    possible = (outcomes <= drawn) & (left <= others)

    def chosen(of: NDArray[np.int64], some: NDArray[np.int64]) -> NDArray[np.float64]:
        """The logarithm of how many ways there are to choose `some` of them."""
        rest = np.maximum(of - some, 0)
        return np.asarray(log_gamma(of + 1) - log_gamma(some + 1) - log_gamma(rest + 1))

    ways = chosen(drawn, outcomes) + chosen(others, left) - chosen(np.array(population), np.array(n))
    chances = np.where(possible, np.exp(ways), 0.0)
    seen = chances[:, [right]]
    less = np.where(chances < seen * (1 - TIE), chances, 0).sum(axis=1)
    alike = np.where(np.abs(chances - seen) <= seen * TIE, chances, 0).sum(axis=1)
    return np.asarray((less + coin * alike >= LEVEL) & (seen[:, 0] > 0))
