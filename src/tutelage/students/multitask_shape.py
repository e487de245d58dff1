"""What the spans of a text field have in common in train: so many whole words, digits, last words, that they recur."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from tutelage.answering.multitask_read import Slot, chunks, ends_as_known, recurring, word_counts
from tutelage.answering.spans import Span, overlap
from tutelage.tasks.matching import normal

EACH = 5
"""How often each of few values, or of few last words, occurs on average, at least."""

SHAPED, WHOLE = 20, 0.98
"""So many spans are enough to say what they have in common; so many of them are whole words."""

MOST = 3.0
"""The most that recurring changes the odds: more was no better in new layouts (measured)."""


def shaped(slot: Slot, spans: Sequence[tuple[str, Span]]) -> Slot:
    """The slot with what all its spans have in common, where there are enough: whole words, and digits or none."""
    if slot.reading != "text" or len(spans) < SHAPED:
        return slot
    texts = [text[span.start : span.end] for text, span in spans]
    digits = sum(any(map(str.isdecimal, one)) for one in texts) / len(texts)
    most = max(len(one.split()) for one in texts)
    shape = replace(slot, words=most, digits="all" if digits == 1 else "none" if digits == 0 else "")
    whole = sum(span in set(chunks(shape, text)) for text, span in spans) / len(spans)
    shape = replace(shape if whole >= WHOLE else slot, ends=endings(texts))
    return replace(shape, recurs=recurrence(shape, spans)) if shape.words else shape


def endings(values: Sequence[str]) -> tuple[str, ...]:
    """The last words of the values, where a few end nearly all of many different ones: "Ltd", "GmbH"."""
    different = sorted({normal(one) for one in values})
    last = Counter(one.split()[-1] for one in different)
    often = sorted(word for word, n in last.items() if n >= EACH)
    return tuple(often) if often and sum(last[word] for word in often) >= WHOLE * len(different) else ()


def recurrence(slot: Slot, spans: Sequence[tuple[str, Span]]) -> float:
    """The odds that a value's word stands elsewhere in its text too, against those of the other spans of the slot's shape.

    Whoever writes a text is named in its head, its signature and an address; another name of the same kind is not.
    """
    own: dict[str, list[Span]] = defaultdict(list)
    for text, span in spans:
        own[text].append(span)
    seen = {True: [0.5, 0.5], False: [0.5, 0.5]}
    for text, mine in own.items():
        counts = word_counts(text)
        words = {text[span.start : span.end]: True for span in mine}
        for span in chunks(slot, text):
            written = text[span.start : span.end]
            if ends_as_known(slot, written) and not any(overlap(span, other) for other in mine):
                words.setdefault(written, False)
        for written, right in words.items():
            seen[right][recurring(written, counts)] += 1
    odds = seen[True][1] / seen[True][0] / (seen[False][1] / seen[False][0])
    return round(min(MOST, max(1 / MOST, odds)), 4)
