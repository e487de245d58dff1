"""What is trained beside a decoder's own weights, by peft: LoRA's matrices, or the embeddings of new tokens; and how it
comes into a GGUF file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import peft
import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.trainable_tokens import TrainableTokensLayer

from tutelage.embeddings.runtime import Array
from tutelage.students.finetune.decoders import Decoder
from tutelage.students.finetune.gguf_file import Blueprint, Change

ADAPTER = "default"
INNER = "base_model.model."
"""Before the names of the base's modules once peft has it."""


def with_lora(decoder: Decoder, rank: int, dropout: float) -> Any:
    """The model with matrices of `rank` beside every linear layer but the last."""
    model = decoder.model
    if decoder.bits < 16:
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(model, config)


def with_tokens(decoder: Decoder, tokens: int, start: Sequence[int]) -> Any:
    """The model with `tokens` further ones that are trained, and nothing else; they start as the tokens `start` in turn."""
    model, before = decoder.model, decoder.entries
    model.resize_token_embeddings(before + tokens, mean_resizing=False)
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        for at in range(tokens):
            table[before + at] = table[start[at % len(start)]]
    indices = list(range(before, before + tokens))
    return peft.get_peft_model(model, peft.TrainableTokensConfig(token_indices=indices, task_type="CAUSAL_LM"))


def changes(model: Any, blueprint: Blueprint) -> dict[str, Change]:
    """What training has made of the tensors of the base's GGUF file, by name."""
    found: dict[str, Change] = {}
    for name, module in model.named_modules():
        own = name.removeprefix(INNER)
        if isinstance(module, LoraLayer):
            stored = blueprint.name(own)
            found[stored] = _more(blueprint.arranged(stored, _array(module.get_delta_weight(ADAPTER))))
        elif isinstance(module, TrainableTokensLayer) and "embed" in own:
            kept = module.token_indices[ADAPTER]
            rows = _array(module.get_merged_weights([ADAPTER]))[kept]
            found["token_embd.weight"] = _below(rows)
            if "output.weight" in blueprint.tensors:
                found["output.weight"] = _below(np.zeros_like(rows))
    return found


def _more(delta: Array) -> Change:
    return Change(lambda values: values + delta)


def _below(rows: Array) -> Change:
    return Change(lambda values: np.concatenate([values, rows]), len(rows))


def _array(weight: torch.Tensor) -> Array:
    array: Array = weight.detach().float().cpu().numpy()
    return array
