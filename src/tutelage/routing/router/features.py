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
from tutelage.evaluation.metrics import Floats
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
_QUESTIONS = frozenset(["who", "what", "when", "where", "why", "how", "which", "whose"])
_NEGATIONS = frozenset(["not", "no", "never", "except", "neither", "false", "incorrect", "least"])
_CHARACTERS = (
    "0123456789",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~",
    "\n",
    "?",
    ".",
    ",",
    '"',
    "=+*/^<>%$\\",
    "{}();_`[]",
)
_DIGIT = 0
"""Which of the kinds of characters are digits."""


def _kinds() -> Floats:
    """(256, kinds): 1 where a byte is of a kind; the last kind are bytes of other alphabets than ASCII."""
    found = np.zeros((256, len(_CHARACTERS) + 1))
    for kind, characters in enumerate(_CHARACTERS):
        found[[ord(one) for one in characters], kind] = 1
    found[128:, -1] = 1
    return found


_KINDS = _kinds()
_IS_DIGIT = _KINDS[:, _DIGIT].astype(bool)


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
        """The rows of `inputs`; one input of 300 characters without an encoder takes about 0.15 ms."""
        texts = [self.task.input_text(input) for input in inputs]
        counted, shared = len(self.mean), sum(map(len, self.values.values()))
        dense = np.zeros((len(inputs), counted + shared + (self.encoder.width if self.encoder else 0)), np.float32)
        values, columns, starts = [np.empty(0, np.float32)], [np.empty(0, np.int32)], [0]
        for row, (input, text) in enumerate(zip(inputs, texts, strict=True)):
            words = words_of(text)
            found, times = terms(words)
            weights = (1 + np.log(times)) * self.idf[found]
            values.append((weights / max(float(weights @ weights) ** 0.5, 1e-9)).astype(np.float32))
            columns.append(found)
            starts.append(starts[-1] + len(found))
            dense[row, :counted] = (counts(text, words) - self.mean) * self.scale
            for field, places in self.values.items():
                if places and (place := places.get(input[field])) is not None:
                    dense[row, counted + place] = 1
        if self.encoder is not None and texts:
            dense[:, counted + shared :] = self.encoder.encode(texts)
        return Seen(Rows(np.concatenate(values), np.concatenate(columns), np.array(starts), BUCKETS), dense, texts)

    def facts(self) -> dict[str, Any]:
        """For JSON; `arrays` has the rest."""
        return {"values": {field: list(columns) for field, columns in self.values.items()}}

    def arrays(self) -> dict[str, Array]:
        return {"idf": self.idf, "mean": self.mean, "scale": self.scale}


def fit_features(task: Task, inputs: Sequence[Input], encoder: Encoder | None = None) -> Features:
    """Features that know how frequent the terms and values of `inputs` are."""
    texts = [task.input_text(input) for input in inputs]
    frequency = np.zeros(BUCKETS)
    words = [words_of(text) for text in texts]
    for one in words:
        frequency[terms(one)[0]] += 1
    idf = np.log((1 + len(texts)) / (1 + frequency)) + 1
    found = np.array([counts(text, one) for text, one in zip(texts, words, strict=True)])
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


def words_of(text: str) -> list[str]:
    """The first words of `text`, in lower case."""
    return _WORD.findall(text.lower())[:MOST_WORDS]


def terms(words: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The columns of words and of pairs of neighbouring words, ascending, and how often each occurs."""
    if not words:
        return np.empty(0, np.int32), np.empty(0, np.int64)
    single = np.array([crc32(word.encode("utf-8", "surrogatepass")) for word in words], np.uint32)
    # Fibonacci hashing mixes the first of a pair, so that "a b" and "b a" differ.
    pairs = (single[:-1] * np.uint32(2654435769)) ^ single[1:]
    columns = np.concatenate([single, pairs]) % np.uint32(BUCKETS)
    columns.sort()
    # numpy.unique does the same in four times the time.
    first = np.flatnonzero(np.concatenate([[True], columns[1:] != columns[:-1]]))
    return columns[first].astype(np.int32), np.diff(first, append=len(columns))


def counts(text: str, words: Sequence[str]) -> Floats:
    """(19,) logarithms of one plus what is counted in `text`, whose words are `words`."""
    content = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    digits = _IS_DIGIT[content]
    lengths = [len(word) for word in words]
    found = [
        len(text),
        len(words),
        len(set(words)) / (len(words) or 1),
        sum(lengths) / (len(words) or 1),
        max(lengths, default=0),
        int(np.count_nonzero(digits[1:] > digits[:-1])),
        len([word for word in words if word in _QUESTIONS]),
        len([word for word in words if word in _NEGATIONS]),
    ]
    return np.asarray(np.log1p(np.concatenate([found, np.bincount(content, minlength=256) @ _KINDS])))
