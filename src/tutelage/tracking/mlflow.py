"""MLflow: a tracking server, or a database file. Its own environment variables hold users, passwords and tokens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.time import get_current_time_millis

from tutelage.settings import set_default
from tutelage.tasks.file import Tracking
from tutelage.tracking.base import Begun, Ended

STATUS = {"done": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
LONGEST = 500
"""Characters of a parameter's value that MLflow keeps."""


class MlflowTracker:
    """Runs of one experiment."""

    def __init__(self, settings: Tracking, folder: Path) -> None:
        self.settings, self.folder, self._run = settings, folder, ""
        # A server that is down would be asked for minutes; and nobody else is told of the runs.
        set_default(
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="2", MLFLOW_HTTP_REQUEST_TIMEOUT="15", MLFLOW_DISABLE_TELEMETRY="true"
        )
        for library in ("mlflow", "alembic"):  # they tell people of every table that they make
            logging.getLogger(library).setLevel(logging.WARNING)
        self.client = MlflowClient(tracking_uri=_uri(settings.uri, folder))

    def begin(self, run: Begun) -> None:
        self._run = self.client.create_run(self._experiment(), run_name=run.name).info.run_id
        self.client.log_batch(
            self._run,
            params=[Param(name, str(value)[:LONGEST]) for name, value in run.parameters.items()],
            tags=[RunTag(name, value) for name, value in {"tutelage.run": run.id, **run.tags}.items()],
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.client.log_batch(self._run, metrics=self._metrics(metrics, step))

    def end(self, run: Ended) -> None:
        if run.figures:
            self.client.log_batch(self._run, metrics=self._metrics(run.figures, 0))
        if run.artefact is not None:
            for path in sorted(run.artefact.iterdir()) if self.settings.artefacts else [run.artefact / "card.json"]:
                log = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
                log(self._run, str(path), *([path.name] if path.is_dir() else []))
        self.client.set_terminated(self._run, STATUS[run.status])

    def _metrics(self, metrics: Mapping[str, float], step: int) -> list[Any]:
        return [Metric(name, value, get_current_time_millis(), step) for name, value in metrics.items()]

    def _experiment(self) -> str:
        name = self.settings.experiment or "tutelage"
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = (self.settings.uri or "").startswith("sqlite:")
        where = (self.folder.resolve() / "mlruns").as_uri() if local else None
        return str(self.client.create_experiment(name, artifact_location=where))


def _uri(uri: str | None, folder: Path) -> str | None:
    """A database file's path is relative to the project; None is what MLFLOW_TRACKING_URI says."""
    prefix = "sqlite:///"
    if uri is None or not uri.startswith(prefix):
        return uri
    return prefix + str(folder.resolve() / uri.removeprefix(prefix))


def open_tracker(settings: Tracking, folder: Path) -> MlflowTracker:
    return MlflowTracker(settings, folder)
