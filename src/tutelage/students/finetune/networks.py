"""A pretrained transformer with a new linear head."""

from __future__ import annotations

from typing import Any

import torch

from tutelage.embeddings.export import Base, MeanPooled

DROPOUT = 0.1


class TokenTagger(torch.nn.Module):
    """Logits of each piece: (batch, tokens) -> (batch, tokens, tags)."""

    def __init__(self, base: Base, tags: int) -> None:
        super().__init__()
        self.body: Any = base.model
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.head = torch.nn.Linear(base.width, tags)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: torch.Tensor = self.head(self.dropout(hidden))
        return logits


class TextClassifier(torch.nn.Module):
    """Logits of a text from the mean of its pieces: (batch, tokens) -> (batch, classes)."""

    def __init__(self, base: Base, classes: int) -> None:
        super().__init__()
        self.pooled = MeanPooled(base.model)
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.head = torch.nn.Linear(base.width, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.pooled(input_ids, attention_mask)))
        return logits
