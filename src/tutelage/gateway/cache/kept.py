"""What the semantic cache holds: questions, their answers, and what was observed; in memory, and in a file that outlives it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from tutelage.embeddings.runtime import Array
from tutelage.errors import StoreError
from tutelage.gateway.cache.checks import Words, read_words
from tutelage.gateway.cache.entry import Entry, unpack
from tutelage.gateway.cache.evidence import OWN, Evidence, Observation
from tutelage.gateway.cache.shelf import Shelf
from tutelage.store.semantic import ObservationRow, QuestionRow, SemanticFile

REFRESH = 1.0
"""Seconds after which is looked what other processes have added."""

SWEEP = 60.0
"""Seconds after which what has expired is forgotten; it is not given before either."""

LOG_EVERY = 60.0

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(slots=True)
class Kept:
    """A question with its answer. `value` is what answers are compared by, `own` what was observed of this question."""

    number: int
    model: str
    scope: str
    text: str
    words: Words
    entry: Entry
    value: str
    expires: float
    used: float
    own: list[Observation] = field(default_factory=list)


class Memory:
    """At most `size` questions. For one thread at a time. Where the file fails, what is learnt lasts for this process only."""

    def __init__(self, size: int, budget: float, file: SemanticFile | None, clock: Callable[[], float]) -> None:
        self.kept: dict[int, Kept] = {}
        self.reasked = self.reasked_wrong = 0
        self._evidence: dict[str, Evidence] = {}
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._size, self._budget, self._file, self._clock = size, budget, file, clock
        self._last_question = self._last_observation = self._unfiled = 0
        self._mine: set[int] = set()
        self._next_refresh = self._next_sweep = self._quiet_until = float("-inf")

    def evidence(self, model: str) -> Evidence:
        if model not in self._evidence:
            self._evidence[model] = Evidence(self._budget)
        return self._evidence[model]

    def near(self, model: str, scope: str, vector: Array, k: int) -> Iterator[tuple[float, Kept]]:
        """The `k` nearest that have not expired, nearest first."""
        self._refresh()
        now, shelf = self._clock(), self._shelves.get((model, scope))
        for similarity, number in shelf.nearest(vector, k) if shelf else ():
            if now < (kept := self.kept[number]).expires:
                yield similarity, kept

    def add(self, question: QuestionRow, vector: Array) -> None:
        """Keep `question`, unless another request with the same text was quicker."""
        if any(kept.text == question.text for _, kept in self.near(question.model, question.scope, vector, 1)):
            return
        number = self._filed(lambda file: file.add(question))
        if number is None:
            self._unfiled -= 1
            number = self._unfiled
        self._place(number, question, vector)
        if len(self.kept) > self._size:
            self._forget_oldest()

    def observe(self, seen: ObservationRow) -> None:
        number = self._filed(lambda file: file.observe(seen)) if seen.question > 0 else None
        if number is not None:
            self._mine.add(number)
        self._count(seen)

    def close(self) -> None:
        self._filed(lambda file: file.close())

    def _place(self, number: int, question: QuestionRow, vector: Array) -> None:
        self.kept[number] = Kept(
            number,
            question.model,
            question.scope,
            question.text,
            read_words(question.text),
            unpack(question.packed),
            question.value,
            question.expires,
            self._clock(),
        )
        self._shelves.setdefault((question.model, question.scope), Shelf()).add(number, vector)

    def _count(self, seen: ObservationRow) -> None:
        observation, evidence = Observation(seen.similarity, seen.right), self.evidence(seen.model)
        own = self.kept[seen.question].own if seen.question in self.kept else []
        if not evidence.alone(seen.similarity, own):
            evidence.add(observation)
        own.append(observation)
        del own[:-OWN]
        self.reasked += seen.reasked
        self.reasked_wrong += seen.reasked and not seen.right

    def _forget_oldest(self) -> None:
        """Make room for a tenth at once, since shelves are built anew: what was least recently used."""
        order = sorted(self.kept.values(), key=lambda one: one.used)
        self._forget({one.number for one in order[: len(self.kept) - self._size + self._size // 10]})

    def _forget(self, gone: set[int]) -> None:
        for place in {(self.kept[number].model, self.kept[number].scope) for number in gone}:
            self._shelves[place].remove(gone)
            if not len(self._shelves[place]):
                del self._shelves[place]
        for number in gone:
            del self.kept[number]
        self._filed(lambda file: file.forget(number for number in gone if number > 0))

    def _refresh(self) -> None:
        """Learn what the file holds more: at first all, then what other processes add."""
        now = self._clock()
        if now < self._next_refresh:
            return
        self._next_refresh = now + REFRESH
        for question in self._filed(lambda file: file.questions(self._last_question, now)) or ():
            self._last_question = question.id
            if question.id not in self.kept:
                self._place(question.id, question, np.frombuffer(question.vector, np.float32))
        for seen in self._filed(lambda file: file.observations(self._last_observation)) or ():
            self._last_observation = seen.id
            if seen.id not in self._mine:
                self._count(seen)
        self._mine.clear()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP
            self._forget({number for number, one in self.kept.items() if one.expires <= now})
        if len(self.kept) > self._size:
            self._forget_oldest()

    def _filed(self, use: Callable[[SemanticFile], _T]) -> _T | None:
        """What `use` gives of the file; None without one and where it fails, which is told once a minute."""
        if self._file is None:
            return None
        try:
            return use(self._file)
        except StoreError as error:
            if self._clock() >= self._quiet_until:
                self._quiet_until = self._clock() + LOG_EVERY
                _log.warning("What the semantic cache learns is not kept. %s", error)
            return None
