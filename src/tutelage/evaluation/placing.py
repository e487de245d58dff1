"""Where things go in a chart: the ends of its axes, its ticks, and names beside points without covering one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

Domain: TypeAlias = tuple[float, float]

PLOT = (270.0, 210.0)
"""Pixels of the plot inside a chart, about."""

LETTER, LINE, APART = 6.2, 13.0, 9.0
"""Pixels: the mean width of a letter, the height of a line, the distance of a name from its point."""

PLACES = ("right-up", "left-up", "right-down", "left-down")


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether positive values span more than a decade, so that a logarithmic axis helps."""
    return min(values) > 0 and max(values) / min(values) > 10


def domain(values: Sequence[float], *, logarithmic: bool = False, most: float = math.inf) -> Domain:
    """The ends of an axis with room on both sides, within [0, most]; never of zero length."""
    low, high = min(values), max(values)
    if logarithmic:
        room = (high / low) ** 0.12
        return low / room, min(most, high * room)
    room = 0.12 * (high - low) or abs(high) / 2 or 1.0
    return max(0.0, low - room), min(most, high + room)


def powers(ends: Domain) -> list[float]:
    """Ticks of a logarithmic axis: the powers of ten between its ends, with their threefold where those are few."""
    exponents = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    tens = [10.0**exponent for exponent in exponents if ends[0] <= 10.0**exponent <= ends[1]]
    if len(tens) > 2:
        return tens
    both = [factor * 10.0**exponent for exponent in exponents for factor in (1, 3)]
    return [value for value in both if ends[0] <= value <= ends[1]]


def places(
    names: Sequence[str], points: Sequence[tuple[float, float]], x: Domain, y: Domain, *, logarithmic: bool
) -> list[str]:
    """For each point one of PLACES: the first that stays in the plot and covers no point or earlier name, if any does.

    `points` are (x, y) in the axes' units; `logarithmic` is the x axis.
    """
    at = [(_share(a, x, logarithmic) * PLOT[0], (1 - _share(b, y)) * PLOT[1]) for a, b in points]
    taken = [(left - 6, top - 6, left + 6, top + 6) for left, top in at]
    chosen = []
    for name, point in zip(names, at, strict=True):
        boxes = {place: _box(name, point, place) for place in PLACES}
        costs = {place: _cost(box, taken) for place, box in boxes.items()}
        best = min(PLACES, key=lambda place: costs[place])
        chosen.append(best)
        taken.append(boxes[best])
    return chosen


_Box: TypeAlias = tuple[float, float, float, float]


def _share(value: float, ends: Domain, logarithmic: bool = False) -> float:
    low, high, value = (math.log(v) for v in (*ends, value)) if logarithmic else (*ends, value)
    return (value - low) / (high - low)


def _box(name: str, point: tuple[float, float], place: str) -> _Box:
    side, level = place.split("-")
    wide = LETTER * len(name)
    left = point[0] + APART if side == "right" else point[0] - APART - wide
    top = point[1] - APART - LINE / 2 if level == "up" else point[1] + APART - LINE / 2
    return left, top, left + wide, top + LINE


def _cost(box: _Box, taken: Sequence[_Box]) -> float:
    """Square pixels of `box` that cover others or stick out of the plot."""
    covered = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    outside = max(0.0, -box[0]) + max(0.0, box[2] - PLOT[0] - 10) + max(0.0, box[3] - PLOT[1])
    return covered + outside * LINE
