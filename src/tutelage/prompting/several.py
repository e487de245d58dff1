"""One question asked several times: what self-consistency and best-of-n have in common."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, Self

from tutelage.errors import ModelError, TaskFileError
from tutelage.models.chat import PerLoop
from tutelage.project import Project
from tutelage.prompting.family import fingerprint_prompted
from tutelage.prompting.prompted import Estimate, Prompted, every_one
from tutelage.prompting.settings import PromptedSettings
from tutelage.tasks.file import Price, validated
from tutelage.types import Input, Prediction, Usage, digest

FREE = Usage(dollars=0.0)


class Several(ABC):
    """Draws `draws` answers of `asked`, with the seeds `seed`, `seed` + 1, ..., and settles on one.

    `facts` is what else decides the answers; `source`, which the labels bear, changes with it. Keeps the protocol `Asked`.
    """

    def __init__(self, asked: Prompted, draws: int, seed: int, *, name: str, facts: object) -> None:
        self.asked, self.draws, self.seed, self._name, self._facts = asked, draws, seed, name, facts
        # As many answers at a time as keep the calls of `asked` busy.
        self.concurrency = -(-asked.concurrency // draws)
        model = asked.source.rpartition("@")[0]
        self.source = f"{model}@{digest([asked.source, draws, seed, facts])[:8]}"
        self._slots = PerLoop(lambda: asyncio.Semaphore(self.concurrency))

    @abstractmethod
    async def settle(self, input: Input, drawn: Sequence[Prediction]) -> Prediction:
        """The answer that the draws give; its usage is only what settling took. At least one draw has a value."""

    @abstractmethod
    def at_most(self, concurrency: int) -> Self:
        """The same with another number of calls at a time."""

    @property
    def name(self) -> str:
        return self._name

    @property
    def content(self) -> dict[str, Any]:
        """What the version in `source` is the hash of, as JSON; `of` is what is asked each time."""
        return {"draws": self.draws, "seed": self.seed, "settled by": self._facts, "of": self.asked.content}

    @property
    def price(self) -> Price | None:
        return self.asked.price

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order. Raises ModelError when no call can succeed."""
        return await every_one(self.predict_one, inputs)

    async def predict_one(self, input: Input) -> Prediction:
        """One answer; its usage is the sum of all calls, its seconds are wall time. Raises ModelError as `predict`."""
        if self.unsendable(input):
            return replace(await self.asked.draw(input, self.seed), source=self.source)
        async with self._slots.get():
            start = time.perf_counter()
            drawn = await self._draw(input)
            spent = added(draw.usage for draw in drawn)
            failed = [draw for draw in drawn if draw.value is None]
            if len(failed) == len(drawn):
                settled = Prediction(None, usage=FREE, error=_all_failed(failed))
            else:
                settled = await self.settle(input, drawn)
            usage = replace(spent + settled.usage, seconds=time.perf_counter() - start)
            said = f"{len(failed)} of {len(drawn)} draws failed: {failed[0].error}" if failed else None
            note = "; ".join(part for part in (said, settled.note) if part) or None
            return replace(settled, usage=usage, source=self.source, note=note)

    def unsendable(self, input: Input) -> str | None:
        return self.asked.unsendable(input)

    def estimate(self, input: Input) -> Estimate:
        once = self.asked.estimate(input)
        return Estimate(self.draws * once.input_tokens, self.draws * once.output_tokens)

    def dollars(self, input: Input, *, repairs: bool = True) -> float | None:
        once = self.asked.dollars(input, repairs=repairs)
        return None if once is None else self.draws * once

    async def close(self) -> None:
        await self.asked.close()

    async def _draw(self, input: Input) -> list[Prediction]:
        """The draws; one that met an error is a failed one, unless all did and no call can succeed."""
        seeds = range(self.seed, self.seed + self.draws)
        found = await asyncio.gather(*(self.asked.draw(input, seed) for seed in seeds), return_exceptions=True)
        errors = [one for one in found if isinstance(one, BaseException)]
        for error in errors:
            if not isinstance(error, ModelError) or len(errors) == len(found):
                raise error
        nothing = Usage(dollars=None if self.price is None else 0.0)
        return [
            one if isinstance(one, Prediction) else Prediction(None, None, nothing, error=str(one)) for one in found
        ]


def added(usages: Iterable[Usage]) -> Usage:
    return reduce(add, usages)


def settings_of(name: str, key: str, of: str, project: Project) -> PromptedSettings:
    """The settings of candidate `of`, which `key` of candidate `name` names. Raises TaskFileError in one line."""
    candidates = project.file.candidates
    prompted = [other for other, given in candidates.items() if given.get("family") == "prompted"]
    remedy = f"Name a candidate of family 'prompted': {', '.join(prompted) or 'there is none yet'}."
    if of == name:
        raise TaskFileError(f"[candidates.{name}]: {key} = {of!r} is the candidate itself. {remedy}")
    if of not in candidates:
        raise TaskFileError(f"[candidates.{name}]: {key} = {of!r} is no candidate. {remedy}")
    given = project.candidate(of)
    if (family := given.pop("family", None)) != "prompted":
        raise TaskFileError(f"[candidates.{name}]: {key} = {of!r} is of family {family!r}. {remedy}")
    return validated(PromptedSettings, given, f"[candidates.{of}]")


def fingerprint_of(of: str, settings: PromptedSettings, project: Project) -> object:
    """What decides the answers of candidate `of`: all of its settings, and what there is besides them."""
    return [settings.facts(), fingerprint_prompted(of, settings, project)]


def _all_failed(failed: Sequence[Prediction]) -> str:
    return f"All {len(failed)} draws failed, the first one: {failed[0].error}"
