"""What every student can do, and the predictor that serves one.

A student is fitted on labelled examples, saved to a folder without pickle, and loaded again with the same predictions.
Its author writes a plain `predict_batch`; `Trained` moves it off the event loop.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from tutelage.answering.base import Answerer
from tutelage.errors import TrainingError
from tutelage.project import Project
from tutelage.tasks import Task
from tutelage.types import Input, Labelled, Prediction, Usage


@dataclass(frozen=True)
class FitContext:
    """What a student needs besides the examples: where to work, how to find files named in its settings, how to tell."""

    folder: Path
    """Empty working folder on the artefact's disk; gone after training."""
    path: Callable[[str], Path]
    """A path written in task.toml -> a path on disk."""
    progress: Callable[[float, Mapping[str, object]], None] = lambda share, shown: None
    """Called with the share done in [0, 1] and what to show (loss, dev score)."""
    seed: int = 0
    candidate: str = ""
    """The name in task.toml."""
    project: Project | None = None
    """For what learns by asking other candidates."""
    checkpoints: Path | None = None
    """A folder that outlives a killed training and is the same for the same data and settings; gone once it is done."""


class Trainable(ABC):
    """What `tutelage train` trains. `settings` is the family's frozen dataclass; it has `labels` and `seed`."""

    outputs: ClassVar[tuple[str, ...]]
    """The output kinds it can learn."""

    weighs: ClassVar[bool] = False
    """Whether an example's `weight` is heeded."""

    unlabelled: ClassVar[bool] = False
    """Whether it learns from all inputs of train, without their labels. Gold labels of dev say how good it is, and no more."""

    def __init__(self, task: Task, settings: Any) -> None:
        self.task = task
        self.settings = settings

    @classmethod
    def depends(cls, name: str, settings: Any, project: Project) -> object:
        """What besides labels and settings decides what is learnt, as JSON: it is learnt again when that changes."""
        return None

    @abstractmethod
    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`, choose on `dev` (may be empty), and return facts for the card.

        Raises TrainingError in one line when the examples do not allow it.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything that answering needs: JSON, npz, safetensors, ONNX; never pickle."""


class Student(Trainable):
    """A small model of one family. `fit` leaves an `answerer`; `load` needs no torch."""

    answers_by: ClassVar[type[Answerer]]
    """What answers once the student is saved."""

    def __init__(self, task: Task, settings: Any) -> None:
        super().__init__(task, settings)
        self.answerer: Answerer | None = None

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        """One prediction per input, in order; confidences in [0, 1]; [] for []. Usage may be left empty."""
        if self.answerer is None:
            raise TrainingError(f"This {type(self).__name__} is not fitted. Call fit, or load a saved one.")
        return self.answerer.predict_batch(inputs)

    @classmethod
    def load(cls, task: Task, settings: Any, folder: Path) -> Self:
        """The student saved in `folder`."""
        student = cls(task, settings)
        student.answerer = cls.answers_by.load(task, folder, settings.threads)
        return student


class Trained:
    """A fitted student as a Predictor."""

    def __init__(self, name: str, student: Student | Answerer) -> None:
        self._name, self.student = name, student

    @property
    def name(self) -> str:
        return self._name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers of the student; `usage.seconds` is the batch's wall time divided by its size."""
        if not inputs:
            return []
        start = time.perf_counter()
        predictions = await asyncio.to_thread(self.student.predict_batch, inputs)
        seconds = (time.perf_counter() - start) / len(inputs)
        return [replace(p, usage=Usage(seconds=seconds), source=self._name) for p in predictions]
