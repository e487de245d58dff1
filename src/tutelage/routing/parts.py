"""Who a candidate is made of: a cascade of its stages, a vote of its members, a verified candidate of who answers."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.errors import TaskFileError
from tutelage.evaluation.candidates import candidate
from tutelage.project import Project

NAMED = ("stages", "candidates", "of", "beside")
"""Settings that name other candidates."""


def parts_of(project: Project, name: str) -> list[str]:
    """The candidates that the settings of `name` name. Raises UnknownName, TaskFileError."""
    settings, found = candidate(project, name).settings, list[str]()
    for key in NAMED:
        given = getattr(settings, key, None)
        found += [given] if isinstance(given, str) else given or []
    return found


def everyone(project: Project, names: Sequence[str]) -> list[str]:
    """`names` and all that they are made of, each once and after its own parts. Raises TaskFileError for one that is part of
    itself."""
    found: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise TaskFileError(
                f"[candidates.{name}]: it is part of itself: {' -> '.join((*above, name))}. Name others."
            )
        for part in parts_of(project, name):
            visit(part, (*above, name))
        if name not in found:
            found.append(name)

    for name in names:
        visit(name, ())
    return found


def check_parts(project: Project, name: str) -> None:
    """Raises TaskFileError where a part of `name` stands twice or is `name` itself, UnknownName where it is no candidate."""
    parts = parts_of(project, name)
    everyone(project, [name])
    if twice := [one for one in parts if parts.count(one) > 1]:
        raise TaskFileError(f"[candidates.{name}]: {twice[0]!r} stands twice. Name each once.")
