"""What a router sees of an input, cheap parts first.

terms       TF-IDF of words and pairs of neighbouring words, hashed into a fixed number of columns, each row of length 1
counts      lengths, digits, capitals, marks, question words, negations, signs of code and of formulas: logarithms, standardised
values      one column for each whole value of a field that several examples share (a subject, a customer, a language)
embedding   a sentence encoder's vector, where there is an encoder
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tutelage.answering.features import Rows
from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.runtime import Array
from tutelage.tasks import Task
from tutelage.types import Input

BUCKETS = 1 << 16
MOST_WORDS = 1000
"""Words of a text that are looked at, so that a long document does not hold up the decision."""
SHARED = 5
"""Examples that must have a field's value before it gets a column."""
COUNT_WEIGHT = 0.3
"""Of the standardised counts beside rows of length 1: at 1 the penalty of a regression hardly holds them."""

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_QUESTION = re.compile(r"\b(?:who|what|when|where|why|how|which|whose)\b")
_NEGATION = re.compile(r"\b(?:not|no|never|except|neither|false|incorrect|least)\b")
_FORMULA = re.compile(r"[=+*/^<>%$\\]")
_CODE = re.compile(r"[{}();_`\[\]]")
_CAPITAL = re.compile(r"[A-Z]")
_MARK = re.compile(r"[^\w\s]")


class Seen(NamedTuple):
    """n inputs as a router sees them: `terms` sparse (n, BUCKETS), `dense` float32 (n, d), and their texts."""

    terms: Rows
    dense: Array
    texts: Sequence[str]

    def only(self, numbers: NDArray[np.int64]) -> Seen:
        """Some of the inputs, in the order of their `numbers`."""
        values, columns, starts, width = self.terms
        lengths = np.diff(starts)[numbers]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(starts[numbers] - ends[:-1], lengths) + np.arange(ends[-1])
        return Seen(
            Rows(values[at], columns[at], ends, width), self.dense[numbers], [self.texts[number] for number in numbers]
        )


@dataclass(frozen=True)
class Features:
    """Fitted on the inputs a router learns from. `idf` (BUCKETS,), `mean` and `scale` of the counts, float32."""

    task: Task
    idf: Array
    mean: Array
    scale: Array
    values: Mapping[str, Mapping[str, int]]
    """Column of each shared value by field."""
    encoder: Encoder | None = None

    def __call__(self, inputs: Sequence[Input]) -> Seen:
        """The rows of `inputs`; one input without an encoder takes about 0.1 ms."""
        texts = [self.task.input_text(input) for input in inputs]
        dense = (
            np.array([counts(text) for text in texts], np.float32).reshape(-1, len(self.mean)) - self.mean
        ) * self.scale
        parts = [dense]
        if width := sum(map(len, self.values.values())):
            shared = np.zeros((len(inputs), width), np.float32)
            for row, input in enumerate(inputs):
                for field, columns in self.values.items():
                    if (column := columns.get(input[field])) is not None:
                        shared[row, column] = 1
            parts.append(shared)
        if self.encoder is not None:
            parts.append(self.encoder.encode(texts))
        return Seen(self._terms(texts), np.hstack(parts) if len(parts) > 1 else dense, texts)

    def _terms(self, texts: Sequence[str]) -> Rows:
        values, columns, starts = [np.empty(0, np.float32)], [np.empty(0, np.int32)], [0]
        for text in texts:
            found, times = terms(text)
            row = (1 + np.log(times)) * self.idf[found]
            values.append((row / max(float(row @ row) ** 0.5, 1e-9)).astype(np.float32))
            columns.append(found)
            starts.append(starts[-1] + len(found))
        return Rows(np.concatenate(values), np.concatenate(columns), np.array(starts), BUCKETS)

    def facts(self) -> dict[str, Any]:
        """For JSON; `arrays` has the rest."""
        return {"values": {field: list(columns) for field, columns in self.values.items()}}

    def arrays(self) -> dict[str, Array]:
        return {"idf": self.idf, "mean": self.mean, "scale": self.scale}


def fit_features(task: Task, inputs: Sequence[Input], encoder: Encoder | None = None) -> Features:
    """Features that know how frequent the terms and values of `inputs` are."""
    texts = [task.input_text(input) for input in inputs]
    frequency = np.zeros(BUCKETS)
    for text in texts:
        frequency[terms(text)[0]] += 1
    idf = np.log((1 + len(texts)) / (1 + frequency)) + 1
    found = np.array([counts(text) for text in texts])
    scale = COUNT_WEIGHT / np.where(found.std(axis=0) > 1e-9, found.std(axis=0), np.inf)
    shared, at = dict[str, dict[str, int]](), 0
    for field in task.fields:
        often = [value for value, n in Counter(input[field] for input in inputs).items() if n >= SHARED]
        shared[field] = {value: at + place for place, value in enumerate(sorted(often))}
        at += len(often)
    return Features(
        task, idf.astype(np.float32), found.mean(axis=0).astype(np.float32), scale.astype(np.float32), shared, encoder
    )


def load_features(
    task: Task, facts: Mapping[str, Any], arrays: Mapping[str, Array], encoder: Encoder | None
) -> Features:
    """Features from their `facts` and `arrays`. Raises KeyError."""
    shared, at = dict[str, dict[str, int]](), 0
    for field, values in facts["values"].items():
        shared[field] = {value: at + place for place, value in enumerate(values)}
        at += len(values)
    return Features(task, arrays["idf"], arrays["mean"], arrays["scale"], shared, encoder)


def terms(text: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The columns of the words and pairs of words in `text`, ascending, and how often each occurs."""
    words = _WORD.findall(text.lower())[:MOST_WORDS]
    single = np.array([crc32(word.encode("utf-8", "surrogatepass")) for word in words], np.uint32)
    # Fibonacci hashing mixes the first of a pair, so that "a b" and "b a" differ.
    pairs = (single[:-1] * np.uint32(2654435769)) ^ single[1:]
    columns, times = np.unique(np.concatenate([single, pairs]) % np.uint32(BUCKETS), return_counts=True)
    return columns.astype(np.int32), times


def counts(text: str) -> list[float]:
    """Logarithms of one plus what is counted in `text`."""
    lower, words = text.lower(), _WORD.findall(text)[:MOST_WORDS]
    numbers, lengths = _NUMBER.findall(text), [len(word) for word in words]
    found = [
        len(text),
        len(words),
        len(set(words)) / (len(words) or 1),
        sum(lengths) / (len(words) or 1),
        max(lengths, default=0),
        text.count("\n"),
        len(numbers),
        sum(map(len, numbers)),
        len(_CAPITAL.findall(text)),
        len(_MARK.findall(text)),
        text.count("?"),
        text.count("."),
        text.count(","),
        text.count('"'),
        len(_FORMULA.findall(text)),
        len(_CODE.findall(text)),
        len(_QUESTION.findall(lower)),
        len(_NEGATION.findall(lower)),
        len(text) - len(text.encode("ascii", "ignore")),
    ]
    return [float(one) for one in np.log1p(found)]
