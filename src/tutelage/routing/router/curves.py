"""Cost and quality of a router at every budget, with intervals, beside what needs no router and what no router beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.intervals import RESAMPLES
from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.knapsack import Numbers, spread, upgrades

BUDGETS = 101
"""Of a curve, evenly between the cheapest candidate's mean cost and the dearest's."""
LEVEL = 0.95


@dataclass(frozen=True)
class CostQuality:
    """Mean quality in [0, 1] at mean costs up to each of `budgets`, on n examples; intervals by the bootstrap over examples.

    `curves` has "router", "oracle" (which knows who will be right) and "random" (the best mix of candidates that does not
    look at the input); `bands` the ends of the router's interval. `areas` are mean qualities over all budgets, `gain` the
    router's less the random mix's, paired, at each of the costs in `at` and over all of them ("area").
    """

    candidates: tuple[str, ...]
    budgets: tuple[float, ...]
    curves: Mapping[str, tuple[float, ...]]
    bands: tuple[tuple[float, float], ...]
    areas: Mapping[str, Estimate]
    at: Mapping[float, Mapping[str, Estimate]]
    """Cost -> "router", "random", "oracle", and "gain" of the router over random."""
    gain: Estimate
    alone: Mapping[str, tuple[float, float]]
    """Mean cost and quality of each candidate that is always asked."""
    n: int
    unit: str

    def json(self) -> dict[str, Any]:
        return asdict(self)


def cost_quality(
    candidates: Sequence[str],
    chances: Floats,
    quality: Floats,
    costs: Floats,
    *,
    unit: str = "share of the last candidate",
    at: Sequence[float] = (0.5,),
    seed: int = 0,
) -> CostQuality:
    """The curve of a router that said `chances` (n, k) of candidates that reached `quality` (n, k), at `costs` (k,) or (n, k).

    At each budget the router takes the upgrades it believes in most until the budget is spent, as `under_budget`; it never
    pays for one that it expects nothing of, so that its curve may end level. In each resample it spends that sample's budget.
    """
    n = len(quality)
    spent = spread(costs, n)
    means = spent.mean(axis=0)
    budgets = np.linspace(means.min(), means.max(), BUDGETS)
    grid = np.concatenate([budgets, list(at)])
    random = np.random.default_rng(seed)
    draws = [np.bincount(random.integers(n, size=n), minlength=n).astype(np.int32) for _ in range(RESAMPLES)]
    weights = np.array([np.ones(n, np.int32), *draws])
    found = {
        "router": _along(_path(chances, quality, spent), weights, grid),
        "random": _mixed(weights @ quality / n, weights @ spent / n, grid),
        "oracle": _along(_path(quality, quality, spent), weights, grid),
    }
    gains = found["router"] - found["random"]
    low, high = np.quantile(found["router"][1:, :BUDGETS], _TAILS, axis=0)
    named = {**found, "gain": gains}
    return CostQuality(
        tuple(candidates),
        tuple(budgets.tolist()),
        {name: tuple(values[0, :BUDGETS].tolist()) for name, values in found.items()},
        tuple(zip(low.tolist(), high.tolist(), strict=True)),
        {name: _estimate(_area(values[:, :BUDGETS], budgets)) for name, values in found.items()},
        {
            cost: {name: _estimate(values[:, BUDGETS + place]) for name, values in named.items()}
            for place, cost in enumerate(at)
        },
        _estimate(_area(gains[:, :BUDGETS], budgets)),
        {name: (float(means[k]), float(quality[:, k].mean())) for k, name in enumerate(candidates)},
        n,
        unit,
    )


_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


class _Path(NamedTuple):
    """What each example costs and brings to begin with, (n,), and what each upgrade adds, (m,), in the order taken."""

    cost: Floats
    quality: Floats
    example: Numbers
    more_cost: Floats
    more_quality: Floats


def _path(believed: Floats, quality: Floats, costs: Floats) -> _Path:
    steps, every = upgrades(believed, costs), np.arange(len(quality))
    return _Path(
        costs[every, steps.start],
        quality[every, steps.start],
        steps.example,
        costs[steps.example, steps.new] - costs[steps.example, steps.old],
        quality[steps.example, steps.new] - quality[steps.example, steps.old],
    )


def _along(path: _Path, weights: Floats, budgets: Floats) -> Floats:
    """(resamples, budgets) mean quality at the budgets, where examples count `weights` (resamples, n) times."""
    n, found = len(path.cost), np.empty((len(weights), len(budgets)))
    for row, weight in enumerate(weights):
        times = weight[path.example]
        cost = np.cumsum([weight @ path.cost, *(times * path.more_cost)]) / n
        quality = np.cumsum([weight @ path.quality, *(times * path.more_quality)]) / n
        found[row] = np.interp(budgets, cost, quality)
    return found


def _mixed(quality: Floats, costs: Floats, budgets: Floats) -> Floats:
    """(resamples, budgets) on the upper hull of the candidates' mean costs and qualities, both (resamples, k)."""
    found = np.empty((len(quality), len(budgets)))
    steps = upgrades(quality, costs)
    for row in range(len(quality)):
        own = steps.example == row
        hull = [steps.start[row], *steps.new[own]]
        found[row] = np.interp(budgets, costs[row, hull], quality[row, hull])
    return found


def _area(values: Floats, budgets: Floats) -> Floats:
    """Mean over the budgets, by trapezoids; with a single cost the value there."""
    if budgets[-1] <= budgets[0]:
        return values[:, 0]
    return np.asarray(np.trapezoid(values, budgets, axis=1) / (budgets[-1] - budgets[0]))


def _estimate(values: Floats) -> Estimate:
    """The first value with the interval of the others."""
    low, high = np.quantile(values[1:], _TAILS)
    return Estimate(float(values[0]), float(low), float(high))
