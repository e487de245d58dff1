"""What the fine-tuned students share: the folder of their model, and softmax without torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.embeddings.runtime import FACTS, MODEL, TOKENIZER, Array
from tutelage.errors import StoreError
from tutelage.tasks.considered import LEAST, probable
from tutelage.types import Prediction

STUDENT = "student.json"
MODEL_FOLDER = "model"


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


def one_label(labels: Sequence[str], probabilities: Array) -> Prediction:
    """The most probable label; `parts` are the probabilities of all but the least probable ones."""
    best = int(probabilities.argmax())
    near = np.flatnonzero(probabilities >= LEAST).tolist()
    parts = probable([labels[at] for at in near], probabilities[near].tolist())
    return Prediction(labels[best], min(1.0, float(probabilities[best])), parts=parts)


def save_served(source: Path, folder: Path, facts: Mapping[str, Any]) -> None:
    """Copy the model's files from `source` to `folder`/model and write the student's own facts beside it."""
    target = folder / MODEL_FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for name in (TOKENIZER, MODEL, FACTS):
        shutil.copy2(source / name, target / name)
    write_facts(folder, facts)


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the student's own facts, as JSON, to `folder`."""
    (folder / STUDENT).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> dict[str, Any]:
    """The student's facts as `write_facts` wrote them. Raises StoreError."""
    try:
        return dict(json.loads((folder / STUDENT).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StoreError(f"The student in {folder} cannot be read: {error}. Train it again.") from None
