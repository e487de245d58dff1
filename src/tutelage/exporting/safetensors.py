"""Weights as safetensors: a student's own such files, or its numpy weights.

The ONNX model of a fine-tuned student is not taken apart: ONNX has folded, renamed and perhaps quantised its weights, and
no other program could load them under those names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tutelage.answering.alone.command import README
from tutelage.answering.alone.student import CARD, TASK
from tutelage.exporting.card import written
from tutelage.exporting.leaving import Files, Leaving, Target
from tutelage.registry import load

SUFFIX, NUMPY = ".safetensors", ".npz"


def _files(student: Leaving) -> Files:
    files: Files = {}
    for name, path in student.own_files().items():
        if name.endswith(NUMPY):
            files[name.removesuffix(NUMPY) + SUFFIX] = _converted(Path(str(path)))
        else:
            files[name] = path
    weights = sorted(name for name in files if name.endswith(SUFFIX))
    use = "Weights, for `safetensors.safe_open`:\n\n" + "\n".join(f"- `{name}`" for name in weights)
    own: Files = {TASK: student.task_json(), CARD: student.card_json()}
    return {**files, **own, README: written(student, use=use).encode()}


def _converted(path: Path) -> bytes:
    save = load("safetensors.numpy:save", "safetensors")
    with np.load(path, allow_pickle=False) as arrays:
        content: bytes = save(
            {name: np.ascontiguousarray(arrays[name]) for name in arrays.files if arrays[name].dtype != bool}
        )
    return content


def _fits(student: Leaving) -> bool:
    names = list(student.own_files())
    return any(name.endswith(SUFFIX) for name in names) or (
        any(name.endswith(NUMPY) for name in names) and not any(name.endswith((".onnx", ".gguf")) for name in names)
    )


TARGET = Target(
    "weights and configuration as safetensors", _fits, "weights in no form that other programs load", _files
)
