"""The scores of a curve's points with their uncertainty, by one bootstrap for all of them.

Every resample of the examples is the same for all points, so that what they have in common (easy or hard examples) falls
out of their differences. The noise of training (other subsets, other seeds) is added to each: as large as the repeats
differ, or, without repeats, as far as the points lie from the curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import estimate
from tutelage.evaluation.metrics import Floats, Statistic

RESAMPLES = 1000
CELLS = 2_000_000
"""Indices in memory at a time."""


@dataclass(frozen=True)
class Scores:
    """One metric at each size. `draws` (sizes, resamples) has the noise of training in it; `noise` is its standard deviation
    for one training."""

    sizes: NDArray[np.float64]
    repeats: NDArray[np.int64]
    means: Floats
    draws: Floats
    noise: float

    @property
    def errors(self) -> Floats:
        """Standard errors of the means."""
        return np.asarray(self.draws.std(axis=1))

    def estimates(self) -> list[Estimate]:
        low, high = np.quantile(self.draws, [0.025, 0.975], axis=1)
        return [
            Estimate(float(m), float(max(0, min(l, m))), float(min(1, max(h, m))))
            for m, l, h in zip(self.means, low, high, strict=True)
        ]

    def without_first(self) -> Scores:
        """The same without the smallest size."""
        return Scores(self.sizes[1:], self.repeats[1:], self.means[1:], self.draws[1:], self.noise)

    def noisier(self, noise: float, seed: int = 0) -> Scores:
        """The same with a training noise of `noise`, where none was known."""
        draws = self.draws + _noise(noise, self.repeats, self.draws.shape[1], seed)
        return replace(self, draws=draws, noise=noise)


def resamples(n: int, seed: int = 0) -> NDArray[np.int64]:
    """Indices of examples, shape (resamples, n)."""
    return np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))


def drawn(statistic: Statistic, draws: NDArray[np.int64]) -> Floats:
    """The statistic on each resample."""
    step = max(1, CELLS // draws.shape[1])
    return np.concatenate([np.ravel(statistic(draws[at : at + step])) for at in range(0, len(draws), step)])


@dataclass(frozen=True)
class Apart:
    """The statistic `ours` minus `theirs`."""

    ours: Statistic
    theirs: Statistic

    def __call__(self, draws: NDArray[np.int64]) -> Floats:
        return np.asarray(self.ours(draws) - self.theirs(draws))


def scores(found: Mapping[int, Sequence[Statistic]], n: int, total: int, seed: int = 0) -> Scores:
    """The metric by size, each with its repeats, on n examples. `total` is the size whose subset is everything."""
    draws, everything = resamples(n, seed), np.arange(n)[None, :]
    sizes = sorted(found)
    values = {size: [float(np.ravel(one(everything))[0]) for one in found[size]] for size in sizes}
    repeats = np.array([len(found[size]) for size in sizes])
    noise = training_noise(values, total)
    means = np.array([np.mean(values[size]) for size in sizes])
    cells = np.array([np.mean([drawn(one, draws) for one in found[size]], axis=0) for size in sizes])
    # Where every example scores alike a bootstrap would claim certainty: as wide as n allows, instead.
    for at, size in enumerate(sizes):
        if np.ptp(cells[at]) == 0 and not isinstance(found[size][0], Apart):
            known = estimate(found[size][0], n)
            spread = np.random.default_rng([seed, size]).uniform(known.low, known.high, cells.shape[1])
            cells[at] = spread
    return Scores(np.array(sizes, float), repeats, means, cells + _noise(noise, repeats, cells.shape[1], seed), noise)


def training_noise(values: Mapping[int, Sequence[float]], total: int) -> float:
    """The standard deviation among repeats of a size, pooled over sizes; 0 where nothing was repeated.

    The size that is everything is left out, since its repeats differ in nothing but their seeds.
    """
    known = [found for size, found in values.items() if len(found) > 1 and size != total]
    freedom = sum(len(found) - 1 for found in known)
    squares = sum(float(np.var(found)) * len(found) for found in known)
    return float(np.sqrt(squares / freedom)) if freedom else 0.0


def _noise(noise: float, repeats: NDArray[np.int64], resampled: int, seed: int) -> Floats:
    chance = np.random.default_rng([seed, 1])
    return chance.normal(size=(len(repeats), resampled)) * (noise / np.sqrt(repeats))[:, None]
