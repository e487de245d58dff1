"""Who is asked when dearer candidates are better: the most expected quality for what may be spent.

Choosing one candidate for each input under a budget is the multiple-choice knapsack. Its linear relaxation is solved exactly
by a greedy algorithm (Sinha & Zoltners 1979, Zemel 1980): for each input go from the cheapest candidate up along the upper
convex hull of (cost, quality), and take these upgrades, over all inputs, in the order of quality gained per unit of cost.
What remains is at most one upgrade that is afforded in part; `exact` has the best whole choice, which is seldom another.

All costs are in one unit, whatever it is: dollars, seconds, or 0 and 1 for "asks the strongest".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.metrics import Floats

Numbers = NDArray[np.int64]


class Upgrades(NamedTuple):
    """Steps up the hulls, the most worthwhile first: arrays (m,).

    `start` (n,) is the candidate that each input begins with: the cheapest, of equally cheap ones the best. An upgrade
    takes the input `example` from candidate `old` to `new`; `slope` is the quality gained per unit of cost, always > 0.
    """

    start: Numbers
    example: Numbers
    old: Numbers
    new: Numbers
    slope: Floats


class Plan(NamedTuple):
    """`choice` (n,) keeps the budget; `price` is the quality a unit of cost must bring: what is worth less was left out.

    `quality` is the expected mean of the choice, `bound` the mean that no choice within the budget exceeds.
    """

    choice: Numbers
    price: float
    quality: float
    bound: float


def spread(costs: Floats, n: int) -> Floats:
    """Costs (k,) or (n, k) as (n, k)."""
    return np.broadcast_to(np.asarray(costs, np.float64), (n, np.shape(costs)[-1]))


def upgrades(quality: Floats, costs: Floats) -> Upgrades:
    """The upgrades of n inputs, from (expected) `quality` (n, k) and `costs` (k,) or (n, k). Equal slopes in input order."""
    n, _ = quality.shape
    every, costs = np.arange(n), spread(costs, n)
    cheapest = costs == costs.min(axis=1, keepdims=True)
    start = np.where(cheapest, quality, -np.inf).argmax(axis=1)
    now, last, found = start, np.full(n, np.inf), []
    for _ in range(quality.shape[1] - 1):
        gain = quality - quality[every, now][:, None]
        cost = costs - costs[every, now][:, None]
        better = (gain > 0) & (cost > 0)
        slope = np.divide(gain, cost, out=np.full(gain.shape, -np.inf), where=better)
        # Of equal slopes the longest step, so that a hull has no two steps in one line.
        new = np.where(slope == slope.max(axis=1, keepdims=True), cost, -np.inf).argmax(axis=1)
        moved = np.flatnonzero(better.any(axis=1))
        # A hull only flattens; rounding must not put its second step before its first.
        last = np.minimum(last, slope[every, new])
        found.append((moved, now[moved], new[moved], last[moved]))
        now = np.where(better.any(axis=1), new, now)
    found.append((np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)))
    example, old, new, slope = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((example, -slope))
    return Upgrades(start, example[order], old[order], new[order], slope[order])


def under_budget(quality: Floats, costs: Floats, budget: float) -> Plan:
    """The greedy choice that spends at most `budget` an input on average; `quality` (n, k), `costs` (k,) or (n, k).

    Raises ValueError when even the cheapest candidates cost more.
    """
    n, every = len(quality), np.arange(len(quality))
    costs, steps = spread(costs, n), upgrades(quality, costs)
    left = n * budget - costs[every, steps.start].sum()
    if left < -1e-9 * max(1.0, n * budget):
        raise ValueError(
            f"The cheapest candidates cost {costs[every, steps.start].mean():.4g} an input, over {budget:.4g}."
        )
    added = costs[steps.example, steps.new] - costs[steps.example, steps.old]
    taken = int(np.searchsorted(np.cumsum(added), left + 1e-9 * max(1.0, n * budget), side="right"))
    choice = steps.start.copy()
    for example, new in zip(steps.example[:taken].tolist(), steps.new[:taken].tolist(), strict=True):
        choice[example] = new  # an input's own steps come in the order of its hull
    reached = float(quality[every, choice].sum())
    if taken == len(added):
        return Plan(choice, 0.0, reached / n, reached / n)
    rest = max(0.0, left - added[:taken].sum())
    return Plan(choice, float(steps.slope[taken]), reached / n, (reached + steps.slope[taken] * rest) / n)


def at_price(quality: Floats, costs: Floats, price: float) -> Numbers:
    """(n,) the candidate whose quality less `price` times its cost is highest, ties to the first; shapes as `upgrades`."""
    return np.asarray((quality - price * np.asarray(costs)).argmax(axis=-1))
