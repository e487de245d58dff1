"""Inputs that are nearly the same, and those of them whose labels contradict.

Equal inputs are one example already. What is left are inputs that differ in case, kinds of quotes and white space, which are the
same text, and near-duplicates, which share most runs of four characters (`labels.near`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tutelage.errors import AnswerError
from tutelage.project import Project
from tutelage.registry import load
from tutelage.store import in_force
from tutelage.tasks.matching import normal
from tutelage.types import SPLITS, Example, Value, canonical_json

NEAR = 0.85
"""Share of common runs of four characters from which two inputs are near-duplicates."""


@dataclass(frozen=True)
class Twins:
    """Two inputs that are nearly the same; `share` of their runs of four characters is common, 1 for the same text."""

    first: Example
    second: Example
    share: float


@dataclass(frozen=True)
class Conflict:
    """Twins with different labels in force, and who gave them."""

    twins: Twins
    labels: tuple[Value, Value]
    sources: tuple[str, str]


def twins(project: Project, near: float = NEAR) -> list[Twins]:
    """The near-duplicates in all splits, the most alike first. Of inputs that are the same text each is paired with the first
    alone, and of near-duplicates the first of each text; the order is that of the splits.

    Raises MissingPackage where the index is not installed.
    """
    examples = sorted(project.store.examples.read(), key=lambda one: SPLITS.index(one.split))
    forms: dict[str, list[Example]] = {}
    for one in examples:
        forms.setdefault(normal(project.task.input_text(one.input)), []).append(one)
    found = [Twins(same[0], other, 1.0) for same in forms.values() for other in same[1:]]
    index: Any = load("tutelage.labels.near:NearIndex", "quality")(near, forms)
    firsts = [same[0] for same in forms.values()]
    found += [Twins(firsts[one], firsts[other], round(share, 4)) for one, other, share in index.pairs()]
    return sorted(found, key=lambda pair: (-pair.share, pair.first.id, pair.second.id))


def conflicts(project: Project, pairs: Iterable[Twins]) -> list[Conflict]:
    """Those whose labels differ. Where answers are taken from the text, another word may well be another answer: there the texts
    must be the same."""
    closed = project.task.output in ("label", "labels")
    asked = [pair for pair in pairs if closed or pair.share == 1.0]
    labels = project.store.labels.of(sorted({one.id for pair in asked for one in (pair.first, pair.second)}))
    found = []
    for pair in asked:
        first, second = (in_force(labels.get(one.id, ())) for one in (pair.first, pair.second))
        if first is None or second is None or _form(project, first.value) == _form(project, second.value):
            continue
        found.append(Conflict(pair, (first.value, second.value), (first.source, second.source)))
    return found


def _form(project: Project, value: Value) -> str:
    """What equal answers share."""
    try:
        found: Any = project.task.canonical(value)
    except AnswerError:  # a label from before the task was changed
        found = value
    return canonical_json(sorted(found) if isinstance(found, list) else found)
