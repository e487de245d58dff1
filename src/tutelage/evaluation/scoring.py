"""Every metric of a task on a candidate's answers; what is slow to compute is kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tutelage.evaluation.metrics import METRICS, Answers, Mean, Statistic
from tutelage.project import Project
from tutelage.tasks.text import TextTask
from tutelage.types import Split, Value, digest

SLOW = frozenset({"bertscore_precision", "bertscore_recall", "bertscore_f1"})
"""Metrics whose scores are kept: BERTScore of 5 candidates' answers to 600 examples took 103 s on two busy cores (MiniLM)."""


def statistics(project: Project, split: Split, gold: Sequence[Value], predicted: Answers) -> dict[str, Statistic]:
    """The metrics of the project's task by name, the default first."""
    return {name: statistic(project, split, name, gold, predicted) for name in project.task.metrics}


def statistic(project: Project, split: Split, name: str, gold: Sequence[Value], predicted: Answers) -> Statistic:
    """One metric of the project's task."""
    if name in SLOW:
        return _remembered(project, split, name, gold, predicted)
    found: Statistic = METRICS.load(name)(project.task, gold, predicted)
    return found


def _remembered(project: Project, split: Split, name: str, gold: Sequence[Value], predicted: Answers) -> Statistic:
    """From the store where these answers have been scored against this gold with this encoder, else computed and kept."""
    measurements = project.store.measurements
    key = "score:" + digest([name, _encoder(project), list(gold), list(predicted)])
    if (facts := measurements.get(key, split)) is not None:
        return Mean(np.array(facts["scores"], dtype=np.float64))
    statistic: Mean = METRICS.load(name)(project.task, gold, predicted)
    measurements.put(key, split, {"scores": statistic.scores.tolist()})
    return statistic


def _encoder(project: Project) -> object:
    """What decides the scores besides the texts: the encoder (a folder's files by size and time), its layer, versions."""
    task = project.task
    if not isinstance(task, TextTask) or task.encoder is None:
        return None
    folder = Path(task.encoder)
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    listing = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return [task.encoder, task.encoder_layers, listing, [_version(name) for name in ("bert-score", "transformers")]]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
