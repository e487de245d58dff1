"""Inputs as short vectors: what of them the preference predictor and the domains see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from tutelage.embeddings.encoder import Encoder
from tutelage.evaluation.metrics import Floats

DIRECTIONS = 64
"""At most so many principal directions are kept."""


@dataclass(frozen=True)
class Vectors:
    """A map from texts to vectors that was fitted on some inputs: these have mean 0 and mean squared length 1.

    `encode` gives raw rows (n, width), of which `directions` (width, d) keep what differs most among the inputs.
    """

    encode: Callable[[Sequence[str]], Floats]
    centre: Floats
    directions: Floats

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Float64 (n, d); (n, 0) where the inputs did not differ."""
        return np.asarray((self.encode(texts) - self.centre) @ self.directions)


def fit_vectors(texts: Sequence[str], encoder: Encoder | None = None) -> Vectors:
    """Vectors that tell these inputs apart: of a sentence encoder, or without one by the words (TF-IDF)."""
    encode = _embedding(encoder) if encoder else _words(texts)
    raw = encode(texts)
    centre = raw.mean(axis=0)
    _, lengths, rows = randomized_svd(raw - centre, n_components=min(DIRECTIONS, *raw.shape), random_state=0)
    kept = lengths > 1e-6
    scale = np.sqrt(len(texts) / max(float((lengths**2).sum()), 1e-12))
    return Vectors(encode, centre, np.asarray(rows[kept].T * scale))


def _embedding(encoder: Encoder) -> Callable[[Sequence[str]], Floats]:
    return lambda texts: np.asarray(encoder.encode(texts), np.float64)


def _words(texts: Sequence[str]) -> Callable[[Sequence[str]], Floats]:
    """TF-IDF of words; of texts that hold none a single column of zeros."""
    vectorizer: Any = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", max_features=5000)
    try:
        vectorizer.fit(texts)
    except ValueError:
        return lambda texts: np.zeros((len(texts), 1))
    return lambda texts: np.asarray(vectorizer.transform(texts).toarray(), np.float64)
