"""A project: a folder with task.toml, a store, artefacts and reports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tutelage.errors import StoreError, UnknownName
from tutelage.models.prices import listed_price
from tutelage.models.rates import Pace
from tutelage.store import Store, open_store
from tutelage.tasks import Task
from tutelage.tasks.file import Price, TaskFile, read_task_file

CARD = "card.json"
LEARNED_FROM = "learned_from.txt"
"""In an artefact: the ids of the examples of train and dev that it learned from or was chosen on, a line each."""


@dataclass(frozen=True)
class Project:
    """The folder, what task.toml says, and the store (opened on first use).

    Of a `dry` project no model is called: they are built by name alone, without their keys and files.
    """

    folder: Path
    file: TaskFile
    task: Task
    database: str | None = None
    dry: bool = False

    @cached_property
    def store(self) -> Store:
        return open_store(self.database or self.folder / "tutelage.db")

    def path(self, name: str) -> Path:
        """A path in task.toml: absolute, with `~`, or relative to the project's folder."""
        return self.folder / Path(name).expanduser()

    @cached_property
    def _paces(self) -> dict[str, Pace]:
        return {name: Pace(limit) for name, limit in self.file.limits.items()}

    def paces(self, endpoints: Collection[str]) -> list[Pace]:
        """The allowances that `[limits]` gives these endpoints; all who ask with this project share them."""
        return [pace for name, pace in self._paces.items() if name.rstrip("/") in endpoints]

    def price(self, provider: str, base_url: str | None, model: str) -> Price | None:
        """What `model` costs: as `[prices]` says, else as the table of the package does; None where neither knows."""
        return self.file.prices.get(model) or listed_price(provider, base_url, model)

    @property
    def artefacts(self) -> Path:
        return self.folder / "artefacts"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def selected(self) -> list[str]:
        """The candidates that verbs take when none is named: `run` in task.toml, else all."""
        names = self.file.candidates if self.file.run is None else self.file.run
        return [name for name in names if self.candidate(name)]

    def candidate(self, name: str) -> dict[str, Any]:
        """The settings of candidate `name` in task.toml, `family` included. Raises UnknownName."""
        if name not in self.file.candidates:
            raise UnknownName("candidate", name, self.file.candidates)
        return dict(self.file.candidates[name])


def open_project(folder: Path, database: str | None = None) -> Project:
    """The project in `folder`. Raises TaskFileError when there is none or task.toml is wrong."""
    file = read_task_file(folder / "task.toml")
    return Project(folder, file, file.task().at(folder), database)


def newest_artefact(project: Project, candidate: str) -> Path | None:
    """The folder of the candidate's newest finished artefact, or None. A half-written one has no card and is not seen."""
    cards = [path for path in project.artefacts.glob("*/" + CARD) if read_card(path.parent)["candidate"] == candidate]
    return max((path.parent for path in cards), key=lambda path: path.name, default=None)


def read_card(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StoreError(f"The artefact {folder} cannot be read: {error}. Delete the folder and train again.") from None


def publish_artefact(project: Project, work: Path, run_id: str, card: Mapping[str, Any]) -> Path:
    """Move a finished folder into the artefacts under `run_id`, card last, so that a killed run leaves nothing that loads."""
    target = project.artefacts / run_id
    (work / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    try:
        project.artefacts.mkdir(parents=True, exist_ok=True)
        shutil.move(work, target)
    except OSError as error:
        raise StoreError(f"The artefact cannot be written to {target}: {error.strerror or error}.") from None
    return target
