"""The weights of a fine-tuned classifier, kept so that it can teach a smaller one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from tutelage.embeddings.export import Base, quiet
from tutelage.students.finetune.networks import TextClassifier

HEAD = "head.safetensors"


def keep_weights(network: TextClassifier, base: Base, folder: Path) -> None:
    """Write the transformer and its tokenizer so that `load_base` reads them, and the head beside them."""
    save_base(replace(base, model=network.pooled.body), folder)
    head = {name: value.detach().cpu().contiguous() for name, value in network.head.state_dict().items()}
    save_file(head, folder / HEAD)


def save_base(base: Base, folder: Path) -> None:
    """Write `base` so that `load_base` reads it."""
    padding = base.tokenizer.id_to_token(base.pad_id)
    with quiet():
        base.model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=base.tokenizer, pad_token=padding).save_pretrained(folder)


def kept_network(base: Base, folder: Path) -> TextClassifier:
    """The classifier that `keep_weights` wrote to `folder`, of which `base` was loaded."""
    head: dict[str, torch.Tensor] = load_file(folder / HEAD)
    network = TextClassifier(base, len(head["bias"]))
    network.head.load_state_dict(head)
    return network
