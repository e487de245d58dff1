"""Budgets: their accounts by UTC day and month, and what is said when one is used up."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tutelage.gateway.errors import WireError
from tutelage.store.keys import Key

NANO = 1_000_000_000
"""Nanodollars in a dollar."""


@dataclass(frozen=True, slots=True)
class Budget:
    """An account, its limit in nanodollars (None: it is only counted), and what it is in words."""

    account: str
    limit: int | None
    what: str


def budgets(key: Key, day: int) -> tuple[Budget, ...]:
    """The budgets that a request of `key` counts to on `day` (days since 1970-01-01 UTC): its own, and its team's.

    A team's are counted without a limit too, so that a limit that is set later counts what was spent before.
    """
    date = time.strftime("%Y-%m-%d", time.gmtime(day * 86400))
    found = []
    if key.limits.budget_day is not None:
        found.append(Budget(f"key:{key.id}:{date}", key.limits.budget_day, f"a day of the key {key.name!r}"))
    if key.limits.budget_month is not None:
        found.append(Budget(f"key:{key.id}:{date[:7]}", key.limits.budget_month, f"a month of the key {key.name!r}"))
    if key.team is not None:
        team, limits = f"team:{key.team}:", key.team_limits
        found.append(Budget(team + date, limits.budget_day, f"a day of the team {key.team!r}"))
        found.append(Budget(team + date[:7], limits.budget_month, f"a month of the team {key.team!r}"))
    return tuple(found)


def resets(account: str) -> datetime:
    """When the account's period is over."""
    period = account.rpartition(":")[2]
    if len(period) == len("2026-11"):
        year, month = int(period[:4]), int(period[5:])
        return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return datetime.fromisoformat(period).replace(tzinfo=UTC) + timedelta(days=1)


def used_up(budget: Budget, need: int, spent: int, leased: int, now: float, soon: float) -> WireError:
    """429 for a request of `need` nanodollars; where what is missing is only set aside, it may come back in `soon` seconds."""
    limit, reset = budget.limit or 0, resets(budget.account)
    message = (
        f"The budget of {dollars(limit)} {budget.what} is used up: {dollars(spent)} is spent, {dollars(leased)} set aside "
        f"for requests under way, and this one may cost {dollars(need)}. It starts anew at {reset:%Y-%m-%dT%H:%M:%SZ}."
    )
    wait = max(1, math.ceil(reset.timestamp() - now))
    over = spent + need > limit
    headers = {"Retry-After": str(wait if over else min(wait, math.ceil(soon)))}
    if over:
        headers["x-should-retry"] = "false"  # OpenAI's clients would try again by themselves
    return WireError(429, message, "insufficient_quota", "insufficient_quota", headers)


def dollars(nanodollars: int) -> str:
    """Exact to a hundredth of a cent, and never 0 for what is not."""
    value = nanodollars / NANO
    return f"${value:.4f}" if nanodollars == 0 or abs(value) >= 0.0001 else f"${value:.9f}"
