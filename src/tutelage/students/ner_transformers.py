"""Named entities by a Hugging Face token classifier, by folder or by name.

Word pieces are joined by the first piece's label. Texts longer than the model's window are read in overlapping windows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer, pipeline
from transformers.utils import logging as transformers_logging

from tutelage.errors import UsageError
from tutelage.students.pretrained import Mention

RESERVED = 2
"""Positions that models of the RoBERTa kind keep for padding: their window is that much shorter than the table."""
BATCH = 16


class TransformersNer:
    """A loaded token-classification pipeline of transformers."""

    scored = True

    def __init__(self, tagger: Any, window: int) -> None:
        """`tagger` is a TokenClassificationPipeline, `window` the tokens it reads at once."""
        self._tagger, self._stride = tagger, window // 4
        labels = {label.removeprefix("B-").removeprefix("I-") for label in tagger.model.config.id2label.values()}
        self.types: tuple[str, ...] = tuple(sorted(labels - {"O"}))

    def mentions(self, texts: Sequence[str], entities: frozenset[str]) -> list[list[Mention]]:
        found: list[list[Mention]] = [[] for _ in texts]
        # Texts of like length share a batch, so that little is padding; those without a word have no mention.
        order = sorted((at for at, text in enumerate(texts) if text.strip()), key=lambda at: len(texts[at]))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            answers = self._tagger([texts[at] for at in chosen], batch_size=BATCH, stride=self._stride)
            for at, answer in zip(chosen, answers, strict=True):
                found[at] = [
                    Mention(whole(texts[at], group["start"], group["end"]), min(1.0, max(0.0, float(group["score"]))))
                    for group in answer
                    if group["entity_group"] in entities
                ]
        return found


def open_model(model: str, threads: int | None) -> TransformersNer:
    """The token classifier `model`. Raises UsageError when there is none, or it is another kind of model."""
    transformers_logging.set_verbosity_error()
    # It tells of every retry; the error below says it once.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if threads:
        torch.set_num_threads(threads)
    try:
        config = AutoConfig.from_pretrained(model)
        kinds = [str(kind) for kind in config.architectures or []]
        if not any(kind.endswith("ForTokenClassification") for kind in kinds):
            raise UsageError(
                f"{model!r} is not a token-classification model (it is {', '.join(kinds) or 'of no stated kind'}). "
                "Choose one that was fine-tuned for named entities."
            )
        tokenizer = AutoTokenizer.from_pretrained(model)
        classifier = AutoModelForTokenClassification.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(
            f"There is no Hugging Face model {model!r} here ({reason}). Give a folder, or a name of the Hub when online: "
            f"hf download {model}"
        ) from None
    window = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512) - RESERVED)
    tokenizer.model_max_length = window
    tagger = pipeline("token-classification", model=classifier, tokenizer=tokenizer, aggregation_strategy="first")
    return TransformersNer(tagger, window)


def whole(text: str, start: int, end: int) -> str:
    """The span widened to whole words, for tokenizers that do not say where words begin."""
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    return text[start:end]
