"""Family `pretrained-ner`: names found by a named-entity model off the shelf, nothing trained here.

One file a library (`LIBRARIES`). Mentions of one name are one answer: white space is collapsed, a possessive 's and
surrounding punctuation go, strings that are the same under strict matching are kept once, in order of first appearance.

Confidence: None where the library gives no scores (spaCy), else the lowest score among the mentions kept; an answer
without mentions has 0.5, since nothing speaks for or against it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias

from tutelage.errors import UsageError
from tutelage.project import Project
from tutelage.registry import Family, Table
from tutelage.tasks.matching import normal
from tutelage.types import Input, Prediction, Usage, digest

LIBRARIES = Table(
    "pretrained",
    "library of named-entity models",
    {
        "spacy": "tutelage.students.ner_spacy:open_model",
        "transformers": "tutelage.students.ner_transformers:open_model",
    },
)
EMPTY_CONFIDENCE = 0.5

_POSSESSIVE = re.compile(r"['’‘][sS]$")
_BEFORE, _AFTER = re.compile(r"^[\W_]+"), re.compile(r"[\W_]$")
_ABBREVIATION = re.compile(r"(?:^|[\s.])(?:\w|[JjSs]r|Esq)\.$")
"""An initial or a suffix, whose full stop belongs to the name."""


@dataclass(frozen=True)
class PretrainedNerSettings:
    """`model`: an installed package, a folder (relative to the project) or a name the library can find itself."""

    model: str
    library: Literal["spacy", "transformers"] = "spacy"
    entities: tuple[str, ...] = ("PERSON", "PER")
    """The model's entity types that count as answers."""
    threads: int | None = None
    """CPU threads of the whole process, for libraries that can set them (transformers); None leaves them as they are."""


class Mention(NamedTuple):
    """A name as it stands in the text; `score` in [0, 1]."""

    text: str
    score: float = 1.0


class EntityModel(Protocol):
    """A loaded named-entity model."""

    @property
    def types(self) -> Sequence[str]:
        """The entity types it knows."""
        ...

    @property
    def scored(self) -> bool:
        """Whether its mentions have scores."""
        ...

    def mentions(self, texts: Sequence[str], entities: frozenset[str]) -> list[list[Mention]]:
        """The mentions of those types in each text, in order of appearance."""
        ...


OpenModel: TypeAlias = Callable[[str, int | None], EntityModel]
"""What a file of `LIBRARIES` offers: (model, threads) -> EntityModel. Raises UsageError in one line that says how to
install a model that is not there."""


class PretrainedNer:
    """A named-entity model as a Predictor."""

    def __init__(self, name: str, model: EntityModel, entities: Sequence[str], fields: Sequence[str]) -> None:
        known = frozenset(entities) & frozenset(model.types)
        if not known:
            raise UsageError(
                f"{name!r}: its model knows none of the entities {', '.join(entities) or '(none)'}. "
                f"It knows: {', '.join(model.types)}."
            )
        self._name, self._model, self._entities, self._fields = name, model, known, tuple(fields)

    @property
    def name(self) -> str:
        return self._name

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """The names in each input; `usage.seconds` is the batch's wall time divided by its size."""
        if not inputs:
            return []
        texts = ["\n\n".join(given[field] for field in self._fields) for given in inputs]
        start = time.perf_counter()
        found = await asyncio.to_thread(self._model.mentions, texts, self._entities)
        usage = Usage(seconds=(time.perf_counter() - start) / len(inputs))
        return [self._prediction(mentions, usage) for mentions in found]

    def _prediction(self, mentions: Sequence[Mention], usage: Usage) -> Prediction:
        kept: dict[str, str] = {}
        scores: list[float] = []
        for mention in mentions:
            if name := clean(mention.text):
                kept.setdefault(normal(name), name)
                scores.append(mention.score)
        confidence = min(scores, default=EMPTY_CONFIDENCE) if self._model.scored else None
        return Prediction(list(kept.values()), confidence, usage, self._name)


def clean(mention: str) -> str:
    """The bare name: " “Tom's,” " -> "Tom"; "Robert Brown Jr.," keeps the full stop of "Jr."."""
    name = _BEFORE.sub("", " ".join(mention.split()))
    while name and not _ABBREVIATION.search(name):
        shorter = _POSSESSIVE.sub("", name)
        if shorter == name:
            if _AFTER.search(name) is None:
                break
            shorter = name[:-1]
        name = shorter
    return name


def build(name: str, settings: PretrainedNerSettings, project: Project) -> PretrainedNer:
    """Raises UsageError for another output than `strings` and for a model that does not exist, MissingPackage."""
    if project.task.output != "strings":
        raise UsageError(f"{name!r}: family 'pretrained-ner' answers output = 'strings', not {project.task.output!r}.")
    open_model: OpenModel = LIBRARIES.load(settings.library)
    model = open_model(_where(settings.model, project), settings.threads)
    return PretrainedNer(name, model, settings.entities, project.task.fields)


def fingerprint(_name: str, settings: PretrainedNerSettings, project: Project) -> object:
    """Versions of the library and of the model's package, or the model folder's files; loads neither."""
    where = _where(settings.model, project)
    folder = Path(where)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    listing = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return {
        "library": _version(settings.library),
        "model": settings.model,
        "version": digest(listing) if listing else _version(settings.model),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except (PackageNotFoundError, ValueError):
        return None


def _where(model: str, project: Project) -> str:
    """A folder of that name in the project, or the name itself for the library to find."""
    path = project.path(model)
    return str(path.resolve()) if path.is_dir() else model


FAMILY = Family("pretrained", PretrainedNerSettings, build, fingerprint)

__all__ = ["FAMILY", "LIBRARIES", "EntityModel", "Mention", "PretrainedNer", "PretrainedNerSettings"]
