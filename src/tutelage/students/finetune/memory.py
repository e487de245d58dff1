"""How large a batch fits into the memory found: examples a pass, passes a step, and whether activations are computed twice.

The estimate is for transformers with a few trained weights (LoRA) or all of them, and errs on the large side: what a
token leaves behind in each layer is counted as 50 values of the layer's width (34 in Korthikanti et al. 2022, "Reducing
Activation Recomputation", for a plain feed-forward part of four widths; gated ones, and LoRA's own products, hold more).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import psutil
import torch

from tutelage.errors import TrainingError

SHARE = 0.85
"""Of the free memory that a training may plan to use: the rest is for what the estimate does not know."""
VALUES_KEPT = 50
ADAM = 12
"""Bytes for each trained weight besides itself: its gradient and Adam's two moments, in 32 bits."""
GIB = 1 << 30


@dataclass(frozen=True)
class Need:
    """What a training asks of memory. `length` is the tokens of the longest example, `scored` those with a loss.

    `weight_bytes` is what a frozen weight takes (4, 2, 1, or 0.55 for 4-bit ones), `value_bytes` an activation.
    """

    parameters: int
    trained: int
    layers: int
    width: int
    vocabulary: int
    length: int
    scored: int
    weight_bytes: float = 4.0
    value_bytes: float = 4.0

    def fixed(self) -> float:
        """Bytes that do not grow with the batch."""
        return self.parameters * self.weight_bytes + self.trained * (4 + ADAM)

    def example(self, *, checkpointing: bool) -> float:
        """Bytes that each example of a pass adds."""
        layer = self.length * self.width * VALUES_KEPT * self.value_bytes
        layers = layer + self.layers * self.length * self.width * self.value_bytes if checkpointing else 0.0
        # Logits, their logarithms and their gradient, the last two in 32 bits.
        return (layers or layer * self.layers) + self.scored * self.vocabulary * (self.value_bytes + 8)


class Batching(NamedTuple):
    """`size` examples a pass, `passes` a step; `checkpointing` keeps each layer's input alone and computes the rest twice."""

    size: int
    passes: int
    checkpointing: bool


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def batching(need: Need, wanted: int, free: float, loaded: bool = True) -> Batching:
    """How to make steps of `wanted` examples within `free` bytes: whole batches first, then parts of them, then twice the work.

    `loaded` says that the weights are in memory already. Raises TrainingError when not even one example fits.
    """
    room = free * SHARE - need.fixed() + (need.parameters * need.weight_bytes if loaded else 0.0)
    for checkpointing in (False, True):
        size = min(wanted, int(room // need.example(checkpointing=checkpointing)))
        if size >= 1:
            # Even passes: 8 as 4 + 4, never 5 + 3.
            size = max(part for part in range(1, size + 1) if wanted % part == 0)
            return Batching(size, wanted // size, checkpointing)
    wants = need.fixed() + need.example(checkpointing=True)
    raise TrainingError(
        f"Out of memory: one example of {need.length} tokens takes about {wants / GIB:.1f} GiB with the model, and "
        f"{free / GIB:.1f} GiB are free. {smaller(None, need.length)}"
    )


def smaller(batch_size: int | None, max_length: int) -> str:
    """The next smaller setting after memory ran out with these (batch_size None: one example did not fit)."""
    if batch_size is not None and batch_size > 1:
        return f"Set: batch_size = {batch_size // 2}"
    if max_length > 128:
        return f"Set: max_length = {max(128, max_length // 2)}, or choose a smaller base."
    return "Choose a smaller base."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is how torch, CUDA or Python say that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
