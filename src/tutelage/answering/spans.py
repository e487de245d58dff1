"""From lists of strings to tags on words, and back.

A tokenizer's words are tagged B (first word of a string), I (a further word) or O; the tag of a word is that of its
first piece. Nothing here knows a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from tutelage.tasks import Task
from tutelage.tasks.matching import find_all, normal
from tutelage.types import Input

O, B, I = 0, 1, 2
TAGS = ("O", "B", "I")
NO_TAG = -100
"""Target of pieces that are not learned from, as PyTorch's cross entropy has it."""

Merge: TypeAlias = Literal["none", "contained"]
"""What becomes of a string whose words stand inside a longer string of the same answer: it stays, or it goes."""

MERGES: tuple[Merge, ...] = ("none", "contained")


CASES = 3
"""Kinds of words in `case_marks`: anything else, Capitalised, CAPITALS."""


class Span(NamedTuple):
    """Characters [start, end) of the text."""

    start: int
    end: int


class Projection(NamedTuple):
    """Where the strings stand in the text, in order; and those that stand nowhere in it."""

    spans: list[Span]
    missing: list[str]


def field_spans(task: Task, input: Input) -> list[Span]:
    """Where the fields' own texts stand in `task.input_text(input)`; strings may only come from there."""
    spans, position = [], 0
    for field in task.fields:
        # As input_text writes it: the bare text of an only field, else "field: text" paragraphs.
        position += 0 if len(task.fields) == 1 else len(field) + 2
        spans.append(Span(position, position + len(input[field])))
        position += len(input[field]) + 2
    return spans


def project(text: str, fields: Sequence[Span], strings: Sequence[str]) -> Projection:
    """Every whole-word occurrence of each string inside a field, longest string first, none overlapping another."""
    taken: list[Span] = []
    missing = []
    for string in sorted(strings, key=len, reverse=True):
        places = [
            Span(field.start + start, field.start + end)
            for field in fields
            for start, end in find_all(text[field.start : field.end], string)
        ]
        if not places:
            missing.append(string)
        taken += [place for place in places if not any(overlap(place, other) for other in taken)]
    return Projection(sorted(taken), [string for string in strings if string in missing])


def short_forms(string: str) -> list[str]:
    """The parts of a name that could stand for it: runs of its words that begin and end with a capitalised word.

    "Patty the Polite Parrot" has "Patty", "Polite", "Parrot", "Polite Parrot", "Patty the Polite". A lone word with a
    full stop ("Mr.") is none.
    """
    words = string.split()
    runs = [words[a:b] for a in range(len(words)) for b in range(a + 1, len(words) + 1) if b - a < len(words)]
    return [
        " ".join(run)
        for run in runs
        if run[0][0].isupper() and run[-1][0].isupper() and not (len(run) == 1 and run[0].endswith("."))
    ]


def project_short(text: str, fields: Sequence[Span], strings: Sequence[str], taken: Sequence[Span]) -> list[Span]:
    """Where short forms of the strings stand outside the spans `taken`, spelt exactly so; longest first, no overlaps."""
    found: list[Span] = []
    for form in sorted({form for string in strings for form in short_forms(string)}, key=lambda f: (-len(f), f)):
        pattern = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, form.split())) + r"(?!\w)")
        for field in fields:
            for match in pattern.finditer(text, field.start, field.end):
                place = Span(*match.span())
                if not any(overlap(place, other) for other in (*taken, *found)):
                    found.append(place)
    return sorted(found)


def one_entry_each(short: Sequence[int], lists: Sequence[Sequence[str]]) -> bool:
    """Whether the labels hold one entry, the longest form, for each bearer of a name, and no entry for its short forms.

    `short` counts in each example the short forms that stand alone in the text and are not in its list. They must
    outnumber the entries that are short forms of another entry of their list four to one (measured: lists of one entry
    for each character 12 to 1 and 78 to 0; lists of all entity mentions, four data sets, at most 1.2 to 1).
    """
    listed = sum(len(strings) - len(merge_contained(strings)) for strings in lists)
    return sum(short) >= 3 and listed * 4 <= sum(short)


def overlap(a: Span, b: Span) -> bool:
    return a.start < b.end and b.start < a.end


class Words(NamedTuple):
    """The words of an encoded text: the number of each one's first piece, and its characters."""

    first: list[int]
    spans: list[Span]


def words_of(encoding: Encoding, text: str) -> Words:
    """The tokenizer's words in order, special tokens left out; white space at a word's start is not part of it."""
    first: list[int] = []
    spans: list[Span] = []
    before = None
    for at, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if word is None or start == end:
            before = None
            continue
        if word == before:
            spans[-1] = Span(spans[-1].start, end)
        else:
            lead = len(text[start:end]) - len(text[start:end].lstrip())
            first.append(at)
            spans.append(Span(min(start + lead, end), end))
        before = word
    return Words(first, spans)


def case_marks(encoding: Encoding, words: Words, text: str) -> list[int]:
    """For each piece how its word is written: 2 in capitals (two or more), 1 with a capital first, else 0."""
    marks = [0] * len(encoding)
    mask = encoding.special_tokens_mask
    for number, ((start, end), first) in enumerate(zip(words.spans, words.first, strict=True)):
        if text[start].isupper():
            mark = 2 if end - start > 1 and text[start:end].isupper() else 1
            after = words.first[number + 1] if number + 1 < len(words.first) else len(marks)
            marks[first:after] = [0 if mask[at] else mark for at in range(first, after)]
    return marks


def tag_words(words: Words, spans: Sequence[Span]) -> NDArray[np.int64]:
    """The tag of each word, shape (words,): B for a span's first word, I for its others, O outside. `spans` ascend."""
    tags = np.full(len(words.spans), O, np.int64)
    at, before = 0, None
    for number, word in enumerate(words.spans):
        while at < len(spans) and spans[at].end <= word.start:
            at += 1
        if at < len(spans) and overlap(word, spans[at]):
            tags[number] = I if before == at else B
            before = at
    return tags


def piece_targets(encoding: Encoding, words: Words, tags: NDArray[np.int64]) -> NDArray[np.int64]:
    """The target of each piece, shape (pieces,): its word's tag on first pieces, NO_TAG elsewhere."""
    targets = np.full(len(encoding), NO_TAG, np.int64)
    targets[words.first] = tags
    return targets


def decode(words: Words, tags: NDArray[np.int64], fields: Sequence[Span]) -> list[Span]:
    """Spans from tags (words,), in order. An I after an O begins a span; a field's edge ends one."""
    found: list[Span] = []
    before, home = -1, -1
    for at in np.flatnonzero(tags).tolist():
        word = words.spans[at]
        field = next((n for n, f in enumerate(fields) if f.start <= word.start and word.end <= f.end), -1)
        if field < 0:
            continue
        if tags[at] == I and before == at - 1 and home == field:
            found[-1] = Span(found[-1].start, word.end)
        else:
            found.append(word)
        before, home = at, field
    return found


def merge_contained(strings: Sequence[str]) -> list[str]:
    """Without the strings whose words stand, in one piece, inside a longer string: one entry for one bearer."""
    kept = [normal(string).split() for string in strings]
    return [
        string
        for string, words in zip(strings, kept, strict=True)
        if not any(len(words) < len(other) and _inside(words, other) for other in kept)
    ]


def _inside(words: Sequence[str], longer: Sequence[str]) -> bool:
    return any(longer[at : at + len(words)] == words for at in range(len(longer) - len(words) + 1))
