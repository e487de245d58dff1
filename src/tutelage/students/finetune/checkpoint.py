"""A training's state on disk, so that a killed one goes on where it was: one safetensors file, never pickle.

The file is written aside and renamed: a kill while it is written leaves the one before. What was learnt after it is learnt
again, exactly as it would have been: weights, the optimiser's moments and the state of the random numbers are all in it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tutelage.errors import StoreError

FILE = "state.safetensors"
FACTS = "facts"


def save_state(
    folder: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, torch.Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Write the state to `folder`, which is made; `facts` are JSON. Raises StoreError where there is no space."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"random.{at}": state for at, state in enumerate(torch.cuda.get_rng_state_all())}
    # Tied weights share memory, which safetensors refuses.
    copies = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    aside = folder / (FILE + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(copies, aside, {FACTS: json.dumps(facts)})
        aside.replace(folder / FILE)
    except (SafetensorError, OSError) as error:
        raise StoreError(f"The checkpoint cannot be written to {folder}: {error}. Free space or permissions.") from None


def load_state(
    folder: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Put the state in `folder` back; the best weights and the facts, or None where there is no state that fits."""
    if not (folder / FILE).is_file():
        return None
    try:
        with safe_open(folder / FILE, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()[FACTS])
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
        network.load_state_dict(_below(tensors, "network."))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(list(_below(tensors, "random.").values()))
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        logging.getLogger(__name__).warning("The checkpoint in %s is not used: %s", folder, error)
        return None
    device = next(network.parameters()).device
    return {name: value.to(device) for name, value in _below(tensors, "best.").items()}, facts


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
