"""Family `tagger`: a fine-tuned token classifier that finds the strings of a grounded task in the text.

Labels are projected to spans (`students.spans`), a transformer learns them as tags on words, and the tags it predicts
are read back as strings. Where the labels evidently hold one entry for each bearer of a name ("Patty the Polite Parrot",
never "Patty" beside it), the short forms in the text are learned as names too, and merged in the answer: left untagged
they would teach that "Patty" is no name (LitBank dev F1 0.78 without, 0.81 with).

Texts longer than `max_length` are windowed in training and in use. Served by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from tokenizers import Encoding

from tutelage import registry
from tutelage.answering.served import MODEL_FOLDER, read_facts, save_served, softmax
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.errors import TrainingError
from tutelage.students import spans
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.sizing import FineTuning, Texts, hold_out
from tutelage.students.spans import Merge
from tutelage.tasks import Task
from tutelage.tasks.matching import matches
from tutelage.types import Input, Labelled, Prediction

FIT = "tutelage.students.finetune.fit:fit_tagger"
QUANTISED = "tutelage.students.quantise:quantised"
SHOWN = 20
"""Strings named in the card of those that stand nowhere in their text."""


@dataclass(frozen=True)
class TaggerSettings(FineTuning):
    """Settings of family `tagger`, see `FineTuning`."""


def case_marks(text: str, encoding: Encoding) -> list[int]:
    """Which words of the text are capitalised, as the type ids of its pieces."""
    return spans.case_marks(encoding, spans.words_of(encoding, text), text)


class Lesson(NamedTuple):
    """The spans to learn in each text, the merge rule that goes with them, and facts for the card."""

    spans: list[list[spans.Span]]
    merge: Merge
    facts: dict[str, Any]


class TaggerStudent(Student):
    """`confidence` is the lowest probability of any word's tag, so that doubts about what was left out count as well.

    On LitBank's dev passages it tells right lists from wrong ones best (AUROC 0.82; the lowest mean probability of a
    string 0.79, their product 0.81).
    """

    outputs: ClassVar[tuple[str, ...]] = ("strings",)

    def __init__(self, task: Task, settings: TaggerSettings, model: TextModel | None = None) -> None:
        super().__init__(task, settings)
        self.model = model
        self.merge: Merge = "none"

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping, int8 and the merge rule are decided on `dev`. See `Student.fit`.

        The facts list the strings that stand nowhere in their text; their examples are learned without them.
        """
        if not getattr(self.task, "grounded", False):
            raise TrainingError(
                f"'tagger' finds strings that stand in the text, and task {self.task.name!r} does not promise that they "
                "do. Set: grounded = true"
            )
        if len(train) < 2:
            raise TrainingError(f"'tagger' needs at least 2 labelled examples in train, found {len(train)}. Add more.")
        learned, chosen, origin = hold_out(train, dev, context.seed, lambda one: bool(one.value))
        lesson = self._lesson(learned)
        texts = [self.task.input_text(one.example.input) for one in learned]
        dev_texts = [self.task.input_text(one.example.input) for one in chosen]

        def targets(number: int, encoding: Encoding) -> Any:
            words = spans.words_of(encoding, texts[number])
            return spans.piece_targets(encoding, words, spans.tag_words(words, lesson.spans[number]))

        # Without given dev labels the rule follows the lesson: a held-out tenth is too little to overrule it.
        rules: tuple[Merge, ...] = spans.MERGES if dev else (lesson.merge,)

        def score(encodings: Sequence[Encoding], outputs: Sequence[Array]) -> float:
            return max(self._f1(chosen, encodings, outputs, rule) for rule in rules)

        def score_served(model: TextModel) -> float:
            return score(*self._run(model, dev_texts))

        fit_tagger, quantised = registry.load(FIT, "tagger"), registry.load(QUANTISED, "tagger")
        fp32 = context.folder / "fp32"
        facts = fit_tagger(
            Texts(texts, targets, dev_texts, score, case_marks), len(spans.TAGS), self.settings, context, fp32
        )
        served, precision = quantised(fp32, context.folder, self.settings, score_served)
        self.model = TextModel(served, self.settings.threads)
        encodings, outputs = self._run(self.model, dev_texts)
        scores = {rule: self._f1(chosen, encodings, outputs, rule) for rule in rules}
        self.merge = max(scores, key=lambda rule: scores[rule])
        return {
            **facts,
            **precision,
            "chosen_on": origin,
            "merge": self.merge,
            "merge_dev_scores": {rule: round(value, 4) for rule, value in scores.items()},
            **lesson.facts,
        }

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        """See `Student.predict_batch`."""
        if self.model is None:
            raise TrainingError("This tagger is not fitted. Call fit, or load a saved one.")
        encodings, outputs = self._run(self.model, [self.task.input_text(one) for one in inputs])
        return [
            Prediction(*self._answer(one, encoding, output, self.merge))
            for one, encoding, output in zip(inputs, encodings, outputs, strict=True)
        ]

    def save(self, folder: Path) -> None:
        if self.model is None:
            raise TrainingError("This tagger is not fitted. Call fit before save.")
        save_served(self.model.folder, folder, {"merge": self.merge})

    @classmethod
    def load(cls, task: Task, settings: Any, folder: Path) -> Self:
        student = cls(task, settings, TextModel(folder / MODEL_FOLDER, settings.threads))
        student.merge = read_facts(folder)["merge"]
        return student

    def _run(self, model: TextModel, texts: Sequence[str]) -> tuple[list[Encoding], list[Array]]:
        encodings = model.encode_texts(texts)
        marks = [case_marks(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]
        return encodings, model.run(encodings, types=marks)

    def _lesson(self, examples: Sequence[Labelled]) -> Lesson:
        projections, short = [], []
        for one in examples:
            text, fields = self.task.input_text(one.example.input), spans.field_spans(self.task, one.example.input)
            projections.append(spans.project(text, fields, list(one.value)))
            short.append(spans.project_short(text, fields, list(one.value), projections[-1].spans))
        if not any(projection.spans for projection in projections):
            raise TrainingError(
                f"'tagger' cannot learn from {len(examples)} examples in which no labelled string stands in the text."
            )
        one_each = spans.one_entry_each([len(found) for found in short], [list(one.value) for one in examples])
        missing = [string for projection in projections for string in projection.missing]
        facts = {
            "strings": sum(len(one.value) for one in examples),
            "strings_not_in_text": len(missing),
            "strings_not_in_text_shown": missing[:SHOWN],
            "short_forms_learned": sum(map(len, short)) if one_each else 0,
        }
        both = [
            sorted([*projection.spans, *(found if one_each else [])])
            for projection, found in zip(projections, short, strict=True)
        ]
        return Lesson(both, "contained" if one_each else "none", facts)

    def _answer(self, input: Input, encoding: Encoding, logits: Array, merge: Merge) -> tuple[list[str], float]:
        """The strings in order of appearance, and the confidence."""
        text = self.task.input_text(input)
        words = spans.words_of(encoding, text)
        if not words.first:
            return [], 1.0
        probabilities = softmax(logits[words.first])
        found = spans.decode(words, probabilities.argmax(-1), spans.field_spans(self.task, input))
        strings = list(self.task.canonical([text[start:end] for start, end in found]))
        if merge == "contained":
            strings = spans.merge_contained(strings)
        return strings, min(1.0, float(probabilities.max(-1).min()))

    def _f1(
        self, dev: Sequence[Labelled], encodings: Sequence[Encoding], outputs: Sequence[Array], merge: Merge
    ) -> float:
        scores = []
        for one, encoding, output in zip(dev, encodings, outputs, strict=True):
            strings, _ = self._answer(one.example.input, encoding, output, merge)
            total = len(strings) + len(one.value)
            scores.append(2 * matches(list(one.value), strings) / total if total else 1.0)
        return float(np.mean(scores))


FAMILY = student_family(TaggerStudent, TaggerSettings)
