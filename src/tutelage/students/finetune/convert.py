"""From an encoder-decoder of transformers to a folder that CTranslate2 serves, in int8 where dev allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer

from tutelage.answering.seq2seq import Form
from tutelage.embeddings.runtime import TOKENIZER
from tutelage.students.sizing import FineTuning

MODEL = "model.bin"


class Converter(TransformersConverter):  # type: ignore[misc]
    """Whose T5 scales its outputs where the model does.

    Since transformers 5 every T5's configuration says that its embeddings are tied, which CTranslate2 4.8 takes to mean
    that the outputs are scaled; those of T5 1.1, FLAN and mT5 are not. The best token is the same, its probability is not.
    """

    def load_model(self, model_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
        model = super().load_model(model_class, model_name_or_path, **kwargs)
        model.config.tie_word_embeddings = getattr(model.config, "scale_decoder_outputs", False)
        return model


def converted(
    source: Path, work: Path, form: Form, settings: FineTuning, score: Callable[[Path, Form], float]
) -> tuple[Path, dict[str, Any]]:
    """The folder to serve, and the scores and sizes of all tried for the card, as `students.quantise.quantised`.

    `score` is the task's measure on dev. With `quantise = "auto"` int8 is kept when it loses at most `max_int8_loss`.
    """
    plain = _convert(source, work / "fp32", None)
    facts: dict[str, Any] = {"fp32": _facts(plain, form, score), "precision": "fp32"}
    if settings.quantise != "none":
        int8 = _convert(source, work / "int8", "int8")
        facts["int8"] = _facts(int8, form, score)
        loss = facts["fp32"]["dev_score"] - facts["int8"]["dev_score"]
        facts["int8_loss"] = round(loss, 4)
        if settings.quantise == "int8" or loss <= settings.max_int8_loss:
            return int8, facts | {"precision": "int8"}
    return plain, facts


def _convert(source: Path, folder: Path, quantisation: str | None) -> Path:
    Converter(str(source)).convert(str(folder), quantization=quantisation, force=True)
    tokenizer = Tokenizer.from_file(str(source / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / TOKENIZER))
    return folder


def _facts(folder: Path, form: Form, score: Callable[[Path, Form], float]) -> dict[str, Any]:
    return {
        "dev_score": round(score(folder, form), 4),
        "megabytes": round((folder / MODEL).stat().st_size / 1e6, 1),
    }
