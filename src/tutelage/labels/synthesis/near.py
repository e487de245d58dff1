"""Near-duplicates: texts whose runs of four characters are mostly the same.

MinHash with banding finds the candidates (20 bands of 3: of pairs that share 0.7 of their runs it misses 1 in 4,000), the
exact share decides, so nothing is called a near-duplicate that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from datasketch import MinHash, MinHashLSH

from tutelage.labels.synthesis.alikeness import alike, runs

BANDS, ROWS = 20, 3
PAGE = 1000


class NearIndex:
    """Texts to be near to; `threshold` is the share of common runs from which two are near-duplicates."""

    def __init__(self, threshold: float, texts: Iterable[str] = ()) -> None:
        self.threshold = threshold
        self._found = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        self._texts: list[str] = []
        left = iter(texts)
        while page := list(islice(left, PAGE)):
            self._insert(page, MinHash.bulk([_encoded(text) for text in page], num_perm=BANDS * ROWS))

    def add(self, text: str) -> None:
        self._insert([text], [_sketch(text)])

    def near(self, text: str) -> bool:
        """Whether a text of the index is a near-duplicate of `text`, or the same."""
        mine = runs(text)
        return any(alike(mine, runs(self._texts[at])) >= self.threshold for at in self._found.query(_sketch(text)))

    def _insert(self, texts: Sequence[str], sketches: Sequence[MinHash]) -> None:
        for text, sketch in zip(texts, sketches, strict=True):
            self._found.insert(len(self._texts), sketch)
            self._texts.append(text)


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=BANDS * ROWS)
    sketch.update_batch(list(_encoded(text)))
    return sketch


def _encoded(text: str) -> Iterator[bytes]:
    return (run.encode("utf-8", "surrogatepass") for run in sorted(runs(text)))
