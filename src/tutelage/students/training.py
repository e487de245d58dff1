"""Training a candidate: labels in, artefact out."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutelage.errors import StoreError, UsageError
from tutelage.project import LEARNED_FROM, Project, newest_artefact, publish_artefact, read_card
from tutelage.registry import versions
from tutelage.store import Run, now, origin
from tutelage.students.base import FitContext, Trainable
from tutelage.students.cards import doubts, overridden
from tutelage.students.licence import check_again, licence_of_base
from tutelage.students.material import ALL, Material, data_of, material_of
from tutelage.tracking.base import Begun
from tutelage.tracking.run import Tracked, flat
from tutelage.types import Labelled, digest

KEYS = ("family", "settings", "material", "data_fingerprint", "task", "depends")
"""What of a card decides what is learnt."""

CHECKPOINT_DAYS = 7
"""How long a broken-off training can be taken up again."""

VERSIONS = ("tutelage", "numpy", "scikit-learn", "onnxruntime", "torch", "transformers", "peft", "ctranslate2")


@dataclass(frozen=True)
class TrainReport:
    """What training did. `skipped` is True when the newest artefact was made from the same data and settings."""

    candidate: str
    folder: Path
    skipped: bool
    seconds: float
    card: Mapping[str, Any]

    def json(self) -> dict[str, Any]:
        return {"candidate": self.candidate, "artefact": str(self.folder), "skipped": self.skipped} | {
            "seconds": self.seconds,
            "card": dict(self.card),
        }


def train(
    project: Project,
    name: str,
    family: str,
    student: type[Trainable],
    settings: Any,
    progress: Callable[[float, Mapping[str, object]], None],
    material: Material = ALL,
) -> TrainReport:
    """Fit candidate `name` on what `material` takes of train, choose on dev, and publish its artefact with a card.

    Does nothing when the newest artefact has the same data and settings. Raises TrainingError or UsageError in one line.
    """
    if project.task.output not in student.outputs:
        wanted = " or ".join(student.outputs)
        raise UsageError(f"{name!r}: family {family!r} learns output {wanted}, this task's is {project.task.output!r}.")
    depends = student.depends(name, settings, project)
    examples, held_out, facts = material_of(project, name, student, settings, material)
    data = digest(data_of((*examples, *held_out)))
    card = {"candidate": name, "family": family, "settings": asdict(settings), "task": project.task.schema()}
    card |= {"data_fingerprint": data, "train": _counts(examples) | facts | _doubts(project, student, examples)}
    card |= {"dev": _counts(held_out), **overridden(project, name, settings, material)}
    card |= {"material": told} if (told := material.facts()) else {}
    card |= {"depends": digest(depends)} if depends is not None else {}
    last = newest_artefact(project, name)
    if last is not None and _same(found := read_card(last), card):
        check_again(project, found)
        return TrainReport(name, last, True, found.get("seconds", 0.0), found)
    card |= licence_of_base(project, settings)
    return _fit(project, student, settings, card, (examples, held_out), progress)


def _fit(
    project: Project,
    student: type[Trainable],
    settings: Any,
    card: Mapping[str, Any],
    data: tuple[list[Labelled], list[Labelled]],
    progress: Callable[[float, Mapping[str, object]], None],
) -> TrainReport:
    name, started, begun = str(card["candidate"]), now(), time.perf_counter()
    run_id, work = new_run_id(card, started), working_folder(project)
    tracked = Tracked(project.store, project.file.tracking, project.folder, _begun(project, run_id, card))
    process = {"process": [platform.node(), os.getpid()]}
    project.store.runs.put(Run(run_id, "train", name, "running", started, None, {**card, **process}))
    status, facts, folder = "failed", dict(card), None
    checkpoints = _checkpoints(project, card)
    try:
        tell, seed = tracked.progress(progress), getattr(settings, "seed", 0)
        context = FitContext(work, project.path, tell, seed, name, project, checkpoints)
        fitted = student(project.task, settings)
        facts |= {"fit": fitted.fit(*data, context)}
        result = work / "result"
        result.mkdir()
        fitted.save(result)
        write_learned_from(result, [one.example.id for part in data for one in part])
        facts |= {"seconds": round(time.perf_counter() - begun, 3), "created": started, "versions": versions(VERSIONS)}
        folder = publish_artefact(project, result, run_id, facts)
        shutil.rmtree(checkpoints, ignore_errors=True)
        status = "done"
    except OSError as error:
        raise StoreError(
            f"{name!r} could not be saved in {work}: {error.strerror or error}. Free space or permissions."
        ) from error
    except KeyboardInterrupt:
        status = "killed"
        raise
    finally:
        seconds = time.perf_counter() - begun
        shutil.rmtree(work, ignore_errors=True)
        tracked.end(status, {name: facts[name] for name in ("fit", "seconds") if name in facts}, folder)
        project.store.runs.put(Run(run_id, "train", name, status, started, seconds, facts))
    return TrainReport(name, folder, False, facts["seconds"], facts)


def new_run_id(card: Mapping[str, Any], started: str) -> str:
    """The id of a run that begins now: ids sort by time, which tells the newest artefact."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{digest([card, started])[:8]}"


def working_folder(project: Project) -> Path:
    """A new folder among the artefacts for a training of this process, which is not seen as one; what killed ones left is
    removed. Raises StoreError."""
    try:
        project.artefacts.mkdir(parents=True, exist_ok=True)
        clear_killed(project.artefacts)
        return Path(tempfile.mkdtemp(prefix=f".training-{os.getpid()}-", dir=project.artefacts))
    except OSError as error:
        raise StoreError(f"{project.artefacts} cannot be written: {error.strerror}. Make it writable.") from None


def write_learned_from(folder: Path, ids: Iterable[str]) -> None:
    """Write which examples an artefact learned from or was chosen on."""
    (folder / LEARNED_FROM).write_text("\n".join([*sorted(ids), ""]), encoding="utf-8")


def _begun(project: Project, run_id: str, card: Mapping[str, Any]) -> Begun:
    """The run as trackers are told of it."""
    name, family = str(card["candidate"]), str(card["family"])
    deciding = {key: card[key] for key in ("settings", "data_fingerprint") if key in card}
    counts = {f"{split}.n": card[split]["n"] for split in ("train", "dev")}
    tags = {"task": project.task.name, "output": project.task.output, "candidate": name, "family": family}
    if "licence" in card:
        tags["base_licence"] = card["licence"]["licence"]
    return Begun(run_id, f"{project.task.name} {name}", flat(deciding) | counts, tags)


def _checkpoints(project: Project, card: Mapping[str, Any]) -> Path:
    """Where a training of the same data and settings goes on that was broken off; made by who first writes to it."""
    return project.artefacts / f".checkpoints-{digest([card[key] for key in KEYS if key in card])}"


def clear_killed(artefacts: Path) -> None:
    """Remove the working folders of trainings whose process is gone, and checkpoints that nobody came back for."""
    for folder in artefacts.glob(".checkpoints-*"):
        if time.time() - folder.stat().st_mtime > CHECKPOINT_DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in artefacts.glob(".training-*-*"):
        try:
            os.kill(int(folder.name.split("-")[1]), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue  # somebody else's process, alive


def _doubts(project: Project, student: type[Trainable], examples: Sequence[Labelled]) -> dict[str, Any]:
    return {} if student.unlabelled else doubts(project.task.output, examples)


def _counts(examples: Sequence[Labelled]) -> dict[str, Any]:
    """How many labels came from whom, so that a person's and a teacher's are never mixed silently, and how many of the
    inputs a model wrote."""
    return {
        "n": len(examples),
        "sources": dict(Counter(e.source for e in examples if e.source)),
        "origins": dict(Counter(origin(e.source) for e in examples if e.source)),
        **({"synthetic": written} if (written := sum(e.example.synthetic is not None for e in examples)) else {}),
    }


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return digest([old.get(key) for key in KEYS]) == digest([new.get(key) for key in KEYS])
