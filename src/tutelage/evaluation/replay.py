"""Family `replay`: the recorded answers of a model, with the seconds and dollars they took when they were recorded.

The file is what `tutelage predict` writes: one JSON object a line with "id", "value", "confidence", "source", "usage",
"error" and, where there are any, "note", "signals" and "parts"; optionally gzip'd.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import AnswerError, DataError
from tutelage.labels.splitting import example_id
from tutelage.project import Project
from tutelage.registry import Family
from tutelage.tasks import Task
from tutelage.types import Input, Prediction, Usage


@dataclass(frozen=True)
class ReplaySettings:
    file: str
    """The recorded answers, a path relative to the project's folder."""


class Replay:
    """Answers from a record by the example's id; an input that was never asked is a failed prediction."""

    def __init__(self, name: str, recorded: Mapping[str, Prediction]) -> None:
        self._name, self._recorded = name, recorded

    @property
    def name(self) -> str:
        return self._name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        missing = Prediction(None, source=self._name, error="This input is not among the recorded answers.")
        return [self._recorded.get(example_id(example), missing) for example in inputs]


def read_record(path: Path, task: Task) -> dict[str, Prediction]:
    """The recorded predictions by example id; later lines win. Raises DataError naming the line that cannot be used."""
    recorded: dict[str, Prediction] = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    key, prediction = _read_line(line, task, f"{path}, line {number}")
                    recorded[key] = prediction
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"The recorded answers {path} cannot be read: {reason}.") from None
    if not recorded:
        raise DataError(f"{path} holds no recorded answers. Record some with: tutelage predict NAME FILE > {path.name}")
    return recorded


def _read_line(line: str, task: Task, where: str) -> tuple[str, Prediction]:
    try:
        entry: dict[str, Any] = json.loads(line)
        key, usage, value = entry["id"], entry.get("usage") or {}, entry["value"]
        prediction = Prediction(
            None if value is None else task.canonical(value),
            entry.get("confidence"),
            Usage(
                usage.get("input_tokens") or 0,
                usage.get("output_tokens") or 0,
                usage.get("dollars"),
                usage.get("seconds") or 0.0,
                usage.get("cached_input_tokens") or 0,
            ),
            entry.get("source") or "",
            entry.get("error") if value is None else None,
            entry.get("note"),
            _shares(entry.get("signals")),
            _shares(entry.get("parts")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, AnswerError) as error:
        raise DataError(
            f"{where}: not a recorded answer ({error}). Expected the lines that tutelage predict writes."
        ) from None
    return key, prediction


def _shares(given: Mapping[str, Any] | None) -> dict[str, float]:
    """Confidences by name. Raises ValueError, TypeError or AttributeError for what is something else."""
    return {str(name): float(share) for name, share in (given or {}).items()}


def build_replay(name: str, settings: ReplaySettings, project: Project) -> Replay:
    return Replay(name, read_record(project.path(settings.file), project.task))


def _file_hash(_name: str, settings: ReplaySettings, project: Project) -> str | None:
    path = project.path(settings.file)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


FAMILY = Family("recorded", ReplaySettings, build_replay, _file_hash)
