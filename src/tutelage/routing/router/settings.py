"""What task.toml says of a router.

[candidates.router]
family = "router"
candidates = ["linear", "teacher"]     # the cheapest first
strategy = "share"
share = 0.3                            # at most 30 % go to the last of them
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from tutelage.errors import TaskFileError
from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.knapsack import under_budget
from tutelage.routing.router.learnt import Learnt
from tutelage.routing.router.strategies import RunningPrice, cheapest_above
from tutelage.store import Origin
from tutelage.students.sizing import Effort

Share = Annotated[float, Field(ge=0, le=1)]
LEARNING = ("candidates", "model", "base", "labels", "effort", "costs", "seed")
"""The settings that decide what is learnt; the others may change without learning anew."""


@dataclass(frozen=True)
class RouterSettings:
    """`candidates` stand cheapest first. `model` predicts from cheap features and, with `base` (a sentence encoder's folder
    or Hugging Face name), from its vectors; "encoder" fine-tunes `base` instead, for as long as `effort` says.

    `strategy` "bar" asks the cheapest whose chance of being right is at least `bar`, "certified" does so at a bar that
    `tutelage calibrate` proves to lose no more than agreed (docs/certificate.md); "share" the last candidate for at most
    the `share` of inputs where it promises most; "budget" spends at most `budget` dollars per 1,000 inputs, at the `costs`
    per 1,000 given here, else as measured. The price of the last two follows what was spent by `step`, so that the budget
    holds on every stream, up to `ahead` inputs asked of the dearest before it is their turn; who is asked then depends on
    what was asked before. With step = 0 the price stays as it was learnt, and a budget is only kept on inputs like those.
    """

    candidates: Annotated[tuple[str, ...], Field(min_length=2)]
    model: Literal["linear", "boosting", "knn", "encoder"] = "linear"
    base: str | None = None
    strategy: Literal["bar", "share", "budget", "certified"] = "bar"
    bar: Share = 0.9
    share: Share = 0.5
    budget: Annotated[float | None, Field(ge=0)] = None
    costs: tuple[Annotated[float, Field(ge=0)], ...] = ()
    step: Annotated[float, Field(ge=0)] = 0.005
    ahead: Annotated[int, Field(ge=0)] = 10
    labels: Origin = "any"
    effort: Effort = "medium"
    seed: int = 0
    threads: int | None = None

    def under_certificate(self) -> dict[str, Any] | None:
        """A certificate holds for what decides what is learnt; None where the strategy needs none."""
        if self.strategy != "certified":
            return None
        return {key: value for key, value in asdict(self).items() if key in (*LEARNING, "strategy")}


def rule(
    name: str, settings: RouterSettings, learnt: Learnt, certified: float | None = None
) -> Callable[[Floats], int]:
    """Chances (k,) of an input -> who is asked; `certified` is the bar of a certificate. Raises TaskFileError for a budget that
    cannot be kept."""
    if settings.strategy in ("bar", "certified"):
        bar = settings.bar if settings.strategy == "bar" else float("inf") if certified is None else certified
        return lambda chances: int(cheapest_above(chances[None], bar)[0])
    costs, budget = _limit(name, settings, learnt)
    price = under_budget(learnt.held_out, costs, budget).price
    if not settings.step:
        return lambda chances: int((chances - price * costs).argmax())
    scale = settings.step / max(float(costs.max()), 1e-12)  # prices are quality per unit of cost
    return RunningPrice(costs, budget, price, scale, settings.ahead * float(costs.max())).choose


def _limit(name: str, settings: RouterSettings, learnt: Learnt) -> tuple[Floats, float]:
    """Costs (k,) and what may be spent on an input."""
    if settings.strategy == "share":
        costs = np.zeros(len(learnt.candidates))
        costs[-1] = 1
        return costs, settings.share
    if settings.budget is None:
        raise TaskFileError(
            f'[candidates.{name}]: strategy = "budget" needs one. Set: budget = dollars per 1,000 inputs.'
        )
    if learnt.costs is None:
        raise TaskFileError(
            f"[candidates.{name}]: what the candidates cost is not known for all of them. "
            "Set costs = [dollars per 1,000 answers of each], [prices], or [hardware]."
        )
    costs = np.array(learnt.costs)
    if settings.budget < costs.min():
        raise TaskFileError(
            f"[candidates.{name}]: budget = {settings.budget:g} dollars per 1,000 is less than the cheapest candidate, "
            f"{learnt.candidates[int(costs.argmin())]!r}, costs: {costs.min():.4g}. Set at least that."
        )
    return costs, settings.budget
