"""What a card says of the examples that a student had, and of settings that task.toml does not give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

from tutelage.project import Project
from tutelage.tasks.matching import normal
from tutelage.types import Labelled, canonical_json

SHOWN = 20
"""Labels and texts that are named in the card."""


def doubts(output: str, examples: Sequence[Labelled]) -> dict[str, Any]:
    """What is odd about the examples, nothing where nothing is.

    `contradictory` counts the examples whose text, but for case and spaces, has another label elsewhere: all are learnt
    from. `labels_with_one_example` cannot be learnt and chosen on at once.
    """
    found: dict[str, Any] = {}
    answers: dict[str, dict[str, int]] = {}
    for one in examples:
        text = canonical_json({name: normal(value) for name, value in one.example.input.items()})
        told = answers.setdefault(text, {})
        told[canonical_json(one.value)] = told.get(canonical_json(one.value), 0) + 1
    clashes = {text: told for text, told in answers.items() if len(told) > 1}
    if clashes:
        found["contradictory"] = sum(sum(told.values()) for told in clashes.values())
        found["contradictory_shown"] = [{"text": text, "labels": list(told)} for text, told in clashes.items()][:SHOWN]
    if output in ("label", "labels"):
        counts = Counter(
            label for one in examples for label in (one.value if isinstance(one.value, list) else [one.value])
        )
        if single := sorted(str(label) for label, n in counts.items() if n == 1):
            found["labels_with_one_example"] = single[:SHOWN]
    return found


def overridden(project: Project, name: str, settings: Any, material: Any) -> Mapping[str, Any]:
    """The settings of candidate `name` that are others than task.toml says, with their values; {} where there are none."""
    if name not in project.file.candidates:
        return {}
    given, used = project.candidate(name), asdict(settings) | asdict(material)
    changed = {}
    for field in (*fields(settings), *fields(material)):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        stated = given.get(field.name, None if default is MISSING else default)
        if canonical_json(used[field.name]) != canonical_json(stated):
            changed[field.name] = used[field.name]
    return {"overridden": changed} if changed else {}
