"""The terms of the training texts, as the linear student sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tutelage.answering.features import EMBEDDING, Features, Tfidf, vectorizer
from tutelage.embeddings.encoder import Encoder
from tutelage.errors import TrainingError


def fit_features(parts: Iterable[str], texts: Sequence[str], encoder: Encoder | None) -> Features:
    """Features whose TF-IDF parts know the terms of `texts`. Raises TrainingError when the texts hold no word."""
    return Features({part: _fit_tfidf(part, texts) for part in parts if part != EMBEDDING}, encoder)


def _fit_tfidf(part: str, texts: Sequence[str]) -> Tfidf:
    fitted = vectorizer(part, None)
    try:
        fitted.fit(texts)
    except ValueError:
        raise TrainingError(
            f"The {len(texts)} training texts hold no {part}. Look at them with: tutelage list examples"
        ) from None
    return Tfidf(part, [str(term) for term in fitted.get_feature_names_out()], fitted.idf_.astype(np.float32))
