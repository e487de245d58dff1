"""What a verifier has learned, and the folder it is kept in: JSON and NumPy arrays."""

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
from tutelage.labels.splitting import example_id
from tutelage.project import Project
from tutelage.routing.novelty import load_gate
from tutelage.routing.router.features import BUCKETS, load_features
from tutelage.routing.router.learnt import encoder_of
from tutelage.routing.router.models import KINDS, Model
from tutelage.routing.verifier.columns import Asked, Columns
from tutelage.types import digest

FACTS, ARRAYS, GATE = "verifier.json", "verifier.npz", "gate"


@dataclass(frozen=True)
class Verifier:
    """`known` is what it said, before it learned from them, of the answers on dev that it learned from: a chance by the digest
    of input and answer."""

    of: str
    beside: str | None
    kind: str
    columns: Columns
    model: Model
    known: Mapping[str, float]

    def chances(self, asked: Asked) -> Floats:
        """The chance that each answer is right, in [0, 1], shape (n,).

        Of an answer that it learned from it is what was said by a verifier that had not learned from it: so that on dev, too,
        confidences are those of unseen answers, and what is chosen there is not chosen by hindsight.
        """
        if not asked.inputs:
            return np.empty(0)
        found = self.model.chances(self.columns(asked))[:, 0]
        keys = [key_of(asked, at) for at in range(len(found))]
        return np.array([self.known.get(key, chance) for key, chance in zip(keys, found.tolist(), strict=True)])

    def save(self, folder: Path) -> None:
        arrays: dict[str, Any] = {"mean": self.columns.mean, "scale": self.columns.scale}
        arrays |= {f"model_{name}": one for name, one in self.model.arrays().items()}  # type: ignore[attr-defined]
        arrays |= {"known": np.array(list(self.known)), "chances": np.array(list(self.known.values()))}
        facts: dict[str, Any] = {"of": self.of, "beside": self.beside, "model": self.kind}
        facts["columns"], facts["gate"] = self.columns.facts(), self.columns.gate is not None
        inputs, encoder = self.columns.inputs, None
        if inputs is not None:
            arrays |= {f"input_{name}": one for name, one in inputs.arrays().items()}
            encoder = inputs.encoder and inputs.encoder.identity
        facts |= {"inputs": inputs and inputs.facts(), "encoder": encoder}
        if self.columns.gate is not None:
            self.columns.gate.save(folder / GATE)
        np.savez_compressed(folder / ARRAYS, allow_pickle=False, **arrays)
        (folder / FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def key_of(asked: Asked, at: int) -> str:
    """Names an answer to an input, and what the candidate beside answered."""
    beside = None if asked.beside is None else asked.beside[at].value
    return digest([example_id(asked.inputs[at]), asked.answers[at].value, beside])


def load_verifier(folder: Path, settings: Any, project: Project) -> Verifier:
    """The verifier saved in `folder`. Raises StoreError in one line when it cannot be used."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            arrays = dict(stored)
        encoder: Encoder | None = encoder_of(settings, project) if facts["encoder"] else None
        if facts["encoder"] != (encoder and encoder.identity):
            raise StoreError(
                f"The verifier in {folder} learned from another sentence encoder than base = {settings.base!r} is now. "
                "Calibrate it again."
            )
        inputs = facts["inputs"] and load_features(project.task, facts["inputs"], _named(arrays, "input_"), encoder)
        gate = load_gate(folder / GATE) if facts["gate"] else None
        names: dict[str, Sequence[str]] = facts["columns"]
        columns = Columns(
            project.task,
            tuple(names["signals"]),
            tuple(names["fields"]),
            tuple(names["answers"]),
            arrays["mean"],
            arrays["scale"],
            gate,
            inputs,
        )
        model = KINDS[facts["model"]].of(_named(arrays, "model_"), BUCKETS)
        known = dict(zip(arrays["known"].tolist(), arrays["chances"].tolist(), strict=True))
        return Verifier(facts["of"], facts["beside"], facts["model"], columns, model, known)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"The verifier in {folder} cannot be read: {reason}. Calibrate it again.") from None


def _named(arrays: Mapping[str, Any], start: str) -> dict[str, Any]:
    return {name.removeprefix(start): one for name, one in arrays.items() if name.startswith(start)}
