"""How `linear` answers: logistic regression on the parts of `features`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self
from zipfile import BadZipFile

import numpy as np

from tutelage.answering.base import Answerer
from tutelage.answering.features import EMBEDDING, Features, Matrix, load_features
from tutelage.answering.served import MODEL_FOLDER, read_facts, softmax
from tutelage.embeddings.encoder import OnnxEncoder
from tutelage.embeddings.runtime import Array
from tutelage.errors import StoreError
from tutelage.tasks import Task
from tutelage.types import Input, Prediction

WEIGHTS = "weights.npz"


class Data(NamedTuple):
    """Rows of each part of the features, (n, d), and the n gold labels."""

    rows: Mapping[str, Matrix]
    gold: Sequence[str]


@dataclass(frozen=True)
class Weights:
    """softmax(sum of rows[part] @ coefficients[part] + intercept): one column a class, all float32."""

    classes: tuple[str, ...]
    coefficients: Mapping[str, Array]
    intercept: Array

    def probabilities(self, rows: Mapping[str, Matrix]) -> Array:
        """(n, classes), rows that sum to 1."""
        scores = self.intercept
        for part, coefficients in self.coefficients.items():
            scores = scores + np.asarray(rows[part] @ coefficients)
        return softmax(scores)

    def judge(self, data: Data) -> tuple[float, float]:
        """Accuracy and mean log-loss; a gold label that is no class has the least probability."""
        column = {label: at for at, label in enumerate(self.classes)}
        gold = np.array([column.get(label, -1) for label in data.gold])
        probabilities = self.probabilities(data.rows)
        chosen = np.where(gold < 0, 0.0, probabilities[np.arange(len(gold)), gold])
        return float((probabilities.argmax(axis=1) == gold).mean()), float(-np.log(np.maximum(chosen, 1e-7)).mean())


class Linear(Answerer):
    """`confidence` is the highest probability. Labels without an example in train are never predicted."""

    def __init__(self, task: Task, features: Features, weights: Weights) -> None:
        self.task, self.features, self.weights = task, features, weights

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        facts = read_facts(folder)
        try:
            with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
                coefficients = {part: arrays[part] for part in facts["parts"]}
                weights = Weights(tuple(facts["classes"]), coefficients, arrays["intercept"])
            encoder = OnnxEncoder(folder / MODEL_FOLDER, threads) if EMBEDDING in coefficients else None
            return cls(task, load_features(folder, encoder), weights)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise StoreError(f"The student in {folder} cannot be read: {reason}. Train it again.") from None

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        if not inputs:
            return []
        texts = [self.task.input_text(given) for given in inputs]
        rows = {part: self.features.transform(part, texts) for part in self.weights.coefficients}
        probabilities = self.weights.probabilities(rows)
        best = probabilities.argmax(axis=1)
        return [
            Prediction(self.weights.classes[column], min(1.0, float(row[column])))
            for row, column in zip(probabilities, best, strict=True)
        ]
