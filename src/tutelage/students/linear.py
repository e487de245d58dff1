"""Family `linear`: logistic regression on TF-IDF, sentence embeddings, or both side by side. It trains in seconds,
with embeddings and hundreds of classes in minutes, and needs no GPU.

Which features, and how much penalty, is chosen by accuracy on dev, ties by log-loss. Where dev is empty a tenth of train
is held out to choose on, and the chosen model is then fitted on all of train.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from zipfile import BadZipFile

import numpy as np

from tutelage.answering.served import MODEL_FOLDER, STUDENT, read_facts
from tutelage.embeddings.encoder import OnnxEncoder, encode, export_encoder
from tutelage.embeddings.runtime import TextModel
from tutelage.errors import StoreError, TrainingError
from tutelage.registry import load as load_attribute
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.features import CHARACTERS, EMBEDDING, WORDS, Features, fit_features, load_features
from tutelage.students.logistic import Data, Parts, Weights, choose, regression
from tutelage.students.sizing import Effort, FineTuning, hold_out
from tutelage.tasks import Task
from tutelage.types import Input, Labelled, Prediction

MIN_EXAMPLES = 4
WEIGHTS = "weights.npz"

TFIDF: tuple[Parts, ...] = ((WORDS, CHARACTERS), (WORDS,))
BOTH: tuple[Parts, ...] = ((EMBEDDING, WORDS), (EMBEDDING, WORDS, CHARACTERS))
OPTIONS: dict[str, tuple[Parts, ...]] = {
    "tfidf": TFIDF,
    "embedding": ((EMBEDDING,),),
    "both": BOTH,
    "auto": (*BOTH, (EMBEDDING,), *TFIDF),
}
"""The combinations of features that are tried, the one for low effort first."""


@dataclass(frozen=True)
class LinearSettings:
    """`base` is a sentence encoder: a folder (relative to the project) or a Hugging Face name; training reads it by torch.

    `features = "auto"` tries TF-IDF and, where a `base` is given, embeddings alone and beside TF-IDF. Effort "low" tries
    nothing and takes the usual best, "medium" chooses features, then the penalty; "high" tries all pairs.
    """

    features: Literal["tfidf", "embedding", "both", "auto"] = "auto"
    base: str | None = None
    labels: Literal["gold", "teacher", "any"] = "any"
    effort: Effort = "medium"
    quantise: Literal["auto", "int8", "none"] = "none"
    """int8 weights for the encoder: faster; "auto" keeps them where they lose at most `max_int8_loss` of dev accuracy."""
    max_int8_loss: float = 0.005
    seed: int = 0
    threads: int | None = None


class LinearStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label",)

    def __init__(self, task: Task, settings: LinearSettings) -> None:
        super().__init__(task, settings)
        self._features: Features | None = None
        self._weights: Weights | None = None
        self._encoder: OnnxEncoder | None = None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        settings: LinearSettings = self.settings
        options = _options(settings)
        if len(train) < MIN_EXAMPLES:
            raise TrainingError(f"{len(train)} labelled examples are too few. Add more, at least {MIN_EXAMPLES}.")
        encoder: dict[str, Any] = {}
        if any(EMBEDDING in parts for parts in options):
            folder = context.folder / "encoder"
            encoder = {"base": settings.base, **export_encoder(str(settings.base), folder, context.path)}
            self._encoder = OnnxEncoder(folder, settings.threads)
        learnt, judged, chosen_on = hold_out(train, dev, context.seed, lambda one: one.value)
        parts = sorted({part for option in options for part in option})
        features = fit_features(parts, self._texts(learnt), self._encoder)
        on = self._data(features, parts, judged)
        best, tried = choose(options, settings.effort, self._data(features, parts, learnt), on, context.progress)
        weights = best.weights
        if not dev:
            features = fit_features(best.parts, self._texts(train), self._encoder)
            weights = regression(best.parts, [best.c], self._data(features, best.parts, train))[0]
        self._features, self._weights = features, weights
        if EMBEDDING not in best.parts:
            self._encoder = None
        elif settings.quantise != "none":
            encoder |= self._quantise(context.folder / "int8", self._texts(judged), on)
        facts: dict[str, Any] = best.facts() | {"chosen_on": chosen_on, "classes": len(weights.classes)}
        facts["labels_without_examples"] = sorted(set(getattr(self.task, "labels", ())) - set(weights.classes))
        facts["encoder"] = encoder if self._encoder else None
        return facts | {"tried": [trial.facts() for trial in tried]}

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        if not inputs:
            return []
        assert self._features is not None and self._weights is not None, "fit or load comes first"
        texts = [self.task.input_text(given) for given in inputs]
        rows = {part: self._features.transform(part, texts) for part in self._weights.coefficients}
        probabilities = self._weights.probabilities(rows)
        best = probabilities.argmax(axis=1)
        return [
            Prediction(self._weights.classes[column], min(1.0, float(row[column])))
            for row, column in zip(probabilities, best, strict=True)
        ]

    def save(self, folder: Path) -> None:
        assert self._features is not None and self._weights is not None, "fit comes first"
        parts = list(self._weights.coefficients)
        self._features.save(folder, parts)
        arrays = {"intercept": self._weights.intercept, **self._weights.coefficients}
        np.savez(folder / WEIGHTS, allow_pickle=False, **arrays)
        facts = {"classes": list(self._weights.classes), "parts": parts}
        (folder / STUDENT).write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
        if self._encoder is not None:
            shutil.copytree(self._encoder.folder, folder / MODEL_FOLDER)

    @classmethod
    def load(cls, task: Task, settings: Any, folder: Path) -> Self:
        student = cls(task, settings)
        facts = read_facts(folder)
        try:
            with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
                coefficients = {part: arrays[part] for part in facts["parts"]}
                student._weights = Weights(tuple(facts["classes"]), coefficients, arrays["intercept"])
            if EMBEDDING in coefficients:
                student._encoder = OnnxEncoder(folder / MODEL_FOLDER, settings.threads)
            student._features = load_features(folder, student._encoder)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise StoreError(f"The student in {folder} cannot be read: {reason}. Train it again.") from None
        return student

    def _texts(self, examples: Sequence[Labelled]) -> list[str]:
        return [self.task.input_text(one.example.input) for one in examples]

    def _data(self, features: Features, parts: Sequence[str], examples: Sequence[Labelled]) -> Data:
        texts = self._texts(examples)
        return Data({part: features.transform(part, texts) for part in parts}, [str(one.value) for one in examples])

    def _quantise(self, target: Path, texts: Sequence[str], judged: Data) -> dict[str, Any]:
        """Serve the encoder in int8 where accuracy with the same weights allows it; returns what was measured."""
        settings: LinearSettings = self.settings
        assert self._encoder is not None and self._features is not None and self._weights is not None
        weights = self._weights

        def score(model: TextModel) -> float:
            rows = {**judged.rows, EMBEDDING: encode(model, texts)}
            return weights.judge(Data(rows, judged.gold))[0]

        given = FineTuning(
            str(settings.base),
            quantise=settings.quantise,
            max_int8_loss=settings.max_int8_loss,
            threads=settings.threads,
        )
        quantised = load_attribute("tutelage.students.quantise:quantised", "int8")
        kept, facts = quantised(self._encoder.folder, target, given, score)
        self._encoder = OnnxEncoder(kept, settings.threads)
        self._features.encoder = self._encoder
        return dict(facts)


def _options(settings: LinearSettings) -> tuple[Parts, ...]:
    if settings.base is None and settings.features == "auto":
        return TFIDF
    if settings.base is None and settings.features != "tfidf":
        raise TrainingError(
            f'features = {settings.features!r} needs base = a sentence encoder. Set base, or features = "tfidf".'
        )
    return OPTIONS[settings.features]


FAMILY = student_family(LinearStudent, LinearSettings)
