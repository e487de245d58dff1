"""Runs are logged for real: to MLflow's database, to Weights & Biases' files, and to the project's own store always."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.students.test_training import Constant, ConstantSettings, fill
from tutelage.errors import TaskFileError, UnknownName
from tutelage.project import Project, open_project
from tutelage.students.base import FitContext
from tutelage.students.training import TrainReport, train
from tutelage.tasks.file import Tracking
from tutelage.tracking import run as tracked
from tutelage.tracking.base import Aside, Begun, Ended

TASK = 'name = "moods"\noutput = "label"\nlabels = ["good", "bad"]\n'


@dataclass(frozen=True)
class Settings(ConstantSettings):
    steps: int = 5


class Told(Constant):
    """Tells a loss at each step."""

    def fit(self, train: Any, dev: Any, context: FitContext) -> dict[str, Any]:
        for step in range(1, self.settings.steps + 1):
            context.progress(step / self.settings.steps, {"loss": 1 / step, "left": "0:01", "bad": float("nan")})
        facts = super().fit(train, dev, context)
        return {**facts, "dev_score": 0.75, "plan": {"epochs": 3}}


def project(folder: Path, tracking: str = "") -> Project:
    (folder / "task.toml").write_text(TASK + tracking)
    found = open_project(folder)
    fill(found, "import")
    return found


def fit(project: Project, settings: Settings | None = None) -> TrainReport:
    return train(project, "constant", "constant", Told, settings or Settings(), lambda share, shown: None)


def test_curves_are_kept_in_the_store(tmp_path: Path) -> None:
    found = project(tmp_path)
    report = fit(found)
    curves = found.store.curves.read(report.folder.name)
    assert curves == {
        "loss": [(step, 1 / step) for step in range(1, 6)],
        "share": [(step, step / 5) for step in range(1, 6)],
    }
    assert found.store.curves.read("another") == {}


def test_a_failed_run_keeps_its_curve(tmp_path: Path) -> None:
    found = project(tmp_path)
    with pytest.raises(Exception, match="no"):
        fit(found, Settings(fails_at="fit"))
    [run] = found.store.runs.read()
    assert run.status == "failed" and len(found.store.curves.read(run.id)["loss"]) == 5


def test_long_curves_are_thinned_and_keep_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracked, "KEPT", 10)
    found = project(tmp_path)
    curve = found.store.curves.read(fit(found, Settings(steps=203)).folder.name)["share"]
    assert curve[0][0] == 1 and curve[-1] == (203, 1.0) and 10 < len(curve) < 60


def test_mlflow_gets_parameters_curves_figures_and_the_artefact(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    found = project(tmp_path, '[tracking]\nto = "mlflow"\nuri = "sqlite:///runs.db"\nexperiment = "moods"\n')
    report = fit(found)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs.db'}")
    experiment = client.get_experiment_by_name("moods")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "moods constant"
    assert run.data.params["settings.steps"] == "5" and run.data.params["train.n"] == "3"
    assert run.data.tags["tutelage.run"] == report.folder.name
    assert (run.data.metrics["fit.dev_score"], run.data.metrics["fit.plan.epochs"]) == (0.75, 3)
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((one.step, one.value) for one in losses) == [(step, pytest.approx(1 / step)) for step in range(1, 6)]
    assert {one.path for one in client.list_artifacts(run.info.run_id)} == {
        "answer.txt",
        "card.json",
        "learned_from.txt",
    }
    with pytest.raises(Exception, match="no"):
        fit(found, Settings(fails_at="fit"))
    states = [one.info.status for one in client.search_runs([experiment.experiment_id])]
    assert sorted(states) == ["FAILED", "FINISHED"]


def test_wandb_writes_files_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    report = fit(project(tmp_path, '[tracking]\nto = "wandb"\nexperiment = "us/moods"\nartefacts = false\n'))
    [written] = (tmp_path / "wandb").glob(f"offline-run-*-{report.folder.name}/run-*.wandb")
    content = written.read_bytes()
    assert b"settings.steps" in content and b"loss" in content and b"fit.dev_score" in content


def test_wandb_without_a_key_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert fit(project(tmp_path, '[tracking]\nto = "wandb"\n')).folder.is_dir()
    [line] = warnings(caplog)
    assert "The API key WANDB_API_KEY is not set" in line and "WANDB_MODE=offline" in line


@pytest.fixture
def dead_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # never listens: connections are refused
        yield taken.getsockname()[1]


def test_a_server_that_is_down_fails_no_training(
    tmp_path: Path, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow")
    found = project(tmp_path, f'[tracking]\nto = "mlflow"\nuri = "http://127.0.0.1:{dead_port}"\n')
    report = fit(found)
    assert report.folder.is_dir() and found.store.runs.read()[0].status == "done"
    [line] = warnings(caplog)
    assert line.startswith("The tracker 'mlflow' does not answer, the run goes on without it: ")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [one for one in caplog.records if one.name.startswith("tutelage") and one.levelno >= logging.WARNING]
    return [one.getMessage() for one in found]


class Slow:
    """Takes its time."""

    def __init__(self, go: threading.Event) -> None:
        self.go = go

    def begin(self, run: Begun) -> None:
        self.go.wait(20)

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def end(self, run: Ended) -> None: ...


def test_a_slow_tracker_is_not_waited_for_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    go = threading.Event()
    aside = Aside("slow", lambda: Slow(go), patience=0.2)
    aside.begin(Begun("1", "one"))
    aside.log(1, {"loss": 1.0})
    aside.end(Ended("done"))
    go.set()
    assert warnings(caplog) == ["The tracker 'slow' is slow: it was not told all of the run within 0.2 s."]


def test_an_unknown_tracker_is_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    found = project(tmp_path, '[tracking]\nto = "mlfow"\n')
    with pytest.raises(UnknownName, match=r"'mlfow' is not a known tracker. Did you mean 'mlflow'"):
        fit(found)
    assert found.store.runs.read() == []


def test_a_password_in_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=r"\[tracking\] uri holds a password.*MLFLOW_TRACKING_URI") as caught:
        project(tmp_path, '[tracking]\nto = "mlflow"\nuri = "https://me:hunter2@host"\n')
    assert "hunter2" not in str(caught.value)


def test_the_settings_of_tracking() -> None:
    assert Tracking(to="mlflow") == Tracking(to="mlflow", uri=None, experiment=None, artefacts=True)


def test_an_older_database_gets_the_table(tmp_path: Path) -> None:
    found = project(tmp_path)
    _ = found.store
    with sqlite3.connect(tmp_path / "tutelage.db") as connection:
        connection.execute("DROP TABLE curves")
        connection.execute("UPDATE schema_version SET version = 4")
    again = open_project(tmp_path)
    assert again.store.curves.read("none") == {}
