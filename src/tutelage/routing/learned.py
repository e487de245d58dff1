"""What `tutelage calibrate` learns from stored answers on dev: the examples, and the artefact that it is kept in."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tutelage.errors import DataError, TrainingError
from tutelage.evaluation.candidates import Candidate
from tutelage.evaluation.harness import ExampleSet, answers, example_set
from tutelage.project import Project, newest_artefact, publish_artefact, read_card
from tutelage.registry import versions
from tutelage.store import Origin, now
from tutelage.students.training import new_run_id, working_folder, write_learned_from
from tutelage.types import Prediction, Value, digest

KEYS = ("family", "settings", "task", "data_fingerprint", "confidences")
VERSIONS = ("tutelage", "numpy", "scikit-learn", "onnxruntime")


def dev_examples(project: Project, labels: Origin) -> ExampleSet:
    """The examples of dev that have a label. Raises DataError where there are none."""
    return example_set(project, "dev", None if labels == "any" else labels)


def stored_answers(
    project: Project, name: str, one: Candidate, examples: ExampleSet
) -> tuple[list[Prediction], Mapping[str, Any]]:
    """The stored answers of `one`, from which `name` learns, and what was measured. Raises DataError where some are missing."""
    found = answers(project, one, examples)
    if found is None:
        raise DataError(
            f"{name!r} learns from stored answers, and {one.name!r} has not answered all {len(examples.examples)} examples "
            f"of {examples.split}. Run: tutelage evaluate {one.name} --split {examples.split}"
        )
    return found


def card_of(
    project: Project, one: Candidate, examples: ExampleSet, answered: Sequence[Sequence[Value | None]]
) -> dict[str, Any]:
    """The beginning of an artefact's card: who learns, by which settings, and the fingerprint of what it learns from."""
    return {
        "candidate": one.name,
        "family": one.family_name,
        "settings": asdict(one.settings),
        "task": project.task.schema(),
        "data_fingerprint": digest([examples.fingerprint, [list(values) for values in answered]]),
        "learned_from": {"n": len(examples.examples), "splits": [examples.split], "labels": examples.reference},
    }


def kept(
    project: Project, card: Mapping[str, Any], ids: Sequence[str], write: Callable[[Path], Mapping[str, Any]]
) -> Path:
    """The folder of the newest artefact where it was made of the same, else of a new one: `write` fills it and returns facts
    for its card; what it puts beside the folder is not kept. `ids` are the examples learned from. Raises StoreError."""
    last = newest_artefact(project, card["candidate"])
    if last is not None and _same(read_card(last), card):
        return last
    started, begun = now(), time.perf_counter()
    run_id, work = new_run_id(card, started), working_folder(project)
    try:
        result = work / "result"
        result.mkdir()
        facts = write(result)
        write_learned_from(result, ids)
        seconds = round(time.perf_counter() - begun, 3)
        made = {"fit": facts, "seconds": seconds, "created": started, "versions": versions(VERSIONS)}
        return publish_artefact(project, result, run_id, {**card, **made})
    finally:
        shutil.rmtree(work, ignore_errors=True)


def learned_folder(project: Project, name: str) -> Path:
    """The newest artefact of `name`. Raises TrainingError where there is none."""
    folder = newest_artefact(project, name)
    if folder is None:
        raise TrainingError(f"{name!r} has not learned yet. Run: tutelage calibrate {name}")
    return folder


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return digest([old.get(key) for key in KEYS]) == digest([new.get(key) for key in KEYS])
