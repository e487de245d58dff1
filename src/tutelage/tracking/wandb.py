"""Weights & Biases: its service, one's own server, or files in the project's folder `wandb` (WANDB_MODE=offline)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from tutelage.errors import UsageError
from tutelage.settings import api_key, variable
from tutelage.tasks.file import Tracking
from tutelage.tracking.base import Begun, Ended


class WandbTracker:
    """Runs of one project; `experiment` is PROJECT or ENTITY/PROJECT."""

    def __init__(self, settings: Tracking, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self._run: Any = None
        if variable("WANDB_MODE") not in ("offline", "disabled", "dryrun"):
            try:
                api_key("WANDB_API_KEY")  # asked for before the library does, which would ask at the terminal
            except UsageError as error:
                raise UsageError(f"{error} Or log to files: export WANDB_MODE=offline") from None

    def begin(self, run: Begun) -> None:
        entity, _, project = (self.settings.experiment or "tutelage").rpartition("/")
        known = {"silent": True, "console": "off", "disable_git": True, "save_code": False, "x_disable_stats": True}
        if self.settings.uri:
            known["base_url"] = self.settings.uri
        self._run = wandb.init(
            project=project,
            entity=entity or None,
            id=run.id,
            name=run.name,
            config={**run.parameters, **run.tags},
            dir=str(self.folder),
            settings=wandb.Settings(**known),
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def end(self, run: Ended) -> None:
        self._run.summary.update({**run.figures, "status": run.status})
        if run.artefact is not None:
            artefact = wandb.Artifact(run.artefact.name, type="student")
            if self.settings.artefacts:
                artefact.add_dir(str(run.artefact))
            else:
                artefact.add_file(str(run.artefact / "card.json"))
            self._run.log_artifact(artefact)
        self._run.finish(exit_code=0 if run.status == "done" else 1)


def open_tracker(settings: Tracking, folder: Path) -> WandbTracker:
    return WandbTracker(settings, folder)
