"""Family `encoder`: a fine-tuned transformer that classifies texts.

The mean of a text's pieces goes through a linear head. Texts longer than `max_length` are windowed: each window is
learned with the text's label, and their scores are averaged in use. Served by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from tutelage import registry
from tutelage.answering.base import Answerer
from tutelage.answering.encoder import Classifier
from tutelage.answering.served import save_served
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.sizing import FineTuning, Texts, hold_out
from tutelage.types import Labelled

FIT = "tutelage.students.finetune.fit:fit_classifier"
QUANTISED = "tutelage.students.quantise:quantised"


@dataclass(frozen=True)
class EncoderSettings(FineTuning):
    """Settings of family `encoder`, see `FineTuning`."""


class EncoderStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label",)
    answers_by: ClassVar[type[Answerer]] = Classifier
    answerer: Classifier | None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping and int8 are decided on `dev` by accuracy. See `Student.fit`."""
        learned, chosen, origin = hold_out(train, dev, context.seed, lambda one: one.value)
        labels = sorted({str(one.value) for one in learned})
        if len(labels) < 2:
            raise TrainingError(
                f"'encoder' needs examples of at least 2 labels in train, found {len(learned)} of "
                f"{', '.join(map(repr, labels)) or 'none'}. Add more."
            )
        number = {label: at for at, label in enumerate(labels)}
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
        facts = fit_classifier(texts, len(labels), self.settings, context, fp32)
        served, precision = quantised(fp32, context.folder, self.settings, score_served)
        self.answerer = Classifier(self.task, TextModel(served, self.settings.threads), labels)
        return {**facts, **precision, "chosen_on": origin, "labels": len(labels)}

    def save(self, folder: Path) -> None:
        if self.answerer is None:
            raise TrainingError("This encoder is not fitted. Call fit before save.")
        save_served(self.answerer.model.folder, folder, {"labels": self.answerer.labels})


FAMILY = student_family(EncoderStudent, EncoderSettings)
