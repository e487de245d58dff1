"""Inputs as short vectors: what of them the preference predictor and the domains see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import issparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from tutelage.embeddings.encoder import Encoder
from tutelage.evaluation.metrics import Floats

DIRECTIONS = 64
"""At most so many principal directions are kept."""
FITTED = 2000
"""Inputs at most that they are found on, drawn at random."""

Encode: TypeAlias = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Vectors:
    """A map from texts to vectors that was fitted on some inputs: these have mean 0 and mean squared length 1.

    `encode` gives raw rows (n, width), dense or sparse, of which `directions` (width, d) keep what differs most among the
    inputs; `centre` (d,) is their mean.
    """

    encode: Encode
    centre: Floats
    directions: Floats

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Float64 (n, d); (n, 0) where the inputs did not differ."""
        return np.asarray(self.encode(texts) @ self.directions - self.centre)


def fit_vectors(texts: Sequence[str], encoder: Encoder | None = None, seed: int = 0) -> Vectors:
    """Vectors that tell these inputs apart: of a sentence encoder, or without one by the words (TF-IDF)."""
    encode = _embedding(encoder) if encoder else _words(texts)
    chosen = np.random.default_rng(seed).permutation(len(texts))[:FITTED]
    found = encode([texts[at] for at in sorted(chosen)])
    raw = found.toarray() if issparse(found) else found
    mean = raw.mean(axis=0)
    _, lengths, rows = randomized_svd(raw - mean, n_components=min(DIRECTIONS, *raw.shape), random_state=seed)
    kept = lengths > 1e-6
    directions = np.asarray(rows[kept].T * np.sqrt(len(chosen) / max(float((lengths**2).sum()), 1e-12)))
    return Vectors(encode, np.asarray(mean @ directions), directions)


def _embedding(encoder: Encoder) -> Encode:
    return lambda texts: np.asarray(encoder.encode(texts), np.float64)


def _words(texts: Sequence[str]) -> Encode:
    """TF-IDF of words, sparse; of texts that hold none a single column of zeros."""
    vectorizer: Any = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", max_features=5000)
    try:
        vectorizer.fit(texts)
    except ValueError:
        return lambda texts: np.zeros((len(texts), 1))
    return lambda texts: vectorizer.transform(texts)
