"""Texts to vectors: the protocol, and a sentence encoder served by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tutelage.embeddings.runtime import FACTS, MODEL, TOKENIZER, Array, TextModel
from tutelage.errors import StoreError
from tutelage.registry import load
from tutelage.types import digest

MAX_LENGTH = 256
"""Tokens a window of an exported encoder holds: sentence encoders are trained on less, and attention grows squared."""


class Encoder(Protocol):
    """What turns texts into vectors; near texts get near vectors."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever the vectors of equal texts could: a hash of the model and its tokenizer."""
        ...

    def encode(self, texts: Sequence[str]) -> Array:
        """Float32 array (n, width), every row of length 1; (0, width) for no texts."""
        ...


class OnnxEncoder:
    """The encoder in `folder` as `export_encoder` wrote it. `threads` defaults to the cores this process may use."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.folder = folder
        self._model = TextModel(folder, threads)

    @property
    def width(self) -> int:
        return int(self._model.facts["width"])

    @cached_property
    def identity(self) -> str:
        return identity_of(self.folder)

    def encode(self, texts: Sequence[str]) -> Array:
        return encode(self._model, texts)


def encode(model: TextModel, texts: Sequence[str]) -> Array:
    """The pooled outputs of `model` for the texts, (n, width), every row of length 1."""
    if not texts:
        return np.empty((0, int(model.facts["width"])), np.float32)
    return normalised(np.stack(model.run(model.encode_texts(texts, offsets=False))))


def normalised(vectors: Array) -> Array:
    """The rows at length 1; a row of zeros stays so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Array = vectors / np.maximum(lengths, np.float32(1e-12))
    return result


def identity_of(folder: Path) -> str:
    """The identity of the exported encoder in `folder`, without loading it. Raises StoreError for a missing file."""
    hashes = []
    try:
        for name in (FACTS, TOKENIZER, MODEL):
            with (folder / name).open("rb") as content:
                hashes.append(hashlib.file_digest(content, "sha256").hexdigest())
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"The encoder in {folder} cannot be read: {reason}. Delete the folder.") from None
    return digest(hashes)


def export_encoder(base: str, folder: Path, path: Callable[[str], Path]) -> dict[str, Any]:
    """Write the mean-pooled transformer `base` (a folder, found through `path`, or a Hugging Face name) to `folder`.

    Returns its licence and width. Raises TrainingError when `base` cannot be used, MissingPackage without torch.
    """
    module = "tutelage.embeddings.export"
    loaded = load(f"{module}:load_base", "embedding")(base, path)
    pooled = load(f"{module}:MeanPooled", "embedding")(loaded.model)
    facts = {"width": loaded.width, "licence": loaded.licence}
    load(f"{module}:export_onnx", "embedding")(
        pooled,
        loaded.tokenizer,
        folder,
        max_length=min(loaded.max_length, MAX_LENGTH),
        pad_id=loaded.pad_id,
        facts=facts,
    )
    return facts
