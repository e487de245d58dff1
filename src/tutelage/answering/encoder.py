"""How an `encoder` answers: one label of a fixed list, with its softmax probability, or several of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from tutelage.answering.base import Answerer
from tutelage.answering.served import MODEL_FOLDER, one_label, read_facts, softmax
from tutelage.answering.several import several, sigmoid
from tutelage.embeddings.runtime import TextModel
from tutelage.tasks import Task
from tutelage.types import Input, Prediction


class Classifier(Answerer):
    """`confidence` is the highest softmax probability; with a `threshold` several labels are given, see `several`. Labels
    without an example in train are never predicted."""

    def __init__(self, task: Task, model: TextModel, labels: Sequence[str], threshold: float | None = None) -> None:
        self.task, self.model, self.labels, self.threshold = task, model, list(labels), threshold

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        facts = read_facts(folder)
        return cls(task, TextModel(folder / MODEL_FOLDER, threads), facts["labels"], facts.get("threshold"))

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        if not inputs:
            return []
        texts = [self.task.input_text(one) for one in inputs]
        logits = np.stack(self.model.run(self.model.encode_texts(texts, offsets=False)))
        if self.threshold is not None:
            return several(self.labels, sigmoid(logits), self.threshold)
        probabilities = softmax(logits)
        return [one_label(self.labels, row) for row in probabilities]
