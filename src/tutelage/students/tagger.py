"""Family `tagger`: a fine-tuned token classifier that finds the strings of a grounded task in the text.

Labels are projected to spans (`students.lesson`), a transformer learns them as tags on words, and the tags it predicts
are read back as strings.

Texts longer than `max_length` are windowed in training and in use. Served by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Encoding

from tutelage import registry
from tutelage.answering import spans
from tutelage.answering.base import Answerer
from tutelage.answering.served import save_served
from tutelage.answering.spans import Merge
from tutelage.answering.tagger import Tagger, case_marks, strings_of
from tutelage.embeddings.runtime import Array, TextModel
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.lesson import lesson, strings_f1
from tutelage.students.sizing import FineTuning, Texts, hold_out
from tutelage.types import Labelled

FIT = "tutelage.students.finetune.fit:fit_tagger"
QUANTISED = "tutelage.students.quantise:quantised"


@dataclass(frozen=True)
class TaggerSettings(FineTuning):
    """Settings of family `tagger`, see `FineTuning`."""


class TaggerStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("strings",)
    answers_by: ClassVar[type[Answerer]] = Tagger
    answerer: Tagger | None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping, int8 and the merge rule are decided on `dev`. See `Student.fit`.

        The facts list the strings that stand nowhere in their text; their examples are learned without them.
        """
        if len(train) < 2:
            raise TrainingError(f"'tagger' needs at least 2 labelled examples in train, found {len(train)}. Add more.")
        learned, chosen, origin = hold_out(train, dev, context.seed, lambda one: bool(one.value))
        learnt = lesson("tagger", self.task, learned)
        texts = [self.task.input_text(one.example.input) for one in learned]
        dev_texts = [self.task.input_text(one.example.input) for one in chosen]

        def targets(number: int, encoding: Encoding) -> Any:
            words = spans.words_of(encoding, texts[number])
            return spans.piece_targets(encoding, words, spans.tag_words(words, learnt.spans[number]))

        # Without given dev labels the rule follows the lesson: a held-out tenth is too little to overrule it.
        rules: tuple[Merge, ...] = spans.MERGES if dev else (learnt.merge,)

        def score(encodings: Sequence[Encoding], outputs: Sequence[Array]) -> float:
            return max(self._f1(chosen, encodings, outputs, rule) for rule in rules)

        def score_served(model: TextModel) -> float:
            return score(*Tagger(self.task, model).run(dev_texts))

        fit_tagger, quantised = registry.load(FIT, "tagger"), registry.load(QUANTISED, "tagger")
        fp32 = context.folder / "fp32"
        facts = fit_tagger(
            Texts(texts, targets, dev_texts, score, case_marks), len(spans.TAGS), self.settings, context, fp32
        )
        served, precision = quantised(fp32, context.folder, self.settings, score_served)
        self.answerer = Tagger(self.task, TextModel(served, self.settings.threads))
        encodings, outputs = self.answerer.run(dev_texts)
        scores = {rule: self._f1(chosen, encodings, outputs, rule) for rule in rules}
        self.answerer.merge = max(scores, key=lambda rule: scores[rule])
        return {
            **facts,
            **precision,
            "chosen_on": origin,
            "merge": self.answerer.merge,
            "merge_dev_scores": {rule: round(value, 4) for rule, value in scores.items()},
            **learnt.facts,
        }

    def save(self, folder: Path) -> None:
        if self.answerer is None:
            raise TrainingError("This tagger is not fitted. Call fit before save.")
        save_served(self.answerer.model.folder, folder, {"merge": self.answerer.merge})

    def _f1(
        self, dev: Sequence[Labelled], encodings: Sequence[Encoding], outputs: Sequence[Array], merge: Merge
    ) -> float:
        answers = [
            strings_of(self.task, one.example.input, encoding, output, merge)[0]
            for one, encoding, output in zip(dev, encodings, outputs, strict=True)
        ]
        return strings_f1([list(one.value) for one in dev], answers)


FAMILY = student_family(TaggerStudent, TaggerSettings)
