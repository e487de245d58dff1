"""Family `vote`: asks several candidates at once, and answers what they agree on.

[candidates.panel]
family = "vote"
of = ["small", "middle", "large"]
weights = "dev"                     # members that are right more often on dev count more; "equal" (the default): all alike

What is chosen, by the kind of value, is told in `prompting.voting`; the confidence is the share of members (by weight) that
agree, and the signal `support` weighs it with the members' own confidences. A tie goes to the member named first in `of`; of a
list a string that exactly half hold is left out.

With weights = "dev" a member counts the log odds of its being right on dev, which is the optimal rule for independent members
and two answers (Nitzan & Paroush 1982, https://doi.org/10.2307/2526438): ln (right + 1/2) / (wrong + 1/2), for a record by
field, for a list over all strings that it or the reference or another member holds (right: it holds what the reference does). A
member that is wrong about every other time or more often counts LEAST: it breaks ties and no more. The weights are learned
by `tutelage calibrate NAME` and kept, so that a label that is added to dev later does not change what is served.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from tutelage.errors import StoreError, TrainingError, UsageError
from tutelage.evaluation.candidates import candidate, close
from tutelage.evaluation.exact import exact_match
from tutelage.project import Project, newest_artefact, read_card
from tutelage.prompting.voting import EQUAL, Weights, form_of, text_form, vote
from tutelage.registry import Family
from tutelage.routing.certificate import folder_hash
from tutelage.routing.learned import card_of, dev_examples, kept, learned_folder, stored_answers
from tutelage.routing.parts import check_parts
from tutelage.routing.verifier.columns import agreement
from tutelage.store import Origin
from tutelage.tasks import Task
from tutelage.types import Input, Prediction, Predictor, Usage, Value

WEIGHTS = "weights.json"
LEAST = 0.01
"""The weight of a member that is no better than chance."""


@dataclass(frozen=True)
class VoteSettings:
    """`of` are the members. `weights` says how much each counts: all alike, or as it was right on dev; `labels` whose labels of
    dev are right."""

    of: Annotated[list[str], Field(min_length=2)]
    weights: Literal["equal", "dev"] = "equal"
    labels: Origin = "any"


class Panel:
    """Answers by vote; see the module's text. `weights` has one entry a member."""

    def __init__(self, name: str, task: Task, members: Sequence[Predictor], weights: Sequence[Weights]) -> None:
        self._name, self._task, self.members, self.weights = name, task, tuple(members), tuple(weights)

    @property
    def name(self) -> str:
        return self._name

    def through(self, wrap: Callable[[str, Predictor], Predictor]) -> Panel:
        return Panel(self._name, self._task, [wrap(one.name, one) for one in self.members], self.weights)

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order. Tokens and dollars are the members' sums, seconds the slowest member's. Raises as the members do."""
        if not inputs:
            return []
        found = await asyncio.gather(*(one.predict(inputs) for one in self.members))
        return [self._settled(drawn) for drawn in zip(*found, strict=True)]

    def _settled(self, drawn: Sequence[Prediction]) -> Prediction:
        usage = together(drawn)
        failed = [one.name for one, answer in zip(self.members, drawn, strict=True) if answer.value is None]
        voted = vote(self._task, drawn, self.weights)
        if voted is None:
            return Prediction(None, usage=usage, source=self._name, error=f"No member answered: {drawn[0].error}")
        signals = {"agreement": voted.agreement}
        if not isinstance(voted.value, str):
            signals["exact_agreement"] = voted.exact
        if (support := self._support(voted.value, drawn)) is not None:
            signals["support"] = support
        note = f"no answer from {', '.join(failed)}" if failed else None
        # Sums of weights that are no binary fractions can end a hair above their total.
        parts = {name: min(1.0, share) for name, share in voted.parts.items()}
        signals = {signal: min(1.0, share) for signal, share in signals.items()}
        return Prediction(voted.value, signals["agreement"], usage, self._name, note=note, signals=signals, parts=parts)

    def _support(self, value: Value, drawn: Sequence[Prediction]) -> float | None:
        """The members' confidences, as far as each agrees, averaged by weight; None where one that answered gives none. Agreement
        alone takes as many values as there are members, too few for a threshold to be set between them."""
        total = found = 0.0
        for one, weights in zip(drawn, self.weights, strict=True):
            total += weights[""]
            if one.value is None:
                continue
            if one.confidence is None:
                return None
            found += weights[""] * one.confidence * agreement(self._task, value, one.value)
        return found / total

    async def close(self) -> None:
        for one in self.members:
            await close(one)


def together(asked: Sequence[Prediction]) -> Usage:
    """What answers took that were asked for at the same time: everything is paid, and the slowest is waited for."""
    total = Usage(dollars=0.0)
    for one in asked:
        total += one.usage
    return replace(total, seconds=max(one.usage.seconds for one in asked))


def build_vote(name: str, settings: VoteSettings, project: Project) -> Panel:
    """The panel. Raises TaskFileError for members that cannot be, TrainingError where it has not learned its weights or has
    learned them of others, and as the members do."""
    check_parts(project, name)
    weights: Sequence[Weights] = [EQUAL] * len(settings.of)
    if settings.weights == "dev":
        weights = read_weights(name, settings, learned_folder(project, name))
    return Panel(name, project.task, [candidate(project, one).build(project) for one in settings.of], weights)


def read_weights(name: str, settings: VoteSettings, folder: Path) -> list[Weights]:
    """The weights in an artefact, in the order of the members. Raises StoreError, TrainingError."""
    try:
        stored: dict[str, dict[str, float]] = json.loads((folder / WEIGHTS).read_text(encoding="utf-8"))
        if list(stored) != settings.of:
            raise TrainingError(
                f"{name!r} learned how much {', '.join(stored)} count, and task.toml says {', '.join(settings.of)}. "
                f"Run: tutelage calibrate {name}"
            )
        return [{part: max(LEAST, float(weight)) for part, weight in own.items()} for own in stored.values()]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"The weights in {folder} cannot be read: {error}. Calibrate {name} again.") from None


def fit_votes(project: Project, name: str) -> Path:
    """Learn the weights of candidate `name`, of family `vote`, from its members' stored answers on dev; the artefact's folder.

    Does nothing where the newest artefact was made of the same. Raises TutelageError in one line.
    """
    one = candidate(project, name)
    settings: VoteSettings = one.settings
    if settings.weights == "equal":
        raise UsageError(
            f'{name!r} has nothing to learn: its members count alike. Set weights = "dev" to learn weights.'
        )
    check_parts(project, name)
    examples = dev_examples(project, settings.labels)
    gold = [example.value for example in examples.examples]
    answered = [
        [found.value for found in stored_answers(project, name, candidate(project, member), examples)[0]]
        for member in settings.of
    ]
    weights = dict(zip(settings.of, weights_of(project.task, gold, answered), strict=True))

    def write(folder: Path) -> Mapping[str, Any]:
        (folder / WEIGHTS).write_text(json.dumps(weights, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        right = [exact_match(project.task, gold, values).scores.mean() for values in answered]
        return {"right": dict(zip(settings.of, map(float, right), strict=True))}

    return kept(project, card_of(project, one, examples, answered), examples.ids, write)


def votes_text(folder: Path) -> str:
    """What `tutelage calibrate` says of the weights."""
    weights = json.loads((folder / WEIGHTS).read_text(encoding="utf-8"))
    right = read_card(folder)["fit"]["right"]
    shown = ", ".join(f"{name} {own['']:.2f} ({right[name]:.3f} right)" for name, own in weights.items())
    return f"weights from {read_card(folder)['learned_from']['n']} examples of dev: {shown} -> {folder}"


def weights_of(task: Task, gold: Sequence[Value], answered: Sequence[Sequence[Value | None]]) -> list[dict[str, float]]:
    """How much each member counts, from its answers to the same examples (None: failed, which no weight is learned from)."""
    return [
        {part: max(LEAST, _log_odds(right)) for part, right in _right(task, gold, answered, at).items()}
        for at in range(len(answered))
    ]


def _right(
    task: Task, gold: Sequence[Value], answered: Sequence[Sequence[Value | None]], at: int
) -> dict[str, list[bool]]:
    """What member `at` was right about: under "" answers or strings, and of a record each field."""
    own = [(number, value) for number, value in enumerate(answered[at]) if value is not None]
    if not own:
        return {"": []}
    if task.output in ("strings", "labels"):
        form = text_form(task)
        held = [
            [{form(text) for text in values or ()} for values in (gold[number], *(one[number] for one in answered))]
            for number, _ in own
        ]
        return {
            "": [(text in sets[0]) == (text in sets[at + 1]) for sets in held for text in sorted(set().union(*sets))]
        }
    scores = exact_match(task, [gold[number] for number, _ in own], [value for _, value in own]).scores
    found: dict[str, list[bool]] = {"": [bool(score == 1) for score in scores]}
    for number, value in own:
        wanted = gold[number]
        if isinstance(wanted, dict) and isinstance(value, dict):
            for field in {**wanted, **value}:
                form_: Callable[[Any], Hashable] = form_of(task, field)
                found.setdefault(field, []).append(form_(wanted.get(field)) == form_(value.get(field)))
    return found


def _log_odds(right: Sequence[bool]) -> float:
    """Log odds of right, half an answer of each kind added."""
    count = sum(right)
    return float(np.log((count + 0.5) / (len(right) - count + 0.5)))


def _fingerprint(name: str, settings: VoteSettings, project: Project) -> object:
    check_parts(project, name)
    folder = newest_artefact(project, name) if settings.weights == "dev" else None
    return [folder and folder_hash(folder), [candidate(project, one).fingerprint(project) for one in settings.of]]


def _hosted(name: str, settings: VoteSettings, project: Project) -> bool:
    return any(candidate(project, one).hosted(project) for one in settings.of)


FAMILY = Family("system", VoteSettings, build_vote, _fingerprint, hosted=_hosted)
