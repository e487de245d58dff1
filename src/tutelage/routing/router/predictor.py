"""A learnt router as a Predictor: one candidate answers each input."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tutelage.evaluation.candidates import close
from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.learnt import Learnt
from tutelage.types import Input, Prediction, Predictor


class Router:
    """`confidence` of an answer is the chance that the candidate asked is right; its own is the signal `own`.

    The answer keeps the source of who gave it, and its note says "asked NAME", and `note` where that is not "".
    """

    def __init__(
        self,
        name: str,
        learnt: Learnt,
        choose: Callable[[Floats], int],
        members: Mapping[str, Predictor],
        note: str = "",
    ) -> None:
        self._name, self.learnt, self.choose, self.members, self._note = name, learnt, choose, dict(members), note

    @property
    def name(self) -> str:
        return self._name

    def through(self, wrap: Callable[[str, Predictor], Predictor]) -> Router:
        members = {name: wrap(name, one) for name, one in self.members.items()}
        return Router(self._name, self.learnt, self.choose, members, self._note)

    def route(self, inputs: Sequence[Input]) -> list[tuple[str, float]]:
        """For each input, in order, who is asked and the chance that they are right."""
        return self._chosen(self.learnt.chances(inputs))

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order; each candidate gets its inputs as one batch. Raises as the candidates do."""
        if not inputs:
            return []
        start = time.perf_counter()
        routes = await self._routes(inputs)
        seconds = (time.perf_counter() - start) / len(inputs)
        groups: dict[str, list[int]] = {}
        for at, (name, _) in enumerate(routes):
            groups.setdefault(name, []).append(at)
        answered = await asyncio.gather(
            *(self.members[name].predict([inputs[at] for at in group]) for name, group in groups.items())
        )
        found: dict[int, Prediction] = {}
        for group, predictions in zip(groups.values(), answered, strict=True):
            found |= dict(zip(group, predictions, strict=True))
        return [self._routed(found[at], *routes[at], seconds) for at in range(len(inputs))]

    async def _routes(self, inputs: Sequence[Input]) -> list[tuple[str, float]]:
        """Off the event loop where a sentence encoder or a fine-tuned one takes its milliseconds."""
        slow = self.learnt.features.encoder is not None or self.learnt.kind == "encoder" or len(inputs) > 1
        chances = await asyncio.to_thread(self.learnt.chances, inputs) if slow else self.learnt.chances(inputs)
        return self._chosen(chances)

    def _chosen(self, chances: Floats) -> list[tuple[str, float]]:
        """In one thread: a price that follows what is spent must not be moved by two at a time."""
        numbers = [self.choose(row) for row in chances]
        return [
            (self.learnt.candidates[chosen], float(row[chosen])) for chosen, row in zip(numbers, chances, strict=True)
        ]

    def _routed(self, answer: Prediction, name: str, chance: float, seconds: float) -> Prediction:
        own = {} if answer.confidence is None else {"own": answer.confidence}
        note = "; ".join(part for part in (f"asked {name}", answer.note, self._note) if part)
        usage = replace(answer.usage, seconds=answer.usage.seconds + seconds)
        return replace(
            answer, confidence=min(1.0, max(0.0, chance)), usage=usage, note=note, signals={**answer.signals, **own}
        )

    async def close(self) -> None:
        for member in self.members.values():
            await close(member)
