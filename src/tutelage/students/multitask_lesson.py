"""What a `multitask-tagger` learns: which fields are read from spans and how, where gold's values stand in the texts.

Readings are learned: for each field the one is taken by which most of gold's values are found in their texts, the plainest
where several do. Of several places of one value those are learned whose neighbouring words speak for the field; the others
are left out of the loss, so that an amount that happens to be the total as well teaches nothing wrong.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from tutelage.answering.multitask_read import (
    LONGEST_WAIT,
    READINGS,
    Choice,
    Layout,
    Slot,
    day_comes_first,
    later,
    read,
)
from tutelage.answering.spans import Span, overlap
from tutelage.students.multitask_shape import EACH, SHAPED, shaped
from tutelage.students.multitask_words import aligned, learned_spellings
from tutelage.tasks.field import Field
from tutelage.tasks.matching import find_all
from tutelage.tasks.record import RecordTask
from tutelage.types import Labelled

CLOSED = 20
"""The most values of a field that are learned as a closed set."""

IN_TEXT = 0.95
"""A field whose values stand in their texts this often is read from there, however few values it has."""

GAIN = 0.02
"""How much more of the values a less plain reading must find."""

COUNTED = 0.5, 5
"""A date is counted from another where the days stand in this share of the texts that lack it, and in so many."""

SHOWN = 20


class Place(NamedTuple):
    """A span to learn; one that is not `sure` is left out of the loss."""

    slot: int
    span: Span
    sure: bool = True


@dataclass
class Lesson:
    """`places` of each example; `chosen` the column of each choice (-1: not known); facts for the card."""

    layout: Layout
    places: list[list[Place]]
    chosen: list[list[int]]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """The examples as the lesson needs them."""

    task: RecordTask
    texts: Sequence[str]
    values: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, task: RecordTask, examples: Sequence[Labelled]) -> Given:
        values = [one.value for one in examples if isinstance(one.value, dict)]
        return cls(task, [task.input_text(one.example.input) for one in examples], values)

    def items(self, name: str) -> Iterator[tuple[int, str, Any]]:
        """Each value of the field that is not null, of a list each item: example, text, value."""
        for at, (text, value) in enumerate(zip(self.texts, self.values, strict=True)):
            found = value.get(name)
            for one in found if isinstance(found, list) else [found]:
                if one is not None:
                    yield at, text, one


def make_lesson(task: RecordTask, examples: Sequence[Labelled]) -> Lesson:
    """What to learn from `examples`."""
    given = Given.of(task, examples)
    slots: list[Slot] = []
    choices: list[Choice] = []
    standing: dict[str, float] = {}
    for one in task.answer_fields:
        slot, standing[one.name] = _slot(given, one)
        closed = _choices(given, one, standing[one.name])
        choices += closed
        slots += [] if closed else [slot]
    slots += _counted(given, slots)
    places: list[list[Place]] = [[] for _ in examples]
    for number, slot in enumerate(slots):
        for at, found in enumerate(_places(given, slot, number)):
            places[at] += found
        slots[number] = shaped(
            slot, [(given.texts[at], one.span) for at, own in enumerate(places) for one in own if one.slot == number]
        )
    never_null = {slot.field for slot in slots if all(value.get(slot.field) is not None for value in given.values)}
    layout = Layout(tuple(slots), tuple(choices), orders(given, slots), dict.fromkeys(never_null, 0.0))
    return Lesson(layout, places, _columns(given, choices), _facts(given, layout, standing))


def spans_of(one: Field, slot: Slot, text: str, value: Any) -> list[Span]:
    """Every span of the text that reads as the value (an item of it, where the field is a list)."""
    if slot.reading == "text":
        return [Span(*span) for span in find_all(text, str(value))]
    if slot.reading == "words":
        return [span for span, _ in aligned(text, str(value), slot.spellings)]
    wanted = set(one.keys([value]))
    first = day_comes_first(text, slot.day_first) if slot.reading == "date" else True
    return [span for span, key in _keyed(one, slot.reading, text, first) if key in wanted]


def _keyed(one: Field, reading: str, text: str, day_first: bool) -> list[tuple[Span, Any]]:
    """Every span that can be read, and the key of what it says."""
    return [
        (span, key)
        for span, value in _all_read(reading, text, day_first)
        if not (settled := one.read([value] if one.listed else value)).problems
        for key in one.keys(settled.value)
    ]


@lru_cache(maxsize=20_000)
def _all_read(reading: str, text: str, day_first: bool) -> tuple[tuple[Span, Any], ...]:
    found, slot = [], Slot("", reading)
    for span in READINGS[reading].find(text):
        try:
            found.append((span, read(slot, text[span.start : span.end], day_first)))
        except ValueError:
            continue
    return tuple(found)


def _slot(given: Given, one: Field) -> tuple[Slot, float]:
    """The reading that finds most of the field's values, and the share that it finds."""
    kind, values = one.described.one, list(given.items(one.name))
    plain = Slot(one.name, "text", one.listed)
    if kind["type"] in ("number", "integer"):
        readings = [replace(plain, reading="number")]
    elif kind.get("format") == "date" or one.described.normaliser.startswith("date"):
        readings = [replace(plain, reading="date", day_first=_day_first(given, one))]
    else:
        readings = [plain, replace(plain, reading="date"), replace(plain, reading="number")]
        if not one.listed:
            spelled = learned_spellings([(text, str(value)) for _, text, value in values])
            readings.append(replace(plain, reading="words", spellings=spelled))
    best, share = readings[0], -1.0
    for slot in readings:
        found = sum(_whole(one, slot, text, value) for _, text, value in values) / max(1, len(values))
        if found > share + GAIN:
            best, share = slot, found
        if share > 1 - GAIN:
            break
    return best, max(share, 0.0)


def _whole(one: Field, slot: Slot, text: str, value: Any) -> bool:
    """Whether the value can be read from the text."""
    if slot.reading != "words":
        return bool(spans_of(one, slot, text, value))
    written = " ".join(text[span.start : span.end] for span, _ in aligned(text, str(value), slot.spellings))
    try:
        return bool(written) and one.keys(read(slot, written, True)) == one.keys(value)
    except ValueError:
        return False


def _day_first(given: Given, one: Field) -> bool:
    """Whether more of the field's values are found with the day first where the text does not say."""
    if one.described.normaliser in ("date-dmy", "date-mdy"):
        return one.described.normaliser == "date-dmy"
    found = [
        sum(
            bool(spans_of(one, Slot(one.name, "date", one.listed, day_first=first), text, value))
            for text, value in known
        )
        for first in (True, False)
        for known in [[(text, value) for _, text, value in given.items(one.name)]]
    ]
    return found[0] >= found[1]


def _choices(given: Given, one: Field, standing: float) -> list[Choice]:
    """The closed sets of a field that is not read from spans; none for one that is."""
    kind = one.described.one
    found = Counter(value for _, _, value in given.items(one.name))
    closed = kind["type"] == "boolean" or "enum" in kind
    if not closed:
        closed = (
            not one.listed and standing < IN_TEXT and 2 <= len(found) <= CLOSED and found.total() >= EACH * len(found)
        )
    if not closed or not found:
        return []
    values = sorted(found, key=str)
    if one.listed:
        return [Choice(one.name, (None, value), True) for value in values]
    absent = [None] if any(value.get(one.name) is None for value in given.values) else []
    return [Choice(one.name, (*absent, *values))]


def orders(given: Given, slots: Sequence[Slot]) -> tuple[tuple[str, str], ...]:
    """The pairs of dates, and of numbers, of which the first is never more than the second."""
    found = []
    for kind in ("date", "number"):
        names = [slot.field for slot in slots if slot.reading == kind and not slot.listed]
        for first, second in itertools.permutations(names, 2):
            pairs = [(value.get(first), value.get(second)) for value in given.values]
            known = [(a, b) for a, b in pairs if a is not None and b is not None]
            if len(known) >= SHAPED and all(a <= b for a, b in known):
                found.append((first, second))
    return tuple(found)


def _columns(given: Given, choices: Sequence[Choice]) -> list[list[int]]:
    columns = []
    for value in given.values:
        row = []
        for choice in choices:
            own = value.get(choice.field)
            if choice.listed:
                row.append(int(choice.values[1] in (own or [])))
            else:
                row.append(choice.values.index(own) if own in choice.values else -1)
        columns.append(row)
    return columns


def _counted(given: Given, slots: Sequence[Slot]) -> list[Slot]:
    """Slots of dates that are counted from another date, where the number of days stands in the texts."""
    found: list[Slot] = []
    fields = {one.name: one for one in given.task.answer_fields}
    dates = [slot for slot in slots if slot.reading == "date" and not slot.listed]
    for slot in dates:
        lacking = [
            at for at, text, value in given.items(slot.field) if not spans_of(fields[slot.field], slot, text, value)
        ]
        for other in dates:
            counted = Slot(slot.field, "days-after", of=other.field)
            n = sum(bool(_day_spans(given, counted, at)) for at in lacking)
            if other is not slot and n >= COUNTED[1] and n >= COUNTED[0] * len(lacking):
                found.append(counted)
                break
    return found


def _day_spans(given: Given, slot: Slot, at: int) -> list[Span]:
    """Where the days between the two dates of the example stand."""
    value, start = given.values[at].get(slot.field), given.values[at].get(slot.of)
    if value is None or later(start, 0) is None or later(value, 0) is None:
        return []
    days = (date.fromisoformat(str(value)) - date.fromisoformat(str(start))).days
    if not 0 < days <= LONGEST_WAIT:
        return []
    return [span for span, said in _all_read(slot.reading, given.texts[at], True) if said == days]


def _places(given: Given, slot: Slot, number: int) -> list[list[Place]]:
    """Where the slot's values stand in each text."""
    one = next(field for field in given.task.answer_fields if field.name == slot.field)
    if slot.reading == "words":
        places: list[list[Place]] = [[] for _ in given.texts]
        for at, text, value in given.items(slot.field):
            whole = _whole(one, slot, text, value)
            places[at] = [Place(number, span, whole) for span, _ in aligned(text, str(value), slot.spellings)]
        return places
    found: list[list[Span]] = [[] for _ in given.texts]
    for at, text, value in given.items(slot.field):
        spans = _day_spans(given, slot, at) if slot.of else spans_of(one, slot, text, value)
        found[at] += [span for span in spans if not any(overlap(span, other) for other in found[at])]
    cues = Cues(slot, given.texts, found)
    return [[Place(number, span, sure) for span, sure in cues.judged(at, spans)] for at, spans in enumerate(found)]


class Cues:
    """Which words stand before and behind the spans of a field, against all spans of that kind: log odds by naive Bayes,
    learned first from texts in which the value stands once."""

    def __init__(self, slot: Slot, texts: Sequence[str], found: Sequence[Sequence[Span]]) -> None:
        self.slot, self.texts = slot, texts
        self.inside, self.outside = Counter[str](), Counter[str]()
        if slot.reading not in ("text", "words"):
            for at, spans in enumerate(found):
                first = day_comes_first(texts[at], slot.day_first)
                for span, _ in _all_read(slot.reading, texts[at], first):
                    own = any(overlap(span, other) for other in spans)
                    if not own:
                        self.outside.update(cues(texts[at], span))
                    elif len(spans) == 1 and span == spans[0]:
                        self.inside.update(cues(texts[at], span))

    def judged(self, at: int, spans: Sequence[Span]) -> list[tuple[Span, bool]]:
        """Each span and whether it is surely of the field."""
        if self.slot.reading in ("text", "words") or not spans:
            return [(span, True) for span in spans]
        odds = [self.odds(self.texts[at], span) for span in spans]
        if self.slot.of:
            return [(span, one > 0) for span, one in zip(spans, odds, strict=True)]
        return [(span, one == max(odds) or one > 0) for span, one in zip(spans, odds, strict=True)]

    def odds(self, text: str, span: Span) -> float:
        inside, outside = max(1, self.inside.total()), max(1, self.outside.total())
        return sum(
            math.log((self.inside[cue] + 0.5) / inside) - math.log((self.outside[cue] + 0.5) / outside)
            for cue in cues(text, span)
            if self.inside[cue] + self.outside[cue] > 0
        )


def cues(text: str, span: Span) -> list[str]:
    """The two words before a span and the one behind it, and the first of its line; digits count as one word."""
    before = re.findall(r"[^\W\d]+|\d+|\n", text[max(0, span.start - 60) : span.start])[-2:]
    behind = re.findall(r"[^\W\d]+|\d+|\n", text[span.end : span.end + 30])[:1]
    line = re.findall(r"[^\W\d]+", text[text.rfind("\n", 0, span.start) + 1 : span.start])[:1]
    shown = [("0" if one.isdecimal() else one.casefold()) for one in (*before, *behind, *line)]
    names = [
        *(f"before {at}" for at in range(len(before), 0, -1)),
        *(["behind"] * len(behind)),
        *(["line"] * len(line)),
    ]
    return [f"{name}: {one}" for name, one in zip(names, shown, strict=True)]


def _facts(given: Given, layout: Layout, standing: Mapping[str, float]) -> dict[str, Any]:
    """How each field is learned, and the values that stand nowhere."""
    fields: dict[str, Any] = {}
    missing: list[str] = []
    for slot in layout.slots:
        one = next(field for field in given.task.answer_fields if field.name == slot.field)
        if slot.of:
            fields[slot.field]["counted_from"] = slot.of
            continue
        values = list(given.items(slot.field))
        lost = [(at, value) for at, text, value in values if not _whole(one, slot, text, value)]
        counted = next((other for other in layout.slots if other.of and other.field == slot.field), None)
        lost = [(at, value) for at, value in lost if counted is None or not _day_spans(given, counted, at)]
        fields[slot.field] = {"reading": slot.reading, "values": len(values), "in_text": round(standing[slot.field], 4)}
        fields[slot.field] |= {"not_in_text": len(lost)}
        fields[slot.field] |= {"spellings": len(slot.spellings)} if slot.spellings else {}
        missing += [f"{slot.field}: {value}" for _, value in lost]
    for choice in layout.choices:
        known = fields.setdefault(choice.field, {"reading": "closed set", "choices": 0})
        known["choices"] += 1 if choice.listed else len(choice.values)
    return {"fields": fields, "values_not_in_text": len(missing), "values_not_in_text_shown": missing[:SHOWN]}
