"""Answers side by side, part by part: what of each is not in all of the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from tutelage.evaluation.marking import written
from tutelage.tasks import Task
from tutelage.types import Value, canonical_json

LONGEST = 1500
"""Words and signs of a text up to which its differences are looked for: the search takes time with the square of it."""
ALIKE = 0.4
"""The share of words and signs that two texts must have in common for their differences to be worth marking."""
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


class Part(NamedTuple):
    text: str
    differs: bool


class Line(NamedTuple):
    """A field of a record by name, or with the name "" the whole answer; a `listed` line's parts are strings of a list."""

    name: str
    parts: tuple[Part, ...]
    listed: bool = False


def side_by_side(task: Task, values: Sequence[Value]) -> list[list[Line]]:
    """The lines of each answer. Of two texts that have enough in common the words that differ are marked, of a label nothing."""
    if all(isinstance(value, dict) for value in values):
        return _records(task, [value for value in values if isinstance(value, dict)])
    if all(isinstance(value, list) for value in values):
        lists = [value for value in values if isinstance(value, list)]
        return [[Line("", _items(one, lists), True)] for one in lists]
    texts = [written(value) for value in values]
    if task.output == "text" and len(texts) == 2:
        return [[Line("", parts)] for parts in _words(texts[0], texts[1])]
    return [[Line("", (Part(text, False),))] for text in texts]


def _records(task: Task, records: Sequence[dict[str, Any]]) -> list[list[Line]]:
    known = [field.name for field in getattr(task, "answer_fields", ())]
    names = list(dict.fromkeys([*known, *(name for record in records for name in record)]))
    found: list[list[Line]] = [[] for _ in records]
    for name in names:
        values = [record.get(name) for record in records]
        same = len({canonical_json(value) for value in values}) == 1
        for lines, value in zip(found, values, strict=True):
            if isinstance(value, list) and all(isinstance(other, list) for other in values):
                lines.append(Line(name, _items(value, values), True))
            else:
                lines.append(Line(name, (Part("–" if value is None else written(value), not same),)))
    return found


def _items(value: Sequence[Any], all_of_them: Sequence[Any]) -> tuple[Part, ...]:
    keys = [{canonical_json(item) for item in one} for one in all_of_them]
    return tuple(Part(written(item), not all(canonical_json(item) in one for one in keys)) for item in value)


def _words(a: str, b: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    ours, theirs = _WORD.findall(a), _WORD.findall(b)
    if max(len(ours), len(theirs)) > LONGEST:
        return (Part(a, False),), (Part(b, False),)
    left, right = list[Part](), list[Part]()
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    if matcher.ratio() < ALIKE:
        return (Part(a, False),), (Part(b, False),)
    for differs, i, j, k, l in _runs(matcher, ours):
        if i < j:
            left.append(Part("".join(ours[i:j]), differs))
        if k < l:
            right.append(Part("".join(theirs[k:l]), differs))
    return tuple(left), tuple(right)


def _runs(matcher: SequenceMatcher[str], ours: Sequence[str]) -> list[tuple[bool, int, int, int, int]]:
    """What differs and what does not, in turn: (differs, from and to in ours, from and to in theirs). A single word that both
    have between two differences is counted among them: it says little, and many small marks cannot be read."""
    found: list[tuple[bool, int, int, int, int]] = []
    codes = matcher.get_opcodes()
    for at, (tag, i, j, k, l) in enumerate(codes):
        words = sum(one[0].isalnum() for one in ours[i:j])
        differs = tag != "equal" or (words < 2 and 0 < at < len(codes) - 1)
        if found and found[-1][0] == differs:
            i, k = found[-1][1], found[-1][3]
            found.pop()
        found.append((differs, i, j, k, l))
    return found
