"""From transformers to a folder that `embeddings.runtime.TextModel` serves. Needs torch: reached through `registry.load`.

load_base = registry.load("tutelage.embeddings.export:load_base", "encoder")
base = load_base("weights/minilm", project.path)
export_onnx(MeanPooled(base.model), base.tokenizer, folder, max_length=256)
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from tutelage.embeddings.bases import find_base
from tutelage.embeddings.runtime import FACTS, MODEL, TOKENIZER
from tutelage.errors import TrainingError


@dataclass(frozen=True)
class Base:
    """A pretrained transformer: `model` gives `last_hidden_state`, `tokenizer` neither cuts nor pads."""

    model: Any
    tokenizer: Tokenizer
    pad_id: int
    max_length: int
    """Tokens its positions allow, special ones included."""
    licence: str

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)


class MeanPooled(torch.nn.Module):
    """Mean of a transformer's last hidden states over the text's tokens: (batch, tokens) -> (batch, width)."""

    inputs = ("input_ids", "attention_mask")

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled: torch.Tensor = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        return pooled


def load_base(base: str, path: Callable[[str], Path]) -> Base:
    """The transformer in the folder `path(base)`, or the one of that name on Hugging Face (cached or downloaded).

    Raises TrainingError when there is neither, or it cannot be used as a base.
    """
    source, licence = find_base(base, path)
    try:
        with quiet():
            model = AutoModel.from_pretrained(source, dtype=torch.float32, attn_implementation="eager")
            wrapped = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise TrainingError(f"base = {base!r} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    tokenizer = getattr(wrapped, "backend_tokenizer", None)
    if tokenizer is None:
        raise TrainingError(f"base = {base!r} has no tokenizer.json. Choose a base with a fast tokenizer.")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    positions = int(getattr(model.config, "max_position_embeddings", 512))
    # RoBERTa and its kin count positions from the padding index on.
    offset = (model.config.pad_token_id or 0) + 1 if "roberta" in str(model.config.model_type) else 0
    return Base(model, tokenizer, wrapped.pad_token_id or 0, positions - offset, licence)


def export_onnx(
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    max_length: int,
    pad_id: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write tokenizer.json, model.onnx and runtime.json for `TextModel`; batch and length stay free.

    `model` is called with (input_ids, attention_mask) or those that its attribute `inputs` names (`token_type_ids`
    beside them), all (batch, tokens) int64, and gives one tensor: (batch, tokens, k) or (batch, k). It is left in
    evaluation mode on the CPU. `facts` are further keys of runtime.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().float().cpu()
    names: tuple[str, ...] = getattr(model, "inputs", MeanPooled.inputs)
    ids = torch.full((2, 6), pad_id, dtype=torch.int64)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    given = tuple(known[name] for name in names)
    with torch.no_grad(), warnings.catch_warnings():
        # The legacy exporter announces its age and traces shapes on purpose; the newer one needs onnxscript.
        warnings.simplefilter("ignore")
        rank = model(*given).dim()
        torch.onnx.export(
            model,
            given,
            str(folder / MODEL),
            input_names=list(names),
            output_names=["output"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in (*names, *(["output"] if rank == 3 else []))}
            | ({"output": {0: "batch"}} if rank == 2 else {}),
            opset_version=17,
            dynamo=False,
        )
    tokenizer.save(str(folder / TOKENIZER))
    own = {"max_length": max_length, "pad_id": pad_id}
    (folder / FACTS).write_text(json.dumps({**(facts or {}), **own}, indent=2, ensure_ascii=False), encoding="utf-8")


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no notes about unused weights while a base is loaded; errors still raise."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
