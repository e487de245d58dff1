"""How `spacy` answers: a pipeline trained by spaCy, loaded and run by spaCy alone.

Labels come from its text classifier. Strings come from its named-entity recogniser, which walks through the text word by
word and at each has a score for every step it may take; spaCy keeps the best step and drops the scores. Here they are
kept: `confidence` is the lowest probability of any step, so that doubts about what was left out count as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Self

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from tutelage.answering import spans
from tutelage.answering.base import Answerer
from tutelage.answering.served import MODEL_FOLDER, read_facts, softmax
from tutelage.answering.several import several
from tutelage.answering.spans import Merge, Span
from tutelage.embeddings.runtime import Array
from tutelage.errors import StoreError
from tutelage.tasks import Task
from tutelage.types import Input, Prediction

MAX_CHARACTERS = 100_000
"""Longer texts are read in pieces that end at white space: spaCy's memory grows with the text and it stops at a million."""

BLOCKED = "U-"
"""A step for words that are marked beforehand as no entity."""

STRING = "STRING"
"""The entity type of a string."""


class Spacy(Answerer):
    """A trained pipeline. Labels without an example in train are never predicted."""

    def __init__(self, task: Task, folder: Path, labels: Sequence[str] = ()) -> None:
        self.task, self.folder, self.labels = task, folder, list(labels)
        self.threshold: float | None = None
        self.merge: Merge = "none"
        self._lock = RLock()
        try:
            with quiet():
                self._pipeline: Language = spacy.load(folder)
        except (OSError, ImportError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StoreError(f"The pipeline in {folder} cannot be read: {reason}. Train it again.") from None
        self._recogniser: Any = None
        if "ner" in self._pipeline.pipe_names:
            self._recogniser = self._pipeline.get_pipe("ner")
            self._pipeline.disable_pipe("ner")

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        facts = read_facts(folder)
        found = cls(task, folder / MODEL_FOLDER, facts.get("labels", ()))
        found.threshold, found.merge = facts.get("threshold"), facts.get("merge", "none")
        return found

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        if not inputs:
            return []
        if self._recogniser is not None:
            return [Prediction(*self.merged(*found)) for found in self.strings(inputs)]
        probabilities = self.probabilities([self.task.input_text(one) for one in inputs])
        if self.threshold is not None:
            return several(self.labels, probabilities, self.threshold)
        best = probabilities.argmax(-1)
        return [
            Prediction(self.labels[at], min(1.0, float(row[at]))) for at, row in zip(best, probabilities, strict=True)
        ]

    def probabilities(self, texts: Sequence[str]) -> Array:
        """(texts, labels); of a text in several pieces their mean."""
        pieces = [(piece, at) for at, text in enumerate(texts) for piece in split(text, MAX_CHARACTERS)]
        rows: list[list[list[float]]] = [[] for _ in texts]
        with self._lock, self._pipeline.memory_zone():
            # A text without a word would be left out of the classifier.
            documents = self._pipeline.pipe([(clean(piece) or " ", at) for piece, at in pieces], as_tuples=True)
            for document, at in documents:
                rows[at].append([document.cats[label] for label in self.labels])
        return np.array([np.mean(row, axis=0) for row in rows], np.float32)

    def strings(self, inputs: Sequence[Input]) -> list[tuple[list[str], float]]:
        """The strings found in each input, in order of appearance, and the confidence."""
        found: list[list[Span]] = [[] for _ in inputs]
        sure = [1.0] * len(inputs)
        texts = [self.task.input_text(one) for one in inputs]
        pieces = [(piece, at) for at, text in enumerate(texts) for piece in split(text, MAX_CHARACTERS)]
        begin = [0] * len(inputs)
        with self._lock, self._pipeline.memory_zone():
            documents = list(self._pipeline.pipe(clean(piece) for piece, _ in pieces))
            steps = self._recognise(documents)
            for (piece, at), document, step in zip(pieces, documents, steps, strict=True):
                entities = [(entity.start_char, entity.end_char) for entity in document.ents]
                found[at] += [Span(begin[at] + start, begin[at] + end) for start, end in entities]
                begin[at] += len(piece)
                sure[at] = min(sure[at], step)
        answers = []
        for given, text, places, confidence in zip(inputs, texts, found, sure, strict=True):
            fields = spans.field_spans(self.task, given)
            inside = [one for one in places if any(f.start <= one.start and one.end <= f.end for f in fields)]
            answers.append((list(self.task.canonical([text[start:end] for start, end in inside])), confidence))
        return answers

    def merged(self, strings: list[str], confidence: float) -> tuple[list[str], float]:
        return (spans.merge_contained(strings) if self.merge == "contained" else strings), confidence

    def _recognise(self, documents: Sequence[Doc]) -> list[float]:
        """Set the entities of the documents; the lowest probability of a step in each, of those that were allowed."""
        recogniser = self._recogniser
        states = recogniser.moves.init_batch(documents)
        lowest = dict.fromkeys(range(len(documents)), 1.0)
        walking = [(state, at) for at, state in enumerate(states) if not state.is_final()]
        if walking:
            model = recogniser.model.predict(documents)
            moves = [(at, name) for at in range(model.nO) if (name := recogniser.moves.get_class_name(at)) != BLOCKED]
            while walking:
                left = [state for state, _ in walking]
                scores = model.predict(left)
                for (state, at), row in zip(walking, scores, strict=True):
                    if allowed := [move for move, name in moves if recogniser.moves.is_valid(state, name)]:
                        lowest[at] = min(lowest[at], float(softmax(row[allowed]).max()))
                recogniser.transition_states(left, scores)
                walking = [(state, at) for state, at in walking if not state.is_final()]
        recogniser.set_annotations(documents, states)
        return [min(1.0, lowest[at]) for at in range(len(documents))]


def clean(text: str) -> str:
    """`text` of the same length without halves of characters, which spaCy cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def split(text: str, limit: int) -> list[str]:
    """`text` in pieces of at most `limit` characters, cut after the last white space where there is one."""
    pieces = []
    while len(text) > limit:
        cut = limit
        while cut > limit // 2 and not text[cut - 1].isspace():
            cut -= 1
        cut = cut if text[cut - 1].isspace() else limit
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


@contextmanager
def quiet() -> Iterator[None]:
    """No warning about pipelines of a near version: they work, and what they are worth is measured."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\[W095\]")
        yield
