"""What every trained student can do once it is saved: load and answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tutelage.tasks import Task
from tutelage.types import Input, Prediction


class Answerer(ABC):
    """A saved student. Its folder and this room's code are all that answering needs: they leave in a package together."""

    @classmethod
    @abstractmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        """The student saved in `folder`; `threads` defaults to the cores. Raises StoreError for what cannot be read."""

    @abstractmethod
    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        """One prediction per input, in order; confidences in [0, 1]; [] for []. Usage may be left empty."""
