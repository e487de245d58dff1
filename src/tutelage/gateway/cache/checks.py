"""Why two questions may deserve different answers however near their vectors are: cheap checks, made to refuse.

Sentence vectors hardly see a changed number or name, a "not", or who does what to whom. Each check compares what the words
themselves say; one that differs is enough to refuse. English in part (negation, contrasts, function words), the others
in any language with capitals or digits. What they refuse wrongly costs a call; `stats.refused` counts by reason.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*|[^\W_]+(?:[-'’._@/:+#][^\W_]+)*[+#]*|[.?!\n]")
_ENDS = frozenset(".?!\n")
_TITLES = frozenset({"prof", "professor", "dr", "doctor", "mr", "mrs", "ms", "sir", "i", "i'm", "i'd", "i'll", "i've"})
_SPELT = "two three four five six seven eight nine ten eleven twelve"
_ALIKE = {word: str(number) for number, word in enumerate(_SPELT.split(), 2)} | {"whom": "who", "n't": "not"}
_NEGATIONS = _words(
    "not no never without none neither nor cannot except excluding nothing nobody nowhere unless hardly isn't aren't"
    " wasn't weren't don't doesn't didn't can't couldn't won't wouldn't shouldn't haven't hasn't hadn't"
)
_QUESTIONS = _words("who whose when where why how")
_CONTRASTS = [
    (pair.partition("/")[0], pair.partition("/")[2])
    for pair in _words(
        "before/after more/less more/fewer most/least easier/harder easiest/hardest easy/hard upper/lower higher/lower"
        " highest/lowest earliest/latest earlier/later first/last minimum/maximum min/max increase/decrease above/below"
        " over/under start/end begin/end morning/evening and/or buy/sell open/close enable/disable add/remove"
        " cheap/expensive cheapest/dearest best/worst best/cheapest smallest/largest shortest/longest in/out on/off"
        " credit/debit import/export allow/forbid male/female left/right true/false ascending/descending"
    )
]
_FUNCTION_WORDS = _words(
    "a an the of for in on at to from by with as is are was were be been am do does did will would shall should can could"
    " may might must have has had i me my you your we our us they them their he she it its this that these those there"
    " which what who whom whose when where why how any some all please and or so if then than also too just s d m ll ve re"
    " tell know like want need give show list find get let's lets"
)
_WORDS_ALIGNED = 300
"""Longer texts are not aligned word by word; they seldom are one another's wording."""


class Words(NamedTuple):
    """A text's words in lower case, its numbers in order, and its names (lower case) with their writing's kind."""

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    names: dict[str, str]


def read_words(text: str) -> Words:
    """The parts that the checks compare. A capitalised word that begins a sentence is no name, unless it has more capitals."""
    words: list[str] = []
    numbers: list[str] = []
    names: dict[str, str] = {}
    start = True
    for token in _TOKEN.findall(text.replace("’", "'")):
        if token in _ENDS:
            start = True
            continue
        lower = token.lower()
        word = _ALIKE.get(lower, lower)
        words.append(word)
        if word[0].isdigit() and not any(char.isalpha() for char in word):
            numbers.append(word)
        elif lower not in _TITLES and _is_name(token, start):
            names[lower] = "AA" if token.isupper() else "Aa"
        start = False
    return Words(tuple(words), tuple(numbers), names)


def difference(a: Words, b: Words) -> str | None:
    """Why the answer to one may not serve the other: "numbers", "names", "negation", ..., or None."""
    if sorted(a.numbers) != sorted(b.numbers):
        return "numbers"
    in_a, in_b = set(a.words), set(b.words)
    if not (a.names.keys() <= in_b and b.names.keys() <= in_a):
        return "names"
    if bool(in_a & _NEGATIONS) != bool(in_b & _NEGATIONS):
        return "negation"
    if _ordered(a, a.names | b.names) != _ordered(b, a.names | b.names):
        return "order"
    asked_a, asked_b = in_a & _QUESTIONS, in_b & _QUESTIONS
    if asked_a and asked_b and asked_a != asked_b:
        return "question"
    if any(_opposed(in_a, in_b, one, other) for one, other in _CONTRASTS):
        return "contrast"
    return _rewording(a.words, b.words)


def _is_name(token: str, start: bool) -> bool:
    """Capitals, or letters and digits mixed: "Mars", "iPhone", "ULCS", "utf-8", "python3", "a_b@c"."""
    if any(char.isdigit() for char in token):
        return True
    return any(char.isupper() for char in (token[1:] if start else token))


def _ordered(text: Words, names: dict[str, str]) -> dict[str, list[str]]:
    """Names and numbers in order, by kind: those of different kinds ("Spring", "2026") cannot have changed places."""
    kinds: dict[str, list[str]] = {}
    for word in text.words:
        if word in names:
            kinds.setdefault(names[word], []).append(word)
        elif word[0].isdigit():
            kinds.setdefault(f"{len(word)} digits", []).append(word)
    return {kind: list(dict.fromkeys(found)) for kind, found in kinds.items()}


def _opposed(in_a: set[str], in_b: set[str], one: str, other: str) -> bool:
    only_a, only_b = in_a - in_b, in_b - in_a
    return (one in only_a and other in only_b) or (other in only_a and one in only_b)


def _rewording(a: tuple[str, ...], b: tuple[str, ...]) -> str | None:
    """One wording with one place changed changes what is asked: "hardware courses", "theory courses"; and so do the same
    words in another order."""
    if a != b and sorted(a) == sorted(b):
        return "order"
    if max(len(a), len(b)) > _WORDS_ALIGNED:
        return None
    changes = [op for op in SequenceMatcher(None, a, b, autojunk=False).get_opcodes() if op[0] != "equal"]
    if len(changes) != 1:
        return None
    _, a_from, a_to, b_from, b_to = changes[0]
    content = [word for word in (*a[a_from:a_to], *b[b_from:b_to]) if word not in _FUNCTION_WORDS]
    # Where little is left in common, it is not one wording.
    unchanged = len(a) - (a_to - a_from)
    return "wording" if content and unchanged > max(a_to - a_from, b_to - b_from) else None
