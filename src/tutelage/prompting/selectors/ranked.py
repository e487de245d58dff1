"""What is alike in all selectors that choose anew for every input: never itself, how many, the budget, the order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from tutelage.errors import UsageError
from tutelage.prompting.selectors import ShotOptions
from tutelage.prompting.selectors.pool import Pool, input_key
from tutelage.tasks import Task
from tutelage.types import Input, Labelled

if TYPE_CHECKING:
    from tutelage.embeddings.encoder import Encoder

Use: TypeAlias = Literal["none", "optional", "needed"]

REMEMBERED = 20_000
"""Choices kept: an input is asked about at least twice, for its price and for its answer. About 300 bytes each."""


@dataclass(frozen=True)
class _Asked:
    """An input, equal to another when the canonical inputs are."""

    key: str
    input: Input = field(compare=False)


class RankedShots(ABC):
    """Ranks the pool for an input. The budget drops the least relevant examples until the rest fits; one that alone is
    over it is never shown. The most relevant stands last, next to the question.
    """

    uses_encoder: ClassVar[Use] = "none"
    """Whether texts are compared by an encoder: "optional" means in another way without one."""
    outputs: ClassVar[tuple[str, ...]] = ()
    """The output kinds it goes with; empty means all."""

    def __init__(self, task: Task, pool: Sequence[Labelled], options: ShotOptions, encoder: Encoder | None) -> None:
        if self.uses_encoder == "needed" and encoder is None:
            raise UsageError(f"selector = {options.selector!r} compares texts by an encoder. Set base = its folder.")
        if self.outputs and task.output not in self.outputs:
            goes = " or ".join(repr(output) for output in self.outputs)
            raise UsageError(f"selector = {options.selector!r} goes with output {goes}, not with {task.output!r}.")
        self.pool, self.options = Pool(task, pool), options
        self.encoder = None if self.uses_encoder == "none" else encoder
        self._lock, self._prepared = Lock(), False
        self._chosen = lru_cache(REMEMBERED)(self._choose)

    def prepare(self) -> None:  # noqa: B027  (nothing to index is common)
        """Index the pool; called once, before the first `rank`, if the pool is not empty."""

    @abstractmethod
    def rank(self, input: Input, count: int, without: Collection[int]) -> Sequence[int]:
        """At most `count` different numbers of the pool, best first, none of `without`; ties in the pool's order."""

    def own_facts(self) -> object:
        """What decides the choice besides pool, encoder and number, as JSON."""
        return None

    def select(self, input: Input) -> list[Labelled]:
        if not self.options.shots or not len(self.pool):
            return []
        with self._lock:
            if not self._prepared:
                self.prepare()
                self._prepared = True
        key = input_key(self.pool.task, input)
        numbers = self._chosen(_Asked(key, input))
        return [self.pool.examples[number] for number in numbers]

    def facts(self) -> object:
        options = self.options
        facts = {"selector": options.selector, "shots": options.shots, "shot_tokens": options.shot_tokens}
        encoder = None if self.encoder is None else self.encoder.identity
        return facts | {"pool": self.pool.digest, "encoder": encoder, "own": self.own_facts()}

    def _choose(self, asked: _Asked) -> tuple[int, ...]:
        without = {*self.pool.same(asked.input), *self._too_long}
        ranked = self.rank(asked.input, self.options.shots, without)
        return tuple(reversed(self.pool.within(ranked, self.options.shot_tokens)))

    @cached_property
    def _too_long(self) -> frozenset[int]:
        budget = self.options.shot_tokens
        if budget is None:
            return frozenset()
        return frozenset(number for number, tokens in enumerate(self.pool.tokens) if tokens > budget)
