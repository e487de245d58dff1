"""Whether the base of a student may be used for what task.toml says, looked up before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage import registry
from tutelage.project import Project

FIND, CHECK = "tutelage.embeddings.bases:find_base", "tutelage.embeddings.bases:check_use"
"""Loaded by name: they bring a library that students without a base have no need of."""


def licence_of_base(project: Project, settings: Any) -> dict[str, Any]:
    """Facts for the card: the base, its licence, the use, and a `warning` where the licence does not say; {} without a base.

    Raises TrainingError where the licence forbids the use, or there is no such base.
    """
    base = getattr(settings, "base", None)
    if not isinstance(base, str):
        return {}
    own = getattr(settings, "licence_of", None)  # of a base that is no transformer
    licence = own(project.path) if own else registry.load(FIND)(base, project.path).licence
    if licence is None:
        return {}
    facts = {"base": base, "licence": licence, "use": project.file.use}
    warning = registry.load(CHECK)(base, licence, project.file.use)
    return {"licence": facts | ({"warning": warning} if warning else {})}


def check_again(project: Project, card: Mapping[str, Any]) -> None:
    """The same of a trained student by its card, since the use may have changed. Raises TrainingError."""
    if facts := card.get("licence"):
        registry.load(CHECK)(facts["base"], facts["licence"], project.file.use)
