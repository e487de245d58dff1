"""From chances to who is asked. Candidates stand in order, the cheapest first; chances are (n, k), expected qualities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.knapsack import Numbers


def cheapest_above(chances: Floats, bar: float) -> Numbers:
    """(n,) the first candidate whose chance is at least `bar`; where none is, the one with the highest, ties to the first."""
    reached = chances >= bar
    return np.asarray(np.where(reached.any(axis=1), reached.argmax(axis=1), chances.argmax(axis=1)))


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
