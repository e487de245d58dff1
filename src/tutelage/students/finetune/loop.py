"""The training loop: AdamW, warm-up and linear decay, batches of like length, the best epoch on dev kept."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.embeddings.runtime import Array, Ids
from tutelage.students.sizing import Plan

POOL = 50
"""Batches whose texts are sorted by length together: enough to save padding, few enough to keep the order random."""


class Pass(NamedTuple):
    """One window to learn from: ids and types of its tokens, and the targets of the tokens (tokens,) or the whole ()."""

    ids: list[int]
    types: list[int]
    target: NDArray[np.int64]


@dataclass
class History:
    """What training did; `scores` are the dev scores after each epoch."""

    scores: list[float] = field(default_factory=list)
    best_epoch: int = 0
    low_precision: bool = False


def train(
    network: torch.nn.Module,
    passes: Sequence[Pass],
    plan: Plan,
    pad_id: int,
    evaluate: Callable[[], float],
    progress: Callable[[float, Mapping[str, object]], None],
) -> History:
    """Fit `network` (its `inputs` -> logits) to `passes` by cross entropy, and leave it with the best epoch's weights."""
    device = next(network.parameters()).device
    history = History(low_precision=bf16_pays(device))
    steps = math.ceil(len(passes) / plan.batch_size) * plan.epochs
    optimizer = torch.optim.AdamW(_groups(network, plan), lr=plan.learning_rate, fused=True)
    warm = max(1, round(plan.warm_up * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
    )
    best: dict[str, torch.Tensor] = {}
    shuffle, step = random.Random(plan.seed), 0
    for epoch in range(1, plan.epochs + 1):
        network.train()
        losses = []
        for batch in _batches(passes, plan.batch_size, shuffle):
            loss = _loss(network, batch, pad_id, device, history.low_precision)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            step += 1
            shown = {"epoch": epoch, "loss": round(float(np.mean(losses[-20:])), 4)}
            progress(step / steps, shown | ({"dev": round(history.scores[-1], 4)} if history.scores else {}))
        history.scores.append(evaluate())
        if history.scores[-1] > max([-1.0, *history.scores[:-1]]):
            history.best_epoch = epoch
            best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        elif epoch - history.best_epoch >= plan.patience:
            break
    network.load_state_dict(best)
    progress(1.0, {"dev": round(history.scores[history.best_epoch - 1], 4)})
    return history


@contextmanager
def reproducible(seed: int, threads: int | None) -> Iterator[None]:
    """Random numbers of torch from `seed`, and its number of threads; both are put back at the end."""
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if threads:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def forward_of(network: torch.nn.Module) -> Callable[[Ids, Ids, Ids], Array]:
    """`network` in evaluation mode as `embeddings.runtime.run_windows` calls a model."""
    network.eval()
    device = next(network.parameters()).device

    def forward(ids: Ids, mask: Ids, types: Ids) -> Array:
        known = (torch.from_numpy(given).to(device) for given in (ids, mask, types))
        with torch.no_grad(), _autocast(device, bf16_pays(device)):
            logits: torch.Tensor = _call(network, *known)
        result: Array = logits.float().cpu().numpy()
        return result

    return forward


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 is computed in hardware: twice as fast as fp32 there (measured), and slower elsewhere."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16"))


def _loss(
    network: torch.nn.Module, batch: Sequence[Pass], pad_id: int, device: torch.device, low_precision: bool
) -> torch.Tensor:
    ids = _stack([torch.tensor(one.ids) for one in batch], pad_id, device)
    types = _stack([torch.tensor(one.types) for one in batch], 0, device)
    lengths = torch.tensor([len(one.ids) for one in batch], device=device)
    mask = (torch.arange(ids.shape[1], device=device)[None, :] < lengths[:, None]).long()
    wanted = _stack([torch.from_numpy(np.atleast_1d(one.target)) for one in batch], -100, device)
    with _autocast(device, low_precision):
        logits = _call(network, ids, mask, types)
    loss: torch.Tensor = torch.nn.functional.cross_entropy(logits.float().flatten(0, -2), wanted.flatten())
    return loss


def _stack(rows: list[torch.Tensor], filling: int, device: torch.device) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filling).to(device)


def _call(network: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
    """The network on those of the three that it takes; its attribute `inputs` says whether it takes types."""
    logits: torch.Tensor = network(ids, mask, types) if len(network.inputs) == 3 else network(ids, mask)  # type: ignore[arg-type]
    return logits


def _autocast(device: torch.device, on: bool) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=on)


def _groups(network: torch.nn.Module, plan: Plan) -> list[dict[str, object]]:
    """Biases and normalisation weights do not decay."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _batches(passes: Sequence[Pass], size: int, shuffle: random.Random) -> Iterator[list[Pass]]:
    order = list(range(len(passes)))
    shuffle.shuffle(order)
    chunks = []
    for first in range(0, len(order), size * POOL):
        pool = sorted(order[first : first + size * POOL], key=lambda at: len(passes[at].ids))
        chunks += [pool[at : at + size] for at in range(0, len(pool), size)]
    shuffle.shuffle(chunks)
    for chunk in chunks:
        yield [passes[at] for at in chunk]
