"""An answer beside gold, part by part: what is right, wrong and missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from tutelage.tasks import Task
from tutelage.tasks.matching import normal
from tutelage.types import Value

if TYPE_CHECKING:
    from tutelage.tasks.field import Field
    from tutelage.tasks.record import RecordTask

Verdict: TypeAlias = Literal["right", "wrong", "missing", "gold", "text"]


class Mark(NamedTuple):
    """A string of an answer (or of gold, where it is "missing" or "gold"); `field` names a record's field, else ""."""

    text: str
    verdict: Verdict
    field: str = ""


def marked(task: Task, gold: Value, answer: Value | None) -> list[Mark]:
    """The parts of `answer`, each "right" or "wrong", then gold's that are "missing"; a free text is neither."""
    if answer is None:
        return []
    if isinstance(gold, dict) and isinstance(answer, dict):
        fields = cast("RecordTask", task).answer_fields
        return [mark for one in fields for mark in _field(one, gold.get(one.name), answer.get(one.name))]
    if task.output == "text":
        return [Mark(str(answer), "text")]
    return coloured(_strings(gold), _strings(answer))


def of_gold(output: str, gold: Value) -> list[Mark]:
    """Gold's own parts; what a record has not is left out."""
    if isinstance(gold, dict):
        return [Mark(written(one), "gold", name) for name, value in gold.items() for one in _listed(value)]
    return [Mark(text, "text" if output == "text" else "gold") for text in _strings(gold)]


def coloured(gold: Sequence[str], predicted: Sequence[str]) -> list[Mark]:
    """The predicted strings, each "right" or "wrong" under strict matching, then the gold ones that are "missing".

    One to one, as the metrics count: a second answer that meets the same gold string is wrong.
    """
    left = [(normal(text), text) for text in gold]
    shown = []
    for text in predicted:
        met = next((one for one in left if one[0] == normal(text)), None)
        if met:
            left.remove(met)
        shown.append(Mark(text, "right" if met else "wrong"))
    return shown + [Mark(text, "missing") for _, text in left]


def written(value: Any) -> str:
    """A value of a field as people read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _field(field: Field, gold: Any, answer: Any) -> list[Mark]:
    left = [(field.keys(one), one) for one in _listed(gold)]
    shown = []
    for value in _listed(answer):
        met = next((one for one in left if one[0] == field.keys(value)), None)
        if met:
            left.remove(met)
        shown.append(Mark(written(value), "right" if met else "wrong", field.name))
    return shown + [Mark(written(one), "missing", field.name) for _, one in left]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _strings(value: Value) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
