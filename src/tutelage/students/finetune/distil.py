"""A smaller network made of a fine-tuned one's layers, which learns from all that the larger one computes.

Sanh et al. 2019, "DistilBERT, a distilled version of BERT": every second layer is kept; beside the label the loss holds the
teacher's distribution, softened by a temperature, and the cosine between the two networks' hidden states.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding

from tutelage.embeddings.export import Base
from tutelage.embeddings.runtime import Limits
from tutelage.errors import TrainingError
from tutelage.students.base import FitContext
from tutelage.students.distilled import Smaller
from tutelage.students.finetune.fit import fit_network
from tutelage.students.finetune.keeping import kept_network
from tutelage.students.finetune.networks import TextClassifier
from tutelage.students.finetune.soft import SoftClassifier, blended
from tutelage.students.sizing import FineTuning, Texts
from tutelage.students.soft import Blend


class Distilled(SoftClassifier):
    """A classifier that is taught by `teacher`, which is no part of it: only the smaller network is saved and exported."""

    def __init__(self, base: Base, teacher: TextClassifier, blend: Blend, hidden_weight: float) -> None:
        super().__init__(base, teacher.head.out_features, blend)
        self.head.load_state_dict(teacher.head.state_dict())
        self.hidden_weight = hidden_weight
        self._teacher = (teacher.eval(),)

    def learn(self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The loss of a batch; `wanted` (batch, 1) are the numbers of the labels, NOT_KNOWN where there is none."""
        with torch.no_grad():
            above, told = states(self._teacher[0], ids, mask)
        mine, logits = states(self, ids, mask)
        probabilities = torch.softmax(told.float(), -1)
        loss = blended(logits.float(), wanted[:, 0].long(), probabilities, self.blend)
        if self.hidden_weight:
            here = mask.bool()
            apart = [
                1 - torch.cosine_similarity(mine[at][here].float(), above[its][here].float(), -1).mean()
                for at, its in matching(len(mine) - 1, len(above) - 1)
            ]
            loss = loss + self.hidden_weight * torch.stack(apart).mean()
        return loss


def states(
    network: TextClassifier, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
    """The hidden states, embeddings first, and the logits."""
    found = network.pooled.body(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    weights = mask.unsqueeze(-1).to(found.last_hidden_state.dtype)
    pooled = (found.last_hidden_state * weights).sum(1) / weights.sum(1).clamp(min=1)
    return found.hidden_states, network.head(network.dropout(pooled))


def kept_layers(layers: int, wanted: int | None) -> list[int]:
    """The numbers of the layers that are kept, evenly spread from the first to the last: of 12 0, 2, 4, 7, 9, 11."""
    count = wanted or max(1, layers // 2)
    if not 1 <= count < layers:
        raise TrainingError(
            f"The teacher has {layers} layers, so layers = {count} makes nothing smaller. Set: layers = {max(1, layers // 2)}"
        )
    return [round(float(at)) for at in np.linspace(0, layers - 1, count)] if count > 1 else [0]


def matching(student: int, teacher: int) -> list[tuple[int, int]]:
    """After which of the student's layers it stands where the teacher stands after which of its own."""
    return [(at, at * teacher // student) for at in range(1, student + 1)]


def smaller(base: Base, wanted: int | None) -> Base:
    """`base` with fewer of its layers. Raises TrainingError for an architecture in which they are not found."""
    layers = int(base.model.config.num_hidden_layers)
    kept = kept_layers(layers, wanted)
    model = copy.deepcopy(base.model)
    for name, stack in model.named_modules():
        if isinstance(stack, torch.nn.ModuleList) and len(stack) == layers:
            model.set_submodule(name, torch.nn.ModuleList([stack[at] for at in kept]))
            model.config.num_hidden_layers = len(kept)
            return replace(base, model=model)
    raise TrainingError(
        f"No list of {layers} layers is found in the teacher's {type(model).__name__}. Choose another base."
    )


def fit_distilled(
    texts: Texts, settings: FineTuning, made: Smaller, context: FitContext, folder: Path
) -> dict[str, Any]:
    """Teach a smaller network what the one in the folder `settings.base` knows, write it to `folder`; facts for the card."""

    def build(base: Base, _encodings: Sequence[Encoding], _limits: Limits) -> TextClassifier:
        assert texts.blend is not None
        teacher = kept_network(base, Path(settings.base))
        network = Distilled(smaller(base, made.layers), teacher, texts.blend, made.hidden_weight)
        teacher.to("cuda" if torch.cuda.is_available() else "cpu")
        return network

    return fit_network(texts, build, settings, context, folder)
