"""The router's model `encoder`: a fine-tuned transformer, the student family `encoder`, on the task "who is right"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage import registry
from tutelage.evaluation.metrics import Floats
from tutelage.routing.router.features import Seen
from tutelage.students.base import Student
from tutelage.tasks.labels import LabelsTask

FAMILY = "tutelage.students.encoder:FAMILY"
HALF = 0.5
"""From this quality on an answer counts as right: a transformer learns classes."""


@dataclass(frozen=True)
class FineTuned:
    """What a student of the task `who_is_right` says; `usual` (k,) is the chance of a candidate that it never saw right."""

    student: Student
    candidates: tuple[str, ...]
    usual: Floats

    def chances(self, seen: Seen) -> Floats:
        found = self.student.predict_batch([{"text": text} for text in seen.texts])
        return np.array(
            [[one.parts.get(name, self.usual[at]) for at, name in enumerate(self.candidates)] for one in found]
        ).reshape(len(found), len(self.candidates))


def who_is_right(candidates: Sequence[str]) -> LabelsTask:
    """The task that the encoder learns: a text -> the candidates that answer it rightly."""
    return LabelsTask("who-is-right", ("text",), "", labels=tuple(candidates))


def load_encoder(settings: Any, candidates: Sequence[str], usual: Floats, folder: Path) -> FineTuned:
    """The model that `FineTuned.student.save` wrote to `folder`. Raises StoreError."""
    family = registry.load(FAMILY, "encoder")
    given = family.settings(settings.base, threads=settings.threads)
    return FineTuned(family.student.load(who_is_right(candidates), given, folder), tuple(candidates), usual)
