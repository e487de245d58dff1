"""Pseudo-labels: what students and systems answer, kept apart from the labels of people and of a teacher."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from tutelage.project import Project
from tutelage.registry import Role
from tutelage.types import Example, Label

PAGE = 256
VERSION = 8
"""Hexadecimal digits of a candidate's fingerprint that tell its versions apart."""

TEACHERS: tuple[Role, ...] = ("llm", "recorded")
"""Whose answers are a teacher's labels; those of all others are pseudo-labels."""


def pseudo_source(name: str, fingerprint: str) -> str:
    """The source of the pseudo-labels of candidate `name`, a student or a system: trained again, it is another source."""
    return f"weak:{name}@{fingerprint[:VERSION]}"


def withdraw_earlier(project: Project, source: str, examples: Iterable[Example]) -> int:
    """Withdraw the labels that earlier versions of the candidate of `source` gave these examples; returns how many."""
    candidate, left, count = source.rpartition("@")[0] + "@", iter(examples), 0
    while page := list(islice(left, PAGE)):
        newest = {
            (label.example_id, label.source): label
            for labels in project.store.labels.of([one.id for one in page]).values()
            for label in labels
            if label.source.startswith(candidate) and label.source != source
        }
        gone = [label for label in newest.values() if label.status == "given"]
        count += project.store.labels.add(
            [Label(one.example_id, one.value, one.source, status="withdrawn") for one in gone]
        )
    return count
