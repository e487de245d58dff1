"""Questions that mean the same, and what is found of them; apart from what finds it, which needs the libraries of encoders."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.gateway.cache.entry import Entry
from tutelage.registry import load


class Token(NamedTuple):
    """What `learn` must know of a lookup. `reasked`: an answer could have been given, and the model is asked to check it."""

    model: str
    scope: str
    text: str
    vector: NDArray[np.float32]
    candidate: int | None = None
    similarity: float = 0.0
    reasked: bool = False


class Hit(NamedTuple):
    """A kept answer, the question it answered, and how near that one is (cosine)."""

    entry: Entry
    question: str
    similarity: float
    token: Token


class Miss(NamedTuple):
    """The model must be asked; `why`: "new", the check that refused the nearest, "unproved", or "reasked"."""

    token: Token
    why: str


class Question(NamedTuple):
    """A request as `lookup` wants it: its last user message, and a scope of all the rest."""

    model: str
    text: str
    scope: str


@dataclass(slots=True)
class SemanticStats:
    """Counts since the start, but `reasked` and `reasked_wrong` since the file began.

    `hits` were given from the cache, `equal` of them to the very same text. `explored` were asked though a kept question was
    near, to observe; `refused` by the check's name; `reasked` would have been hits, `reasked_wrong` wrong ones.
    """

    hits: int = 0
    equal: int = 0
    new: int = 0
    explored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    reasked: int = 0
    reasked_wrong: int = 0

    def wrong_share(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """The estimated share of wrong hits with Clopper and Pearson's interval; (0, 0, 1) before any was asked again."""
        if not self.reasked:
            return 0.0, 0.0, 1.0
        # Loaded when it is asked for: the library takes 50 MB, which a gateway without this cache does not need.
        found = load("scipy.stats:binomtest")(self.reasked_wrong, self.reasked).proportion_ci(confidence)
        return self.reasked_wrong / self.reasked, float(found.low), float(found.high)
