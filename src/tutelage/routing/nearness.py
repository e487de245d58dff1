"""How far a text is from the nearest of known texts, in the ways that `novelty` describes. No scikit-learn, no torch."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tutelage.answering.features import character_runs
from tutelage.embeddings.encoder import Encoder
from tutelage.embeddings.index import ExactIndex, highest
from tutelage.embeddings.runtime import Array
from tutelage.errors import DataError

EMBEDDING = "embedding"
COLUMNS = 1 << 20
"""Of the hash of terms: two of the terms kept seldom share one."""
LONGEST_RUN = 3
"""Of words and marks."""
MOST_CHARACTERS = 20_000
"""Of a text; what follows is not looked at."""
MOST_TERMS = 8_000_000
"""Of all known texts together (100 MB); where they have more, every so many texts are left out."""

Scores: TypeAlias = NDArray[np.float64]
_DIGITS, _TOKEN = re.compile(r"\d+"), re.compile(r"\w+|[^\w\s]|\n")


class Nearness(Protocol):
    """Known texts, and how far others are from them."""

    def distances(self, texts: Sequence[str], skip: int = 0) -> Scores:
        """1 - cosine to the nearest known text but `skip`, (n,), from 0 to 2."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is to be kept."""
        ...


class Kind(NamedTuple):
    """`terms` of a text; those are kept that at least the share `frequent` of the known texts hold; `rare` ones may weigh
    more (inverse document frequency)."""

    terms: Callable[[str], Iterable[str]]
    frequent: float
    rare: bool


def frame_terms(text: str) -> Iterator[str]:
    """The runs of one to LONGEST_RUN words and marks of `text`, lower case, all numbers alike, line ends included."""
    tokens = _TOKEN.findall(_DIGITS.sub("0", text.lower()))
    for size in range(1, LONGEST_RUN + 1):
        for at in range(len(tokens) - size + 1):
            yield " ".join(tokens[at : at + size])


def character_terms(text: str) -> Iterator[str]:
    return character_runs(text.lower())


KINDS = {
    "frame": Kind(frame_terms, frequent=0.01, rare=False),
    "characters": Kind(character_terms, frequent=0.0, rare=True),
}


class Vectors:
    """Known texts as an encoder's vectors (n, width)."""

    def __init__(self, encoder: Encoder, vectors: Array) -> None:
        self._encoder, self._index = encoder, ExactIndex()
        self._index.add(vectors)

    def distances(self, texts: Sequence[str], skip: int = 0) -> Scores:
        near = self._index.search(self._encoder.encode(texts), skip + 1).scores[:, -1]
        return np.asarray(1 - near.astype(np.float64))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"vectors": self._index.vectors}


class Terms:
    """Known texts as the terms that they hold: `weights` (terms,) of the terms with the hashes `columns`, and the texts'
    rows, each at length 1, turned: (terms, texts)."""

    def __init__(self, kind: Kind, columns: NDArray[np.int32], weights: Array, rows: csr_matrix) -> None:
        self._kind, self._columns, self._weights, self._rows = kind, columns, weights, rows
        self._place = np.full(COLUMNS, -1, np.int32)
        self._place[columns] = np.arange(len(columns), dtype=np.int32)

    def distances(self, texts: Sequence[str], skip: int = 0) -> Scores:
        near = (matrix(texts, self._kind, self._place, self._weights) @ self._rows).toarray()
        count = min(skip + 1, near.shape[1])
        return np.array([1 - float(row[highest(row, count)[-1]]) for row in near])

    def arrays(self) -> dict[str, NDArray[Any]]:
        rows = self._rows
        kept = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr, "texts": np.array(rows.shape[1])}
        return {"columns": self._columns, "weights": self._weights, **kept}


def near_texts(kind_name: str, texts: Sequence[str]) -> Terms:
    """Those of `kind_name`, a key of KINDS. Raises DataError where the texts have no term in common."""
    kind = KINDS[kind_name]
    holding, total = np.zeros(COLUMNS, np.int32), 0
    for text in texts:
        found = list({hashed(term) for term in kind.terms(text[:MOST_CHARACTERS])})
        holding[found] += 1
        total += len(found)
    texts = texts[:: max(1, math.ceil(total / MOST_TERMS))]
    least = max(2, math.ceil(kind.frequent * len(texts)))
    columns = np.flatnonzero(holding >= least).astype(np.int32)
    if not len(columns):
        raise DataError(
            f"The {len(texts)} texts have no {kind_name} in common: a novelty gate cannot compare with them."
        )
    weights = np.ones(len(columns), np.float32)
    if kind.rare:
        weights = (1 + np.log((1 + len(texts)) / (1 + holding[columns]))).astype(np.float32)
    empty = Terms(kind, columns, weights, csr_matrix((len(columns), 0), dtype=np.float32))
    return Terms(kind, columns, weights, matrix(texts, kind, empty._place, weights).T.tocsr())


def from_arrays(kind: str, arrays: Mapping[str, NDArray[Any]], encoder: Encoder | None) -> Nearness:
    """What `arrays` gave. Raises KeyError, ValueError, TypeError where it is not that."""
    if kind == EMBEDDING:
        if encoder is None:
            raise ValueError("it needs its encoder")
        return Vectors(encoder, arrays["vectors"])
    shape = (len(arrays["columns"]), int(arrays["texts"]))
    rows = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
    return Terms(KINDS[kind], arrays["columns"], arrays["weights"], rows)


def matrix(texts: Sequence[str], kind: Kind, place: NDArray[np.int32], weights: Array) -> csr_matrix:
    """(texts, terms): (1 + log of how often a text holds a term) x its weight, each row at length 1; a text that holds none
    of the terms has zeros. Where rare terms weigh more, those of no column count in the length as the rarest do: a text of
    unseen words is near nothing."""
    unseen = float(weights.max()) if kind.rare else 0.0
    data, indices, indptr = [np.empty(0, np.float32)], [np.empty(0, np.int32)], [0]
    for text in texts:
        counts = Counter(map(hashed, kind.terms(text[:MOST_CHARACTERS])))
        found = place[np.fromiter(counts, np.int32, len(counts))]
        row = 1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))
        row *= np.where(found < 0, unseen, weights[found])
        row, found = row[found >= 0] / (np.linalg.norm(row) or 1), found[found >= 0]
        data.append(row.astype(np.float32))
        indices.append(found)
        indptr.append(indptr[-1] + len(found))
    shape = (len(texts), len(weights))
    return csr_matrix((np.concatenate(data), np.concatenate(indices), np.array(indptr)), shape=shape)


def hashed(term: str) -> int:
    return zlib.crc32(term.encode("utf-8", "surrogatepass")) % COLUMNS
