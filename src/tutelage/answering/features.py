"""What the linear student sees of a text: up to three parts side by side, each a row of length 1.

embedding    a sentence encoder's vector
words        TF-IDF of words and pairs of neighbouring words
characters   TF-IDF of runs of two to five characters within words, which survive misspelling and inflection

TF-IDF is computed here, to the last bit as scikit-learn's TfidfVectorizer does: importing that takes 2.2 s on one core,
numpy 0.16 s and this module nothing, and whoever answers has no other need of it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.runtime import Array

EMBEDDING, WORDS, CHARACTERS = "embedding", "words", "characters"
PARTS = (EMBEDDING, WORDS, CHARACTERS)
WORD = r"(?u)\b\w+\b"
WORD_RUNS, CHARACTER_RUNS = (1, 2), (2, 5)
"""Shortest and longest runs of words, and of characters."""

_WORD, _SPACES = re.compile(WORD), re.compile(r"\s\s+")


class Rows(NamedTuple):
    """Sparse rows: row i has `values` in `columns` from starts[i] to starts[i + 1]."""

    values: Array
    columns: NDArray[np.int32]
    starts: NDArray[np.int64]
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.starts) - 1, self.width

    def __matmul__(self, coefficients: Array) -> Array:
        product = np.zeros((len(self.starts) - 1, coefficients.shape[1]), np.float32)
        for row, (start, end) in enumerate(pairwise(self.starts.tolist())):
            product[row] = self.values[start:end] @ coefficients[self.columns[start:end]]
        return product


Matrix: TypeAlias = Array | Rows
"""Rows of one part: dense for the embedding, sparse for TF-IDF."""


class Tfidf:
    """One TF-IDF part: terms in fixed order and their inverse document frequencies."""

    def __init__(self, part: str, terms: Sequence[str], idf: Array) -> None:
        self.part, self.terms, self.idf = part, list(terms), idf
        self._runs = _ANALYSERS[part]
        self._column = {term: at for at, term in enumerate(self.terms)}

    def transform(self, texts: Sequence[str]) -> Rows:
        """(1 + log count) x inverse document frequency, each row at length 1; a text without a known term has zeros."""
        values, columns, starts = [np.empty(0, np.float32)], [np.empty(0, np.int32)], [0]
        for text in texts:
            counts = Counter(self._column[run] for run in self._runs(text.lower()) if run in self._column)
            found = np.array(sorted(counts), np.int32)
            row = np.array([counts[at] for at in found.tolist()], np.float32)
            row = (np.log(row) + np.float32(1)) * self.idf[found]
            length = math.sqrt(math.fsum(np.square(row).tolist()))
            values.append((row / np.float64(length or 1)).astype(np.float32))
            columns.append(found)
            starts.append(starts[-1] + len(found))
        return Rows(np.concatenate(values), np.concatenate(columns), np.array(starts), len(self.terms))


class Features:
    """The parts that were fitted or loaded; `encoder` gives the embedding."""

    def __init__(self, tfidf: Mapping[str, Tfidf], encoder: Encoder | None) -> None:
        self.tfidf, self.encoder = dict(tfidf), encoder

    def transform(self, part: str, texts: Sequence[str]) -> Matrix:
        """Rows of `part` for the texts, (n, d) float32."""
        if part == EMBEDDING:
            assert self.encoder is not None
            return self.encoder.encode(texts)
        return self.tfidf[part].transform(texts)

    def save(self, folder: Path, parts: Iterable[str]) -> None:
        """terms.json and idf.npz of the TF-IDF parts among `parts`."""
        kept = {part: self.tfidf[part] for part in parts if part in self.tfidf}
        terms = {part: tfidf.terms for part, tfidf in kept.items()}
        (folder / "terms.json").write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
        np.savez(folder / "idf.npz", allow_pickle=False, **{part: tfidf.idf for part, tfidf in kept.items()})


def load_features(folder: Path, encoder: Encoder | None) -> Features:
    """Features as `Features.save` wrote them. Raises OSError, ValueError, KeyError."""
    terms: dict[str, list[str]] = json.loads((folder / "terms.json").read_text(encoding="utf-8"))
    with np.load(folder / "idf.npz", allow_pickle=False) as idf:
        return Features({part: Tfidf(part, terms[part], idf[part]) for part in terms}, encoder)


def word_runs(text: str) -> Iterator[str]:
    """The words of `text`, and each two that follow one another."""
    words = _WORD.findall(text)
    yield from words
    yield from map(" ".join, pairwise(words))


def character_runs(text: str) -> Iterator[str]:
    """Runs within each word and the spaces around it; a word shorter than a run counts once, as its shortest whole."""
    shortest, longest = CHARACTER_RUNS
    for word in _SPACES.sub(" ", text).split():
        padded = f" {word} "
        for n in range(shortest, longest + 1):
            yield padded[:n]
            yield from (padded[at : at + n] for at in range(1, len(padded) - n + 1))
            if n >= len(padded):
                break


_ANALYSERS: dict[str, Callable[[str], Iterator[str]]] = {WORDS: word_runs, CHARACTERS: character_runs}
