"""A pretrained transformer with a new linear head."""

from __future__ import annotations

from typing import Any

import torch

from tutelage.answering.spans import CASES
from tutelage.embeddings.export import Base, MeanPooled

DROPOUT = 0.1


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
        pieces = self.body.get_input_embeddings()(input_ids) + self.case(token_type_ids)
        hidden = self.body(inputs_embeds=pieces, attention_mask=attention_mask).last_hidden_state
        logits: torch.Tensor = self.head(self.dropout(hidden))
        return logits


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
