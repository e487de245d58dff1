"""A pretrained transformer with a new linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tutelage.answering.multitask_read import MARKS
from tutelage.answering.spans import CASES
from tutelage.embeddings.export import Base, MeanPooled

DROPOUT = 0.1
OUTSIDE = 4.0
"""Where the log odds of O begin in a `RecordTagger`: nearly every piece is O, and need not be learned to be."""

HIDDEN = 0.1
"""Share of the pieces that a `RecordTagger` does not see in training. 0.25 was neither better nor worse in new layouts."""

CHOICES = 0.2
"""What a wrong value of a closed set weighs beside the tags, whose mean loss is small since most pieces have none."""


class TokenTagger(torch.nn.Module):
    """Logits of each piece: (batch, tokens) -> (batch, tokens, tags).

    The type ids say how each word is capitalised (`spans.case_marks`). What a base that reads lower case alone loses
    with the capitals comes in again as an embedding added to that of the piece; it starts at zero, as if it were not.
    """

    inputs = ("input_ids", "attention_mask", "token_type_ids")

    def __init__(self, base: Base, tags: int) -> None:
        super().__init__()
        self.body: Any = base.model
        self.case = torch.nn.Embedding(CASES, base.width)
        torch.nn.init.zeros_(self.case.weight)
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.head = torch.nn.Linear(base.width, tags)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        pieces = self.embedded(input_ids, token_type_ids)
        hidden = self.body(inputs_embeds=pieces, attention_mask=attention_mask).last_hidden_state
        logits: torch.Tensor = self.head(self.dropout(hidden))
        return logits

    def embedded(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        """What stands for each piece: its embedding and that of its word's case."""
        pieces: torch.Tensor = self.body.get_input_embeddings()(input_ids) + self.case(token_type_ids)
        return pieces


class TextClassifier(torch.nn.Module):
    """Logits of a text from the mean of its pieces: (batch, tokens) -> (batch, classes).

    Of `several` classes any number applies: each has a sigmoid of its own, not its share of a softmax.
    """

    inputs = MeanPooled.inputs

    def __init__(self, base: Base, classes: int, several: bool = False) -> None:
        super().__init__()
        self.several = several
        self.pooled = MeanPooled(base.model)
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.head = torch.nn.Linear(base.width, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.pooled(input_ids, attention_mask)))
        return logits


class RecordTagger(TokenTagger):
    """Logits of each piece: tags of spans, then its evidence for the values of each closed set (`groups` of columns).

    The type ids are `answering.multitask_read.layout_marks`.
    """

    def __init__(self, base: Base, tags: int, groups: Sequence[int]) -> None:
        super().__init__(base, tags + sum(groups))
        self.tags, self.groups = tags, list(groups)
        self.case = torch.nn.Embedding(MARKS, base.width)
        torch.nn.init.zeros_(self.case.weight)
        with torch.no_grad():
            self.head.bias[0] = OUTSIDE

    def embedded(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        """As a tagger's; in training some pieces are hidden, so that no single word decides what a layout may lack."""
        pieces = super().embedded(input_ids, token_type_ids)
        if self.training:
            pieces = pieces * (torch.rand(input_ids.shape, device=pieces.device) >= HIDDEN)[..., None]
        return pieces

    def loss(self, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the tags and of the pooled evidence. `wanted` (batch, tokens, 1 + groups): the piece's tag, and
        the group's right column on every piece (-1: not known); padding is -100."""
        tagged = logits[..., : self.tags].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(tagged, wanted[..., 0].flatten())
        if not self.groups:
            return loss
        padding = (wanted[..., 1] == -100)[..., None]
        pooled = logits[..., self.tags :].masked_fill(padding, -1e4).logsumexp(1)
        right = wanted[:, 0, 1:]
        lost = [
            torch.nn.functional.cross_entropy(one, right[:, at], ignore_index=-1, reduction="sum")
            for at, one in enumerate(torch.split(pooled, self.groups, -1))
        ]
        return loss + CHOICES * torch.stack(lost).sum() / right.numel()


class Members(torch.nn.Module):
    """The mean of the logits of networks that learned the same from other seeds (Lakshminarayanan et al. 2017)."""

    def __init__(self, networks: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)
        self.inputs = networks[0].inputs

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        return torch.stack([network(*given) for network in self.networks]).mean(0)
