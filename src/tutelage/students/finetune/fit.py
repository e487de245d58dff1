"""From texts with targets to a fine-tuned network in a folder that `TextModel` serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding

from tutelage.embeddings.export import Base, export_onnx, load_base
from tutelage.embeddings.runtime import Limits, cut, run_windows
from tutelage.students.base import FitContext
from tutelage.students.finetune.head import mixed_targets, start_head
from tutelage.students.finetune.keeping import keep_weights
from tutelage.students.finetune.loop import Pass, forward_of, reproducible, train
from tutelage.students.finetune.networks import RecordTagger, TextClassifier, TokenTagger
from tutelage.students.finetune.soft import SoftClassifier
from tutelage.students.sizing import KEPT, FineTuning, Texts, plan


def fit_tagger(texts: Texts, tags: int, settings: FineTuning, context: FitContext, folder: Path) -> dict[str, Any]:
    """Fine-tune a token classifier, write it to `folder`, and return facts for the card."""
    return fit_network(texts, lambda base, *_: TokenTagger(base, tags), settings, context, folder)


def fit_record(
    texts: Texts, columns: tuple[int, Sequence[int]], settings: FineTuning, context: FitContext, folder: Path
) -> dict[str, Any]:
    """Fine-tune a tagger of `columns` (number of tags, sizes of the closed sets) and write it as `fit_tagger` does."""
    return fit_network(texts, lambda base, *_: RecordTagger(base, *columns), settings, context, folder)


def fit_classifier(
    texts: Texts, classes: int, settings: FineTuning, context: FitContext, folder: Path
) -> dict[str, Any]:
    """Fine-tune a text classifier, write it to `folder`, and return facts for the card."""

    def build(base: Base, encodings: Sequence[Encoding], limits: Limits) -> TextClassifier:
        targets = np.array([texts.targets(at, encoding) for at, encoding in enumerate(encodings)])
        if texts.blend:
            network: TextClassifier = SoftClassifier(base, classes, texts.blend).to(_device())
            targets = mixed_targets(targets, texts.blend.weight)
        else:
            network = TextClassifier(base, classes, texts.several).to(_device())
        start_head(network, encodings, targets, limits)
        return network

    return fit_network(texts, build, settings, context, folder)


def fit_network(
    texts: Texts,
    build: Callable[[Base, Sequence[Encoding], Limits], torch.nn.Module],
    settings: FineTuning,
    context: FitContext,
    folder: Path,
) -> dict[str, Any]:
    """Fine-tune what `build` makes of `settings.base`, write it to `folder`, and return facts for the card."""
    with reproducible(settings.seed, settings.threads):
        base = load_base(settings.base, context.path)
        max_length = min(settings.max_length, base.max_length)
        limits = Limits(max_length, max_length // 4, base.pad_id)
        encodings = base.tokenizer.encode_batch(list(texts.train))
        network = build(base, encodings, limits).to(_device())
        passes = _passes(encodings, texts, limits)
        dev = base.tokenizer.encode_batch(list(texts.dev))
        dev_types = [texts.types(text, encoding) for text, encoding in zip(texts.dev, dev, strict=True)]
        chosen = plan(settings, len(texts.train), base.width)
        logging.getLogger(__name__).info("fine-tuning %s: %s", settings.base, chosen)
        history = train(
            network,
            passes,
            chosen,
            base.pad_id,
            lambda: texts.score(dev, run_windows(dev, forward_of(network), limits, types=dev_types)),
            context,
        )
        export_onnx(network, base.tokenizer, folder, max_length=max_length, pad_id=base.pad_id)
        if getattr(settings, "keep_weights", False) and isinstance(network, TextClassifier):
            keep_weights(network, base, folder.with_name(KEPT))
    return {
        "base": {"name": settings.base, "licence": base.licence, "parameters": _size(base.model)},
        "plan": asdict(chosen),
        "windows": len(passes),
        "dev_scores": [round(score, 4) for score in history.scores],
        "best_epoch": history.best_epoch,
        "trained_in": "bf16" if history.low_precision else "fp32",
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _passes(encodings: Sequence[Encoding], texts: Texts, limits: Limits) -> list[Pass]:
    """Every window of every text; windows of one text share pieces, and the target of the whole."""
    passes, whole = [], texts.several or texts.blend is not None
    for number, encoding in enumerate(encodings):
        target, types = texts.targets(number, encoding), texts.types(texts.train[number], encoding)
        for _, places in cut(encoding, limits):
            if places is None:
                passes.append(Pass(encoding.ids, types, target))
            else:
                ids, kinds = ([part[at] for at in places] for part in (encoding.ids, types))
                passes.append(Pass(ids, kinds, target if whole or not target.ndim else target[places]))
    return passes


def _size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
