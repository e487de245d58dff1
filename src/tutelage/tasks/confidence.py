"""How sure a model was of its answer, by the probabilities of the tokens that say it.

The tokens counted are those of the answer's value: the characters of a string without its quotes, a number's digits, not
the braces, names and commas around them, which are nearly certain and would drown the rest. A value without characters
([], "", null) counts as what is written for it. Where tokens and text cannot be aligned, all tokens count.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tutelage.errors import AnswerError
from tutelage.tasks.base import Task
from tutelage.tasks.considered import Token, Written, considered
from tutelage.types import Value

_DECODER = json.JSONDecoder()
_OPENINGS = ("{", "[", "`")


class Span(NamedTuple):
    """Characters [start, end) of a text."""

    start: int
    end: int


class Leaf(NamedTuple):
    """A value in JSON that holds no other: the top-level property it is in ("" in a bare list), and where it stands."""

    field: str
    value: object
    span: Span


class Confidence(NamedTuple):
    """`signals`: `mean_probability` (geometric) and `min_probability` over the tokens of the value; `parts` the mean for
    each field of a record and each string of a list, and the probability of each label that was considered instead of the
    one that was chosen, where the tokens know their alternatives. All in [0, 1]; empty without tokens."""

    signals: Mapping[str, float]
    parts: Mapping[str, float]


def confidence(
    task: Task, value: Value, text: str, tokens: Sequence[Token] | None, names: Collection[str]
) -> Confidence:
    """The confidences of `value`, read from the answer `text` and its tokens; `names` are the properties of its JSON
    that hold it."""
    if not tokens:
        return Confidence({}, {})
    leaves = _leaves(text, names, plain=isinstance(value, str))
    starts = _aligned(text, tokens)
    if not leaves or starts is None:
        return Confidence(_signals([token.logprob for token in tokens]), {})
    found = [[tokens[number].logprob for number in _covering(starts, leaf.span)] for leaf in leaves]
    parts: dict[str, list[float]] = {}
    for leaf, logprobs in zip(leaves, found, strict=True):
        if (part := _part(task, value, leaf)) is not None:
            parts.setdefault(part, []).extend(logprobs)
    signals = _signals([logprob for logprobs in found for logprob in logprobs])
    if isinstance(value, str):
        return Confidence(signals, _considered(task, leaves[0], text, tokens, starts))
    return Confidence(signals, {part: _mean(logprobs) for part, logprobs in parts.items() if logprobs})


def _considered(task: Task, leaf: Leaf, text: str, tokens: Sequence[Token], starts: Sequence[int]) -> dict[str, float]:
    """The probability of each label, for a task that has some."""
    labels, (start, end) = getattr(task, "labels", ()), leaf.span
    if not labels:
        return {}
    # A closing quote tells a label from a longer one.
    numbers = _covering(starts, Span(start, end + 1) if text[end : end + 1] == '"' else leaf.span)
    return considered(labels, Written(text, start, [tokens[at] for at in numbers], [starts[at] for at in numbers]))


def _signals(logprobs: Sequence[float]) -> dict[str, float]:
    if not logprobs:
        return {}
    return {"mean_probability": _mean(logprobs), "min_probability": min(1.0, math.exp(min(logprobs)))}


def _mean(logprobs: Sequence[float]) -> float:
    return min(1.0, math.exp(sum(logprobs) / len(logprobs)))


def _part(task: Task, value: Value, leaf: Leaf) -> str | None:
    """The part of `value` that `leaf` says, None when it says none that was kept."""
    if isinstance(value, dict):
        return leaf.field if leaf.field in value else None
    if isinstance(value, str) or not isinstance(leaf.value, str):
        return None
    if leaf.value in value:
        return leaf.value
    try:
        spelled = task.canonical([leaf.value])
    except AnswerError:
        return None
    return next((kept for kept in value if kept in spelled), None)


def _aligned(text: str, tokens: Sequence[Token]) -> list[int] | None:
    """Where each token starts in `text` (the first may start before it), or None when the tokens do not spell it."""
    spelled = "".join(token.text for token in tokens)
    before = spelled.find(text)
    if before < 0:
        return None
    return [start - before for start in accumulate((len(token.text) for token in tokens[:-1]), initial=0)]


def _covering(starts: Sequence[int], span: Span) -> range:
    """Numbers of the tokens that hold a character of `span`."""
    return range(max(0, bisect_right(starts, span.start) - 1), bisect_right(starts, span.end - 1))


def _leaves(text: str, names: Collection[str], *, plain: bool) -> list[Leaf]:
    """What is said in `text`: the leaves of its JSON, of the properties `names` where it has any; else all of it.

    `plain` says that it may be no JSON at all. Empty where it ought to be JSON and is not.
    """
    leaves: list[Leaf] = []
    try:
        _value(text, min(at for at in (text.find("{"), text.find("[")) if at >= 0), "", leaves)
    except (ValueError, IndexError, RecursionError):
        leaves = []
    if named := [leaf for leaf in leaves if leaf.field in names]:
        return named
    inner = text.strip()
    if plain and not inner.startswith(_OPENINGS):
        at = text.find(inner)
        return [Leaf("", inner, Span(at, at + len(inner)))] if inner else []
    return leaves


def _value(text: str, at: int, field: str, leaves: list[Leaf]) -> int:
    """Adds the leaves of the JSON value at `at`; returns where it ends. Raises ValueError or IndexError."""
    if text[at] in "{[":
        return _inside(text, at, field, leaves)
    value, end = _DECODER.raw_decode(text, at)
    filled = isinstance(value, str) and value
    leaves.append(Leaf(field, value, Span(at + 1, end - 1) if filled else Span(at, end)))
    return end


def _inside(text: str, start: int, field: str, leaves: list[Leaf]) -> int:
    """As `_value` for an object or an array; the properties of the outermost object name the leaves."""
    closing = "}" if text[start] == "{" else "]"
    at = _next(text, start + 1)
    if text[at] == closing:
        leaves.append(Leaf(field, None, Span(start, at + 1)))
        return at + 1
    while True:
        name = field
        if closing == "}":
            key, at = _DECODER.raw_decode(text, at)
            name = field or str(key)
            at = _next(text, _after(text, _next(text, at), ":"))
        at = _next(text, _value(text, at, name, leaves))
        if text[at] == closing:
            return at + 1
        at = _next(text, _after(text, at, ","))


def _next(text: str, at: int) -> int:
    """Where the next character stands that is no white space."""
    while text[at].isspace():
        at += 1
    return at


def _after(text: str, at: int, expected: str) -> int:
    if text[at] != expected:
        raise ValueError(f"{text[at]!r} instead of {expected!r}")
    return at + 1
