"""How a `multitask-tagger` answers: spans of the text read as fields, and fields of a closed set by the evidence for each.

A field with one value gets the value with the highest probability among the spans that can be read as one, all spans of
equal value together, or null where that probability is below the field's floor.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from tokenizers import Encoding

from tutelage.answering.base import Answerer
from tutelage.answering.multitask_read import (
    READINGS,
    WORD,
    Layout,
    Slot,
    atoms_of,
    chunks,
    day_comes_first,
    ends_as_known,
    later,
    layout_marks,
    read,
    recurring,
    word_counts,
)
from tutelage.answering.served import MODEL_FOLDER, read_facts, softmax
from tutelage.answering.spans import Span, Words, overlap
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.tasks import Task
from tutelage.tasks.record import RecordTask
from tutelage.types import Input, Prediction

STARTS = 0.02
"""The least probability of a first atom for which ends are tried."""

LEAST = 0.001
"""Candidates below are left out: there are hundreds, and each costs time."""

UNSURE = 0.05
"""What the probability of a field's value has to exceed, else it is null, where the layout has no floor of the field's own."""

UNUSUAL = 0.2
"""What the probability of a text counts whose last word is none of those that all of train's have."""

ATOMS = 60
"""The longest span, in atoms."""


def type_marks(text: str, encoding: Encoding) -> list[int]:
    """`layout_marks` of a text as type ids of its pieces."""
    return layout_marks(encoding, atoms_of(encoding, text), text)


class Found(NamedTuple):
    """A value, how probable it is, and where it stands."""

    value: Any
    probability: float
    span: Span


class MultitaskAnswerer(Answerer):
    """`parts` is the probability of each field's value (of null, where there is none); `confidence` the least of them."""

    def __init__(self, task: RecordTask, model: TextModel, layout: Layout) -> None:
        self.task, self.model, self.layout = task, model, layout

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        assert isinstance(task, RecordTask)
        return cls(task, TextModel(folder / MODEL_FOLDER, threads), Layout.of_json(read_facts(folder)["layout"]))

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        texts = [self.task.input_text(one) for one in inputs]
        encodings, outputs = self.run(texts)
        return read_all(self.task, self.layout, texts, encodings, outputs)

    def run(self, texts: Sequence[str]) -> tuple[list[Encoding], list[Array]]:
        """The tokens of the texts, and the logits of each, (tokens, columns of the layout)."""
        encodings = self.model.encode_texts(texts)
        marks = [type_marks(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]
        return encodings, self.model.run(encodings, types=marks)


def read_all(
    task: RecordTask, layout: Layout, texts: Sequence[str], encodings: Sequence[Encoding], outputs: Sequence[Array]
) -> list[Prediction]:
    """`record_of` each text."""
    return [
        record_of(task, layout, text, encoding, output)
        for text, encoding, output in zip(texts, encodings, outputs, strict=True)
    ]


def record_of(task: RecordTask, layout: Layout, text: str, encoding: Encoding, logits: Array) -> Prediction:
    """The record that `logits` (tokens, columns) find in the text."""
    atoms = atoms_of(encoding, text)
    tags = softmax(logits[atoms.first, : layout.tags])
    values, parts = _chosen(layout, logits[:, layout.tags :])
    single: dict[str, list[tuple[Slot, Found]]] = {}
    for number, slot in enumerate(layout.slots):
        first, inside = tags[:, 1 + 2 * number], tags[:, 2 + 2 * number]
        if slot.reading == "words":
            values[slot.field], parts[slot.field] = _joined(slot, text, atoms, first + inside)
        elif slot.listed:
            items = list(_tagged(slot, text, atoms, tags.argmax(-1) - 2 * number, np.maximum(first, inside)))
            values[slot.field] = [one.value for one in items] or None
            parts[slot.field] = min([one.probability for one in items], default=1.0)
        else:
            found = _candidates(slot, text, atoms, first, inside)
            single.setdefault(slot.field, []).extend((slot, one) for one in found)
    for name, (value, probability) in settled(task, layout, single, values).items():
        held = value is not None and probability > layout.floors.get(name, UNSURE)
        values[name], parts[name] = (value, probability) if held else (None, 1.0 - probability)
    record = task.settle({one.name: values.get(one.name) for one in task.answer_fields}, {}).value
    shown = {one.name: min(1.0, max(0.0, parts.get(one.name, 1.0))) for one in task.answer_fields}
    return Prediction(record, min(shown.values(), default=1.0), parts=shown)


def evidence(logits: Array) -> Array:
    """The log of the sum of exponentials over tokens: (tokens, k) -> (k,). The strongest token decides."""
    top = logits.max(axis=0)
    result: Array = top + np.log(np.exp(logits - top).sum(axis=0))
    return result


def _chosen(layout: Layout, logits: Array) -> tuple[dict[str, Any], dict[str, float]]:
    """The values of the fields of closed sets, and how probable each is."""
    values: dict[str, Any] = {}
    parts: dict[str, float] = {}
    pooled, at = evidence(logits) if layout.choices else logits, 0
    for choice in layout.choices:
        probabilities = softmax(pooled[at : at + len(choice.values)])
        at, best = at + len(choice.values), int(probabilities.argmax())
        parts[choice.field] = min(parts.get(choice.field, 1.0), float(probabilities[best]))
        if not choice.listed:
            values[choice.field] = choice.values[best]
        else:
            values[choice.field] = [*values.get(choice.field, []), *([choice.values[1]] if best else [])]
    return values, parts


def _candidates(slot: Slot, text: str, atoms: Words, first: Array, inside: Array) -> Iterator[Found]:
    """The spans that can be read: those that the reading finds, whole words, or else runs of tagged atoms."""
    day_first = day_comes_first(text, slot.day_first) if slot.reading == "date" else True
    if slot.reading == "text" and not slot.words:
        spans: Iterable[Span] = _runs(atoms, first, inside)
    else:
        spans = chunks(slot, text) if slot.reading == "text" else READINGS[slot.reading].find(text)
    own = first + inside
    sums = np.concatenate([[0.0], np.cumsum(own)])
    joins = [slot.reading == "text" or text[span.start].isdecimal() for span in atoms.spans]
    starts, ends = [span.start for span in atoms.spans], [span.end for span in atoms.spans]
    counts = word_counts(text) if slot.recurs != 1 else {}
    for span in spans:
        a, b = bisect_right(ends, span.start), bisect_left(starts, span.end)
        if b <= a:
            continue
        # The mean over the span, less what of it seems to go on before and behind in what could be read with it.
        probability = float(sums[b] - sums[a]) / (b - a)
        if probability <= LEAST:
            continue
        probability *= 1.0 - (float(own[a - 1]) if a and joins[a - 1] else 0.0)
        probability *= 1.0 - (float(inside[b]) if b < len(own) and joins[b] else 0.0)
        # Nor does a span begin where the first atom would rather go on with what is before it.
        probability *= float(first[a] / max(own[a], LEAST)) ** 0.5
        written = text[span.start : span.end]
        probability *= 1.0 if ends_as_known(slot, written) else UNUSUAL
        if probability <= LEAST:
            continue
        if slot.recurs != 1 and recurring(written, counts):
            probability = slot.recurs * probability / (1.0 + (slot.recurs - 1.0) * probability)
        try:
            yield Found(read(slot, written, day_first), probability, span)
        except ValueError:
            continue


def _runs(atoms: Words, first: Array, inside: Array) -> Iterator[Span]:
    """Spans that begin where a first atom is at all probable, and end where the next is less so."""
    for start in np.flatnonzero(first > STARTS).tolist():
        for end in range(start, min(len(atoms.spans), start + ATOMS)):
            if end > start and inside[end] < STARTS:
                break
            yield Span(atoms.spans[start].start, atoms.spans[end].end)


def _tagged(slot: Slot, text: str, atoms: Words, tags: Any, sure: Array) -> Iterator[Found]:
    """The runs of B (1) and I (2) in `tags` that can be read."""
    day_first = day_comes_first(text, slot.day_first) if slot.reading == "date" else True
    at = 0
    while at < len(tags):
        start = at
        at += 1
        if tags[start] not in (1, 2):
            continue
        while at < len(tags) and tags[at] == 2:
            at += 1
        span = Span(atoms.spans[start].start, atoms.spans[at - 1].end)
        try:
            yield Found(read(slot, text[span.start : span.end], day_first), float(sure[start:at].min()), span)
        except ValueError:
            continue


def _joined(slot: Slot, text: str, atoms: Words, sure: Array) -> tuple[str | None, float]:
    """The words that are more probably of the field than not, in order, as one value; None where there are none."""
    words = []
    for word in WORD.finditer(text):
        own = [at for at, span in enumerate(atoms.spans) if span.start < word.end() and word.start() < span.end]
        if own and word.group()[0].isalnum() and (probability := float(sure[own].mean())) > 0.5:
            words.append((word.group(), probability))
    if not words:
        return None, 1.0 - float(sure.max(initial=0.0))
    value: str = read(slot, " ".join(word for word, _ in words), True)
    return value, min(probability for _, probability in words)


def settled(
    task: RecordTask, layout: Layout, single: Mapping[str, Sequence[tuple[Slot, Found]]], known: Mapping[str, Any]
) -> dict[str, tuple[Any, float]]:
    """The best value of each field and its probability, the surest field first: its spans and what contradicts it are then
    out of the question for the others."""
    fields = {one.name: one for one in task.answer_fields}

    @cache
    def keyed(name: str, value: Any) -> tuple[Any, Any] | None:
        found = fields[name].read(value)
        if found.value is None or found.problems:
            return None
        [key] = fields[name].keys(found.value)
        return found.value, key

    values, done = dict(known), dict[str, tuple[Any, float]]()
    taken: list[Span] = []
    while len(done) < len(single):
        best: tuple[str, _Best] | None = None
        for name in single:
            waits = any(slot.of in single and slot.of not in done for slot, _ in single[name])
            if name not in done and not (waits and len(done) < len(single) - 1):
                one = _best(partial(keyed, name), name, layout, single[name], values, taken)
                if best is None or one.probability > best[1].probability:
                    best = (name, one)
        if best is None:  # two fields that wait for each other
            name = next(name for name in single if name not in done)
            best = (name, _best(partial(keyed, name), name, layout, single[name], values, taken))
        name, one = best
        done[name] = (one.value, one.probability)
        if one.probability > layout.floors.get(name, UNSURE):
            values[name] = one.value
            taken += one.spans
    return done


class _Best(NamedTuple):
    value: Any
    probability: float
    spans: list[Span]


def _best(
    keyed: Callable[[Any], tuple[Any, Any] | None],
    name: str,
    layout: Layout,
    found: Sequence[tuple[Slot, Found]],
    values: Mapping[str, Any],
    taken: Sequence[Span],
) -> _Best:
    """The value with the highest probability; all spans of equal value speak together. `keyed` gives a field's value as it is
    read and its key, None for what does not fit."""
    absent: dict[Any, float] = {}
    spans: dict[Any, tuple[Any, list[Span]]] = {}
    for slot, one in found:
        if any(overlap(one.span, other) for other in taken):
            continue
        read_value = keyed(later(values.get(slot.of), one.value) if slot.of else one.value)
        if read_value is None or _contradicts(name, read_value[0], layout, values):
            continue
        value, key = read_value
        absent[key] = absent.get(key, 1.0) * (1.0 - one.probability)
        spans.setdefault(key, (value, []))[1].append(one.span)
    if not absent:
        return _Best(None, 0.0, [])
    best = min(absent, key=lambda key: absent[key])
    return _Best(spans[best][0], 1.0 - absent[best], spans[best][1])


def _contradicts(name: str, value: Any, layout: Layout, values: Mapping[str, Any]) -> bool:
    for first, second in layout.orders:
        other = values.get(second if name == first else first) if name in (first, second) else None
        if other is not None and (value > other if name == first else value < other):
            return True
    return False
