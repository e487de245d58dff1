"""BERTScore (Zhang et al. 2020) by the bert-score library, with any encoder, each pair of texts scored once a process."""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np
from bert_score.utils import bert_cos_score_idf, get_model, get_tokenizer, model2layers
from transformers import AutoConfig

from tutelage.embeddings.export import quiet
from tutelage.errors import UsageError
from tutelage.evaluation.metrics import Floats

BATCH = 64
DEPTH = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
"""What configurations call the number of layers."""
UNBOUNDED = 1_000_000
"""Tokenizers that know no limit say 10^30, which bert-score cannot pass on."""


def score(encoder: str, layers: int | None, pairs: Sequence[tuple[str, str]]) -> Floats:
    """Precision, recall and F1 of (gold, answer) texts as bert-score gives them (no idf, no baseline), shape (n, 3).

    `layers`: the layer whose outputs are compared; None is what the library's authors found best for this encoder,
    or the last where they tried none. Raises UsageError in one line when the encoder cannot be used.
    """
    return _scorer(encoder, layers).score(pairs)


class Scorer:
    """One encoder and what it has scored so far."""

    def __init__(self, encoder: str, layers: int | None) -> None:
        self._known: dict[tuple[str, str], tuple[float, float, float]] = {}
        try:
            with quiet():
                config = AutoConfig.from_pretrained(encoder)
                depth = int(next(getattr(config, name) for name in DEPTH if hasattr(config, name)))
                layers = layers or model2layers.get(encoder, depth)
                if layers > depth:
                    raise UsageError(f"encoder_layers = {layers}, but {encoder!r} has {depth}. Set at most {depth}.")
                self._tokenizer = get_tokenizer(encoder)
                self._model = get_model(encoder, layers, False)
        except (OSError, ValueError, KeyError, ImportError, StopIteration) as error:
            why = " ".join(str(error).split())[:200]
            raise UsageError(
                f"encoder = {encoder!r} cannot be loaded: {why}. Give a folder with config.json, model.safetensors and "
                "tokenizer.json, or the name of a model on Hugging Face."
            ) from None
        if self._tokenizer.model_max_length > UNBOUNDED:
            self._tokenizer.model_max_length = getattr(config, "max_position_embeddings", 512)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            special = (self._tokenizer.sep_token_id, self._tokenizer.cls_token_id)
            weights: defaultdict[int, float] = defaultdict(lambda: 1.0, {token: 0.0 for token in special})
            with contextlib.redirect_stderr(io.StringIO()):  # a warning for each text without a token, which scores 0
                found = bert_cos_score_idf(
                    self._model,
                    [gold for gold, _ in new],
                    [answer for _, answer in new],
                    self._tokenizer,
                    weights,
                    batch_size=BATCH,
                    device="cpu",
                )
            self._known |= zip(new, (tuple(row) for row in found.tolist()), strict=True)
        return np.array([self._known[pair] for pair in pairs], dtype=np.float64)


@cache
def _scorer(encoder: str, layers: int | None) -> Scorer:
    return Scorer(encoder, layers)
