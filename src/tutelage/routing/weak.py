"""Family `weak`: labels from functions that are right often enough, weighed by how far each can be trusted.

[candidates.rules]
family = "weak"
functions = "rules.py"          # Python functions: a label, or None where they have nothing to say
of = ["small"]                  # candidates whose answers are votes too
model = "confusion"             # "one-coin", "majority"

[[candidates.rules.rules]]
label = "greeting"
words = ["hello", "good morning"]

`tutelage train rules` learns from the inputs of train how far each function can be trusted (`labels.weak.model`); no label is
looked at. Labels of people on dev, where there are some, say in the card how right the functions are.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tutelage.errors import StoreError, TaskFileError, TrainingError
from tutelage.evaluation.asking import ask
from tutelage.evaluation.candidates import candidate, close
from tutelage.evaluation.intervals import proportion
from tutelage.labels.weak.functions import Function, Rule, Said, python_functions, rule_functions, source_file
from tutelage.labels.weak.labeller import Labeller, fitted
from tutelage.labels.weak.model import Kind
from tutelage.project import Project, newest_artefact
from tutelage.registry import Family
from tutelage.routing.parts import check_parts
from tutelage.students.base import FitContext, Trainable
from tutelage.tasks import Task
from tutelage.types import Example, Input, Labelled, Prediction, Predictor, Usage

MADE_OF = "made_of.txt"
"""In an artefact: the hash of the Python file that its functions came from."""


@dataclass(frozen=True)
class WeakSettings:
    """`rules` are keyword lists and patterns, `functions` a Python file in the project's folder, `of` candidates whose answers
    are votes. `model` says how votes become labels."""

    rules: tuple[Rule, ...] = ()
    functions: str | None = None
    of: tuple[str, ...] = ()
    model: Kind = "confusion"


class Weak(Trainable):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label", "labels")
    unlabelled: ClassVar[bool] = True
    labeller: Labeller | None = None
    _made_of: str = ""

    @classmethod
    def depends(cls, name: str, settings: WeakSettings, project: Project) -> object:
        """The file of functions, and the candidates that vote."""
        check_parts(project, name)
        return [_hash(name, settings, project), *_members(settings, project)]

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn how far the functions can be trusted on the inputs of `train`; `dev` says in the card how right they are."""
        assert context.project is not None, "training knows its project"
        project, settings, name = context.project, self.settings, context.candidate
        self._made_of = _hash(name, settings, project) or ""
        functions = functions_of(name, settings, project)
        names = [*(one.name for one in functions), *settings.of]
        examples = [one.example for one in (*train, *dev)]
        said = asyncio.run(_said(project, settings, functions, examples))
        context.progress(0.5, {"functions": len(names)})
        learnt, judged = said[: len(train)], said[len(train) :]
        if not any(word is not None for words in learnt for word in words):
            failed = next((f" {one.name} failed: {one.error}." for one in functions if one.error), "")
            raise TrainingError(f"{name!r}: no function says anything about the {len(train)} inputs of train.{failed}")
        declared = [*(one.labels for one in functions), *(None for _ in settings.of)]
        self.labeller = fitted(self.task, names, declared, learnt, settings.model)
        context.progress(1.0, {"rounds": max(one.rounds for one in self.labeller.models)})
        facts = _facts(self.labeller, functions, learnt)
        found = _judged(self.task, self.labeller, declared, dev, judged)
        shown = [
            f"{what} {one['right']:.3f} right on dev (n = {one['n']}, {one['low']:.3f} to {one['high']:.3f})"
            for what, one in found.items()
        ]
        return facts | {"summary": "; ".join([facts["summary"], *shown])} | ({"dev": found} if found else {})

    def save(self, folder: Path) -> None:
        assert self.labeller is not None, "fit comes first"
        self.labeller.save(folder)
        (folder / MADE_OF).write_text(self._made_of + "\n", encoding="utf-8")


class WeakLabels:
    """A fitted `weak` candidate as a Predictor."""

    def __init__(
        self, name: str, labeller: Labeller, functions: Sequence[Function], members: Sequence[Predictor] = ()
    ) -> None:
        self._name, self.labeller, self.functions, self.members = name, labeller, list(functions), tuple(members)

    @property
    def name(self) -> str:
        return self._name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, in order; an input of which no function says anything is failed. Tokens and dollars are the members'."""
        if not inputs:
            return []
        start = time.perf_counter()
        found = await asyncio.gather(*(one.predict(inputs) for one in self.members))
        own = await asyncio.to_thread(_heard, self.labeller.task, self.functions, inputs)
        said = [
            [*words, *map(_vote, answered)] for words, answered in zip(own, _turned(found, len(inputs)), strict=True)
        ]
        answers = self.labeller.predictions(said)
        seconds = (time.perf_counter() - start) / len(inputs)
        paid = [
            replace(sum((one.usage for one in asked), Usage(dollars=0.0)), seconds=seconds)
            for asked in _turned(found, len(inputs))
        ]
        if not self.members:
            paid = [Usage(seconds=seconds)] * len(inputs)
        return [replace(one, usage=usage, source=self._name) for one, usage in zip(answers, paid, strict=True)]

    async def close(self) -> None:
        for one in self.members:
            await close(one)


def functions_of(name: str, settings: WeakSettings, project: Project) -> list[Function]:
    """The rules and Python functions. Raises TaskFileError, UsageError for those that cannot be."""
    where = f"[candidates.{name}]"
    found = rule_functions(project.task, settings.rules, where)
    if settings.functions is not None:
        found += python_functions(project, settings.functions, where)
    names = [one.name for one in found] + list(settings.of)
    if not names:
        raise TaskFileError(f"{where} has no labelling function. Set rules, functions or of.")
    if twice := [one for one in names if names.count(one) > 1]:
        raise TaskFileError(f"{where}: there are two functions of the name {twice[0]!r}. Name them differently.")
    return found


def build_weak(name: str, settings: WeakSettings, project: Project) -> WeakLabels:
    """The newest artefact with its functions. Raises TrainingError where there is none or its functions were others, and as
    the members do."""
    folder = newest_artefact(project, name)
    if folder is None:
        raise TrainingError(f"{name!r} is not trained yet. Run: tutelage train {name}")
    check_parts(project, name)
    labeller, functions = Labeller.load(project.task, folder), functions_of(name, settings, project)
    try:
        before = (folder / MADE_OF).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StoreError(f"The label model in {folder} cannot be read: {error}. Train it again.") from None
    now = [*(one.name for one in functions), *settings.of]
    if before != (_hash(name, settings, project) or "") or labeller.names != now:
        raise TrainingError(
            f"The labelling functions of {name!r} have changed since it was trained. Run: tutelage train {name}"
        )
    return WeakLabels(name, labeller, functions, [candidate(project, one).build(project) for one in settings.of])


def _heard(task: Task, functions: Sequence[Function], inputs: Sequence[Input]) -> list[list[Said]]:
    return [[one.vote(task, given) for one in functions] for given in inputs]


def _turned(found: Sequence[Sequence[Prediction]], n: int) -> list[list[Prediction]]:
    """Of predictions by member and input those of each input."""
    return [[one[at] for one in found] for at in range(n)]


def _vote(prediction: Prediction) -> Said:
    value = prediction.value
    return frozenset(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else None


async def _said(
    project: Project, settings: WeakSettings, functions: Sequence[Function], examples: Sequence[Example]
) -> list[list[Said]]:
    """What every function and member says; members' answers are kept in the store, and asked for once."""
    said = await asyncio.to_thread(_heard, project.task, functions, [one.input for one in examples])
    for name in settings.of:
        one = candidate(project, name)
        key = one.fingerprint(project)
        stored = project.store.predictions.read(key, [example.id for example in examples])
        if missing := [example for example in examples if example.id not in stored]:
            member = one.build(project)
            try:
                await ask(project, member, key, missing, lambda state: None)
            finally:
                await close(member)
            stored |= project.store.predictions.read(key, [example.id for example in missing])
        said = [[*words, _vote(stored[example.id])] for words, example in zip(said, examples, strict=True)]
    return said


def _facts(labeller: Labeller, functions: Sequence[Function], said: Sequence[Sequence[Said]]) -> dict[str, Any]:
    """For the card, from the inputs of train alone."""
    rows = [one._asdict() for one in labeller.summaries(said)]
    for row, function in zip(rows, functions, strict=False):
        if function.errors:
            row |= {"errors": function.errors, "error": function.error}
    covered = sum(any(word is not None for word in words) for words in said)
    lines = [f"{covered} of {len(said)} inputs have a vote; {len(rows)} functions"]
    failing = [one for one in functions if one.errors]
    lines += [f"{one.name} failed on {one.errors} inputs, first with {one.error}" for one in failing]
    rounded = [{key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()} for row in rows]
    return {"coverage": round(covered / len(said), 4), "functions": rounded, "summary": "; ".join(lines)}


def _judged(
    task: Task,
    labeller: Labeller,
    declared: Sequence[Sequence[str] | None],
    dev: Sequence[Labelled],
    said: Sequence[Sequence[Said]],
) -> dict[str, Any]:
    """How right the labels are on the labelled inputs of dev, a plain vote beside them; {} where there are none."""
    if not dev:
        return {}
    plain = Labeller(task, labeller.names, fitted(task, labeller.names, declared, said, "majority").models)
    found: dict[str, Any] = {}
    for name, one in (("label model", labeller), ("majority vote", plain)):
        right = sum(answer.value == gold.value for answer, gold in zip(one.predictions(said), dev, strict=True))
        share = proportion(right, len(dev))
        found[name] = {
            "right": round(share.value, 4),
            "low": round(share.low, 4),
            "high": round(share.high, 4),
            "n": len(dev),
        }
    return found


def _hash(name: str, settings: WeakSettings, project: Project) -> str | None:
    """SHA-256 of the file of functions."""
    if settings.functions is None:
        return None
    path = source_file(project, settings.functions, f"[candidates.{name}]")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _members(settings: WeakSettings, project: Project) -> list[str]:
    return [candidate(project, one).fingerprint(project) for one in settings.of]


def _fingerprint(name: str, settings: WeakSettings, project: Project) -> object:
    check_parts(project, name)
    folder = newest_artefact(project, name)
    return [folder and folder.name, _hash(name, settings, project), *_members(settings, project)]


def _hosted(name: str, settings: WeakSettings, project: Project) -> bool:
    return any(candidate(project, one).hosted(project) for one in settings.of)


FAMILY = Family("student", WeakSettings, build_weak, _fingerprint, Weak, _hosted)
