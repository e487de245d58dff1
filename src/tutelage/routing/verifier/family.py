"""Family `verified`: a candidate whose answers are verified: a small model, trained on what of its past answers was right,
says how probably each answer is.

[candidates.sure]
family = "verified"
of = "student"
beside = "tfidf"        # optional: asked as well; whether the two agree tells much

The answers are those of `of`, and their `confidence` the verifier's: a stage of a cascade like any other, where it decides
between answering and escalating.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tutelage.errors import TrainingError
from tutelage.evaluation.candidates import candidate, close
from tutelage.project import Project, newest_artefact
from tutelage.registry import Family
from tutelage.routing.certificate import folder_hash
from tutelage.routing.learned import learned_folder
from tutelage.routing.parts import check_parts
from tutelage.routing.verifier.columns import Asked
from tutelage.routing.verifier.model import Verifier, load_verifier
from tutelage.routing.vote import together
from tutelage.store import Origin
from tutelage.types import Input, Prediction, Predictor


@dataclass(frozen=True)
class VerifiedSettings:
    """`of` is the candidate that answers; `beside` another one that is asked at the same time, whose agreement counts. `model`
    is what verifies: a logistic regression or boosted trees. `novelty`: whether it is told how unlike the texts of train an
    input is; `base`: a sentence encoder whose vectors it may use besides; `labels`: whose labels of dev are right."""

    of: str
    beside: str | None = None
    model: Literal["linear", "boosting"] = "linear"
    novelty: bool = True
    base: str | None = None
    labels: Origin = "any"
    seed: int = 0
    threads: int | None = None


class Verified:
    """The answers of `asked`, as sure as the verifier is of them. The candidate's own confidence is the signal "own"."""

    def __init__(self, name: str, verifier: Verifier, asked: Predictor, beside: Predictor | None) -> None:
        self._name, self.verifier, self.asked, self.beside = name, verifier, asked, beside

    @property
    def name(self) -> str:
        return self._name

    def through(self, wrap: Callable[[str, Predictor], Predictor]) -> Verified:
        beside = None if self.beside is None else wrap(self.beside.name, self.beside)
        return Verified(self._name, self.verifier, wrap(self.asked.name, self.asked), beside)

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order; both candidates are paid. A failed answer stays one. Raises as the candidates do."""
        if not inputs:
            return []
        members = [self.asked] if self.beside is None else [self.asked, self.beside]
        found = await asyncio.gather(*(one.predict(inputs) for one in members))
        usages = [together(drawn) for drawn in zip(*found, strict=True)]
        answered = [at for at, one in enumerate(found[0]) if one.value is not None]

        def only(predictions: Sequence[Prediction]) -> list[Prediction]:
            return [predictions[at] for at in answered]

        asked = Asked([inputs[at] for at in answered], only(found[0]), only(found[1]) if self.beside else None)
        chances = dict(zip(answered, await asyncio.to_thread(self.verifier.chances, asked), strict=True))
        return [verified(replace(one, usage=usages[at]), chances.get(at)) for at, one in enumerate(found[0])]

    async def close(self) -> None:
        await close(self.asked)
        if self.beside is not None:
            await close(self.beside)


def verified(one: Prediction, chance: float | None) -> Prediction:
    """The answer with that chance of being right as its confidence; None: it failed."""
    own = {} if one.confidence is None else {"own": one.confidence}
    if chance is None:
        return replace(one, confidence=None)
    return replace(one, confidence=min(1.0, max(0.0, float(chance))), signals={**one.signals, **own})


def build_verified(name: str, settings: VerifiedSettings, project: Project) -> Verified:
    """The candidate with the verifier of the newest artefact. Raises TaskFileError, TrainingError where it has not learned or
    learned of others, and as the candidates do."""
    check_parts(project, name)
    verifier = load_verifier(learned_folder(project, name), settings, project)
    if (verifier.of, verifier.beside, verifier.kind) != (settings.of, settings.beside, settings.model):
        raise TrainingError(
            f"{name!r} learned to verify {verifier.of!r} (beside {verifier.beside!r}, model {verifier.kind!r}), and task.toml "
            f"says otherwise now. Run: tutelage calibrate {name}"
        )
    beside = None if settings.beside is None else candidate(project, settings.beside).build(project)
    return Verified(name, verifier, candidate(project, settings.of).build(project), beside)


def _fingerprint(name: str, settings: VerifiedSettings, project: Project) -> object:
    check_parts(project, name)
    folder = newest_artefact(project, name)
    return [
        folder and folder_hash(folder),
        [candidate(project, one).fingerprint(project) for one in _members(settings)],
    ]


def _hosted(name: str, settings: VerifiedSettings, project: Project) -> bool:
    return any(candidate(project, one).hosted(project) for one in _members(settings))


def _members(settings: VerifiedSettings) -> list[str]:
    return [one for one in (settings.of, settings.beside) if one is not None]


FAMILY = Family("system", VerifiedSettings, build_verified, _fingerprint, hosted=_hosted)
