"""Values that are put together from words of the text: which word of the text each word of a value is.

"250g/9oz carrots, grated" has quantity "250 9", unit "g oz": words in order, not next to one another. Where a value's word
is spelled otherwise in the text ("leaf" for "leaves", "1/2" for "½"), the pair is learned from train.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tutelage.answering.multitask_read import WORD, spelled, words_in
from tutelage.answering.spans import Span
from tutelage.tasks.matching import normal

TWICE = 2
"""How often a spelling is seen before it is learned."""

HALF = 0.5
"""How often the text's word, where it is not itself in the value, must come with the value's word."""

MOSTLY = 0.6
"""How much of the value's word's occurrences the spelling must explain, where the two are not written alike."""


def aligned(text: str, value: str, spellings: Mapping[str, str]) -> list[tuple[Span, str]]:
    """The words of the text that spell the words of the value in order, as close together as they come.

    Words of the value that are not found are left out.
    """
    wanted = [normal(one) for one in words_in(value)]
    there = [(Span(*one.span()), normal(spelled(one.group(), spellings))) for one in WORD.finditer(text)]
    known = {word for _, word in there}
    wanted = [word for word in wanted if word in known]
    best: list[int] = []
    for start, (_, word) in enumerate(there):
        if wanted and word == wanted[0]:
            path = _path([one for _, one in there], wanted, start)
            if path and (not best or (path[-1] - path[0]) < best[-1] - best[0]):
                best = path
    if not best and wanted:  # not in this order: the first place of each
        left = Counter(wanted)
        for at, (_, word) in enumerate(there):
            if left[word] > 0:
                left[word] -= 1
                best.append(at)
    return [there[at] for at in best]


def _path(there: Sequence[str], wanted: Sequence[str], start: int) -> list[int]:
    path, at = [start], start
    for word in wanted[1:]:
        at = next((later for later in range(at + 1, len(there)) if there[later] == word), -1)
        if at < 0:
            return []
        path.append(at)
    return path


def learned_spellings(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Text's word -> value's word, from texts and values: words of the values that are missing from the text, with those
    words of the text that are in no value of the field."""
    together: dict[str, Counter[str]] = defaultdict(Counter)
    missing: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    occurs: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for text, value in pairs:
        there = Counter(normal(one) for one in words_in(text))
        own = Counter(normal(one) for one in words_in(value))
        shown |= {normal(one): one for one in words_in(value)}
        occurs.update(set(there))
        plain.update(set(there & own))
        for word in set(own - there):
            missing[word] += 1
            for other in set(there - own):
                together[word][other] += 1
    spellings: dict[str, str] = {}
    for word, others in together.items():
        often = [
            other
            for other, n in others.most_common()
            if n >= TWICE and n > plain[other] and n >= HALF * (occurs[other] - plain[other])
        ]
        alike = [other for other in often if _alike(word, other)]
        for other in alike or [other for other in often[:1] if others[other] >= MOSTLY * missing[word]]:
            spellings.setdefault(other, shown[word])
    return spellings


def _alike(a: str, b: str) -> bool:
    """Whether one may be a form of the other: the same digits, or the same beginning as far as all but the last letters."""
    digits = [[one for one in word if one.isdecimal()] for word in (a, b)]
    if digits[0] or digits[1]:
        return digits[0] == digits[1]
    shared = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return (
        a.isalpha() and b.isalpha() and shared >= 2 and shared >= min(len(a), len(b)) - 2 and abs(len(a) - len(b)) <= 3
    )
