"""Transformers served by ONNX Runtime: a folder with tokenizer.json, model.onnx and runtime.json, no torch.

Texts longer than the model reads are cut into overlapping windows, never shortened: of every token the value is kept
that the window gave in which the token stands farthest from an edge; vectors of a text's windows are averaged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from tutelage.errors import StoreError

Array: TypeAlias = NDArray[np.float32]

TOKENIZER, MODEL, FACTS = "tokenizer.json", "model.onnx", "runtime.json"


class Window(NamedTuple):
    """Token ids of one pass through the model; the text's own tokens in it begin with its token number `start`."""

    text: int
    start: int
    ids: list[int]
    type_ids: list[int]


class TextModel:
    """The model in `folder`. `threads` defaults to the cores this process may use. Safe to call from several threads.

    runtime.json holds `max_length` (tokens a window holds, special ones included) and may hold `overlap` (tokens that
    neighbouring windows share, default a quarter) and `pad_id`; further keys are the caller's, kept in `facts`.
    Raises StoreError when a file is missing or cannot be read.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        try:
            self.facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            self.max_length = int(self.facts["max_length"])
            self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            self.session = _session(folder / MODEL, threads)
        except Exception as error:  # tokenizers and ONNX Runtime raise bare Exception subclasses of their own
            reason = " ".join(str(error).split()) if not isinstance(error, KeyError) else f"{FACTS} lacks {error}"
            raise StoreError(f"The model in {folder} cannot be loaded: {reason}. Train or download it again.") from None
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.overlap = int(self.facts.get("overlap", self.max_length // 4))
        self.inputs = [entry.name for entry in self.session.get_inputs()]

    def encode_texts(self, texts: Sequence[str], *, offsets: bool = True) -> list[Encoding]:
        """The texts' tokens, uncut; without `offsets` somewhat faster, where the places in the text are not needed."""
        encode = self.tokenizer.encode_batch if offsets else self.tokenizer.encode_batch_fast
        return list(encode(list(texts)))

    def run(self, encodings: Sequence[Encoding], batch_size: int = 32) -> list[Array]:
        """The model's first output for each encoding, in the order given; [] for [].

        A model with output (batch, tokens, k) gives arrays (tokens, k), one row for each of `encoding.ids`; one with
        (batch, k) gives vectors (k,). Windows of like length share a batch, so that little padding is computed.
        """
        windows = [window for text, encoding in enumerate(encodings) for window in self._windows(text, encoding)]
        order = sorted(range(len(windows)), key=lambda at: -len(windows[at].ids))
        outputs: list[Array] = [np.empty(0, np.float32)] * len(windows)
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            result = self._forward([windows[at] for at in batch])
            for row, at in enumerate(batch):
                outputs[at] = result[row, : len(windows[at].ids)] if result.ndim == 3 else result[row]
        pairs = zip(windows, outputs, strict=True)
        return [
            self._merged(encodings[text], [(window.start, output) for window, output in group])
            for text, group in groupby(pairs, key=lambda pair: pair[0].text)
        ]

    def _forward(self, windows: Sequence[Window]) -> Array:
        shape = (len(windows), max(1, *(len(window.ids) for window in windows)))
        ids = np.full(shape, int(self.facts.get("pad_id", 0)), np.int64)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, window in enumerate(windows):
            length = len(window.ids)
            ids[row, :length], mask[row, :length], types[row, :length] = window.ids, 1, window.type_ids
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        output: Array = self.session.run(None, {name: known[name] for name in self.inputs})[0]
        return output

    def _windows(self, text: int, encoding: Encoding) -> list[Window]:
        ids, types = encoding.ids, encoding.type_ids
        if len(ids) <= self.max_length:
            return [Window(text, 0, ids, types)]
        lead, tail = _special(encoding)
        body, size = len(ids) - lead - tail, self.max_length - lead - tail
        return [
            Window(text, start, *(_cut(part, start, size, lead, tail) for part in (ids, types)))
            for start in window_starts(body, size, self.overlap)
        ]

    def _merged(self, encoding: Encoding, parts: list[tuple[int, Array]]) -> Array:
        if len(parts) == 1:
            return parts[0][1]
        if parts[0][1].ndim == 1:
            return np.stack([output for _, output in parts]).mean(axis=0, dtype=np.float32)
        lead, tail = _special(encoding)
        size = self.max_length - lead - tail
        merged = np.empty((len(encoding.ids), parts[0][1].shape[1]), np.float32)
        for number, (start, output) in enumerate(parts):
            # The first half of an overlap belongs to the window before, the second to the one after.
            skip = 0 if number == 0 else lead + (parts[number - 1][0] + size - start) // 2
            merged[start + skip : start + len(output)] = output[skip:]
        return merged


def window_starts(length: int, size: int, overlap: int) -> list[int]:
    """Where windows of `size` start that cover `length` tokens and share at least `overlap`; all windows are full."""
    step = max(1, size - overlap)
    return [*range(0, max(1, length - size), step), length - size] if length > size else [0]


def _cut(part: list[int], start: int, size: int, lead: int, tail: int) -> list[int]:
    end = len(part) - tail
    return [*part[:lead], *part[lead + start : lead + start + size], *part[end:]]


def _special(encoding: Encoding) -> tuple[int, int]:
    """How many special tokens stand before and after the text's own."""
    own = [at for at, special in enumerate(encoding.special_tokens_mask) if not special]
    return own[0], len(encoding.ids) - 1 - own[-1]


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(file: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    # Spinning threads starve whatever else runs on the machine, above all another model's threads.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
