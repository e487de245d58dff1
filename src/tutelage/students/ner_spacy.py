"""Named entities by spaCy: any pipeline with a component that sets `doc.ents`, by package name or folder."""

from __future__ import annotations

from collections.abc import Sequence

import spacy
from spacy.language import Language

from tutelage.answering.spacy import MAX_CHARACTERS, quiet, split
from tutelage.errors import UsageError
from tutelage.students.pretrained import Mention

UNUSED = [
    "tagger",
    "parser",
    "attribute_ruler",
    "lemmatizer",
    "morphologizer",
    "senter",
    "textcat",
    "textcat_multilabel",
]
"""Components that no entity recogniser reads; leaving them out makes the rest several times faster."""


class SpacyNer:
    """A loaded spaCy pipeline."""

    scored = False

    def __init__(self, pipeline: Language) -> None:
        self._pipeline = pipeline
        labels = pipeline.pipe_labels
        self.types: tuple[str, ...] = tuple(
            sorted({label for pipe in ("ner", "entity_ruler") for label in labels.get(pipe, ())})
        )

    def mentions(self, texts: Sequence[str], entities: frozenset[str]) -> list[list[Mention]]:
        found: list[list[Mention]] = [[] for _ in texts]
        pieces = [(piece, at) for at, text in enumerate(texts) for piece in split(text, MAX_CHARACTERS)]
        for document, at in self._pipeline.pipe(pieces, as_tuples=True, batch_size=32):
            found[at].extend(Mention(entity.text) for entity in document.ents if entity.label_ in entities)
        return found


def open_model(model: str, _threads: int | None) -> SpacyNer:
    """The pipeline `model`. Raises UsageError when it is not installed or cannot be read."""
    try:
        with quiet():
            return SpacyNer(spacy.load(model, exclude=UNUSED))
    except (OSError, ImportError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and "[E050]" in str(error):
            raise UsageError(
                f"spaCy has no pipeline {model!r}. Install it with: python -m spacy download {model} "
                "(or pip install the package that holds it, or give a folder)."
            ) from None
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"The spaCy pipeline {model!r} cannot be read: {reason}. Install it again.") from None
