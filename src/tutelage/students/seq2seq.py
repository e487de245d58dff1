"""Family `seq2seq`: an encoder-decoder (T5 and its kin) fine-tuned to write the answer, for every output.

It reads the input alone, without the instructions, and writes what `task.render` makes of the label; its answers are read
back by the task, as a language model's are. By LoRA (Hu et al. 2021) or by all weights. Served by CTranslate2, in int8
where that costs at most `max_int8_loss` of the dev score.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from tutelage import registry
from tutelage.answering.base import Answerer
from tutelage.answering.seq2seq import Form, Writer
from tutelage.answering.served import MODEL_FOLDER, write_facts
from tutelage.errors import AnswerError, TrainingError
from tutelage.students.base import FitContext, Student
from tutelage.students.family import student_family
from tutelage.students.scoring import answer_score, dev_score
from tutelage.students.sizing import PACE, FineTuning, Plan, hold_out
from tutelage.types import Labelled

FIT = "tutelage.students.finetune.seq2seq:fit_seq2seq"
WEIGHTS = "weights"
MIN_EXAMPLES = 4
JUDGED = 200
"""Dev examples that an epoch is judged by: each must be written, one token after the other."""


@dataclass(frozen=True)
class Seq2SeqSettings(FineTuning):
    """`method`: "lora" trains adapters of rank `rank`, "full" all weights. `prefix` stands before every input.

    `max_length` counts the input's tokens, longer inputs are cut; `beams` answers are followed at a time when answering.
    """

    max_length: int = 512
    method: Literal["lora", "full"] = "lora"
    rank: int = 16
    prefix: str = ""
    beams: int = 1


class Lesson(NamedTuple):
    """Inputs and the answers to be written, and how good written answers of dev are, in [0, 1]."""

    train: Sequence[tuple[str, str]]
    dev: Sequence[tuple[str, str]]
    score: Callable[[Sequence[str]], float]
    served: Callable[[Path, Form], float]
    """A folder that CTranslate2 can serve -> the score of its answers."""


class Learnt(NamedTuple):
    """What fitting leaves: a folder to serve, one with the weights for other programs, and facts for the card."""

    folder: Path
    weights: Path
    form: Form
    facts: dict[str, Any]


def writing_plan(settings: Seq2SeqSettings, n: int) -> Plan:
    """How long and how fast for n examples.

    Not measured here, for want of T5 weights: rates are those that the authors of transformers (T5 with AdamW: 1e-4 to
    3e-4) and peft (LoRA: about ten times as much) advise; the more examples, the fewer epochs.
    """
    epochs = settings.epochs or max(2, round(PACE[settings.effort] * min(30, 4 + 3000 / n)))
    rate = settings.learning_rate or (1e-3 if settings.method == "lora" else 3e-4 if n < 1000 else 1e-4)
    size = settings.batch_size or (8 if n < 1000 else 16)
    return Plan(epochs, rate, size, patience=max(3, epochs // 4), seed=settings.seed)


class Seq2SeqStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = ("label", "labels", "strings", "record", "text")
    answers_by: ClassVar[type[Answerer]] = Writer
    answerer: Writer | None

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; early stopping and int8 are decided on `dev`. See `Student.fit`."""
        if len(train) < MIN_EXAMPLES:
            raise TrainingError(
                f"'seq2seq' needs at least {MIN_EXAMPLES} labelled examples in train, found {len(train)}. Add more."
            )
        settings: Seq2SeqSettings = self.settings
        learned, chosen, origin = hold_out(train, dev, context.seed, lambda one: str(one.value))
        judged = chosen if len(chosen) <= JUDGED else random.Random(context.seed).sample(chosen, JUDGED)

        def score(texts: Sequence[str]) -> float:
            return sum(map(self._written, judged, texts)) / len(judged)

        def served(folder: Path, form: Form) -> float:
            writer = Writer(self.task, folder, form, settings.threads)
            return dev_score(self.task, chosen, writer.predict_batch([one.example.input for one in chosen]))

        fit_seq2seq = registry.load(FIT, "seq2seq")
        lesson = Lesson(self._pairs(learned), self._pairs(judged), score, served)
        learnt: Learnt = fit_seq2seq(lesson, settings, context)
        self.answerer = Writer(self.task, learnt.folder, learnt.form, settings.threads)
        self._weights = learnt.weights
        return {**learnt.facts, "chosen_on": origin}

    def save(self, folder: Path) -> None:
        """`model`, which is served, and `weights`: the adapter, or all weights, for other programs."""
        if self.answerer is None:
            raise TrainingError("This seq2seq is not fitted. Call fit before save.")
        shutil.copytree(self.answerer.folder, folder / MODEL_FOLDER)
        shutil.copytree(self._weights, folder / WEIGHTS)
        write_facts(folder, asdict(self.answerer.form))

    def _pairs(self, examples: Sequence[Labelled]) -> list[tuple[str, str]]:
        prefix = self.settings.prefix
        return [(prefix + self.task.input_text(one.example.input), self.task.render(one.value)) for one in examples]

    def _written(self, one: Labelled, text: str) -> float:
        try:
            return answer_score(self.task, one.value, self.task.settle(self.task.parse(text), one.example.input).value)
        except AnswerError:
            return 0.0


FAMILY = student_family(Seq2SeqStudent, Seq2SeqSettings)
