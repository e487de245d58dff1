"""int8 weights for a served model, kept where the dev score allows it. Needs `onnx`: reached through `registry.load`."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx  # noqa: F401  (onnxruntime.quantization needs it, and would name no extra when it is absent)
from onnxruntime.quantization import quantize_dynamic

from tutelage.embeddings.runtime import FACTS, MODEL, TOKENIZER, TextModel
from tutelage.students.sizing import FineTuning


def quantised(
    folder: Path, target: Path, settings: FineTuning, score: Callable[[TextModel], float]
) -> tuple[Path, dict[str, Any]]:
    """The folder to serve (`folder` in fp32 or `target` in int8) and the scores and sizes of both for the card.

    `score` is the task's metric on dev. With `quantise = "auto"` int8 is kept when it loses at most `max_int8_loss`.
    """
    facts: dict[str, Any] = {"precision": "fp32", "fp32": _facts(folder, settings, score)}
    if settings.quantise == "none":
        return folder, facts
    target.mkdir()
    for name in (TOKENIZER, FACTS):
        shutil.copy2(folder / name, target / name)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises on pre-processing through the root logger, which people would see
    try:
        quantize_dynamic(folder / MODEL, target / MODEL)
    finally:
        root.setLevel(level)
    facts["int8"] = _facts(target, settings, score)
    loss = facts["fp32"]["dev_score"] - facts["int8"]["dev_score"]
    facts["int8_loss"] = round(loss, 4)
    if settings.quantise == "auto" and loss > settings.max_int8_loss:
        return folder, facts
    return target, facts | {"precision": "int8"}


def _facts(folder: Path, settings: FineTuning, score: Callable[[TextModel], float]) -> dict[str, Any]:
    megabytes = (folder / MODEL).stat().st_size / 1e6
    return {"dev_score": round(score(TextModel(folder, settings.threads)), 4), "megabytes": round(megabytes, 1)}
