"""How `causal` and `soft-prompt` answer: llama.cpp writes what `task.render` would, bound to the task's schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tutelage.answering.base import Answerer
from tutelage.answering.llama import Llama, Prompt, plain_tokenizer
from tutelage.answering.served import MODEL_FOLDER, read_facts
from tutelage.embeddings.runtime import TOKENIZER
from tutelage.errors import AnswerError, StoreError
from tutelage.tasks import Task
from tutelage.tasks.confidence import confidence
from tutelage.types import Input, Prediction, Usage


class Causal(Answerer):
    """`confidence` is the mean (geometric) probability of the tokens that say the value. An answer that cannot be read is
    a failed one. Raises ModelError when llama.cpp cannot answer."""

    def __init__(self, task: Task, llama: Llama) -> None:
        self.task, self.llama, self.prompt = task, llama, llama.prompt
        self.tokenizer = plain_tokenizer(llama.folder / TOKENIZER)
        self._names = frozenset(task.schema()["properties"])

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        try:
            prompt = Prompt(**read_facts(folder))
        except TypeError as error:
            raise StoreError(f"The student in {folder} cannot be read: {error}. Train it again.") from None
        return cls(task, Llama(folder / MODEL_FOLDER, prompt, threads))

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [self._answer(one) for one in inputs]

    def _answer(self, input: Input) -> Prediction:
        text = self.tokenizer.encode(self.task.input_text(input), add_special_tokens=False).ids
        written = self.llama.write(self.prompt.tokens(text), most=self.prompt.max_tokens, grammar=self.prompt.grammar)
        usage = Usage(len(self.prompt.tokens(text)), len(written.ids))
        cut = f"only the first {self.prompt.room:,} of {len(text):,} tokens were read"
        notes = [cut] if len(text) > self.prompt.room else []
        try:
            settled = self.task.settle(self.task.parse(written.text), input)
        except AnswerError as error:
            ended = "" if written.whole else f" It was cut off at {self.prompt.max_tokens} tokens."
            return Prediction(None, usage=usage, error=f"{error}{ended}", note="; ".join(notes) or None)
        notes += [settled.note] if settled.note else []
        sure = confidence(self.task, settled.value, written.text, written.tokens, self._names)
        signals = {name: round(value, 6) for name, value in sure.signals.items()}
        parts = {name: round(value, 6) for name, value in sure.parts.items()}
        note = "; ".join(notes) or None
        return Prediction(
            settled.value, signals.get("mean_probability"), usage, note=note, signals=signals, parts=parts
        )
