"""The parts of a system: candidates whose answers are kept in the store, with the seconds and dollars that each took.

A system that is evaluated asks its parts through the store, so that nothing is paid for twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

from tutelage.evaluation.asking import Progress, ask
from tutelage.evaluation.candidates import Candidate, candidate, close
from tutelage.evaluation.costs import hardware_cost
from tutelage.labels.splitting import example_id
from tutelage.project import Project
from tutelage.types import SPLITS, Example, Input, Prediction, Predictor


@runtime_checkable
class Composed(Predictor, Protocol):
    """A predictor that is made of candidates."""

    def through(self, wrap: Callable[[str, Predictor], Predictor]) -> Predictor:
        """The same system, each part (candidate's name, predictor) replaced by what `wrap` makes of it."""


class Remembered:
    """Candidate `part` as the store knows it: what it has answered is not asked again, what it answers is kept."""

    def __init__(self, project: Project, part: Candidate, predictor: Predictor) -> None:
        self._project, self._part, self._predictor = project, part, predictor
        self._key = part.fingerprint(project)

    @property
    def name(self) -> str:
        return self._part.name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order. Raises ModelError when no call can succeed."""
        ids = [example_id(one) for one in inputs]
        stored = self._project.store.predictions.read(self._key, ids)
        missing = {
            id: Example(id, one, "test")
            for id, one in zip(ids, inputs, strict=True)
            if id not in stored or stored[id].error
        }
        if missing:
            await ask(self._project, self._predictor, self._key, list(missing.values()), _silent)
            stored |= self._project.store.predictions.read(self._key, list(missing))
        return priced(self._project, self._part, [stored[id] for id in ids])

    async def close(self) -> None:
        await close(self._predictor)


def remembered(project: Project, name: str, predictor: Predictor) -> Remembered:
    """Of a part that is made of parts itself, these are remembered too."""
    if isinstance(predictor, Composed):
        predictor = predictor.through(partial(remembered, project))
    return Remembered(project, candidate(project, name), predictor)


def priced(project: Project, part: Candidate, predictions: Sequence[Prediction]) -> list[Prediction]:
    """The answers with their seconds and dollars filled in where the answers of this kind carry none: seconds measured here
    one at a time, dollars of this machine's time at its measured rate (unknown without [hardware] dollars_per_hour)."""
    facts = _measured(project, part)
    seconds, rate = facts.get("p50", 0.0), facts.get("items_per_second", 0.0)
    local = None
    if rate and not part.hosted(project) and part.family.role in ("student", "pretrained"):
        cost = hardware_cost(1 / rate, project.file.hardware).dollars_per_1000
        local = None if cost is None else cost / 1000
    return [
        replace(
            one,
            usage=replace(
                one.usage,
                seconds=one.usage.seconds or seconds,
                dollars=local if one.usage.dollars is None else one.usage.dollars,
            ),
        )
        for one in predictions
    ]


def _measured(project: Project, part: Candidate) -> Mapping[str, Any]:
    key = part.fingerprint(project)
    found = (project.store.measurements.get(key, split) for split in SPLITS)
    return next((facts for facts in found if facts and "p50" in facts), {})


def _silent(_: Progress) -> None:
    """The system's own progress is shown."""
