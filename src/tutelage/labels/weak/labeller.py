"""From what functions say of inputs to labels: one label model for a `label`, for several of N one for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tutelage.answering.served import one_label
from tutelage.answering.several import several
from tutelage.errors import StoreError
from tutelage.labels.weak.functions import Said
from tutelage.labels.weak.model import Floats, Kind, LabelModel, fit, rows_of, votes_of
from tutelage.tasks import Task
from tutelage.types import Prediction

MODEL, TABLES = "weak.json", "weak.npz"

UNSAID = 0.05
"""How probably a label of several applies, at the beginning, where no function speaks of it."""

THRESHOLD = 0.5

SILENT = "No labelling function says anything about this input."


class Summary(NamedTuple):
    """A function on the inputs that it was tried on: the share of which it says something, of which another does as well, and
    of which another says something else; and how often it is right when it speaks, as the label model believes: None where no
    other speaks of the same inputs, so that nothing is known."""

    name: str
    coverage: float
    overlaps: float
    conflicts: float
    accuracy: float | None


@dataclass(frozen=True)
class Labeller:
    """`names` are the functions in the order in which they are heard; `models` one for a `label`, else one for each label."""

    task: Task
    names: list[str]
    models: list[LabelModel]

    @property
    def labels(self) -> list[str]:
        return list(getattr(self.task, "labels", ()))

    def probabilities(self, said: Sequence[Sequence[Said]]) -> Floats:
        """(inputs, labels) from what each function says of each input."""
        found = [
            model.posterior(rows_of(_votes(self.task, said, at), model.events)) for at, model in enumerate(self.models)
        ]
        return found[0] if self.task.output == "label" else np.column_stack([one[:, 1] for one in found])

    def predictions(self, said: Sequence[Sequence[Said]]) -> list[Prediction]:
        """The answers; one of which no function says anything is failed."""
        if not said:
            return []
        probabilities = self.probabilities(said)
        if self.task.output == "label":
            found = [one_label(self.labels, row) for row in probabilities]
        else:
            found = several(self.labels, np.asarray(probabilities, np.float32), THRESHOLD)
        return [
            one if any(word is not None for word in words) else Prediction(None, error=SILENT)
            for one, words in zip(found, said, strict=True)
        ]

    def summaries(self, said: Sequence[Sequence[Said]]) -> list[Summary]:
        """How each function does, without a gold label."""
        probabilities, place = self.probabilities(said), {label: at for at, label in enumerate(self.labels)}
        found, n, several_apply = [], max(1, len(said)), self.task.output == "labels"
        for number, name in enumerate(self.names):
            spoken = [at for at, words in enumerate(said) if words[number] is not None]
            others = {at: [w for k, w in enumerate(said[at]) if k != number and w is not None] for at in spoken}
            right = [_right(said[at][number], probabilities[at], place) for at in spoken]
            against = sum(
                any(contradict(said[at][number], word, several_apply) for word in others[at]) for at in spoken
            )
            shared = sum(bool(words) for words in others.values())
            accuracy = float(np.mean(right)) if shared else None
            found.append(Summary(name, len(spoken) / n, shared / n, against / n, accuracy))
        return found

    def save(self, folder: Path) -> None:
        facts = {"functions": self.names, "labels": self.labels, "models": [_facts(one) for one in self.models]}
        (folder / MODEL).write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
        tables = {f"says{at}": one.says for at, one in enumerate(self.models)}
        tables |= {f"silent{at}": one.silent for at, one in enumerate(self.models)}
        np.savez(folder / TABLES, allow_pickle=False, **tables)

    @classmethod
    def load(cls, task: Task, folder: Path) -> Labeller:
        """The labeller saved in `folder`. Raises StoreError."""
        try:
            facts = json.loads((folder / MODEL).read_text(encoding="utf-8"))
            with np.load(folder / TABLES, allow_pickle=False) as tables:
                models = [
                    LabelModel(
                        [(int(a), int(b)) for a, b in one["events"]],
                        tables[f"says{at}"],
                        tables[f"silent{at}"],
                        one["counted"],
                    )
                    for at, one in enumerate(facts["models"])
                ]
            return cls(task, list(facts["functions"]), models)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise StoreError(f"The label model in {folder} cannot be read: {error}. Train it again.") from None


def fitted(
    task: Task,
    names: Sequence[str],
    declared: Sequence[Sequence[str] | None],
    said: Sequence[Sequence[Said]],
    kind: Kind,
) -> Labeller:
    """The labeller learnt from what the functions say of inputs; `declared` are the labels that each can give, where known."""
    labels: list[str] = list(getattr(task, "labels", ()))
    if task.output == "label":
        given = _votes(task, said, 0)
        support = [_support(number, given, own, labels) for number, own in enumerate(declared)]
        return Labeller(task, list(names), [fit(votes_of(given, support), len(labels), kind)])
    heard = [words for words in said if any(word is not None for word in words)]
    models = []
    for at in range(len(labels)):
        given = _votes(task, heard, at)
        support = [sorted({one[number] for one in given if number in one}) for number in range(len(names))]
        shares = np.array([sum(one.values()) / len(one) if one else UNSAID for one in given])
        models.append(fit(votes_of(given, support), 2, kind, np.column_stack([1 - shares, shares])))
    return Labeller(task, list(names), models)


def contradict(one: Said, other: Said, several: bool) -> bool:
    """Whether both cannot be right; of `several` of N two labels can."""
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return one != other
    if isinstance(one, frozenset) or isinstance(other, frozenset):
        whole, label = (one, other) if isinstance(one, frozenset) else (other, one)
        return label not in (whole or ())
    return one != other and not several


def _votes(task: Task, said: Sequence[Sequence[Said]], at: int) -> list[dict[int, int]]:
    """By input and function the class voted for: the label's number, or of several of N whether label `at` applies."""
    labels: Sequence[str] = getattr(task, "labels", ())
    if task.output == "label":
        place = {label: number for number, label in enumerate(labels)}
        return [{k: place[str(word)] for k, word in enumerate(words) if word is not None} for words in said]
    found = []
    for words in said:
        own = {k: int(labels[at] in word) for k, word in enumerate(words) if isinstance(word, frozenset)}
        found.append(own | {k: 1 for k, word in enumerate(words) if word == labels[at]})
    return found


def _support(
    number: int, given: Sequence[Mapping[int, int]], declared: Sequence[str] | None, labels: Sequence[str]
) -> list[int]:
    """The classes that a function can vote for: those it declares, else the one that it was heard to give, or all."""
    if declared is not None:
        return sorted(labels.index(one) for one in declared)
    heard = {one[number] for one in given if number in one}
    return sorted(heard) if len(heard) < 2 else list(range(len(labels)))


def _right(said: Said, row: Floats, place: Mapping[str, int]) -> float:
    """How probably what was said is right; of a set the mean over its labels, of the empty set that none applies."""
    if isinstance(said, str):
        return float(row[place[said]])
    chosen = [float(row[place[one]]) for one in sorted(said or ())]
    return float(np.mean(chosen)) if chosen else float(np.prod(1 - row))


def _facts(model: LabelModel) -> dict[str, Any]:
    return {"events": [list(event) for event in model.events], "counted": model.counted, "rounds": model.rounds}
