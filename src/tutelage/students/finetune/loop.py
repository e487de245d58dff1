"""The training loop: AdamW, warm-up and linear decay, batches of like length, the best epoch on dev kept."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tutelage.embeddings.runtime import Array, Ids
from tutelage.students.base import FitContext
from tutelage.students.finetune.checkpoint import load_state, save_state
from tutelage.students.sizing import Plan

CHECKPOINT_SECONDS = 30.0
"""What a kill costs at most. A state of MiniLM is 360 MB, written in less than a second."""

POOL = 50
"""Batches whose texts are sorted by length together: enough to save padding, few enough to keep the order random."""


class Pass(NamedTuple):
    """One window to learn from: ids and types of its tokens, and the targets of the tokens (tokens,) or the whole (), or
    what the network's own loss takes."""

    ids: list[int]
    types: list[int]
    target: NDArray[Any]
    weight: float = 1.0
    """How much of its loss counts."""


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
    context: FitContext,
) -> History:
    """Fit `network` (its `inputs` -> logits) to `passes`, and leave it with the best epoch's weights.

    The loss is cross entropy, or the network's own `loss(logits, targets)`.

    Goes on from the checkpoint in `context.checkpoints` where there is one, to the same end.
    """
    device = next(network.parameters()).device
    a_epoch = math.ceil(len(passes) / plan.batch_size)
    optimizer = torch.optim.AdamW(_groups(network, plan), lr=plan.learning_rate, fused=True)
    run = _Run(network, optimizer, plan, a_epoch * plan.epochs, History(low_precision=bf16_pays(device)), context)
    run.resume()
    history = run.history
    shuffle = random.Random(plan.seed)
    for epoch in range(1, plan.epochs + 1):
        batches = list(_batches(passes, plan.batch_size, shuffle))
        if epoch < run.epoch or run.epoch - 1 - history.best_epoch >= plan.patience:
            continue  # learnt before the process was killed, or ended early then
        network.train()
        for batch in batches[run.step - a_epoch * (epoch - 1) :]:
            if hasattr(network, "share"):
                network.share = run.step / run.steps  # type: ignore[assignment]
            loss = _loss(network, batch, pad_id, device, history.low_precision)
            loss.backward()  # type: ignore[no-untyped-call]
            run.update(loss.item())
        run.judged(evaluate())
        if epoch - history.best_epoch >= plan.patience:
            break
    network.load_state_dict(run.best)
    context.progress(1.0, {"dev": round(history.scores[history.best_epoch - 1], 4)})
    return history


@dataclass
class _Run:
    """Where a training is; `epoch` counts from 1, `step` the batches learnt from."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    plan: Plan
    steps: int
    history: History
    context: FitContext
    epoch: int = 1
    step: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    saved: float = field(default_factory=time.monotonic)

    def update(self, loss: float) -> None:
        """One step of the optimiser: warm-up, then linear decay."""
        warm = max(1, round(self.plan.warm_up * self.steps))
        decay = max(0.0, (self.steps - self.step) / max(1, self.steps - warm))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * min((self.step + 1) / warm, decay)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.losses = [*self.losses[-19:], loss]
        self.save()
        scores = self.history.scores
        shown = {"epoch": self.epoch, "loss": round(float(np.mean(self.losses)), 4)}
        self.context.progress(self.step / self.steps, shown | ({"dev": round(scores[-1], 4)} if scores else {}))

    def judged(self, score: float) -> None:
        """The end of an epoch."""
        self.history.scores.append(score)
        if score > max([-1.0, *self.history.scores[:-1]]):
            self.history.best_epoch = self.epoch
            self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.epoch += 1
        self.save()

    def save(self) -> None:
        if self.context.checkpoints is None or time.monotonic() - self.saved < CHECKPOINT_SECONDS:
            return
        facts = {"epoch": self.epoch, "step": self.step, "losses": self.losses, "scores": self.history.scores}
        facts |= {"best_epoch": self.history.best_epoch, "plan": asdict(self.plan), "steps": self.steps}
        save_state(self.context.checkpoints, self.network, self.optimizer, self.best, facts)
        self.saved = time.monotonic()

    def resume(self) -> None:
        found = self.context.checkpoints and load_state(self.context.checkpoints, self.network, self.optimizer)
        if not found:
            return
        self.best, facts = found
        self.epoch, self.step, self.losses = facts["epoch"], facts["step"], facts["losses"]
        self.history.scores, self.history.best_epoch = facts["scores"], facts["best_epoch"]
        self.context.progress(self.step / self.steps, {"epoch": self.epoch, "resumed": "yes"})


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
        if (learn := getattr(network, "learn", None)) is not None:
            found: torch.Tensor = learn(ids, mask, wanted)
            return found
        logits = _call(network, ids, mask, types)
    if all(one.weight == 1 for one in batch):
        return _mean_loss(network, logits, wanted)
    parts = [one.weight * _mean_loss(network, logits[at : at + 1], wanted[at : at + 1]) for at, one in enumerate(batch)]
    return torch.stack(parts).mean()


def _mean_loss(network: torch.nn.Module, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    if (own := getattr(network, "loss", None)) is not None:
        learned: torch.Tensor = own(logits.float(), wanted)
        return learned
    if getattr(network, "several", False):
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), wanted.float())
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
