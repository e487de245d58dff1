"""What a model that marks spans is to learn from lists of strings.

Labels are projected to spans (`answering.spans`). Where the labels evidently hold one entry for each bearer of a name
("Patty the Polite Parrot", never "Patty" beside it), the short forms in the text are learned as names too, and merged in
the answer: left untagged they would teach that "Patty" is no name (LitBank dev F1 0.78 without, 0.81 with).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tutelage.answering import spans
from tutelage.answering.spans import Merge
from tutelage.errors import TrainingError
from tutelage.tasks import Task
from tutelage.tasks.matching import matches
from tutelage.types import Labelled

SHOWN = 20
"""Strings named in the card of those that stand nowhere in their text."""


class Lesson(NamedTuple):
    """The spans to learn in each text, the merge rule that goes with them, and facts for the card."""

    spans: list[list[spans.Span]]
    merge: Merge
    facts: dict[str, Any]


def lesson(family: str, task: Task, examples: Sequence[Labelled]) -> Lesson:
    """Strings that stand nowhere in their text are counted and listed; their examples are learned without them.

    Raises TrainingError in one line where there is nothing to learn.
    """
    if not getattr(task, "grounded", False):
        raise TrainingError(
            f"{family!r} finds strings that stand in the text, and task {task.name!r} does not promise that they do. "
            "Set: grounded = true"
        )
    projections, short = [], []
    for one in examples:
        text, fields = task.input_text(one.example.input), spans.field_spans(task, one.example.input)
        projections.append(spans.project(text, fields, list(one.value)))
        short.append(spans.project_short(text, fields, list(one.value), projections[-1].spans))
    if not any(projection.spans for projection in projections):
        raise TrainingError(
            f"{family!r} cannot learn from {len(examples)} examples in which no labelled string stands in the text."
        )
    one_each = spans.one_entry_each([len(found) for found in short], [list(one.value) for one in examples])
    missing = [string for projection in projections for string in projection.missing]
    facts = {
        "strings": sum(len(one.value) for one in examples),
        "strings_not_in_text": len(missing),
        "strings_not_in_text_shown": missing[:SHOWN],
        "short_forms_learned": sum(map(len, short)) if one_each else 0,
    }
    both = [
        sorted([*projection.spans, *(found if one_each else [])])
        for projection, found in zip(projections, short, strict=True)
    ]
    return Lesson(both, "contained" if one_each else "none", facts)


def strings_f1(gold: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> float:
    """Mean F1 of the examples under strict matching; two empty lists agree."""
    scores = []
    for wanted, found in zip(gold, answers, strict=True):
        total = len(found) + len(wanted)
        scores.append(2 * matches(list(wanted), list(found)) / total if total else 1.0)
    return float(np.mean(scores))
