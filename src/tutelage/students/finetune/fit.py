"""From texts with targets to a fine-tuned network in a folder that `TextModel` serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
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
from tutelage.students.finetune.loop import History, Pass, forward_of, reproducible, train
from tutelage.students.finetune.networks import Members, RecordTagger, TextClassifier, TokenTagger
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
        start_head(network, encodings, targets, limits, texts.weights)
        return network

    return fit_network(texts, build, settings, context, folder)


def fit_network(
    texts: Texts,
    build: Callable[[Base, Sequence[Encoding], Limits], torch.nn.Module],
    settings: FineTuning,
    context: FitContext,
    folder: Path,
) -> dict[str, Any]:
    """Fine-tune what `build` makes of `settings.base`, as many as `settings.members` says where it does, write it (the mean of
    them) to `folder`, and return facts for the card."""
    networks: list[torch.nn.Module] = []
    histories: list[History] = []
    members = getattr(settings, "members", 1)
    with reproducible(settings.seed, settings.threads):
        for number in range(members):
            torch.manual_seed(settings.seed + number)
            base = load_base(settings.base, context.path)
            max_length = min(settings.max_length, base.max_length)
            limits = Limits(max_length, max_length // 4, base.pad_id)
            encodings = base.tokenizer.encode_batch(list(texts.train))
            network = build(base, encodings, limits).to(_device())
            passes = _passes(encodings, texts, limits)
            chosen = plan(settings, len(texts.train), base.width)
            logging.getLogger(__name__).info("fine-tuning %s: %s", settings.base, chosen)
            mine = replace(chosen, seed=chosen.seed + number)
            histories.append(
                train(
                    network,
                    passes,
                    mine,
                    base.pad_id,
                    _judge(network, texts, base, limits),
                    _part(context, number, members),
                )
            )
            networks.append(network)
        if members > 1:
            network = Members(networks)
            context.progress(1.0, {"dev, all": round(_judge(network, texts, base, limits)(), 4)})
        export_onnx(network, base.tokenizer, folder, max_length=max_length, pad_id=base.pad_id)
        if getattr(settings, "keep_weights", False) and isinstance(network, TextClassifier):
            keep_weights(network, base, folder.with_name(KEPT))
    return {
        "base": {"name": settings.base, "licence": base.licence, "parameters": _size(base.model)},
        "plan": asdict(chosen),
        "windows": len(passes),
        "dev_scores": [round(score, 4) for history in histories for score in history.scores],
        "best_epoch": histories[0].best_epoch,
        "trained_in": "bf16" if histories[0].low_precision else "fp32",
        **({"members": members, "best_epochs": [one.best_epoch for one in histories]} if members > 1 else {}),
    }


def _judge(network: torch.nn.Module, texts: Texts, base: Base, limits: Limits) -> Callable[[], float]:
    """The dev score of the network as it is when it is called."""
    dev = base.tokenizer.encode_batch(list(texts.dev))
    types = [texts.types(text, encoding) for text, encoding in zip(texts.dev, dev, strict=True)]
    return lambda: texts.score(dev, run_windows(dev, forward_of(network), limits, types=types))


def _part(context: FitContext, number: int, members: int) -> FitContext:
    """The context of one member: its own checkpoints, its share of the progress."""
    if members == 1:
        return context
    told, kept = context.progress, context.checkpoints

    def progress(share: float, shown: Mapping[str, object]) -> None:
        told((number + share) / members, {**shown, "member": number + 1})

    return replace(context, progress=progress, checkpoints=kept and kept / str(number + 1))


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _passes(encodings: Sequence[Encoding], texts: Texts, limits: Limits) -> list[Pass]:
    """Every window of every text; windows of one text share pieces, and the target of the whole."""
    passes, whole = [], texts.several or texts.blend is not None
    for number, encoding in enumerate(encodings):
        target, types = texts.targets(number, encoding), texts.types(texts.train[number], encoding)
        weight = 1.0 if texts.weights is None else float(texts.weights[number])
        for _, places in cut(encoding, limits):
            if places is None:
                passes.append(Pass(encoding.ids, types, target, weight))
            else:
                ids, kinds = ([part[at] for at in places] for part in (encoding.ids, types))
                passes.append(Pass(ids, kinds, target if whole or not target.ndim else target[places], weight))
    return passes


def _size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
