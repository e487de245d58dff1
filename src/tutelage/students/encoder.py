"""Family `encoder`: a fine-tuned transformer that classifies texts.

The mean of a text's pieces goes through a linear head: a softmax over the labels, or where several may apply a sigmoid for
each, with one threshold chosen on dev. Texts longer than `max_length` are windowed: each window is
learned with the text's label, and their scores are averaged in use. Served by ONNX Runtime.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
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
from tutelage.students.sizing import KEPT, FineTuning, Texts, hold_out, weights_of
from tutelage.students.soft import Blend, Soft, Targets, hard_rows, soft_labels
from tutelage.types import Labelled

FIT = "tutelage.students.finetune.fit:fit_classifier"
QUANTISED = "tutelage.students.quantise:quantised"


@dataclass(frozen=True)
class EncoderSettings(FineTuning):
    """Settings of family `encoder`, see `FineTuning`, and for one label: `soft_weight` of the loss is in the probabilities
    that a soft label gives, softened by `temperature`, and up to `self_weight` in what the student says itself, for one
    that is stronger than its teacher. With `keep_weights` it can be the teacher of a `white-box` student."""

    targets: Targets = "auto"
    soft_weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 2.0
    self_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    keep_weights: bool = False


class EncoderStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label", "labels")
    weighs: ClassVar[bool] = True
    answers_by: ClassVar[type[Answerer]] = Classifier
    answerer: Classifier | None
    _kept: Path | None = None
    """Where the weights are, if they are to be kept."""

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping and int8 are decided on `dev`. See `Student.fit`.

        A label is scored by accuracy; several by the mean F1 at the best threshold.
        """
        learned, chosen, origin = hold_out(train, dev, context.seed, kind_of(train))
        several = self.task.output == "labels"
        soft = soft_labels("encoder", self.settings, self.task, learned)
        labels = soft.labels if soft else labels_to_learn("encoder", self.task, learned)
        blend = self._blend(soft)
        classes = targets_of(learned, labels, soft, blend)
        wanted: list[Any] = [one.value for one in chosen]
        dev_texts = [self.task.input_text(one.example.input) for one in chosen]

        def targets(at: int, _encoding: Encoding) -> NDArray[Any]:
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
        texts = Texts(learnt, targets, dev_texts, score, several=several, blend=blend, weights=weights_of(learned))
        fp32 = context.folder / "fp32"
        facts = fit_classifier(texts, len(labels), self.settings, context, fp32)
        self._kept = context.folder / KEPT if self.settings.keep_weights else None
        served, precision = quantised(fp32, context.folder, self.settings, score_served)
        model = TextModel(served, self.settings.threads)
        threshold = None
        if several:
            logits = np.stack(model.run(model.encode_texts(dev_texts)))
            threshold = best_threshold(wanted, labels, sigmoid(logits))[0]
            precision["threshold"] = threshold
        self.answerer = Classifier(self.task, model, labels, threshold)
        missing = sorted(set(getattr(self.task, "labels", ())) - set(labels))
        facts |= {"targets": "soft" if soft else "hard", "soft_labels": soft.known if soft else 0}
        return {**facts, **precision, "chosen_on": origin, "labels": len(labels), "labels_without_examples": missing}

    def _blend(self, soft: Soft | None) -> Blend | None:
        """How the loss is made, where it is not the label's alone. Raises TrainingError for what goes with one label only."""
        given: EncoderSettings = self.settings
        if given.self_weight and self.task.output != "label":
            raise TrainingError(f"self_weight is for one label, not {self.task.output}. Set: self_weight = 0")
        if soft is None and not given.self_weight:
            return None
        return Blend(given.soft_weight if soft else 0.0, given.temperature, given.self_weight)

    def save(self, folder: Path) -> None:
        if self.answerer is None:
            raise TrainingError("This encoder is not fitted. Call fit before save.")
        facts = {"labels": self.answerer.labels, "threshold": self.answerer.threshold}
        save_served(self.answerer.model.folder, folder, facts)
        if self._kept:
            shutil.copytree(self._kept, folder / KEPT)


def targets_of(
    examples: Sequence[Labelled], labels: Sequence[str], soft: Soft | None, blend: Blend | None
) -> NDArray[Any]:
    """One row an example, as `Targets` takes them."""
    gold: list[Any] = [one.value for one in examples]
    if gold and isinstance(gold[0], list):
        return applies(gold, labels).astype(np.int64)
    place = {label: at for at, label in enumerate(labels)}
    numbers = np.array([place[str(one)] for one in gold])
    if blend is None:
        return numbers
    shares = soft.shares if soft else hard_rows(examples, labels)
    return np.column_stack([numbers, shares]).astype(np.float32)


FAMILY = student_family(EncoderStudent, EncoderSettings)
