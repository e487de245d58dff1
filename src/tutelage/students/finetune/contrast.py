"""A sentence encoder tuned by the library `setfit` on pairs of texts, written to a folder that `OnnxEncoder` serves."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import setfit
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from tutelage.embeddings.encoder import MAX_LENGTH
from tutelage.embeddings.export import MeanPooled, export_onnx, load_base, quiet
from tutelage.students.base import FitContext
from tutelage.students.finetune.loop import bf16_pays, reproducible
from tutelage.students.setfit import SetFitSettings


def tune(
    texts: Sequence[str],
    targets: Sequence[Sequence[int]],
    settings: SetFitSettings,
    context: FitContext,
    folder: Path,
    until: float,
) -> dict[str, Any]:
    """Tune `settings.base` until texts with a common target (texts, labels) are near each other; facts for the card.

    Progress is told up to the share `until`.
    """
    available = pairs_of(np.array(targets, bool))
    steps = max(1, math.ceil(min(settings.most_pairs(), available) / settings.batch_size))
    with reproducible(settings.seed, settings.threads), _silent():
        base = load_base(settings.base, context.path)
        source = context.path(settings.base)
        reader = Transformer(str(source) if source.is_dir() else settings.base)
        body = SentenceTransformer(modules=[reader, Pooling(base.width, "mean")])
        body.max_seq_length = min(settings.max_length, base.max_length)
        arguments = setfit.TrainingArguments(
            output_dir=str(context.folder / "setfit"),
            batch_size=settings.batch_size,
            body_learning_rate=settings.learning_rate,
            max_steps=steps,
            seed=settings.seed,
            report_to="none",
            save_strategy="no",
            eval_strategy="no",
            show_progress_bar=False,
        )
        # Built here and not by from_pretrained, which would unpickle a head that lies beside the base.
        model = setfit.SetFitModel(model_body=body, model_head=None, multi_target_strategy="one-vs-rest")
        trainer = setfit.Trainer(model=model, args=arguments)
        for callback in (ProgressCallback, PrinterCallback):
            trainer.st_trainer.remove_callback(callback)
        losses = _Losses(context, steps, until)
        trainer.add_callback(losses)
        device = next(body.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16_pays(device)):
            trainer.train_embeddings(list(texts), [list(row) for row in targets], args=arguments)
        base.model.load_state_dict(reader.auto_model.state_dict())
        facts = {"width": base.width, "licence": base.licence}
        export_onnx(
            MeanPooled(base.model),
            base.tokenizer,
            folder,
            max_length=min(settings.max_length, base.max_length, MAX_LENGTH),
            pad_id=base.pad_id,
            facts=facts,
        )
    return {"base": settings.base, **facts, "pairs": steps * settings.batch_size, "steps": steps, "loss": losses.last}


def pairs_of(targets: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    """How many pairs the library makes of texts with these targets: alike and unlike ones in equal number."""
    n = len(targets)
    alike = int(np.triu(targets.astype(np.float32) @ targets.T.astype(np.float32) > 0).sum())
    return 2 * max(alike, n * (n + 1) // 2 - alike)


class _Losses(TrainerCallback):  # type: ignore[misc]
    """Tells the progress, and keeps the last loss."""

    def __init__(self, context: FitContext, steps: int, until: float) -> None:
        self._context, self._steps, self._until = context, steps, until
        self.last: float | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "embedding_loss" in logs:
            self.last = round(float(logs["embedding_loss"]), 4)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        shown = {} if self.last is None else {"loss": self.last}
        self._context.progress(self._until * min(1.0, state.global_step / self._steps), shown)


@contextmanager
def _silent() -> Iterator[None]:
    """The libraries' notes, bars and warnings off: they are written to stdout as well."""
    logger = logging.getLogger("setfit")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
