"""A student that has left the project: its folder, its task, and answers."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.answering.base import Answerer
from tutelage.errors import StoreError
from tutelage.tasks.base import Task
from tutelage.types import Input, Prediction

TASK, CARD, ARTEFACT = "task.json", "card.json", "artefact"


class Alone:
    """Answers for `task`; `source` is the candidate's name in the project. Safe to call from several threads."""

    def __init__(self, task: Task, answerer: Answerer, source: str) -> None:
        self.task, self.source = task, source
        self._answerer, self._turn = answerer, threading.Lock()

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """One prediction per input, in order; `usage.seconds` is the batch's wall time divided by its size."""
        if not inputs:
            return []
        with self._turn:  # not every runtime allows two calls at a time, and one call uses all cores
            start = time.perf_counter()
            predictions = self._answerer.predict_batch(inputs)
            seconds = (time.perf_counter() - start) / len(inputs)
        return [
            dataclasses.replace(one, usage=dataclasses.replace(one.usage, seconds=seconds), source=self.source)
            for one in predictions
        ]


def open_student(folder: Path, kind: type[Task], answers_by: type[Answerer], threads: int | None = None) -> Alone:
    """The student in `folder`: task.json, card.json and artefact/. Raises StoreError."""
    card = read_json(folder / CARD)
    task = read_task(kind, read_json(folder / TASK))
    given = threads or card.get("settings", {}).get("threads")
    return Alone(task, answers_by.load(task, folder / ARTEFACT, given), str(card["candidate"]))


def task_facts(task: Task) -> dict[str, Any]:
    """The task as task.json keeps it."""
    return {"output": task.output, **dataclasses.asdict(task)}


def read_task(kind: type[Task], facts: Mapping[str, Any]) -> Task:
    """The task that `task_facts` described."""
    given: dict[str, Any] = {field.name: facts[field.name] for field in dataclasses.fields(kind)}
    for name, value in given.items():
        given[name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises StoreError."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}. Install the package again.") from None
