"""How a `multitask-tagger` answers: spans of the text read as fields, and fields of a closed set by the evidence for each.

A field with one value gets the value with the highest probability among the spans that can be read as one, all spans of
equal value together, or null where that is more probable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from tokenizers import Encoding

from tutelage.answering.base import Answerer
from tutelage.answering.multitask_read import WORD, Layout, Slot, atoms_of, day_comes_first, later, layout_marks, read
from tutelage.answering.served import MODEL_FOLDER, read_facts, softmax
from tutelage.answering.spans import Span, Words
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.tasks import Task
from tutelage.tasks.record import RecordTask
from tutelage.types import Input, Prediction

STARTS = 0.02
"""The least probability of a first atom for which ends are tried."""

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
    spans: dict[str, list[tuple[Slot, list[Found]]]] = {}
    for number, slot in enumerate(layout.slots):
        first, inside = tags[:, 1 + 2 * number], tags[:, 2 + 2 * number]
        if slot.reading == "words":
            found = _joined(slot, text, atoms, first + inside)
        elif slot.listed:
            found = list(_tagged(slot, text, atoms, tags.argmax(-1) - 2 * number, np.maximum(first, inside)))
        else:
            found = list(_readable(slot, text, atoms, first, inside))
        spans.setdefault(slot.field, []).append((slot, found))
    # What is counted from another field's value comes after it.
    for name in sorted(spans, key=lambda name: any(slot.of for slot, _ in spans[name])):
        value, parts[name] = _settled(task, name, spans[name], values)
        values[name] = value
    record = task.settle({one.name: values.get(one.name) for one in task.answer_fields}, {}).value
    shown = {one.name: min(1.0, parts.get(one.name, 1.0)) for one in task.answer_fields}
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


def _readable(slot: Slot, text: str, atoms: Words, first: Array, inside: Array) -> Iterator[Found]:
    """For each atom at which a span may begin, the most probable end at which it can be read."""
    day_first = day_comes_first(text, slot.day_first) if slot.reading == "date" else True
    for start in np.flatnonzero(first > STARTS).tolist():
        best, going = Found(None, 0.0, atoms.spans[start]), 1.0
        for end in range(start, min(len(atoms.spans), start + ATOMS)):
            going = going if end == start else min(going, float(inside[end]))
            if going < STARTS:
                break
            stops = 1.0 - (float(inside[end + 1]) if end + 1 < len(inside) else 0.0)
            probability = float(first[start]) * min(going, stops)
            if probability > best.probability:
                span = Span(atoms.spans[start].start, atoms.spans[end].end)
                try:
                    best = Found(read(slot, text[span.start : span.end], day_first), probability, span)
                except ValueError:
                    continue
        if best.value is not None:
            yield best


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


def _joined(slot: Slot, text: str, atoms: Words, sure: Array) -> list[Found]:
    """The words that are more probably of the field than not, in order, as one value."""
    words = []
    for word in WORD.finditer(text):
        own = [at for at, span in enumerate(atoms.spans) if span.start < word.end() and word.start() < span.end]
        if own and word.group()[0].isalnum() and (probability := float(sure[own].mean())) > 0.5:
            words.append((word, probability))
    if not words:
        return [Found(None, float(sure.max(initial=0.0)), Span(0, 0))]
    value = read(slot, " ".join(word.group() for word, _ in words), True)
    span = Span(words[0][0].start(), words[-1][0].end())
    return [Found(value, min(probability for _, probability in words), span)]


def _settled(
    task: RecordTask, name: str, found: Sequence[tuple[Slot, Sequence[Found]]], values: Mapping[str, Any]
) -> tuple[Any, float]:
    """The field's value from all that its slots found, and its probability."""
    field = next(one for one in task.answer_fields if one.name == name)
    read_values = [
        one if not slot.of else one._replace(value=later(values.get(slot.of), one.value))
        for slot, several in found
        for one in several
    ]
    known = [one for one in read_values if one.value is not None]
    if field.listed:
        items = sorted(known, key=lambda one: one.span)
        return [one.value for one in items] or None, min([one.probability for one in items], default=1.0)
    if any(slot.reading == "words" for slot, _ in found):
        [one] = read_values
        return one.value, one.probability if one.value is not None else 1.0 - one.probability
    absent: dict[Any, float] = {}
    first: dict[Any, Any] = {}
    for one in known:
        value = field.read(one.value)
        if value.problems:
            continue
        [key] = field.keys(value.value)
        absent[key] = absent.get(key, 1.0) * (1.0 - one.probability)
        first.setdefault(key, value.value)
    if not absent:
        return None, 1.0
    best = min(absent, key=lambda key: absent[key])
    return (first[best], 1.0 - absent[best]) if absent[best] <= 0.5 else (None, absent[best])
