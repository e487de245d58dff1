"""int8 weights for a served model, kept where the dev score allows it. Needs `onnx`: reached through `registry.load`.

Weights have a scale per output channel, activations are quantised as they come. Most of the loss comes from the layers
that narrow (a transformer block's second feed-forward layer, and the head), whose inputs have outliers: on a MiniLM tagger
51 of 834 name pieces changed with one scale per weight, 28 with one per channel, 11 with the narrowing layers in fp32.
So there are two forms: "int8" for all layers, and "int8-mixed", half as much larger and somewhat slower. Weights in 4 bits
were tried (bench.compression): slower than int8 at every batch size, and 4 MB of 23 less at most; nor does pruning pay.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import quantize_dynamic

from tutelage.embeddings.runtime import FACTS, MODEL, TOKENIZER, TextModel
from tutelage.students.sizing import FineTuning


def quantised(
    source: Path, work: Path, settings: FineTuning, score: Callable[[TextModel], float]
) -> tuple[Path, dict[str, Any]]:
    """The folder to serve (`source` in fp32, or one made in `work`) and the scores and sizes of all tried for the card.

    `score` is the task's metric on dev. With `quantise = "auto"` int8 is tried, then int8-mixed, and the first is kept
    that loses at most `max_int8_loss`; else fp32 stays.
    """
    facts: dict[str, Any] = {"fp32": _facts(source, settings, score)}
    forms = {"auto": ("int8", "int8-mixed"), "int8": ("int8",), "none": ()}[settings.quantise]
    for form in forms:
        folder = work / form
        write_form(source, folder, form)
        facts[form] = _facts(folder, settings, score)
        loss = facts["fp32"]["dev_score"] - facts[form]["dev_score"]
        if settings.quantise == "int8" or loss <= settings.max_int8_loss:
            return folder, facts | {"precision": form, "int8_loss": round(loss, 4)}
    return source, facts | {"precision": "fp32"}


def write_form(source: Path, folder: Path, form: str) -> None:
    """The model of `source` in the new `folder`, in the form "int8" or "int8-mixed"."""
    left_out = _narrowing(source / MODEL) if form == "int8-mixed" else []
    folder.mkdir(parents=True)
    for name in (TOKENIZER, FACTS):
        shutil.copy2(source / name, folder / name)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises on pre-processing through the root logger, which people would see
    try:
        quantize_dynamic(source / MODEL, folder / MODEL, per_channel=True, nodes_to_exclude=left_out)
    finally:
        root.setLevel(level)


def _narrowing(file: Path) -> list[str]:
    """Names of the matrix products whose weights have more inputs than outputs."""
    graph = onnx.load(file).graph
    shapes = {weights.name: tuple(weights.dims) for weights in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    return [node.name for node in products if len(shape := shapes.get(node.input[1], ())) == 2 and shape[0] > shape[1]]


def _facts(folder: Path, settings: FineTuning, score: Callable[[TextModel], float]) -> dict[str, Any]:
    megabytes = (folder / MODEL).stat().st_size / 1e6
    return {"dev_score": round(score(TextModel(folder, settings.threads)), 4), "megabytes": round(megabytes, 1)}
