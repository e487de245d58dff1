"""The terms of the training texts, as the linear student sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from tutelage.answering.features import (
    CHARACTER_RUNS,
    CHARACTERS,
    EMBEDDING,
    WORD,
    WORD_RUNS,
    WORDS,
    Features,
    Matrix,
    Tfidf,
)
from tutelage.embeddings.encoder import Encoder
from tutelage.errors import TrainingError

MAX_TERMS = 50_000
"""Of each TF-IDF part the most frequent terms: with hundreds of classes the weights would outgrow memory."""


def fit_features(parts: Iterable[str], texts: Sequence[str], encoder: Encoder | None) -> Features:
    """Features whose TF-IDF parts know the terms of `texts`. Raises TrainingError when the texts hold no word."""
    return Features({part: _fit_tfidf(part, texts) for part in parts if part != EMBEDDING}, encoder)


def _fit_tfidf(part: str, texts: Sequence[str]) -> Tfidf:
    fitted = vectorizer(part)
    try:
        fitted.fit(texts)
    except ValueError:
        raise TrainingError(
            f"The {len(texts)} training texts hold no {part}. Look at them with: tutelage list examples"
        ) from None
    return Tfidf(part, [str(term) for term in fitted.get_feature_names_out()], fitted.idf_.astype(np.float32))


def vectorizer(part: str) -> TfidfVectorizer:
    """What scikit-learn has for `part`; `answering.features.Tfidf` gives the same rows without it."""
    kinds: dict[str, dict[str, Any]] = {
        WORDS: {"ngram_range": WORD_RUNS, "token_pattern": WORD},
        CHARACTERS: {"analyzer": "char_wb", "ngram_range": CHARACTER_RUNS},
    }
    return TfidfVectorizer(sublinear_tf=True, max_features=MAX_TERMS, dtype=np.float32, **kinds[part])


def as_csr(rows: Matrix) -> csr_matrix:
    """The rows as scikit-learn takes them."""
    if isinstance(rows, np.ndarray):
        return csr_matrix(rows)
    return csr_matrix((rows.values, rows.columns, rows.starts), shape=rows.shape)
