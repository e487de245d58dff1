"""Which labels a model considered, and how probable each was, by the alternatives to the tokens it wrote.

An endpoint that gives log probabilities can list, for each token, the most probable others. A token that another label goes on
with is where that label left the one that was written: its probability is that of all tokens before, times the token's own
among those that spell some label. Labels that go on alike share alike, since nothing was written that tells them apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

LEAST = 0.001
"""Labels that are less probable are left out."""
DIGITS = 6


class Token(Protocol):
    """A token of an answer: what it spells, and its log probability."""

    @property
    def text(self) -> str: ...
    @property
    def logprob(self) -> float: ...


class Written(NamedTuple):
    """Where in `text` an answer's label starts, the tokens that hold it, and where each of those starts."""

    text: str
    start: int
    tokens: Sequence[Token]
    starts: Sequence[int]


def considered(labels: Sequence[str], written: Written) -> dict[str, float]:
    """The probability of each label, the most probable first; they sum to 1 but for what is left out.

    {} where no alternatives are known, or where the answer is no label as it is spelled here.
    """
    quoted = written.text[max(0, written.start - 1) : written.start] == '"'
    left = {label: _spelled(label) if quoted else label for label in labels}
    if not any(_others(token) for token in written.tokens):
        return {}
    found, mass = dict.fromkeys(labels, 0.0), 1.0
    for token, start in zip(written.tokens, written.starts, strict=True):
        chosen, offered = _offered(token, max(0, written.start - start))
        fitting = {text: [label for label, rest in left.items() if _go_on(rest, text, quoted)] for text in offered}
        total = sum(p for text, p in offered.items() if fitting[text])
        if not fitting[chosen] or not total:
            return {}
        for text, p in offered.items():
            for label in fitting[text] if text != chosen else ():
                found[label] += mass * p / total / len(fitting[text])
        mass *= offered[chosen] / total
        left = {label: left[label][len(chosen) :] for label in fitting[chosen]}
        if len(left) == 1:
            break
    # What may end here has ended; else nothing was written that tells the rest apart.
    ended = [label for label, rest in left.items() if not rest] or list(left)
    for label in ended:
        found[label] += mass / len(ended)
    return probable(labels, [found[label] for label in labels])


def probable(labels: Sequence[str], probabilities: Sequence[float]) -> dict[str, float]:
    """The labels of at least LEAST, the most probable first."""
    known = [(min(1.0, round(float(p), DIGITS)), label) for p, label in zip(probabilities, labels, strict=True)]
    return {label: p for p, label in sorted(known, key=lambda one: -one[0]) if p >= LEAST}


def _spelled(label: str) -> str:
    """The rest of the JSON string after its opening quote."""
    return json.dumps(label, ensure_ascii=False)[1:]


def _others(token: Token) -> Mapping[str, float]:
    """Log probabilities of the alternatives, for tokens that know them."""
    others: Mapping[str, float] = getattr(token, "others", None) or {}
    return others


def _offered(token: Token, lead: int) -> tuple[str, dict[str, float]]:
    """What was written from character `lead` on, and the probability of it and of the alternatives that begin alike."""
    before, chosen = token.text[:lead], token.text[lead:]
    offered = {chosen: math.exp(token.logprob)}
    for text, logprob in _others(token).items():
        if text.startswith(before) and (rest := text[lead:]):
            offered.setdefault(rest, math.exp(logprob))
    return chosen, offered


def _go_on(rest: str, text: str, quoted: bool) -> bool:
    """Whether a label of which `rest` is left goes on with the token `text`, which may reach beyond a closing quote."""
    return bool(rest) and (rest.startswith(text) or text.startswith(rest) if quoted else rest.startswith(text.rstrip()))
