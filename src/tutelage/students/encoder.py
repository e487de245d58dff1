"""Family `encoder`: a fine-tuned transformer that classifies texts.

The mean of a text's pieces goes through a linear head. Texts longer than `max_length` are windowed: each window is
learned with the text's label, and their scores are averaged in use. Served by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from tutelage import registry
from tutelage.answering.served import MODEL_FOLDER, read_facts, save_served, softmax
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.sizing import FineTuning, Texts, hold_out
from tutelage.tasks import Task
from tutelage.types import Input, Labelled, Prediction

FIT = "tutelage.students.finetune.fit:fit_classifier"
QUANTISED = "tutelage.students.quantise:quantised"


@dataclass(frozen=True)
class EncoderSettings(FineTuning):
    """Settings of family `encoder`, see `FineTuning`."""


class EncoderStudent(Student):
    """`confidence` is the highest softmax probability. Labels without an example in train are never predicted."""

    outputs: ClassVar[tuple[str, ...]] = ("label",)

    def __init__(
        self, task: Task, settings: EncoderSettings, model: TextModel | None = None, labels: Sequence[str] = ()
    ) -> None:
        super().__init__(task, settings)
        self.model = model
        self.labels = list(labels)

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping and int8 are decided on `dev` by accuracy. See `Student.fit`."""
        learned, chosen, origin = hold_out(train, dev, context.seed, lambda one: one.value)
        self.labels = sorted({str(one.value) for one in learned})
        if len(self.labels) < 2:
            raise TrainingError(
                f"'encoder' needs examples of at least 2 labels in train, found {len(learned)} of "
                f"{', '.join(map(repr, self.labels)) or 'none'}. Add more."
            )
        number = {label: at for at, label in enumerate(self.labels)}
        classes = np.array([number[str(one.value)] for one in learned], np.int64)
        wanted = np.array([number.get(str(one.value), -1) for one in chosen])
        dev_texts = [self.task.input_text(one.example.input) for one in chosen]

        def targets(at: int, _encoding: Encoding) -> NDArray[np.int64]:
            return np.asarray(classes[at])

        def score(_encodings: Sequence[Encoding], outputs: Sequence[Array]) -> float:
            return float(np.mean(np.stack(outputs).argmax(-1) == wanted))

        def score_served(model: TextModel) -> float:
            encodings = model.encode_texts(dev_texts)
            return score(encodings, model.run(encodings))

        fit_classifier, quantised = registry.load(FIT, "encoder"), registry.load(QUANTISED, "encoder")
        texts = Texts([self.task.input_text(one.example.input) for one in learned], targets, dev_texts, score)
        fp32 = context.folder / "fp32"
        facts = fit_classifier(texts, len(self.labels), self.settings, context, fp32)
        served, precision = quantised(fp32, context.folder, self.settings, score_served)
        self.model = TextModel(served, self.settings.threads)
        return {**facts, **precision, "chosen_on": origin, "labels": len(self.labels)}

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        """See `Student.predict_batch`."""
        if self.model is None:
            raise TrainingError("This encoder is not fitted. Call fit, or load a saved one.")
        if not inputs:
            return []
        texts = [self.task.input_text(one) for one in inputs]
        probabilities = softmax(np.stack(self.model.run(self.model.encode_texts(texts, offsets=False))))
        best = probabilities.argmax(-1)
        return [
            Prediction(self.labels[at], min(1.0, float(row[at]))) for at, row in zip(best, probabilities, strict=True)
        ]

    def save(self, folder: Path) -> None:
        if self.model is None:
            raise TrainingError("This encoder is not fitted. Call fit before save.")
        save_served(self.model.folder, folder, {"labels": self.labels})

    @classmethod
    def load(cls, task: Task, settings: Any, folder: Path) -> Self:
        return cls(task, settings, TextModel(folder / MODEL_FOLDER, settings.threads), read_facts(folder)["labels"])


FAMILY = student_family(EncoderStudent, EncoderSettings)
