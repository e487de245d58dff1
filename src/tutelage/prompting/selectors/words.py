"""Selectors `jaccard` and `bm25`: examples whose texts share words with the input."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection

import bm25s
import numpy as np
from numpy.typing import NDArray

from tutelage.embeddings.index import highest
from tutelage.prompting.selectors.ranked import RankedShots
from tutelage.types import Input

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, kana and Han are written without spaces: each character counts as a word."""

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """The words of `text` in order, case folded; marks of punctuation are none."""
    return _WORD.findall(text.casefold())


class JaccardShots(RankedShots):
    """By shared words over all words of both, each counted once."""

    def prepare(self) -> None:
        found = defaultdict(list)
        self._sizes = np.zeros(len(self.pool), np.int64)
        for number, text in enumerate(self.pool.texts):
            own = set(words(text))
            self._sizes[number] = len(own)
            for word in own:
                found[word].append(number)
        self._holders = {word: np.array(numbers) for word, numbers in found.items()}

    def rank(self, input: Input, count: int, without: Collection[int]) -> list[int]:
        asked = set(words(self.pool.task.input_text(input)))
        holders = [self._holders[word] for word in asked if word in self._holders]
        shared = np.bincount(np.concatenate(holders), minlength=len(self.pool)) if holders else np.zeros(len(self.pool))
        return _best(shared / np.maximum(self._sizes + len(asked) - shared, 1), count, without)


class Bm25Shots(RankedShots):
    """By BM25 as Lucene counts it, k1 = 1.5, b = 0.75 (Robertson & Zaragoza 2009): rare words weigh more."""

    def prepare(self) -> None:
        self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        texts = [words(text) for text in self.pool.texts]
        self._empty = not any(texts)
        if not self._empty:
            self._index.index(texts, show_progress=False)

    def rank(self, input: Input, count: int, without: Collection[int]) -> list[int]:
        asked = words(self.pool.task.input_text(input))
        if not asked or self._empty:
            return _best(np.zeros(len(self.pool)), count, without)
        return _best(self._index.get_scores(asked), count, without)


def _best(scores: NDArray[np.floating], count: int, without: Collection[int]) -> list[int]:
    found = highest(scores, count + len(without))
    return [number for number in found.tolist() if number not in without][:count]
