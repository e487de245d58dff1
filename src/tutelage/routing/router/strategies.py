"""From chances to who is asked. Candidates stand in order, the cheapest first; chances are (n, k), expected qualities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.knapsack import Numbers

Certified = Callable[[Sequence[Floats]], int]
"""Losses in [0, 1] of the calibration examples, (n,) for each rule, the safest first -> how many of these rules, counted from
the first, are proved (fixed-sequence testing stops at the first that is not)."""


def cheapest_above(chances: Floats, bar: float) -> Numbers:
    """(n,) the first candidate whose chance is at least `bar`; where none is, the one with the highest, ties to the first."""
    reached = chances >= bar
    return np.asarray(np.where(reached.any(axis=1), reached.argmax(axis=1), chances.argmax(axis=1)))


def bar_losses(chances: Floats, losses: Floats, bars: Sequence[float]) -> list[Floats]:
    """For each bar the loss (n,) of what `cheapest_above` chooses; `losses` (n, k) in [0, 1] are the candidates' own."""
    every = np.arange(len(chances))
    return [losses[every, cheapest_above(chances, bar)] for bar in bars]


def certified_bar(chances: Floats, losses: Floats, bars: Sequence[float], certified: Certified) -> float | None:
    """The lowest bar that is proved, None where not even the highest is.

    `chances` and `losses` (n, k) are of calibration examples that the router has not learnt from; `bars` are tested from
    the highest, which asks the ablest, down. `certified` is the test, see `Certified`.
    """
    down = sorted(bars, reverse=True)
    proved = certified(bar_losses(chances, losses, down))
    return down[proved - 1] if proved else None


@dataclass
class RunningPrice:
    """Keeps a mean cost of `budget` an input over a stream whose mix is not known beforehand.

    `choose` takes the candidate with the highest chance less `price` times cost, and then moves the price towards what
    keeps the budget: up after spending more than `budget`, down after less (dual descent: Balseiro, Lu & Mirrokni 2023,
    https://doi.org/10.1287/opre.2021.2242), by `step` for a whole budget. Whatever the price, no more than
    `budget` x (inputs so far) + `ahead` is ever spent, as long as the cheapest candidate costs no more than `budget`.
    """

    costs: Floats
    """(k,)"""
    budget: float
    price: float
    step: float
    ahead: float = 0.0
    seen: int = field(default=0, init=False)
    spent: float = field(default=0.0, init=False)

    def choose(self, chances: Floats) -> int:
        """The candidate for the next input, from its chances (k,)."""
        self.seen += 1
        left = self.budget * self.seen + self.ahead - self.spent
        affordable = self.costs <= left + 1e-9 * max(1.0, self.budget * self.seen)
        affordable[self.costs.argmin()] = True
        worth = np.where(affordable, chances - self.price * self.costs, -np.inf)
        chosen = int(worth.argmax())
        cost = float(self.costs[chosen])
        self.spent += cost
        if self.budget > 0:
            self.price = max(0.0, self.price + self.step * (cost / self.budget - 1))
        return chosen
