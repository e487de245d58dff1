"""How unlike the known texts others are: 1 - cosine to the nearest, by TF-IDF of runs of two to five characters in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

BLOCK = 256
MOST_CHARACTERS = 5_000
"""Of a text; what follows is not looked at."""


def distances(known: Sequence[str], texts: Sequence[str]) -> list[float]:
    """For each of `texts` the distance from the nearest of `known`, 0 (the same) to 1 (nothing in common, or none known)."""
    if not known or not texts:
        return [1.0] * len(texts)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), max_features=200_000, sublinear_tf=True)
    try:
        stored = vectorizer.fit_transform([text[:MOST_CHARACTERS] for text in known])
    except ValueError:  # nothing but white space
        return [1.0] * len(texts)
    found: list[float] = []
    for start in range(0, len(texts), BLOCK):
        block = vectorizer.transform([text[:MOST_CHARACTERS] for text in texts[start : start + BLOCK]])
        nearest = (block @ stored.T).max(axis=1).toarray().ravel()
        found += np.clip(1 - nearest, 0, 1).tolist()
    return found
