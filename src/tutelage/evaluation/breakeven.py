"""When a student pays for itself: what it cost once, what it saves with each request, and so after how many requests.

    once      = labels + review hours x their rate + training hours x the machine's rate + other
    teacher   = dollars of 1,000 of its answers, input tokens read from its prompt cache at their discount
    system    = every request the student's + the share escalated and the share audited of the rest, the teacher's
    requests until it pays = once / (teacher - system), per request

The machine is paid by the second of answers and its occupancy (idle time is paid for as well), or, always on, by the day:
24 hours x its rate x as many machines as the requests of a day keep busy up to the occupancy.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.errors import UsageError
from tutelage.evaluation.results import Section

REQUESTS = (100, 1_000, 10_000, 100_000, 1_000_000)
"""Requests a day, where none are named."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One figure that goes in. A `share` is in [0, 1]; of others the least is 0; `zero` says why it is 0 where unnamed."""

    name: str
    what: str
    unit: str
    share: bool = False
    zero: str | None = None

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


QUANTITIES = (
    Quantity("labels_dollars", "Paid for labels, once", "$"),
    Quantity("review_hours", "Hours people spent on labels and review, once", "h"),
    Quantity("review_dollars_per_hour", "An hour of these people", "$/h"),
    Quantity("training_hours", "Hours of training, once", "h"),
    Quantity("other_dollars", "Other costs, once", "$", zero="none named"),
    Quantity("dollars_per_hour", "An hour of the machine", "$/h"),
    Quantity("occupancy", "Share of the machine's paid time in which it answers", "", share=True),
    Quantity("student_seconds", "The machine's time for one answer of the student, kept busy", "s"),
    Quantity("student_dollars", "1,000 of the student's answers, to a provider", "$", zero="no provider named"),
    Quantity("teacher_dollars", "1,000 of the teacher's answers, at the share of cached tokens measured", "$"),
    Quantity("cached_share", "Share of the teacher's input tokens read from its prompt cache", "", share=True),
    Quantity("cached_share_measured", "That share in the teacher's stored answers", "", share=True),
    Quantity("cached_saving", "Saved on 1,000 answers if all input tokens were cached and not none", "$"),
    Quantity("escalation", "Share of requests escalated to the teacher", "", share=True),
    Quantity(
        "audit_share",
        "Share of the student's answers the teacher is asked about as well",
        "",
        share=True,
        zero="no audit named",
    ),
)
NAMES = {quantity.name: quantity for quantity in QUANTITIES}


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and where it comes from, in words; `low` and `high` are its 95 % interval where one is known."""

    value: float
    basis: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Assumptions:
    """All figures by the name of their quantity; `always_on`: the machine is paid by the day."""

    figures: Mapping[str, Figure]
    always_on: bool = False

    def value(self, name: str) -> float:
        """0 for what is not known, which `complete` has found to be of no effect."""
        return self.figures[name].value if name in self.figures else 0.0


@dataclass(frozen=True)
class Day:
    """Dollars a day at `requests` a day, with the teacher alone and with the system; infinite where it never pays."""

    requests: float
    teacher: float
    system: float
    machines: int
    days: float

    @property
    def saved(self) -> float:
        return self.teacher - self.system

    @property
    def until_paid(self) -> float:
        """Requests until the one-off costs are saved."""
        return self.days * self.requests


@dataclass(frozen=True)
class BreakEven:
    """`once` by part in dollars; `teacher` and `system` dollars per 1,000 requests, the system's without machines paid by
    the day. `low` and `high` are the days at the ends of the escalation's interval, where it has one."""

    assumptions: Assumptions
    once: Mapping[str, float]
    teacher: float
    system: float
    days: Sequence[Day]
    low: Sequence[Day] = ()
    high: Sequence[Day] = ()

    def json(self) -> dict[str, Any]:
        figures = self.assumptions.figures
        told = {
            name: {"value": figures[name].value, "unit": quantity.unit, "basis": figures[name].basis}
            for name, quantity in NAMES.items()
            if name in figures
        }
        days = [_day_json(self, at) for at in range(len(self.days))]
        return {
            "assumptions": told,
            "always_on": self.assumptions.always_on,
            "once_dollars": {**self.once, "sum": sum(self.once.values())},
            "teacher_dollars_per_1000": self.teacher,
            "system_dollars_per_1000": self.system,
            "days": days,
        }


def break_even(assumptions: Assumptions, requests: Sequence[float] = REQUESTS) -> BreakEven:
    """The answer for each number of requests a day. Raises UsageError where a figure is missing or cannot be."""
    complete(assumptions)
    for count in requests:
        if not (count > 0 and math.isfinite(count)):
            raise UsageError(f"{count!r} requests a day cannot be. Give a number above 0.")
    value = assumptions.value
    once = {
        "labels": value("labels_dollars"),
        "review": value("review_hours") * value("review_dollars_per_hour"),
        "training": value("training_hours") * value("dollars_per_hour"),
        "other": value("other_dollars"),
    }
    escalation = assumptions.figures["escalation"]
    ends = [
        _days(_at(assumptions, end), requests, once) for end in (escalation.low, escalation.high) if end is not None
    ]
    low, high = ends if len(ends) == 2 else ((), ())
    teacher, system = per_1000(assumptions)
    return BreakEven(assumptions, once, teacher, system, _days(assumptions, requests, once), low, high)


def per_1000(assumptions: Assumptions) -> tuple[float, float]:
    """Dollars of 1,000 requests: the teacher's alone, and the system's but for machines paid by the day."""
    value = assumptions.value
    cached = value("cached_share") - value("cached_share_measured")
    teacher = max(value("teacher_dollars") - cached * value("cached_saving"), 0.0)
    student = value("student_dollars")
    if not assumptions.always_on and value("student_seconds"):
        student += 1000 * value("student_seconds") * value("dollars_per_hour") / 3600 / value("occupancy")
    return teacher, student + asked(assumptions) * teacher


def asked(assumptions: Assumptions) -> float:
    """The share of requests that the teacher is asked about: those escalated, and of the others those audited."""
    escalation = assumptions.value("escalation")
    return escalation + (1 - escalation) * assumptions.value("audit_share")


def _days(assumptions: Assumptions, requests: Sequence[float], once: Mapping[str, float]) -> list[Day]:
    teacher, system = per_1000(assumptions)
    value, found = assumptions.value, []
    for count in requests:
        machines, fixed = 0, 0.0
        if assumptions.always_on:
            machines = max(1, math.ceil(count * value("student_seconds") / 86400 / value("occupancy")))
            fixed = 24 * machines * value("dollars_per_hour")
        day = Day(count, count * teacher / 1000, count * system / 1000 + fixed, machines, math.inf)
        cost = sum(once.values())
        days = cost / day.saved if day.saved > 0 else 0.0 if cost == 0 and day.saved == 0 else math.inf
        found.append(Day(day.requests, day.teacher, day.system, machines, days))
    return found


def _at(assumptions: Assumptions, escalation: float) -> Assumptions:
    figures = dict(assumptions.figures) | {"escalation": Figure(escalation, "")}
    return Assumptions(figures, assumptions.always_on)


def complete(assumptions: Assumptions) -> None:
    """Raises UsageError that names every figure that is missing, or the first that cannot be."""
    for name, figure in assumptions.figures.items():
        quantity = NAMES[name]
        if not (figure.value >= 0 and math.isfinite(figure.value)) or (quantity.share and figure.value > 1):
            allowed = "between 0 and 1" if quantity.share else "0 or more"
            raise UsageError(
                f"{quantity.flag} {figure.value:g} cannot be: {quantity.what.lower()}. Give a number {allowed}."
            )
    if "occupancy" in assumptions.figures and assumptions.value("occupancy") == 0:
        raise UsageError(
            "--occupancy 0 cannot be: a machine that never answers has no cost per answer. Give more than 0."
        )
    if missing := unknown(assumptions):
        asked = "; ".join(f"{NAMES[name].flag} ({NAMES[name].what.lower()})" for name in missing)
        raise UsageError(f"Not known, and not guessed: {asked}. Give them as flags.")


def unknown(assumptions: Assumptions) -> list[str]:
    """The quantities that are missing and decide the answer."""
    value, known = assumptions.value, set(assumptions.figures)
    needed = {"labels_dollars", "review_hours", "training_hours", "student_seconds", "teacher_dollars", "escalation"}
    if value("review_hours") or "review_hours" not in known:
        needed.add("review_dollars_per_hour")
    if value("student_seconds") or value("training_hours") or assumptions.always_on:
        needed.add("dollars_per_hour")
    if value("student_seconds") or assumptions.always_on:
        needed.add("occupancy")
    if value("cached_share") != value("cached_share_measured"):
        needed |= {"cached_saving", "cached_share_measured"}
    return [quantity.name for quantity in QUANTITIES if quantity.name in needed - known]


def headline(found: BreakEven) -> str:
    """One sentence."""
    if found.assumptions.always_on:
        paying = [day for day in found.days if math.isfinite(day.days)]
        if not paying:
            return f"It never pays at up to {max(day.requests for day in found.days):,.0f} requests a day."
        first = min(paying, key=lambda day: day.requests)
        return f"From {first.requests:,.0f} requests a day on it pays: there after {days_text(first.days)}."
    day = found.days[0]
    if not math.isfinite(day.days):
        return (
            f"It never pays: 1,000 requests cost ${found.system:.4g} with it and ${found.teacher:.4g} with the teacher."
        )
    return f"It pays after {math.ceil(day.until_paid):,} requests{_between(found)}."


def _between(found: BreakEven) -> str:
    if not found.low or not found.high:
        return ""
    ends = [one[0].until_paid for one in (found.low, found.high)]
    shown = [f"{math.ceil(end):,}" if math.isfinite(end) else "never" for end in ends]
    return f" ({shown[0]} to {shown[1]}, by the interval of the escalation)"


COLUMNS = ("requests a day", "teacher $ a day", "system $ a day", "saved $ a day", "machines", "paid after", "requests")


def cells(found: BreakEven) -> list[list[str]]:
    """The table's rows for people, in the order of COLUMNS."""
    rows = []
    for day in found.days:
        until = f"{math.ceil(day.until_paid):,}" if math.isfinite(day.days) else "never"
        money = [f"{dollars:,.2f}" for dollars in (day.teacher, day.system, day.saved)]
        machines = str(day.machines) if found.assumptions.always_on else "by the second"
        rows.append([f"{day.requests:,.0f}", *money, machines, days_text(day.days), until])
    return rows


def notes(found: BreakEven) -> list[str]:
    """What was assumed, a line a figure, and the sums."""
    once = ", ".join(f"{name} ${dollars:,.2f}" for name, dollars in found.once.items())
    lines = [
        f"Once: ${sum(found.once.values()):,.2f} ({once}).",
        f"1,000 requests: ${found.teacher:.4g} with the teacher alone, ${found.system:.4g} with the system"
        + (", its machines apart." if found.assumptions.always_on else "."),
    ]
    for name, quantity in NAMES.items():
        if name in found.assumptions.figures:
            figure = found.assumptions.figures[name]
            lines.append(f"{quantity.what}: {figure.value:.4g} {quantity.unit}".rstrip() + f" ({figure.basis}).")
    return lines


def days_text(days: float) -> str:
    if not math.isfinite(days):
        return "never"
    return f"{days:,.1f} days" if days < 1000 else f"{days / 365.25:,.1f} years"


def breakeven_section(assumptions: Assumptions, requests: Sequence[float] = REQUESTS) -> Section:
    """The break-even as a part of the report's page. Raises UsageError where a figure is missing."""
    found = break_even(assumptions, requests)
    return Section("When it pays for itself", [headline(found), *notes(found)], COLUMNS, cells(found))


def csv_text(found: BreakEven) -> str:
    """One line a number of requests a day; what never pays has empty cells."""
    out = io.StringIO()
    names = list(_day_json(found, 0)) if found.days else []
    writer = csv.writer(out)
    writer.writerow(names)
    for at in range(len(found.days)):
        writer.writerow(["" if value is None else value for value in _day_json(found, at).values()])
    return out.getvalue()


def _day_json(found: BreakEven, at: int) -> dict[str, float | None]:
    day = found.days[at]
    ends = {
        name: _finite(days[at].until_paid) if days else None
        for name, days in (("low", found.low), ("high", found.high))
    }
    return {
        "requests_per_day": day.requests,
        "teacher_dollars": day.teacher,
        "system_dollars": day.system,
        "saved_dollars": day.saved,
        "machines": day.machines,
        "days_until_paid": _finite(day.days),
        "requests_until_paid": _finite(day.until_paid),
        "requests_until_paid_low": ends["low"],
        "requests_until_paid_high": ends["high"],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
