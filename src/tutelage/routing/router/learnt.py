"""What a router has learnt, and the folder it is kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tutelage.embeddings.encoder import Encoder
from tutelage.errors import StoreError
from tutelage.evaluation.metrics import Floats
from tutelage.project import Project
from tutelage.registry import load
from tutelage.routing.router.encoder import FineTuned, load_encoder
from tutelage.routing.router.features import BUCKETS, Features, load_features
from tutelage.routing.router.models import KINDS, Model
from tutelage.types import Input

FACTS, ARRAYS, STUDENT = "router.json", "router.npz", "student"
STORED_ENCODER = "tutelage.embeddings.stored:stored_encoder"


@dataclass(frozen=True)
class Learnt:
    """`costs` are dollars per 1,000 answers of each candidate, None where one is not known.

    `held_out` (m, k) are chances of learnt inputs said by models that had not seen them, `quality` (m, k) how right the
    candidates were there: what strategies set their prices on.
    """

    candidates: tuple[str, ...]
    kind: str
    features: Features
    model: Model
    held_out: Floats
    quality: Floats
    costs: tuple[float, ...] | None

    def chances(self, inputs: Sequence[Input]) -> Floats:
        """(n, k) the expected quality of each candidate's answer, in [0, 1]."""
        if not inputs:
            return np.empty((0, len(self.candidates)))
        return self.model.chances(self.features(inputs))

    def save(self, folder: Path) -> None:
        arrays: dict[str, Any] = {f"feature_{name}": one for name, one in self.features.arrays().items()}
        if isinstance(self.model, FineTuned):
            (folder / STUDENT).mkdir()
            self.model.student.save(folder / STUDENT)
            arrays["model_usual"] = self.model.usual
        else:
            arrays |= {f"model_{name}": one for name, one in self.model.arrays().items()}  # type: ignore[attr-defined]
        arrays |= {"held_out": self.held_out, "quality": self.quality}
        np.savez_compressed(folder / ARRAYS, allow_pickle=False, **arrays)
        facts: dict[str, Any] = {
            "candidates": list(self.candidates),
            "model": self.kind,
            "features": self.features.facts(),
        }
        facts["encoder"] = self.features.encoder and self.features.encoder.identity
        facts["costs"] = self.costs
        (folder / FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def encoder_of(settings: Any, project: Project) -> Encoder | None:
    """The sentence encoder beside the cheap features; None without `base`, and where it is what is fine-tuned."""
    if settings.base is None or settings.model == "encoder":
        return None
    found: Encoder = load(STORED_ENCODER, "base")(
        settings.base, project.path, project.artefacts / "encoders", settings.threads
    )
    return found


def load_learnt(folder: Path, settings: Any, project: Project) -> Learnt:
    """The router saved in `folder`. Raises StoreError in one line when it cannot be used."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            arrays = dict(stored)
        names, kind = tuple(facts["candidates"]), facts["model"]
        encoder = encoder_of(settings, project)
        if facts["encoder"] != (encoder and encoder.identity):
            raise StoreError(
                f"The router in {folder} learned from another sentence encoder than base = {settings.base!r} is now. "
                "Calibrate it again."
            )
        features = load_features(project.task, facts["features"], _named(arrays, "feature_"), encoder)
        own, model = _named(arrays, "model_"), KINDS.get(kind)
        learned: Model = (
            load_encoder(settings, names, own["usual"], folder / STUDENT) if model is None else model.of(own, BUCKETS)
        )
        costs = None if facts["costs"] is None else tuple(facts["costs"])
        return Learnt(names, kind, features, learned, arrays["held_out"], arrays["quality"], costs)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"The router in {folder} cannot be read: {reason}. Calibrate it again.") from None


def _named(arrays: Mapping[str, Any], start: str) -> dict[str, Any]:
    return {name.removeprefix(start): one for name, one in arrays.items() if name.startswith(start)}
