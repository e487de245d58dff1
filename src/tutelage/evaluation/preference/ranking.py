"""Ratings with bootstrap intervals over inputs, ranks that say what the data can tell, and the grid of win probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tutelage.errors import UnknownName
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.preference.bradley_terry import CENTRE, PRIOR, SCALE, fit, fit_many, probabilities
from tutelage.evaluation.preference.elo import elo
from tutelage.evaluation.preference.matches import Match, Pairs, Table, bounded, check_linked, tabulate

RESAMPLES = 1000
CONFIDENCE = 0.95
_HELD = 1 << 21
"""Numbers of a kind held at a time, however many inputs, models and resamples there are."""


@dataclass(frozen=True)
class Rating:
    """One model: Bradley-Terry's rating with its interval, Elo's, and what was played.

    `ranks` are the best and the worst place that the paired intervals of the differences to the others leave open.
    """

    model: str
    rating: Estimate
    elo: float
    ranks: tuple[int, int]
    wins: int
    ties: int
    losses: int

    @property
    def n(self) -> int:
        return self.wins + self.ties + self.losses


@dataclass(frozen=True)
class Ranking:
    """Models, the best first, over `n` matches on `inputs` different inputs.

    `grid[i][j]` holds P(i wins), P(j wins) and P(tie) for the i-th and j-th of `ratings`. `anchor` is the model with rating
    1000, or None where the mean is. `unbounded` models have no finite maximum-likelihood rating.
    """

    ratings: tuple[Rating, ...]
    grid: tuple[tuple[tuple[float, float, float], ...], ...]
    n: int
    inputs: int
    anchor: str | None
    unbounded: tuple[str, ...]


def rank(matches: tuple[Match, ...], anchor: str | None = None, resamples: int = RESAMPLES, seed: int = 0) -> Ranking:
    """The leaderboard of these matches.

    Raises DataError where they do not compare all models, UnknownName for an anchor that played none of them.
    """
    table = tabulate(matches)
    check_linked(table)
    models = len(table.models)
    if anchor is not None and anchor not in table.models:
        raise UnknownName("model of these matches", anchor, table.models)
    fixed = None if anchor is None else table.models.index(anchor)
    found = fit(table)
    points = on_scale(found.values, fixed)
    drawn = np.array([on_scale(row, fixed) for row in resampled(table, resamples, seed)])
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    ranks = _ranks(drawn)
    played, online = _played(table.counts, table.pairs, models), elo(matches, table.models)
    if fixed is not None:
        online = online - online[fixed] + CENTRE
    order = sorted(range(models), key=lambda at: (-points[at], table.models[at]))
    rows = tuple(
        Rating(
            table.models[at],
            Estimate(float(points[at]), float(low[at]), float(high[at])),
            float(online[at]),
            ranks[at],
            *played[at],
        )
        for at in order
    )
    names = tuple(table.models[at] for at in found.unbounded)
    return Ranking(rows, grid(found.values[order], found.tie), len(table), len(table.inputs), anchor, names)


def resampled(table: Table, resamples: int, seed: int) -> Floats:
    """Strengths, (resamples, models), fitted to inputs drawn with replacement, each with all of its matches.

    By inputs because the matches on one input share its difficulty, and often an answer: they are not independent. Of a
    single input the matches are drawn. Where the likelihood of all matches has no finite maximum, every resample has the same
    sides undefeated and would be as sure as the last: there inputs get exponential weights (the Bayesian bootstrap, Rubin
    1981), and what everyone is given in addition is drawn from a gamma distribution with mean PRIOR (Jeffreys' prior).
    """
    if len(table.inputs) == 1:
        table = replace(table, inputs=tuple(str(at) for at in range(len(table))), input=np.arange(len(table)))
    rng, inputs, models = np.random.default_rng(seed), len(table.inputs), len(table.models)
    certain = bool(bounded(table.counts[None], table.pairs, models)[0])
    part = max(1, _HELD // max(inputs, table.cells.shape[1] * 2, models**2))
    found = []
    for start in range(0, resamples, part):
        count = min(part, resamples - start)
        if certain:
            draws = [np.bincount(rng.integers(inputs, size=inputs), minlength=inputs) for _ in range(count)]
            weights = np.stack(draws).astype(np.float64)
        else:
            weights = rng.exponential(size=(count, inputs))
        counts = np.asarray((table.cells.T @ weights.T).T, np.float64).reshape(count, -1, 3)
        prior = np.maximum(rng.gamma(PRIOR, size=(count, models, 2)), 1e-3)
        found.append(fit_many(counts, table.pairs, models, prior).values)
    return np.concatenate(found)


def on_scale(strengths: Floats, anchor: int | None) -> Floats:
    """Rating points, 400 per factor 10 in the odds: 1000 is the mean of all, or the model with number `anchor`."""
    centre = strengths.mean() if anchor is None else strengths[anchor]
    return np.asarray(CENTRE + SCALE * (strengths - centre))


def grid(strengths: Floats, tie: float) -> tuple[tuple[tuple[float, float, float], ...], ...]:
    """P(win), P(loss), P(tie) of each model against each, for strengths of shape (models,)."""
    rows, columns = np.meshgrid(strengths, strengths, indexing="ij")
    cells = probabilities(rows, columns, tie)
    return tuple(tuple((float(w), float(l), float(t)) for w, l, t in row) for row in cells)


def _ranks(drawn: Floats) -> list[tuple[int, int]]:
    """Best and worst place of each model: those surely better stand before it, those surely worse behind."""
    models = drawn.shape[1]
    apart = drawn[:, :, None] - drawn[:, None, :]
    low, high = np.quantile(apart, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return [(1 + int((high[at] < 0).sum()), models - int((low[at] > 0).sum())) for at in range(models)]


def _played(counts: Floats, pairs: Pairs, models: int) -> list[tuple[int, int, int]]:
    """Wins, ties and losses of each model."""
    total = np.zeros((models, 3))
    for (i, j), (a, b, tie) in zip(zip(*pairs, strict=True), counts, strict=True):
        total[i] += a, tie, b
        total[j] += b, tie, a
    return [(int(w), int(t), int(l)) for w, t, l in total]
