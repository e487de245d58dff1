"""What the linear student sees of a text: up to three parts side by side, each a row of length 1.

embedding    a sentence encoder's vector
words        TF-IDF of words and pairs of neighbouring words
characters   TF-IDF of runs of two to five characters within words, which survive misspelling and inflection
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.runtime import Array

EMBEDDING, WORDS, CHARACTERS = "embedding", "words", "characters"
PARTS = (EMBEDDING, WORDS, CHARACTERS)
MAX_TERMS = 50_000
"""Of each TF-IDF part the most frequent terms: with hundreds of classes the weights would outgrow memory."""

Matrix: TypeAlias = Array | csr_matrix
"""Rows of one part: dense for the embedding, sparse for TF-IDF."""


class Tfidf:
    """One TF-IDF part: terms in fixed order and their inverse document frequencies."""

    def __init__(self, part: str, terms: Sequence[str], idf: NDArray[np.float32]) -> None:
        self.part, self.terms, self.idf = part, list(terms), idf
        self._vectorizer = vectorizer(part, {term: at for at, term in enumerate(self.terms)})
        self._vectorizer.idf_ = idf

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        return self._vectorizer.transform(texts)


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


def vectorizer(part: str, vocabulary: Mapping[str, int] | None) -> Any:
    kinds: dict[str, dict[str, Any]] = {
        WORDS: {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
        CHARACTERS: {"analyzer": "char_wb", "ngram_range": (2, 5)},
    }
    return TfidfVectorizer(
        sublinear_tf=True, max_features=MAX_TERMS, vocabulary=vocabulary, dtype=np.float32, **kinds[part]
    )
