"""What is on disk of the candidates that are served: a new artefact or certificate is noticed by its name or file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tutelage.project import CARD, Project, read_card
from tutelage.routing.certificate import certificate_path
from tutelage.routing.parts import everyone

Signature: TypeAlias = Mapping[str, str]
"""Of a candidate and each of its parts the newest artefact's run, and its certificate's file; what is not there is left out."""


@dataclass
class Artefacts:
    """The newest artefact of each candidate of a project. Cards never change, so each is read once."""

    project: Project
    _cards: dict[Path, str] = field(default_factory=dict)

    def newest(self) -> dict[str, str]:
        """The newest run by candidate. Raises StoreError for a card that cannot be read."""
        there = [path.parent for path in self.project.artefacts.glob("*/" + CARD)]
        for folder in there:
            if folder not in self._cards:
                self._cards[folder] = str(read_card(folder)["candidate"])
        found: dict[str, str] = {}
        for folder in there:
            name = self._cards[folder]
            found[name] = max(found.get(name, ""), folder.name)
        return found


def signature(project: Project, names: Sequence[str], newest: Mapping[str, str]) -> Signature:
    """Of these candidates, a system and its parts."""
    found: dict[str, str] = {}
    for name in names:
        if name in newest:
            found[f"artefact of {name}"] = newest[name]
        try:
            stat = certificate_path(project, name).stat()
        except OSError:
            continue
        found[f"certificate of {name}"] = f"{stat.st_mtime_ns:020d} {stat.st_size} {stat.st_ino}"
    return found


def parts_and_self(project: Project, name: str) -> list[str]:
    """The candidate and all that it is made of."""
    return everyone(project, [name])


def newer(served: Signature, now: Signature) -> Signature:
    """What would be served if it were built now: what has gone, or gone back, is taken from memory."""
    return {name: max(served.get(name, ""), now.get(name, "")) for name in {*served, *now}}


def gone(served: Signature, now: Signature) -> list[str]:
    """What is served and is no more on disk."""
    return sorted(name for name in served if name not in now)
