"""Family `linear`: logistic regression on TF-IDF, sentence embeddings, or both side by side. It trains in seconds,
with embeddings and hundreds of classes in minutes, and needs no GPU.

Of several labels each has a regression of its own, and one threshold for all is chosen on dev.

Which features, and how much penalty, is chosen by accuracy on dev (of several labels by the mean F1), ties by log-loss.
Where dev is empty a tenth of train is held out to choose on, and the chosen model is then fitted on all of train.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tutelage.answering.base import Answerer
from tutelage.answering.features import CHARACTERS, EMBEDDING, WORDS, Features
from tutelage.answering.linear import WEIGHTS, Data, Linear, Weights
from tutelage.answering.served import MODEL_FOLDER, STUDENT
from tutelage.embeddings.encoder import OnnxEncoder, encode, export_encoder
from tutelage.embeddings.runtime import TextModel
from tutelage.errors import TrainingError
from tutelage.registry import load as load_attribute
from tutelage.store import Origin
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.features import fit_features
from tutelage.students.logistic import Parts, choose, regression
from tutelage.students.several import kind_of, labels_to_learn
from tutelage.students.sizing import Effort, FineTuning, hold_out, weights_of
from tutelage.students.soft import Soft, Targets, mixed, soft_labels
from tutelage.types import Labelled

MIN_EXAMPLES = 4

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
    labels: Origin = "any"
    effort: Effort = "medium"
    quantise: Literal["auto", "int8", "none"] = "none"
    """int8 weights for the encoder: faster; "auto" keeps them where they lose at most `max_int8_loss` of dev accuracy."""
    max_int8_loss: float = 0.005
    seed: int = 0
    threads: int | None = None
    targets: Targets = "auto"
    soft_weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 3.0


class LinearStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label", "labels")
    weighs: ClassVar[bool] = True
    answers_by: ClassVar[type[Answerer]] = Linear
    family: ClassVar[str] = "linear"
    tuned_at: ClassVar[float] = 0.0
    """The share of the work that is done when there is an encoder."""
    answerer: Linear | None
    _labels: Sequence[str] = ()
    """Where several are given: those to learn, in the task's order."""

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        settings, options = self.settings, self._options()
        if len(train) < MIN_EXAMPLES:
            raise TrainingError(f"{len(train)} labelled examples are too few. Add more, at least {MIN_EXAMPLES}.")
        self._labels = labels_to_learn(self.family, self.task, train) if self.task.output == "labels" else []
        learnt, judged, chosen_on = hold_out(train, dev, context.seed, kind_of(train))
        encoder, facts = self._encoder(learnt, context) if any(EMBEDDING in parts for parts in options) else (None, {})
        parts = sorted({part for option in options for part in option})
        features = fit_features(parts, self._texts(learnt), encoder)
        on = self._data(features, parts, judged)

        def progress(share: float, shown: Mapping[str, object]) -> None:
            context.progress(self.tuned_at + (1 - self.tuned_at) * share, shown)

        soft = self._soft(learnt)
        best, tried = choose(options, settings.effort, self._data(features, parts, learnt), on, progress, soft)
        weights = best.weights
        if not dev:
            features = fit_features(best.parts, self._texts(train), encoder)
            weights = regression(best.parts, [best.c], self._data(features, best.parts, train), self._soft(train))[0]
            weights = replace(weights, threshold=best.weights.threshold)
        if EMBEDDING not in best.parts:
            encoder = features.encoder = None
        elif encoder is not None and settings.quantise != "none":
            encoder, int8 = self._quantised(encoder, weights, context.folder / "int8", self._texts(judged), on)
            features.encoder, facts = encoder, facts | int8
        self.answerer = Linear(self.task, features, weights)
        missing = sorted(set(getattr(self.task, "labels", ())) - set(weights.classes))
        return best.facts() | {
            "chosen_on": chosen_on,
            "classes": len(weights.classes),
            "targets": "soft" if soft else "hard",
            "soft_labels": soft.known if soft else 0,
            "labels_without_examples": missing,
            "encoder": facts if encoder else None,
            "tried": [trial.facts() for trial in tried],
        }

    def _soft(self, examples: Sequence[Labelled]) -> Soft | None:
        """The probabilities to learn instead of labels, if any."""
        soft = soft_labels(self.family, self.settings, self.task, examples)
        if soft is None:
            return None
        weight, temperature = self.settings.soft_weight, self.settings.temperature
        return soft._replace(shares=mixed(soft, examples, weight, temperature), temperature=temperature)

    def _options(self) -> tuple[Parts, ...]:
        """The combinations of features to try."""
        settings: LinearSettings = self.settings
        if settings.base is None and settings.features == "auto":
            return TFIDF
        if settings.base is None and settings.features != "tfidf":
            raise TrainingError(
                f'features = {settings.features!r} needs base = a sentence encoder. Set base, or features = "tfidf".'
            )
        return OPTIONS[settings.features]

    def _encoder(self, learnt: Sequence[Labelled], context: FitContext) -> tuple[OnnxEncoder | None, dict[str, Any]]:
        """The sentence encoder in the working folder, and facts for the card."""
        folder, base = context.folder / "encoder", str(self.settings.base)
        facts = export_encoder(base, folder, context.path)
        return OnnxEncoder(folder, self.settings.threads), {"base": base, **facts}

    def save(self, folder: Path) -> None:
        assert self.answerer is not None, "fit comes first"
        weights, features = self.answerer.weights, self.answerer.features
        parts = list(weights.coefficients)
        features.save(folder, parts)
        arrays = {"intercept": weights.intercept, **weights.coefficients}
        np.savez(folder / WEIGHTS, allow_pickle=False, **arrays)
        facts = {"classes": list(weights.classes), "parts": parts, "threshold": weights.threshold}
        (folder / STUDENT).write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
        if isinstance(features.encoder, OnnxEncoder):
            shutil.copytree(features.encoder.folder, folder / MODEL_FOLDER)

    def _texts(self, examples: Sequence[Labelled]) -> list[str]:
        return [self.task.input_text(one.example.input) for one in examples]

    def _data(self, features: Features, parts: Sequence[str], examples: Sequence[Labelled]) -> Data:
        texts, several = self._texts(examples), self.task.output == "labels"
        gold = [list(one.value) if several else str(one.value) for one in examples]
        rows = {part: features.transform(part, texts) for part in parts}
        return Data(rows, gold, self._labels, weights_of(examples))

    def _quantised(
        self, encoder: OnnxEncoder, weights: Weights, target: Path, texts: Sequence[str], judged: Data
    ) -> tuple[OnnxEncoder, dict[str, Any]]:
        """The encoder in int8 where accuracy with the same weights allows it, and what was measured."""
        settings = self.settings

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
        kept, facts = quantised(encoder.folder, target, given, score)
        return OnnxEncoder(kept, settings.threads), dict(facts)


FAMILY = student_family(LinearStudent, LinearSettings)
