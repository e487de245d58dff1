"""How an `encoder` answers: one label of a fixed list, with its softmax probability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from tutelage.answering.base import Answerer
from tutelage.answering.served import MODEL_FOLDER, read_facts, softmax
from tutelage.embeddings.runtime import TextModel
from tutelage.tasks import Task
from tutelage.types import Input, Prediction


class Classifier(Answerer):
    """`confidence` is the highest softmax probability. Labels without an example in train are never predicted."""

    def __init__(self, task: Task, model: TextModel, labels: Sequence[str]) -> None:
        self.task, self.model, self.labels = task, model, list(labels)

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        return cls(task, TextModel(folder / MODEL_FOLDER, threads), read_facts(folder)["labels"])

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        if not inputs:
            return []
        texts = [self.task.input_text(one) for one in inputs]
        probabilities = softmax(np.stack(self.model.run(self.model.encode_texts(texts, offsets=False))))
        best = probabilities.argmax(-1)
        return [
            Prediction(self.labels[at], min(1.0, float(row[at]))) for at, row in zip(best, probabilities, strict=True)
        ]
