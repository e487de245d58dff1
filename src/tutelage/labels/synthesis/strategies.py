"""What a model is asked to write, call by call: per label, for the hard region, from seed examples, as paraphrases.

The n-th call of a strategy is always the same for the same train, so that a run that was broken off goes on. Prompts are
made of real examples of train and of nothing else.
"""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

from tutelage.errors import DataError, UsageError
from tutelage.labels.alikeness import alike, runs
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import Example, Value

SEEDS = 5
"""Examples in one prompt."""

LONGEST_SEED, LONGEST_SEEDS = 2000, 6000
"""Characters of a seed, and of all in one prompt, that are shown."""

NEIGHBOURS = 3
"""Other hard examples beside the one that a call is about."""

STYLES = (
    "Each about as long as those before.",
    "Shorter than those before.",
    "Longer than those before, with a detail more.",
    "As people write in a hurry, with a slip of the pen here and there.",
    "In words that those before do not use.",
    "From people in other situations than those before.",
)
"""One for each call, in turn: asked for the same over and over, models write the same over and over."""

PARAPHRASES = (
    "Change the words.",
    "Change how the sentences are built.",
    "One short, one long, the others in between.",
)


class Seed(NamedTuple):
    """A real example of train; `value` is its label in force, None where it has none."""

    example: Example
    value: Value | None


class Hard(NamedTuple):
    """A seed that answers differ on, or that a student is unsure of; `answers` are those given for it, as text."""

    seed: Seed
    answers: Sequence[str]


class Request(NamedTuple):
    """One call, as the end of a conversation: it asked for inputs (`before`), the writer gave the seeds (`shown`, a JSON list of
    objects), now it asks for others (`text`). Told of the same seeds in one message, small models copy them.

    `intended` is the label that the new inputs are to have (None: any).
    """

    number: int
    before: str
    shown: str
    text: str
    seeds: Sequence[Example]
    intended: Value | None = None

    @property
    def group(self) -> str | None:
        """The group of all seeds; None where they are of several or of none."""
        groups = {seed.group for seed in self.seeds}
        return groups.pop() if len(groups) == 1 else None


@dataclass(frozen=True)
class Strategy(ABC):
    """`seed` decides which examples are drawn, `per_call` is how many inputs one call asks for."""

    task: Task
    seeds: Sequence[Seed]
    per_call: int
    seed: int = 0

    name: ClassVar[str]

    @abstractmethod
    def request(self, number: int) -> Request:
        """The call with this number, from 0 on, without end."""

    def _drawn(self, number: int, pool: Sequence[Seed], count: int = SEEDS) -> list[Example]:
        """`count` of the pool, as many as may be shown."""
        chance = random.Random(f"{self.seed}-{self.name}-{number}")
        return _fitting([one.example for one in chance.sample(pool, min(count, len(pool)))])

    def _asking(
        self, number: int, turns: tuple[str, str], seeds: Sequence[Example], intended: Value | None = None
    ) -> Request:
        shown = [{name: seed.input[name][:LONGEST_SEED] for name in self.task.fields} for seed in seeds]
        return Request(number, turns[0], json.dumps(shown, ensure_ascii=False), turns[1], seeds, intended)

    def _others(self, what: str, number: int, styles: Sequence[str] = STYLES) -> str:
        """The last message: how many of what, and the call's style."""
        plural = "s" if self.per_call > 1 else ""
        return f"Write {self.per_call} new input{plural} {what}. {styles[number % len(styles)]}"


class ByLabel(Strategy):
    """Label after label: a few examples that have it, and others like them."""

    name = "label"

    @cached_property
    def _by_label(self) -> dict[str, list[Seed]]:
        found: dict[str, list[Seed]] = {label: [] for label in labels_of(self.task)}
        for one in self.seeds:
            for label in [one.value] if isinstance(one.value, str) else list(one.value or []):
                found.setdefault(str(label), []).append(one)
        return found

    def request(self, number: int) -> Request:
        labels = labels_of(self.task)
        label, pool = labels[number % len(labels)], self._by_label[labels[number % len(labels)]]
        quoted = json.dumps(label, ensure_ascii=False)
        before = f"Write inputs for which {quoted} is the right answer."
        if not pool:
            before = f"Write inputs for which other answers than {quoted} are right."
        others = self._others(f"for which {quoted} is the right answer, about other cases", number // len(labels))
        intended: Value = label if self.task.output == "label" else [label]
        return self._asking(number, (before, others), self._drawn(number, pool or self.seeds), intended)


class FromSeeds(Strategy):
    """A few examples drawn from all, and others that could stand among them."""

    name = "seeds"

    def request(self, number: int) -> Request:
        others = self._others("from the same source, about other cases", number)
        return self._asking(number, ("Write inputs for the task.", others), self._drawn(number, self.seeds))


@dataclass(frozen=True)
class InRegion(Strategy):
    """One hard example after the other, with the hard ones that are most like it, and others like them."""

    hard: Sequence[Hard] = ()

    name = "region"

    def request(self, number: int) -> Request:
        at = number % len(self.hard)
        near = sorted((one for one in range(len(self.hard)) if one != at), key=lambda one: -self._alike(at, one))
        chosen = [self.hard[at], *(self.hard[one] for one in near[:NEIGHBOURS])]
        seeds = _fitting([one.seed.example for one in chosen])
        said = list(dict.fromkeys(answer for one in chosen[: len(seeds)] for answer in one.answers))
        before = "Write inputs that are easily answered wrongly"
        if len(said) > 1:
            before += f" (answers given: {', '.join(_cut(answer, 80) for answer in said[:6])})"
        others = self._others("that are as hard to tell apart, about other cases", number // len(self.hard))
        return self._asking(number, (f"{before}.", others), seeds)

    def _alike(self, a: int, b: int) -> float:
        return alike(self._runs[a], self._runs[b])

    @cached_property
    def _runs(self) -> list[frozenset[str]]:
        return [runs(self.task.input_text(one.seed.example.input)) for one in self.hard]


class Paraphrases(Strategy):
    """One example after the other, said in other words; the answer stays what it is where it is a label."""

    name = "paraphrase"

    @cached_property
    def _order(self) -> list[Seed]:
        return random.Random(f"{self.seed}-{self.name}").sample(list(self.seeds), len(self.seeds))

    def request(self, number: int) -> Request:
        one = self._order[number % len(self._order)]
        others = self._others(
            "that say the same as this one in other words; keep names, numbers and facts",
            number // len(self._order),
            PARAPHRASES,
        )
        intended = one.value if labels_of(self.task) else None
        return self._asking(number, ("Write an input for the task.", others), [one.example], intended)


STRATEGIES: dict[str, type[Strategy]] = {one.name: one for one in (ByLabel, InRegion, FromSeeds, Paraphrases)}


def plan(
    name: str, task: Task, seeds: Sequence[Seed], *, per_call: int, seed: int = 0, hard: Sequence[Hard] = ()
) -> Strategy:
    """The strategy `name` for `task`. Raises UsageError for one that the task does not allow."""
    if name == "label" and not labels_of(task):
        raise UsageError(
            f"Strategy 'label' needs a task with labels; output {task.output!r} has none. Use --strategy seeds."
        )
    if name == "region":
        return InRegion(task, seeds, per_call, seed, hard)
    return STRATEGIES[name](task, seeds, per_call, seed)


def real_train(project: Project) -> list[Seed]:
    """The examples of train that no model wrote, each with its label in force. Raises DataError where there are none."""
    values = {one.example.id: one.value for one in project.store.labels.read("train")}
    found = [Seed(one, values.get(one.id)) for one in project.store.examples.read("train") if not one.synthetic]
    if not found:
        raise DataError(
            "train has no real example to write others like. Add some with: tutelage add FILE --split train"
        )
    return found


def labels_of(task: Task) -> tuple[str, ...]:
    """The labels of a task that has them."""
    return tuple(getattr(task, "labels", ())) if task.output in ("label", "labels") else ()


def _fitting(examples: Sequence[Example]) -> list[Example]:
    """As many of the examples as may be shown together, one at least."""
    kept, length = list(examples[:1]), 0
    length = sum(len(text) for one in kept for text in one.input.values())
    for one in examples[1:]:
        length += sum(min(len(text), LONGEST_SEED) for text in one.input.values())
        if length > LONGEST_SEEDS:
            break
        kept.append(one)
    return kept


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + " ..."
