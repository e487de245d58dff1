"""Near-duplicates: texts whose runs of four characters are mostly the same.

MinHash with banding finds the candidates (20 bands of 3: of pairs that share 0.7 of their runs it misses 1 in 4,000), the
exact share decides, so nothing is called a near-duplicate that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from datasketch import MinHash, MinHashLSH

from tutelage.labels.alikeness import alike, runs

BANDS, ROWS = 20, 3
PAGE = 1000
MOST = 20
"""Near-duplicates of one text that are named."""


class NearIndex:
    """Texts to be near to; `threshold` is the share of common runs from which two are near-duplicates."""

    def __init__(self, threshold: float, texts: Iterable[str] = ()) -> None:
        self.threshold = threshold
        self._found = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        self._texts: list[str] = []
        self._sketches: list[MinHash] = []
        left = iter(texts)
        while page := list(islice(left, PAGE)):
            self._insert(page, MinHash.bulk([_encoded(text) for text in page], num_perm=BANDS * ROWS))

    def add(self, text: str) -> None:
        self._insert([text], [_sketch(text)])

    def near(self, text: str) -> bool:
        """Whether a text of the index is a near-duplicate of `text`, or the same."""
        return next(self._near(text, _sketch(text)), None) is not None

    def pairs(self, most: int = MOST) -> Iterator[tuple[int, int, float]]:
        """(earlier, later, share) of the texts of the index, by their places, that are near-duplicates of each other; of a
        text with more earlier ones `most` of them."""
        for later, text in enumerate(self._texts):
            found = self._near(text, self._sketches[later], later)
            yield from ((earlier, later, share) for earlier, share in islice(found, most))

    def _near(self, text: str, sketch: MinHash, before: int | None = None) -> Iterator[tuple[int, float]]:
        """The place of each near-duplicate (that comes before a place) and the share of common runs."""
        mine = runs(text)
        for at in sorted(self._found.query(sketch)):
            if (before is None or at < before) and (share := alike(mine, runs(self._texts[at]))) >= self.threshold:
                yield at, share

    def _insert(self, texts: Sequence[str], sketches: Sequence[MinHash]) -> None:
        for text, sketch in zip(texts, sketches, strict=True):
            self._found.insert(len(self._texts), sketch)
            self._texts.append(text)
            self._sketches.append(sketch)


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=BANDS * ROWS)
    sketch.update_batch(list(_encoded(text)))
    return sketch


def _encoded(text: str) -> Iterator[bytes]:
    return (run.encode("utf-8", "surrogatepass") for run in sorted(runs(text)))
