"""What the students on a decoder language model share: settings, what they are taught, how they are saved.

The model reads the text without the task's instructions and writes `task.render(value)`: what the instructions ask for is
in its weights, so that an answer costs the tokens of the text alone ("prompt baking"). Only the answer's tokens have a
loss. Served by llama.cpp, bound to the task's schema.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from tutelage import registry
from tutelage.answering.base import Answerer
from tutelage.answering.causal import Causal
from tutelage.answering.llama import GGUF
from tutelage.answering.served import MODEL_FOLDER, STUDENT
from tutelage.embeddings.runtime import TOKENIZER
from tutelage.errors import TrainingError
from tutelage.models.binding import bound
from tutelage.models.chat import Params
from tutelage.prompting.form import answer_format
from tutelage.store import Origin
from tutelage.students.base import FitContext, Student
from tutelage.students.sizing import Effort, hold_out
from tutelage.tasks import OUTPUTS, Task
from tutelage.types import Labelled

FIT = "tutelage.students.finetune.causal:fit_decoder"


@dataclass(frozen=True)
class DecoderTuning:
    """Settings of the students on a decoder. `base` is a GGUF file, a folder, or a Hugging Face name.

    None means sized from the data. `max_length` counts the tokens of text and answer together; longer texts are cut.
    """

    base: str
    labels: Origin = "any"
    effort: Effort = "medium"
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    max_length: int = 1024
    instructions: bool = False
    """Whether the prompt holds the task's instructions."""
    structured: Literal["schema", "none"] = "schema"
    precision: Literal["q8_0", "f16"] = "q8_0"
    """Of the weights that are served."""
    threads: int | None = None
    seed: int = 0


class Pair(NamedTuple):
    """A text and what is to be written after it."""

    text: str
    answer: str
    weight: float = 1.0
    explains: bool = False
    """Whether `answer` is the reasoning that leads to an answer."""


class Lesson(NamedTuple):
    """What a decoder learns from and is chosen on; `system` stands before every text (None: nothing).

    `virtual` is the number of tokens to learn instead of weights; they start as those of `hint`.
    """

    train: Sequence[Pair]
    dev: Sequence[Pair]
    system: str | None
    grammar: str | None
    virtual: int = 0
    hint: str = ""


class DecoderStudent(Student):
    """See the module's text."""

    outputs: ClassVar[tuple[str, ...]] = tuple(OUTPUTS.rows())
    answers_by: ClassVar[type[Answerer]] = Causal
    answerer: Causal | None
    family: ClassVar[str]

    def fit(self, train: Sequence[Labelled], dev: Sequence[Labelled], context: FitContext) -> dict[str, Any]:
        """Learn from `train`; the training is stopped by the loss on `dev`. See `Student.fit`."""
        if len(train) < 2:
            raise TrainingError(
                f"{self.family!r} needs at least 2 labelled examples in train, found {len(train)}. Add more."
            )
        learned, chosen, origin = hold_out(train, dev, context.seed, lambda one: json.dumps(one.value))
        fit_decoder = registry.load(FIT, self.family)
        lesson = self._lesson(learned, chosen)
        explained = sum(pair.explains for pair in lesson.train)
        facts, llama = fit_decoder(lesson, self.settings, context, context.folder / "served")
        self.answerer = Causal(self.task, llama)
        return {**facts, "chosen_on": origin, **({"rationales": explained} if explained else {})}

    def save(self, folder: Any) -> None:
        if self.answerer is None:
            raise TrainingError(f"This {self.family} is not fitted. Call fit before save.")
        target = folder / MODEL_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        for name in (GGUF, TOKENIZER):
            shutil.copy2(self.answerer.llama.folder / name, target / name)
        facts = json.dumps(asdict(self.answerer.prompt), ensure_ascii=False)
        (folder / STUDENT).write_text(facts + "\n", encoding="utf-8")

    def _lesson(self, train: Sequence[Labelled], dev: Sequence[Labelled]) -> Lesson:
        system = (
            f"{self.task.instructions.strip()}\n\n{answer_format(self.task)}" if self.settings.instructions else None
        )
        return Lesson(
            self._taught(train),
            [self._pair(one) for one in dev],
            system,
            grammar(self.task) if self.settings.structured == "schema" else None,
            self.virtual,
            self.task.instructions.strip() or self.task.name,
        )

    @property
    def virtual(self) -> int:
        """Tokens to learn instead of weights."""
        return 0

    def _taught(self, train: Sequence[Labelled]) -> list[Pair]:
        return [self._pair(one) for one in train]

    def _pair(self, one: Labelled) -> Pair:
        return Pair(self.task.input_text(one.example.input), self.task.render(one.value))


def grammar(task: Task) -> str:
    """What binds an answer to the task's schema, for llama.cpp."""
    params = Params(structured="schema", schema=task.schema())
    return str(bound(params, "llguidance").body["grammar"])
