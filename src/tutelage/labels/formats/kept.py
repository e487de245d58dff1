"""What a tool has no place for, kept beside what it has: sources, times, notes, rejected and superseded labels.

A label that the tool shows counts as the tool has it: changed there it is a new label, removed there it is gone. What is kept
of it is found again by its value. Labels that the tool cannot show come back as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tutelage.errors import AnswerError
from tutelage.labels.formats.base import Entry, Given, Unfit, standing_of
from tutelage.store.labels import origin
from tutelage.tasks import Task
from tutelage.tasks.matching import normal
from tutelage.types import Example, Label, canonical_json

_SOURCE = re.compile(r"import|(human|teacher|weak):\S.*")


def keep(entry: Entry, shown: Collection[int], *, input: bool = False) -> dict[str, Any]:
    """What is kept of an example and its labels, those with the numbers `shown` being the ones that the tool shows."""
    labels = [_kept(label, at in shown) for at, label in enumerate(entry.labels)]
    return {**example_facts(entry.example, input=input), **({"labels": labels} if labels else {})}


def example_facts(example: Example, *, input: bool = False) -> dict[str, Any]:
    """What is kept of an example; with `input` its fields, where the tool has them in one text."""
    facts = {"id": example.id, "split": example.split, "group": example.group, "synthetic": example.synthetic}
    found = {name: fact for name, fact in facts.items() if fact is not None}
    return found | ({"input": dict(example.input)} if input else {})


def standing(labels: Sequence[Label]) -> list[int]:
    """The numbers of the labels that hold for their sources: of each the newest, unless it was withdrawn."""
    newest: dict[str, int] = {}
    for at, label in enumerate(labels):
        newest.pop(label.source, None)
        if label.status != "withdrawn":
            newest[label.source] = at
    return sorted(newest.values())


def restore(task: Task, shown: Sequence[Given], kept: Any) -> list[Given]:
    """All labels, oldest first: those that the tool shows, with what was kept of them, and those it could not show.

    Raises Unfit for something kept that cannot be read.
    """
    stored = _read(kept)
    left = [at for at, (was_shown, _) in enumerate(stored) if was_shown]
    matched: dict[int, int] = {}
    for same_source in (True, False):
        for number, given in enumerate(shown):
            if number in matched:
                continue
            fits = (at for at in left if _same(task, given, stored[at][1], same_source))
            if (at := next(fits, None)) is not None:
                matched[number] = at
                left.remove(at)
    found = [one for at, (was_shown, one) in enumerate(stored) if not was_shown or at in matched.values()]
    return found + [given for number, given in enumerate(shown) if number not in matched]


def form(task: Task, value: Any) -> str:
    """Equal for values that are the same answer, however a tool spells and orders its strings."""
    try:
        found = task.canonical(value)
    except AnswerError:
        found = value
    if task.output == "strings" and isinstance(found, list):
        found = sorted(normal(str(one)) for one in found)
    return canonical_json(found)


def as_kept(task: Task, given: Given, kept: Any) -> Given:
    """`given`, of which a tool does not say how it stands, as it stood when it was kept."""
    for _, one in _read(kept):
        if one.source == given.source and form(task, one.value) == form(task, given.value):
            return replace(given, status=one.status)
    return given


def source_of(name: str, role: str) -> str:
    """The source that a tool's name for an annotator or a model stands for: `name` itself where it is one."""
    name = " ".join(name.split())
    if not name:
        return ""
    return name if _SOURCE.fullmatch(name) else f"{role}:{name}"


def name_of(source: str) -> str:
    """What a tool calls the source: a person by name, others as they are."""
    return source.removeprefix("human:")


def sureness(label: Label) -> float | None:
    """How probable the source said its answer was, where it said so of a single answer."""
    return label.distribution.get(label.value) if isinstance(label.value, str) else None


def moment(given: Any) -> str:
    """A point in time as the store writes it (UTC, ISO 8601), from seconds or milliseconds since 1970, or ISO 8601."""
    try:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return datetime.fromtimestamp(given / 1000 if given > 1e11 else given, UTC).isoformat()
        found = datetime.fromisoformat(str(given))
    except (ValueError, OverflowError, OSError):
        return ""
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def seconds(label: Label) -> float | None:
    """When the label was given, in seconds since 1970."""
    found = moment(label.created) if label.created else ""
    return datetime.fromisoformat(found).timestamp() if found else None


def _kept(label: Label, shown: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": label.source, "value": label.value, "created": label.created}
    facts |= {"status": label.status} if label.status != "given" else {}
    facts |= {"note": label.note} if label.note is not None else {}
    facts |= {"distribution": dict(label.distribution)} if label.distribution else {}
    return facts | ({} if shown else {"shown": False})


def _read(kept: Any) -> list[tuple[bool, Given]]:
    if kept is None:
        return []
    try:
        return [(one.get("shown", True), _given(one)) for one in kept]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Unfit("what tutelage kept of its labels was changed and cannot be read") from None


def _given(one: Mapping[str, Any]) -> Given:
    soft = {str(name): float(share) for name, share in one.get("distribution", {}).items()}
    status, note = standing_of(one.get("status", "given")), one.get("note")
    return Given(one["value"], str(one["source"]), status, str(one.get("created", "")), note, soft)


def _alike(source: str, kept: str) -> bool:
    """Whether a tool may have given the labels of `kept` to `source`: to whoever imported them, but not a model's to a person."""
    return not source or (origin(source) == "gold") == (origin(kept) == "gold")


def _same(task: Task, given: Given, kept: Given, same_source: bool) -> bool:
    alike = given.source == kept.source if same_source else _alike(given.source, kept.source)
    if given.status != kept.status or not alike:
        return False
    return form(task, given.value) == form(task, kept.value)
