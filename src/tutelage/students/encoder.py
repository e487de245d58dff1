"""Family `encoder`: a fine-tuned transformer that classifies texts.

The mean of a text's pieces goes through a linear head: a softmax over the labels, or where several may apply a sigmoid for
each, with one threshold chosen on dev. Texts longer than `max_length` are windowed: each window is
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
from tutelage.answering.several import applies, sigmoid
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.several import best_threshold, kind_of, labels_to_learn
from tutelage.students.sizing import FineTuning, Texts, hold_out
from tutelage.types import Labelled

FIT = "tutelage.students.finetune.fit:fit_classifier"
QUANTISED = "tutelage.students.quantise:quantised"


@dataclass(frozen=True)
class EncoderSettings(FineTuning):
    """Settings of family `encoder`, see `FineTuning`."""


class EncoderStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label", "labels")
    answers_by: ClassVar[type[Answerer]] = Classifier
    answerer: Classifier | None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping and int8 are decided on `dev`. See `Student.fit`.

        A label is scored by accuracy; several by the mean F1 at the best threshold.
        """
        learned, chosen, origin = hold_out(train, dev, context.seed, kind_of(train))
        several = self.task.output == "labels"
        labels = self._labels(learned)
        gold: list[Any] = [one.value for one in learned]
        number = {label: at for at, label in enumerate(labels)}
        classes = applies(gold, labels).astype(np.int64) if several else np.array([number[str(one)] for one in gold])
        wanted: list[Any] = [one.value for one in chosen]
        dev_texts = [self.task.input_text(one.example.input) for one in chosen]

        def targets(at: int, _encoding: Encoding) -> NDArray[np.int64]:
            return np.asarray(classes[at])

        def score(_encodings: Sequence[Encoding], outputs: Sequence[Array]) -> float:
            if several:
                return best_threshold(wanted, labels, sigmoid(np.stack(outputs)))[1]
            return float(np.mean([labels[at] == one for at, one in zip(np.argmax(outputs, -1), wanted, strict=True)]))

        def score_served(model: TextModel) -> float:
            encodings = model.encode_texts(dev_texts)
            return score(encodings, model.run(encodings))

        fit_classifier, quantised = registry.load(FIT, "encoder"), registry.load(QUANTISED, "encoder")
        learnt = [self.task.input_text(one.example.input) for one in learned]
        texts = Texts(learnt, targets, dev_texts, score, several=several)
        fp32 = context.folder / "fp32"
        facts = fit_classifier(texts, len(labels), self.settings, context, fp32)
        served, precision = quantised(fp32, context.folder, self.settings, score_served)
        model = TextModel(served, self.settings.threads)
        threshold = None
        if several:
            logits = np.stack(model.run(model.encode_texts(dev_texts)))
            threshold = best_threshold(wanted, labels, sigmoid(logits))[0]
            precision["threshold"] = threshold
        self.answerer = Classifier(self.task, model, labels, threshold)
        missing = sorted(set(getattr(self.task, "labels", ())) - set(labels))
        return {**facts, **precision, "chosen_on": origin, "labels": len(labels), "labels_without_examples": missing}

    def _labels(self, examples: Sequence[Labelled]) -> list[str]:
        if self.task.output == "labels":
            return labels_to_learn("encoder", self.task, examples)
        labels = sorted({str(one.value) for one in examples})
        if len(labels) < 2:
            raise TrainingError(
                f"'encoder' needs examples of at least 2 labels in train, found {len(examples)} of "
                f"{', '.join(map(repr, labels)) or 'none'}. Add more."
            )
        return labels

    def save(self, folder: Path) -> None:
        if self.answerer is None:
            raise TrainingError("This encoder is not fitted. Call fit before save.")
        facts = {"labels": self.answerer.labels, "threshold": self.answerer.threshold}
        save_served(self.answerer.model.folder, folder, facts)


FAMILY = student_family(EncoderStudent, EncoderSettings)
