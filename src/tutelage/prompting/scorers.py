"""Scorers: how good an answer looks from the outside, in [0, 1]; best-of-n takes the draw with the highest score.

A scorer is a function of the task, the input and the answer. Other packages add rows through the entry-point group
`tutelage.scorers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from tutelage.registry import Table
from tutelage.tasks import Task
from tutelage.tasks.matching import find
from tutelage.tasks.normalise import Key, number
from tutelage.types import Input, Value

Scorer: TypeAlias = Callable[[Task, Input, Value], float]

SCORERS = Table(
    "scorers",
    "scorer",
    {
        "grounded": "tutelage.prompting.scorers:grounded",
        "shorter": "tutelage.prompting.scorers:shorter",
    },
)


def grounded(task: Task, input: Input, value: Value) -> float:
    """The share of the answer's strings and numbers that occur in the input; 1 for an answer without any.

    A string occurs as whole words, a number in any spelling ("12.50", "1.651,15").
    """
    text = "\n".join(input[field] for field in task.fields)
    numbers = {_number(word) for word in re.findall(r"[-+]?\d[\d.,']*(?<=\d)", text)}
    leaves = list(_leaves(value))
    found = [find(text, leaf) is not None if isinstance(leaf, str) else leaf in numbers for leaf in leaves]
    return sum(found) / len(found) if found else 1.0


def shorter(task: Task, input: Input, value: Value) -> float:
    """1 / (1 + n) for an answer that is written with n characters: the shortest answer wins."""
    return 1 / (1 + len(value if isinstance(value, str) else task.render(value)))


def _number(word: str) -> Key | None:
    try:
        return number(word)
    except ValueError:
        return None


def _leaves(value: Any) -> Iterator[str | float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value is not None and not isinstance(value, bool) and str(value).strip():
        yield value
