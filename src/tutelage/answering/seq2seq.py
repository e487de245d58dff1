"""How a `seq2seq` answers: CTranslate2 writes the answer as `task.render` would, and `task.parse` reads it.

T5's vocabulary has no braces, backslashes or line breaks, which JSON needs. The characters that a tokenizer cannot spell
are written by its spare tokens (`<extra_id_0>`, ...), one each; which one stands for what is kept with the student.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import ctranslate2
from tokenizers import Tokenizer

from tutelage.answering.base import Answerer
from tutelage.answering.served import MODEL_FOLDER, read_facts
from tutelage.embeddings.runtime import TOKENIZER
from tutelage.errors import AnswerError, StoreError
from tutelage.tasks import Task
from tutelage.tasks.confidence import confidence
from tutelage.tasks.label import LabelTask
from tutelage.types import Input, Prediction

BATCH = 32
"""Texts of like length that are written together."""

SPACE = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class Codec:
    """Texts to tokens and back. `spare` says which token stands for which character."""

    def __init__(self, tokenizer: Tokenizer, spare: Mapping[str, str], end: str) -> None:
        self.tokenizer, self.spare, self.end = tokenizer, dict(spare), end
        self._characters = {token: character for character, token in self.spare.items()}
        self._split = re.compile("([" + re.escape("".join(self.spare)) + "])") if self.spare else None
        special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        self._silent = special - set(self._characters)

    def encode(self, text: str, longest: int | None = None) -> list[int]:
        """The ids of `text` and of the end, cut to `longest` of them."""
        ids: list[int] = []
        for part in self._split.split(text) if self._split else [text]:
            if token := self.spare.get(part):
                ids.append(self._id(token))
            elif part:
                ids += self._plain(part, first=not ids)
        return [*ids[: None if longest is None else longest - 1], self._id(self.end)]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The names of the tokens, as CTranslate2 takes them; "" for numbers that a model has beyond its tokenizer."""
        return [self.tokenizer.id_to_token(at) or "" for at in ids]

    def spell(self, tokens: Sequence[str]) -> list[str]:
        """What each token adds to the text; together they are the text."""
        spelled: list[str] = []
        starts = True
        for token in tokens:
            if (character := self._characters.get(token)) is not None:
                spelled.append(character)
                starts = True
            elif token in self._silent:
                spelled.append("")
            else:
                text = token.replace(SPACE, " ")
                spelled.append(text.removeprefix(" ") if starts else text)
                starts = False
        return self._with_bytes(spelled)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.spell(self.tokens(ids)))

    def _id(self, token: str) -> int:
        found: int | None = self.tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"The tokenizer has no token {token!r}.")
        return found

    def _plain(self, text: str, *, first: bool) -> list[int]:
        """The ids of a text without spare characters. The tokenizer puts a space before it, which `spell` takes away."""
        space: int | None = self.tokenizer.token_to_id(SPACE)
        if first or space is None or not text.startswith(" "):
            return list(self.tokenizer.encode(text, add_special_tokens=False).ids)
        return [space, *(self._plain(text[1:], first=True) or [space])]

    @staticmethod
    def _with_bytes(spelled: list[str]) -> list[str]:
        """Bytes in a row as the characters that they are, on the last of them."""
        run: list[int] = []
        for at, text in enumerate([*spelled, ""]):
            if _BYTE.fullmatch(text):
                run.append(int(text[3:5], 16))
                spelled[at] = ""
            elif run:
                spelled[at - 1] = bytes(run).decode("utf-8", "replace")
                run = []
        return spelled


class Said(NamedTuple):
    """A token of an answer, as `tasks.confidence` reads it."""

    text: str
    logprob: float


@dataclass(frozen=True)
class Form:
    """How it reads and writes: `prefix` stands before every input; lengths count tokens, `beams` how many answers are
    followed at a time."""

    end: str
    max_input: int
    max_output: int
    prefix: str = ""
    beams: int = 1
    spare: Mapping[str, str] = field(default_factory=dict)


class Writer(Answerer):
    """`confidence` is the probability of the whole answer; of a text, the mean (geometric) of its tokens, since the whole
    falls with the length. An answer that cannot be read is failed; of a label, the likeliest label is taken.
    """

    def __init__(self, task: Task, folder: Path, form: Form, threads: int | None = None) -> None:
        self.task, self.folder, self.form = task, folder, form
        try:
            self.codec = Codec(Tokenizer.from_file(str(folder / TOKENIZER)), form.spare, form.end)
            self._model = ctranslate2.Translator(str(folder), device="cpu", intra_threads=threads or 0)
        except Exception as error:  # both libraries raise classes of their own making, RuntimeError and Exception
            reason = " ".join(str(error).split())
            raise StoreError(f"The student in {folder} cannot be read: {reason}. Train it again.") from None
        self._names = frozenset(task.schema()["properties"])

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        try:
            form = Form(**read_facts(folder))
        except TypeError as error:
            raise StoreError(f"The student in {folder} cannot be read: {error}. Train it again.") from None
        return cls(task, folder / MODEL_FOLDER, form, threads)

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        sources = [self._source(one) for one in inputs]
        order = sorted(range(len(inputs)), key=lambda at: len(sources[at]))
        found: dict[int, Prediction] = {}
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            for at, said in zip(part, self._write([sources[at] for at in part]), strict=True):
                found[at] = self._read(inputs[at], sources[at], said)
        return [found[at] for at in range(len(inputs))]

    def _source(self, input: Input) -> list[str]:
        return self.codec.tokens(self.codec.encode(self.form.prefix + self.task.input_text(input), self.form.max_input))

    def _write(self, sources: Sequence[list[str]]) -> list[tuple[list[Said], float]]:
        """The tokens of each answer with their log probabilities, and the log probability of the whole."""
        single = self.form.beams == 1
        steps: list[list[float]] = [[] for _ in sources]

        def keep(step: ctranslate2.GenerationStepResult) -> bool:
            steps[step.batch_id].append(step.log_prob)
            return False

        results = self._model.translate_batch(
            list(sources),
            beam_size=self.form.beams,
            length_penalty=0.0,
            return_scores=True,
            max_input_length=0,
            max_decoding_length=self.form.max_output,
            callback=keep if single else None,
        )
        found = []
        for result, logprobs in zip(results, steps, strict=True):
            spelled = self.codec.spell(result.hypotheses[0])
            mean = result.scores[0] / max(1, len(spelled) + 1)
            each = logprobs[: len(spelled)] if single else [mean] * len(spelled)
            found.append((list(map(Said, spelled, each)), float(result.scores[0])))
        return found

    def _read(self, input: Input, source: list[str], said: tuple[list[Said], float]) -> Prediction:
        tokens, logprob = said
        text = "".join(token.text for token in tokens)
        try:
            settled = self.task.settle(self.task.parse(text), input)
        except AnswerError as error:
            if isinstance(self.task, LabelTask):
                return self._likeliest(self.task, source)
            return Prediction(None, error=str(error))
        found = confidence(self.task, settled.value, text, tokens, self._names)
        signals = {**found.signals, "sequence_probability": min(1.0, math.exp(logprob))}
        if self.form.beams > 1:  # the beams have no probabilities of single tokens
            signals, found = (
                {name: signals[name] for name in signals if name != "min_probability"},
                found._replace(parts={}),
            )
        sure = (
            "mean_probability"
            if self.task.output == "text" and "mean_probability" in signals
            else "sequence_probability"
        )
        return Prediction(settled.value, signals[sure], note=settled.note, signals=signals, parts=found.parts)

    def _likeliest(self, task: LabelTask, source: list[str]) -> Prediction:
        """The label whose answer is likeliest, with its share of the labels' probability."""
        targets = [self.codec.tokens(self.codec.encode(task.render(label))[:-1]) for label in task.labels]
        results = self._model.score_batch([source] * len(targets), targets, max_input_length=0)
        scores = [float(sum(result.log_probs)) for result in results]
        best = max(range(len(scores)), key=scores.__getitem__)
        share = 1 / sum(math.exp(score - scores[best]) for score in scores)
        return Prediction(task.labels[best], share, note="what was written is no label: the likeliest one")
