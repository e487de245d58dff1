"""Domains: groups of like inputs, named by the words that set them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import CountVectorizer

from tutelage.evaluation.metrics import Floats

SMALLEST = 20
"""Inputs that a domain has on average at least: fewer say little about who is better there."""
MOST = 8
TERMS = 3


@dataclass(frozen=True)
class Domain:
    """A group of inputs by their numbers, and its name: the terms that occur in it more than elsewhere."""

    name: str
    inputs: NDArray[np.int64]


def domain_count(inputs: int) -> int:
    """How many domains so many inputs allow; 1 is no division."""
    return max(1, min(MOST, inputs // SMALLEST))


def find_domains(texts: Sequence[str], vectors: Floats, count: int, seed: int = 0) -> list[Domain]:
    """At most `count` groups by k-means on `vectors` (n, d), the largest first; one, "all", where nothing tells them apart."""
    distinct = len(np.unique(vectors.round(6), axis=0)) if vectors.shape[1] else 1
    count = min(count, distinct)
    if count < 2:
        return [Domain("all", np.arange(len(texts)))]
    member = KMeans(count, n_init=10, random_state=seed).fit_predict(vectors)
    names = _names(texts, member, count)
    found = [Domain(names[at], np.flatnonzero(member == at)) for at in range(count)]
    return sorted(found, key=lambda domain: -len(domain.inputs))


def _names(texts: Sequence[str], member: NDArray[np.int64], count: int) -> list[str]:
    """By class-based TF-IDF (Grootendorst 2022, BERTopic), in how many of the group's texts a word stands, not how often.

    Words that are in every group, or in most texts, weigh little, whatever the language; English function words are dropped.
    """
    vectorizer: Any = CountVectorizer(binary=True, stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{2,}\b")
    try:
        words = vectorizer.fit_transform(texts)
    except ValueError:
        return [f"domain {at + 1}" for at in range(count)]
    within = np.stack([np.asarray(words[member == at].mean(axis=0)).ravel() for at in range(count)])
    rarity = np.log(len(texts) / np.asarray(words.sum(axis=0)).ravel())
    weight = within * np.log(np.maximum(within / within.mean(axis=0), 1e-9)) * rarity
    terms, names = vectorizer.get_feature_names_out(), list[str]()
    for at, row in enumerate(weight):
        best = [str(terms[term]) for term in np.argsort(-row, kind="stable")[:TERMS] if row[term] > 0]
        names.append(", ".join(best) or f"domain {at + 1}")
    return [name if names.count(name) == 1 else f"{name} ({at + 1})" for at, name in enumerate(names)]
