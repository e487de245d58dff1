"""What 1,000 answers cost, and on which assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.registry import Role
from tutelage.tasks.file import Hardware, Price
from tutelage.types import Usage


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars per 1,000 answers (None: not known) and one line that says how they come about."""

    dollars_per_1000: float | None
    basis: str


def hardware_cost(seconds: float, hardware: Hardware) -> Cost:
    """Cost of `seconds` of computing per answer: 1,000 x seconds x dollars per hour / 3,600 / occupancy.

    `occupancy` is the share of paid time in which the machine answers; the idle rest is paid as well. `seconds` of 0
    mean that nothing was timed: the cost is then unknown, not nothing.
    """
    if not seconds > 0:
        return Cost(None, "not known: no answer was timed")
    if hardware.dollars_per_hour is None:
        return Cost(None, f"not known: set dollars_per_hour under [hardware] ({seconds:.3g} s an answer)")
    dollars = 1000 * seconds * hardware.dollars_per_hour / 3600 / hardware.occupancy
    per_hour = f"${hardware.dollars_per_hour:.4g}/h"
    return Cost(dollars, f"{seconds:.3g} s x {per_hour} ({hardware.name}) / {hardware.occupancy:.0%} occupancy")


def api_cost(usages: Sequence[Usage], basis: str = "API price per token") -> Cost:
    """Mean of the dollars billed per answer, times 1,000; unknown when any answer's price is unknown."""
    billed = [usage.dollars for usage in usages if usage.dollars is not None]
    if not billed:
        return Cost(None, "not known: no price for the model under [prices]")
    if len(billed) < len(usages):
        return Cost(None, f"not known: {len(usages) - len(billed)} of {len(usages)} answers came without their dollars")
    return Cost(1000 * sum(billed) / len(billed), basis)


def price_basis(price: Price | None) -> str:
    """Which price the dollars come from: when and where it was read, as far as that is said."""
    read = ", ".join(part for part in (price.date and f"of {price.date}", price.source) if part) if price else ""
    return f"API price per token {read}".rstrip()


def cost_of(
    role: Role,
    usages: Sequence[Usage],
    seconds: float,
    hardware: Hardware,
    *,
    hosted: bool = False,
    price: Price | None = None,
) -> Cost:
    """The cost of a candidate: dollars billed where its answers carry them, else seconds of hardware.

    `seconds` is the computing time an answer takes when the machine is kept busy. What is `hosted` by somebody else has
    a price per token or none that is known: its seconds are not ours. `price` is named in the basis, not charged again.
    """
    if role == "system":
        return api_cost(usages, "its parts' dollars, added: API prices, this machine's time")
    if any(usage.dollars is not None for usage in usages):
        return api_cost(usages, "recorded dollars" if role == "recorded" else price_basis(price))
    if hosted:
        return api_cost(usages)
    return hardware_cost(seconds, hardware)
