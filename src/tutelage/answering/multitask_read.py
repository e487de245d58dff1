"""From a span of the text to a field's value, for records whose values stand in the text.

A *slot* is one kind of span: the field it fills and how it is read (`READINGS`). A *choice* is a field whose value is one
of a closed set and is not read from a span. Both are JSON; nothing here knows a model.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from tokenizers import Encoding

from tutelage.answering.spans import Span, Words
from tutelage.tasks import normalise
from tutelage.tasks.matching import normal

MARKS = 15
"""Kinds of atoms in `layout_marks`: three ways to write them times five ways to stand behind the one before."""

LONGEST_WAIT = 400
"""Days that a span can put between two dates."""

_PARTS = "\u00bc-\u00be\u2150-\u215e"
"""½ and its kin, which are letters to `re`."""

_LETTERS = rf"[^\W\d_{_PARTS}]+"
_DIGITS = rf"(?:\d+|[{_PARTS}])"
WORD = re.compile(
    rf"{_LETTERS}(?:['’-]{_LETTERS})*(?:(?<=s)['’](?=\s))?|\d+(?:[./,]\d+)*(?: ?[x×](?=\s|$))|{_DIGITS}(?:[–-]{_DIGITS})+"
    rf"|\d+(?:[./,]\d+)*(?:[–-]\d+(?:[./,]\d+)*)?|[{_PARTS}]|[^\w\s]|_|\S"
)
"""A word, a number ("1/2", "2-3", "4 x"), or a mark."""

_NUMBERS = re.compile(r"(?<!\d)(?<!\d[.,'])(?:\d+(?:[.,'’ \u00a0\u202f]\d+)*(?:/\d+)?)(?!\d)")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATES = re.compile(
    rf"(?<![\d./-])(?:\d{{1,4}}(?P<by>[./-])\d{{1,2}}(?P=by)(?:\d{{4}}|\d{{1,2}})"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?[ .-]+(?:of )?{_MONTH}[ .,-]+(?:\d{{4}}|\d{{2}})"
    rf"|{_MONTH}[ -]\d{{1,2}}(?:st|nd|rd|th)?[ ,-]+(?:\d{{4}}|\d{{2}}))(?![\d])",
    re.IGNORECASE,
)
_SLASHED = re.compile(r"\s*(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\s*")
_LEGEND = re.compile(r"\b(?:(d{1,2})[./-]m{1,2}|m{1,2}[./-]d{1,2})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Slot:
    """One kind of span. `of` names the field with the date that `days-after` counts from; `day_first` says how 03/04/2026
    is read where the text does not; `spellings` maps a word of the text to the value's word. Texts whose spans are all
    whole, from one space to another but for marks, have at most `words` words (0: any span may be one), and `digits` says
    whether all ("all") or none ("none") of the spans have digits; `ends` are the last words that all have where they are
    few ("Ltd", "S.A."), normalised; where the word of a span stands elsewhere in the text too, its odds are multiplied by
    `recurs`."""

    field: str
    reading: str
    listed: bool = False
    of: str = ""
    day_first: bool = True
    spellings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    words: int = 0
    digits: str = ""
    ends: tuple[str, ...] = ()
    recurs: float = 1.0


@dataclass(frozen=True)
class Choice:
    """A field with one of `values` (None: absent). With `listed` the field is a list that holds `values[1]` or does not."""

    field: str
    values: tuple[Any, ...]
    listed: bool = False


@dataclass(frozen=True)
class Layout:
    """What the columns of a model's output are: O, then B and I of each slot, then the values of each choice."""

    slots: tuple[Slot, ...] = ()
    choices: tuple[Choice, ...] = ()
    orders: tuple[tuple[str, str], ...] = ()
    """Pairs of fields whose first is never more (later) than the second."""
    floors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """What the probability of a field's value has to exceed, else the field is null; without one see `multitask.UNSURE`."""

    @property
    def tags(self) -> int:
        return 1 + 2 * len(self.slots)

    @property
    def groups(self) -> list[int]:
        return [len(choice.values) for choice in self.choices]

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Layout:
        choices = (Choice(one["field"], tuple(one["values"]), one["listed"]) for one in facts["choices"])
        orders = tuple((first, second) for first, second in facts["orders"])
        slots = (Slot(**one | {"ends": tuple(one.get("ends", ()))}) for one in facts["slots"])
        return cls(tuple(slots), tuple(choices), orders, facts["floors"])


class Reader(NamedTuple):
    """How a reading finds spans that it can read, and reads one (ValueError where it cannot)."""

    read: Callable[[Slot, str, bool], Any]
    find: Callable[[str], Iterator[Span]]


def read(slot: Slot, written: str, day_first: bool) -> Any:
    """What the span's text `written` says. Raises ValueError where it says nothing of the kind."""
    return READINGS[slot.reading].read(slot, written, day_first)


def later(day: Any, days: int) -> str | None:
    """The ISO date `days` after the ISO date `day`."""
    with suppress(ValueError, TypeError, OverflowError):
        return str(date.fromisoformat(str(day)) + timedelta(days))
    return None


def day_comes_first(text: str, otherwise: bool) -> bool:
    """Whether 03/04/2026 is the third of April in this text: by a legend (DD/MM), by another date that can be read in one
    way alone, or `otherwise`."""
    if legend := _LEGEND.search(text):
        return legend[1] is not None
    for one in _SLASHED.finditer(text):
        if max(first := int(one[1]), second := int(one[2])) > 12 and min(first, second) <= 12:
            return first > 12
    return otherwise


def _text(_slot: Slot, written: str, _day_first: bool) -> str:
    if not (found := " ".join(written.split())):
        raise ValueError("is blank")
    return found


def _words(slot: Slot, written: str, _day_first: bool) -> str:
    return _text(slot, " ".join(spelled(one, slot.spellings) for one in words_in(written)), True)


def words_in(text: str) -> list[str]:
    """The words and numbers of a text, without marks."""
    return [one for one in WORD.findall(text) if one[0].isalnum()]


def spelled(word: str, spellings: Mapping[str, str]) -> str:
    """A word of the text as the value has it: as learned, else "4 x" is "4x" and "½" is "1/2"."""
    if (known := spellings.get(normal(word))) is not None:
        return known
    word = word.replace(" ", "")
    return unicodedata.normalize("NFKC", word).replace("⁄", "/") if word[0].isnumeric() else word


def _number(_slot: Slot, written: str, _day_first: bool) -> Any:
    try:
        return normalise.number(written)
    except ValueError:
        # In running text "1.234" has three digits behind a full stop by far most often because it is 1234.
        return normalise.number(written.replace(".", "")) if re.search(r"\d\.\d{3}$", written) else _raised(written)


def _date(_slot: Slot, written: str, day_first: bool) -> Any:
    if _SLASHED.fullmatch(written):
        return (normalise.date_dmy if day_first else normalise.date_mdy)(written)
    return normalise.date(written)


def _days(_slot: Slot, written: str, _day_first: bool) -> int:
    if not written.isdecimal() or not 0 < int(written) <= LONGEST_WAIT:
        raise ValueError("is no number of days")
    return int(written)


def _raised(written: str) -> Any:
    raise ValueError(f"{written!r} is not a number")


def _find_numbers(text: str) -> Iterator[Span]:
    """Each number; of numbers with single spaces between them every run, since a space may group digits."""
    for run in _NUMBERS.finditer(text):
        parts = [(run.start() + one.start(), run.start() + one.end()) for one in re.finditer(r"\S+", run.group())]
        for first in range(len(parts)):
            for last in range(first, min(len(parts), first + 4)):
                yield Span(parts[first][0], parts[last][1])


def _find_dates(text: str) -> Iterator[Span]:
    return (Span(*found.span()) for found in _DATES.finditer(text))


def _find_days(text: str) -> Iterator[Span]:
    return (Span(*found.span()) for found in re.finditer(r"(?<![\w.,/])\d{1,3}(?![.,/]?\w)", text))


def _find_none(_text: str) -> Iterator[Span]:
    return iter(())


_ALNUM = re.compile(r"[^\W_]+")
_CHUNK = re.compile(r"\S+")
_OUTER = "*|>#<()[]{}\"'“”‘’.,;:!?-–—=_"
"""Marks that stand at a word's ends without being of it."""

_GLUE = re.compile(r"(?<=\S)(?:[=:;,*|<>\"(){}\[\]#]+|(?<=[^\W\d])\.(?=\d))(?=\S)")
"""Marks inside of what has no space, at which a value may begin or end ("No.17", "number=17", "<no>17</no>")."""


def chunks(slot: Slot, text: str) -> Iterator[Span]:
    """Each run of at most `slot.words` words of a line, with and without marks at its ends, that has digits or none as
    the slot wants."""
    for line in re.finditer(r"[^\n]+", text):
        words = [_ends(line.start() + one.start(), one.group()) for one in _CHUNK.finditer(line.group())]
        for first in range(len(words)):
            for last in range(first, min(len(words), first + slot.words)):
                if last > first and text[words[last - 1][1][-1] : words[last][0][0]] != " ":
                    break  # a gap in the line ends what is written before it
                for start in words[first][0]:
                    for end in words[last][1]:
                        yield from _inner(slot, text, start, end)


def _ends(start: int, word: str) -> tuple[list[int], list[int]]:
    """Where a value can begin in a word that starts there, and where it can end; the whole word's are first and last."""
    glue = [] if word.isalnum() else list(_GLUE.finditer(word))
    starts = [start, *(start + one.end() for one in glue)]
    return starts, [*(start + one.start() for one in glue), start + len(word)]


def _inner(slot: Slot, text: str, start: int, end: int) -> Iterator[Span]:
    """What stands from `start` to `end` without the marks around it, and with its full stop, where it fits the slot."""
    inner = text[start:end].strip(_OUTER + " ")
    if not inner or (slot.digits and any(map(str.isdecimal, inner)) != (slot.digits == "all")):
        return
    start = text.index(inner, start)
    for stop in {start + len(inner), *([end] if text[end - 1] == "." else [])}:
        yield Span(start, stop)


def ends_as_known(slot: Slot, written: str) -> bool:
    """Whether the last word is one of `slot.ends`, where there are any."""
    return not slot.ends or normal(written.split()[-1]) in slot.ends


def word_counts(text: str) -> Counter[str]:
    """How often each word of letters and digits stands in the text."""
    return Counter(_ALNUM.findall(text.casefold()))


def recurring(written: str, counts: Mapping[str, int]) -> bool:
    """Whether the first word of four characters or more (else the first) stands more than once in the text."""
    words = _ALNUM.findall(written.casefold())
    word = next((one for one in words if len(one) >= 4), words[0] if words else "")
    return counts.get(word, 0) > 1


READINGS = {
    "text": Reader(_text, _find_none),
    "words": Reader(_words, _find_none),
    "number": Reader(_number, _find_numbers),
    "date": Reader(_date, _find_dates),
    "days-after": Reader(_days, _find_days),
}


def atoms_of(encoding: Encoding, text: str) -> Words:
    """Runs of letters, of digits, or single marks, as far as the tokenizer's pieces allow: "€644" is two, "10g" too."""
    first: list[int] = []
    spans: list[Span] = []
    before = None
    for at, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if word is None or start == end:
            before = None
            continue
        begin = min(start + len(text[start:end]) - len(text[start:end].lstrip()), end - 1)
        if word == before and _kind(text[begin]) == _kind(text[spans[-1].end - 1]) != "mark":
            spans[-1] = Span(spans[-1].start, end)
        else:
            first.append(at)
            spans.append(Span(begin, end))
        before = word
    return Words(first, spans)


def _kind(letter: str) -> str:
    return "letter" if letter.isalpha() else "digit" if letter.isdecimal() else "mark"


def layout_marks(encoding: Encoding, atoms: Words, text: str) -> list[int]:
    """For each piece how its atom is written (see `spans.case_marks`) and how it stands behind the one before: glued, after
    a space, after a gap, on a new line, after a blank line. Tokenizers drop all of that, and layouts are made of it."""
    marks, before = [0] * len(encoding), 0
    ends = [*atoms.first[1:], len(marks)]
    for number, ((start, end), first) in enumerate(zip(atoms.spans, atoms.first, strict=True)):
        case = (2 if end - start > 1 and text[start:end].isupper() else 1) if text[start].isupper() else 0
        gap = text[before:start] if number else "\n\n"
        lines = gap.count("\n")
        stands = 4 if lines > 1 else 3 if lines else 2 if len(gap) > 1 or gap == "\t" else len(gap)
        for at in range(first, ends[number]):
            marks[at] = 0 if encoding.special_tokens_mask[at] else case + 3 * stands
        before = end
    return marks
