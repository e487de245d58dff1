"""Near-duplicates: texts whose runs of four characters are mostly the same.

MinHash with banding finds the candidates (20 bands of 3: of pairs that share 0.7 of their runs it misses 1 in 4,000; from a
threshold of 0.85 on 12 bands of 5, which miss 1 in 1,100 of those that share 0.85 and look at fewer that are none). The exact
share decides, so nothing is called a near-duplicate that is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from datasketch import MinHash, MinHashLSH

from tutelage.labels.alikeness import alike, runs

SKETCH = 60
"""Hashes of a text: as many as bands x rows."""
PAGE = 1000
MOST, FRUITLESS = 20, 8
"""Near-duplicates of one text that are named, and texts in a row that turn out to be none after which no more are compared."""


class NearIndex:
    """Texts to be near to; `threshold` is the share of common runs from which two are near-duplicates."""

    def __init__(self, threshold: float, texts: Iterable[str] = ()) -> None:
        self.threshold = threshold
        self._found = MinHashLSH(num_perm=SKETCH, params=(12, 5) if threshold >= 0.85 else (20, 3))
        self._texts: list[str] = []
        self._sketches: list[MinHash] = []
        left = iter(texts)
        while page := list(islice(left, PAGE)):
            self._insert(page, MinHash.bulk([_encoded(text) for text in page], num_perm=SKETCH))

    def add(self, text: str) -> None:
        self._insert([text], [_sketch(text)])

    def near(self, text: str) -> bool:
        """Whether a text of the index is a near-duplicate of `text`, or the same."""
        mine = runs(text)
        return any(alike(mine, runs(self._texts[at])) >= self.threshold for at in self._found.query(_sketch(text)))

    def pairs(self, most: int = MOST) -> Iterator[tuple[int, int, float]]:
        """(earlier, later, share) of the texts of the index, by their places, that are near-duplicates of each other; of a
        text with more earlier ones about the `most` alike.

        Texts made by one template are all candidates of each other: compared exactly are those whose sketches are the most
        alike, and not less by three standard errors than near-duplicates are.
        """
        rows = np.array([sketch.hashvalues for sketch in self._sketches])
        least = self.threshold - 3 * math.sqrt(self.threshold * (1 - self.threshold) / SKETCH)
        for later, text in enumerate(self._texts):
            places = np.array([at for at in self._found.query(self._sketches[later]) if at < later], np.int64)
            if not len(places):
                continue
            estimates = (rows[places] == rows[later]).mean(axis=1)
            best = np.lexsort((places, -estimates))[: 2 * most]
            yield from self._alike(later, runs(text), places[best[estimates[best] >= least]].tolist(), most)

    def _alike(
        self, later: int, mine: frozenset[str], places: Sequence[int], most: int
    ) -> Iterator[tuple[int, int, float]]:
        """Those of `places`, the likeliest first, that are near-duplicates; after FRUITLESS that are none it ends."""
        named = missed = 0
        for at in places:
            share = alike(mine, runs(self._texts[at]))
            if share >= self.threshold:
                yield at, later, share
                named, missed = named + 1, 0
            else:
                missed += 1
            if named == most or missed == FRUITLESS:
                return

    def _insert(self, texts: Sequence[str], sketches: Sequence[MinHash]) -> None:
        for text, sketch in zip(texts, sketches, strict=True):
            self._found.insert(len(self._texts), sketch)
            self._texts.append(text)
            self._sketches.append(sketch)


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=SKETCH)
    sketch.update_batch(list(_encoded(text)))
    return sketch


def _encoded(text: str) -> Iterator[bytes]:
    return (run.encode("utf-8", "surrogatepass") for run in sorted(runs(text)))
