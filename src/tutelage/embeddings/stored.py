"""A sentence encoder made ready once for a project, and the vectors it has given: both are kept on disk.

encoder = stored_encoder("weights/minilm", project.path, project.artefacts / "encoders")
encoder.encode(texts)       # the first time with that base: exported (needs torch); texts met before: read from disk
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from zipfile import BadZipFile

import numpy as np

from tutelage.embeddings.encoder import Encoder, OnnxEncoder, export_encoder, identity_of
from tutelage.embeddings.runtime import FACTS, MODEL, Array
from tutelage.errors import StoreError
from tutelage.types import digest

VECTORS = "vectors.npz"

WORTH_KEEPING = 64
"""New texts in one call from which on vectors are written: a pool's are, a single question's are not."""


def stored_encoder(base: str, path: Callable[[str], Path], folder: Path, threads: int | None = None) -> StoredEncoder:
    """The encoder `base`: a folder (found through `path`) or a Hugging Face name, exported to `folder` at first use.

    A folder that holds an exported encoder already is used as it is. Raises TrainingError when `base` cannot be used,
    MissingPackage where it must be exported and there is no torch, StoreError when `folder` cannot be written.
    """
    source = path(base)
    if (source / FACTS).is_file() and (source / MODEL).is_file():
        return StoredEncoder(source, folder / f"{source.name}-{digest(str(source.resolve()))[:8]}", threads)
    target = folder / f"{source.name}-{digest([base, _listing(source)])[:8]}"
    if not (target / FACTS).is_file():
        _export(base, target, path)
    return StoredEncoder(target, target, threads)


class StoredEncoder:
    """The exported encoder in `folder`, loaded at first need. Vectors of many texts at once are kept in `vectors`."""

    def __init__(self, folder: Path, vectors: Path, threads: int | None = None) -> None:
        self.folder, self._file, self._threads = folder, vectors / VECTORS, threads
        self._lock = RLock()

    @cached_property
    def _encoder(self) -> Encoder:
        return OnnxEncoder(self.folder, self._threads)

    @property
    def width(self) -> int:
        return self._encoder.width

    @cached_property
    def identity(self) -> str:
        """As `OnnxEncoder`'s, without loading the model."""
        return identity_of(self.folder)

    def encode(self, texts: Sequence[str]) -> Array:
        if len(texts) < WORTH_KEEPING:
            return self._ready().encode(texts)
        keys = [digest(text) for text in texts]
        with self._lock:
            known = self._read()
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
            if missing:
                new = self._ready().encode(list(missing.values()))
                known |= dict(zip(missing, new, strict=True))
                if len(missing) >= WORTH_KEEPING:
                    self._write(known)
        return np.stack([known[key] for key in keys])

    def _ready(self) -> Encoder:
        with self._lock:
            return self._encoder

    def _read(self) -> dict[str, Array]:
        """The vectors on disk by their text's hash; none where the file is absent, broken or of another encoder."""
        try:
            with np.load(self._file, allow_pickle=False) as stored:
                if str(stored["identity"]) != self.identity:
                    return {}
                return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return {}

    def _write(self, known: Mapping[str, Array]) -> None:
        """Replace the file in one step. Vectors can be had again, so a disk that cannot be written is no error."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._file.parent) as work:
                file = Path(work) / VECTORS
                np.savez(file, identity=self.identity, keys=list(known), vectors=np.stack(list(known.values())))
                os.replace(file, self._file)
        except OSError:
            return


def _export(base: str, target: Path, path: Callable[[str], Path]) -> None:
    """Export next to `target` and move there, so that a half-written one is never seen."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            export_encoder(base, Path(work) / "encoder", path)
            if not (target / FACTS).is_file():
                shutil.move(Path(work) / "encoder", target)
    except OSError as error:
        raise StoreError(f"The encoder cannot be written to {target}: {error.strerror or error}.") from None


def _listing(folder: Path) -> list[list[object]]:
    """What changes when the base in `folder` does; empty for a Hugging Face name."""
    if not folder.is_dir():
        return []
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
