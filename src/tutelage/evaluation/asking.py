"""Asking a predictor: answers are stored as they arrive, so that what was paid for is kept whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tutelage.project import Project
from tutelage.types import Example, OneByOne, Prediction, Predictor

CHUNK = 256


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is: told after every answer stored."""

    done: int
    total: int
    dollars: float


async def ask(
    project: Project,
    predictor: Predictor,
    key: str,
    examples: Sequence[Example],
    tell: Callable[[Progress], None],
) -> None:
    """Make `predictor` answer `examples`, begun in this order, and store each answer under `key` as it arrives."""
    dollars, done = 0.0, 0

    def keep(found: list[tuple[str, Prediction]]) -> None:
        nonlocal dollars, done
        project.store.predictions.add(key, found)
        dollars += sum(p.usage.dollars or 0.0 for _, p in found)
        done += len(found)
        tell(Progress(done, len(examples), dollars))

    for start in range(0, len(examples), CHUNK):
        part = examples[start : start + CHUNK]
        if isinstance(predictor, OneByOne):

            async def one(example: Example, ask: OneByOne = predictor) -> tuple[str, Prediction]:
                return example.id, await ask.predict_one(example.input)

            # As tasks, because as_completed begins coroutines in no order: neighbours may share a prompt's prefix.
            tasks = [asyncio.ensure_future(one(example)) for example in part]
            kept = set()
            try:
                for answered in asyncio.as_completed(tasks):
                    found = await answered
                    kept.add(found[0])
                    keep([found])
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                # Broken off: what arrived meanwhile was paid for as well.
                if late := [found for found in ended if isinstance(found, tuple) and found[0] not in kept]:
                    keep(late)
        else:
            predictions = await predictor.predict([example.input for example in part])
            keep([(example.id, p) for example, p in zip(part, predictions, strict=True)])
