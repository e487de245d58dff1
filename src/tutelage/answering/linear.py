"""How `linear` answers: logistic regression on the parts of `features`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tutelage import registry
from tutelage.answering.base import Answerer
from tutelage.answering.features import EMBEDDING, Features, Matrix, load_features
from tutelage.answering.served import MODEL_FOLDER, one_label, read_facts, softmax
from tutelage.answering.several import applies, f1, several, sigmoid
from tutelage.embeddings.runtime import Array
from tutelage.errors import StoreError
from tutelage.tasks import Task
from tutelage.types import Input, Prediction

WEIGHTS = "weights.npz"


class Data(NamedTuple):
    """Rows of each part of the features, (n, d), and the n gold answers: a label, or where `labels` are named a list of
    some of them, in whose order they are learnt. `weight` (n,) is how much each counts, where they do not count alike."""

    rows: Mapping[str, Matrix]
    gold: Sequence[Any]
    labels: Sequence[str] = ()
    weight: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Weights:
    """softmax(sum of rows[part] @ coefficients[part] + intercept): one column a class, all float32.

    With a `threshold`, several of the classes: each has the sigmoid of its sum, and is given from the threshold on.
    """

    classes: tuple[str, ...]
    coefficients: Mapping[str, Array]
    intercept: Array
    threshold: float | None = None

    def probabilities(self, rows: Mapping[str, Matrix]) -> Array:
        """(n, classes); where one class is given, rows that sum to 1."""
        scores = self.intercept
        for part, coefficients in self.coefficients.items():
            scores = scores + np.asarray(rows[part] @ coefficients)
        return softmax(scores) if self.threshold is None else sigmoid(scores)

    def judge(self, data: Data) -> tuple[float, float]:
        """Accuracy (of several classes the mean F1) and mean log-loss; a gold label that is no class is missed."""
        if self.threshold is not None:
            probabilities = self.probabilities(data.rows)
            said = np.where(applies(data.gold, self.classes), probabilities, 1 - probabilities)
            score = f1(data.gold, self.classes, probabilities >= self.threshold)
            return score, float(-np.log(np.maximum(said, 1e-7)).mean())
        column = {label: at for at, label in enumerate(self.classes)}
        gold = np.array([column.get(label, -1) for label in data.gold])
        probabilities = self.probabilities(data.rows)
        chosen = np.where(gold < 0, 0.0, probabilities[np.arange(len(gold)), gold])
        return float((probabilities.argmax(axis=1) == gold).mean()), float(-np.log(np.maximum(chosen, 1e-7)).mean())


class Linear(Answerer):
    """`confidence` is the highest probability, for several labels see `several`. Labels without an example in train are
    never predicted."""

    def __init__(self, task: Task, features: Features, weights: Weights) -> None:
        self.task, self.features, self.weights = task, features, weights

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        facts = read_facts(folder)
        try:
            with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
                coefficients = {part: arrays[part] for part in facts["parts"]}
                weights = Weights(tuple(facts["classes"]), coefficients, arrays["intercept"], facts.get("threshold"))
            encoder = None
            if EMBEDDING in coefficients:  # loaded here: where no `base` is set, ONNX Runtime is not needed to answer
                encoder = registry.load("tutelage.embeddings.encoder:OnnxEncoder", "base")(
                    folder / MODEL_FOLDER, threads
                )
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
        if self.weights.threshold is not None:
            return several(self.weights.classes, probabilities, self.weights.threshold)
        return [one_label(self.weights.classes, row) for row in probabilities]
