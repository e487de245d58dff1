"""Layouts mixed: copies of train's texts with the cues, lines and paragraphs of others, so that new layouts surprise less.

A *cue* is what stands in a line before the first span of a field ("Invoice No.:    "). A copy has some of its cues replaced
by those that other texts have for the same field, the lines of a list of fields in another order, sometimes two paragraphs
changed about. Values stay where their text is, so that the copy's label is the example's own.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.answering.multitask_read import Layout
from tutelage.answering.spans import Span
from tutelage.students.multitask_lesson import Lesson, Place
from tutelage.tasks.matching import normal

CUE_WORDS, CUE_LENGTH = 6, 50
SWAPPED, SHUFFLED, TURNED = 0.5, 0.5, 0.25
"""The chance of a cue, of a list of fields, of two paragraphs to be changed."""


@dataclass
class Line:
    """A line, and its places by their start in it."""

    text: str
    places: list[Place] = field(default_factory=list)

    def cue(self, layout: Layout) -> str | None:
        """What stands before the first place (behind a bullet or a frame), where that is a cue and not half a sentence."""
        if not self.places:
            return None
        before = self.text[self._lead : min(place.span for place in self.places).start]
        return before if is_cue(before, layout) else None

    def with_cue(self, cue: str, other: str) -> Line:
        """The line with `other` for its `cue`."""
        by, lead = len(other) - len(cue), self._lead
        moved = [place._replace(span=Span(place.span.start + by, place.span.end + by)) for place in self.places]
        return Line(self.text[:lead] + other + self.text[lead + len(cue) :], moved)

    @property
    def first(self) -> int:
        """The slot of the first place."""
        return min(self.places, key=lambda one: one.span).slot

    @property
    def _lead(self) -> int:
        return len(self.text) - len(re.sub(r"^[^\w\n]+", "", self.text))


def is_cue(text: str, layout: Layout) -> bool:
    """A few words without a digit, a currency's sign, or a word that is evidence for a closed set."""
    words = re.findall(r"\w+", text)
    if not 1 <= len(words) <= CUE_WORDS or len(text) > CUE_LENGTH or not text[0].isalpha():
        return False
    if any(one.isdecimal() or unicodedata.category(one) == "Sc" for one in text):
        return False
    evidence = {normal(str(value)) for choice in layout.choices for value in choice.values if value is not None}
    return not evidence & {normal(word) for word in words}


def mixed(lesson: Lesson, texts: Sequence[str], copies: int, seed: int) -> tuple[Lesson, list[str]]:
    """`lesson` and its texts with `copies` mixed copies of each text behind them; texts that cannot be mixed have none."""
    documents = [lines_of(text, places) for text, places in zip(texts, lesson.places, strict=True)]
    cues: dict[int, list[str]] = defaultdict(list)
    for lines in documents:
        for line in lines or []:
            if (cue := line.cue(lesson.layout)) is not None:
                cues[line.first].append(cue)
    pools = {slot: sorted(set(found)) for slot, found in cues.items()}
    rng = random.Random(seed)
    all_texts, places, chosen = list(texts), list(lesson.places), list(lesson.chosen)
    for _ in range(copies):
        for number, lines in enumerate(documents):
            if lines is None or not lesson.places[number]:
                continue
            text, own = joined(_mixed(lines, pools, lesson.layout, rng))
            if text != texts[number]:
                all_texts.append(text)
                places.append(own)
                chosen.append(lesson.chosen[number])
    facts = lesson.facts | {"mixed_copies": len(all_texts) - len(texts)}
    return Lesson(lesson.layout, places, chosen, facts), all_texts


def lines_of(text: str, places: Sequence[Place]) -> list[Line] | None:
    """The lines of a text with their places; None where a place goes over a line's end."""
    lines, start = [], 0
    left = sorted(places, key=lambda one: one.span)
    for one in text.split("\n"):
        end = start + len(one)
        own = [place for place in left if start <= place.span.start < end]
        if any(place.span.end > end for place in own):
            return None
        moved = [place._replace(span=Span(place.span.start - start, place.span.end - start)) for place in own]
        lines.append(Line(one, moved))
        start = end + 1
    return lines


def joined(lines: Sequence[Line]) -> tuple[str, list[Place]]:
    """The text of the lines, and the places in it."""
    places, start = [], 0
    for line in lines:
        places += [place._replace(span=Span(place.span.start + start, place.span.end + start)) for place in line.places]
        start += len(line.text) + 1
    return "\n".join(line.text for line in lines), places


def _mixed(lines: Sequence[Line], pools: Mapping[int, Sequence[str]], layout: Layout, rng: random.Random) -> list[Line]:
    found = []
    for line in lines:
        cue = line.cue(layout)
        if cue is not None and rng.random() < SWAPPED:
            line = line.with_cue(cue, rng.choice(pools[line.first]))
        found.append(line)
    paragraphs = _paragraphs(found)
    for paragraph in paragraphs:
        listed = [at for at, line in enumerate(paragraph) if line.cue(layout) is not None]
        if len(listed) > 1 and rng.random() < SHUFFLED:
            order = rng.sample(listed, len(listed))
            paragraph[:] = [
                paragraph[dict(zip(listed, order, strict=True)).get(at, at)] for at in range(len(paragraph))
            ]
    if len(paragraphs) > 2 and rng.random() < TURNED:
        a, b = rng.sample(range(len(paragraphs)), 2)
        paragraphs[a], paragraphs[b] = paragraphs[b], paragraphs[a]
    result: list[Line] = []
    for paragraph in paragraphs:
        result += [*([Line("")] if result else []), *paragraph]
    return result


def _paragraphs(lines: Sequence[Line]) -> list[list[Line]]:
    found: list[list[Line]] = [[]]
    for line in lines:
        if line.text.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [paragraph for paragraph in found if paragraph]
