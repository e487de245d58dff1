"""A classifier that learns more than a label: how probable each was, and what it says itself.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": probabilities softened by a temperature tell which wrong
answers are near. Burns et al. 2023, "Weak-to-Strong Generalization": a strong student of a weak teacher gains where it is
let to trust its own confident answers against the teacher's labels. Their threshold, which keeps two classes in balance,
is left out: for many classes the most probable one is taken.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from tutelage.embeddings.export import Base
from tutelage.students.finetune.networks import TextClassifier
from tutelage.students.soft import Blend

WARM_UP = 0.2
"""Share of the training over which trust in its own answers grows from 0."""
NOT_KNOWN = -100
"""In place of a label."""


class SoftClassifier(TextClassifier):
    """A `TextClassifier` whose targets are rows (1 + classes): the number of the label, then each one's probability."""

    def __init__(self, base: Base, classes: int, blend: Blend) -> None:
        super().__init__(base, classes)
        self.blend = blend
        self.share = 0.0
        """Of the training that is done; set by the loop."""

    def loss(self, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return blended(logits, wanted[:, 0].long(), wanted[:, 1:], self.blend, self.share)


def blended(
    logits: torch.Tensor, labels: torch.Tensor, probabilities: torch.Tensor, blend: Blend, share: float = 1.0
) -> torch.Tensor:
    """The loss of `blend`, when `share` of the training is done; `labels` may be NOT_KNOWN."""
    weight, temperature, trust = blend
    hard = cross_entropy(logits, labels, ignore_index=NOT_KNOWN, reduction="sum") / len(logits)
    loss = (1 - weight) * hard
    if weight:
        softer = torch.softmax(probabilities.clamp(min=1e-6).log() / temperature, -1)
        near = kl_div(log_softmax(logits / temperature, -1), softer, reduction="batchmean")
        # Gradients shrink with the square of the temperature.
        loss = loss + weight * temperature**2 * near
    if trust:
        trusted = trust * min(1.0, share / WARM_UP)
        loss = (1 - trusted) * loss + trusted * cross_entropy(logits, logits.argmax(-1))
    return loss
