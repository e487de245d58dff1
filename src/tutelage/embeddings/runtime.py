"""Transformers served by ONNX Runtime: a folder with tokenizer.json, model.onnx and runtime.json, no torch.

Texts longer than the model reads are cut into overlapping windows, never shortened: of every token the value is kept
that the window gave in which the token stands farthest from an edge; vectors of a text's windows are averaged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from tutelage.errors import StoreError

Array: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = NDArray[np.int64]

TOKENIZER, MODEL, FACTS = "tokenizer.json", "model.onnx", "runtime.json"


class Limits(NamedTuple):
    """How long texts are cut: tokens a window holds (special ones included), tokens neighbours share, the padding's id."""

    max_length: int
    overlap: int
    pad_id: int = 0


class Window(NamedTuple):
    """One pass through the model: the text's number, where its own tokens begin in the text's, and the tokens."""

    text: int
    start: int
    ids: list[int]
    type_ids: list[int]


class TextModel:
    """The model in `folder`. `threads` defaults to the cores this process may use. Safe to call from several threads.

    runtime.json holds `max_length` and may hold `overlap` (default a quarter of it) and `pad_id`; further keys are the
    caller's, kept in `facts`. Raises StoreError when a file is missing or cannot be read.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.folder = folder
        try:
            self.facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            self.session = _session(folder / MODEL, threads)
            max_length = int(self.facts["max_length"])
        except Exception as error:  # tokenizers and ONNX Runtime raise bare Exception subclasses of their own
            reason = " ".join(str(error).split()) if not isinstance(error, KeyError) else f"{FACTS} lacks {error}"
            raise StoreError(f"The model in {folder} cannot be loaded: {reason}. Train or download it again.") from None
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        overlap = int(self.facts.get("overlap", max_length // 4))
        self.limits = Limits(max_length, overlap, int(self.facts.get("pad_id", 0)))
        self.inputs = [entry.name for entry in self.session.get_inputs()]

    def encode_texts(self, texts: Sequence[str], *, offsets: bool = True) -> list[Encoding]:
        """The texts' tokens, uncut; without `offsets` somewhat faster, where the places in the text are not needed."""
        encode = self.tokenizer.encode_batch if offsets else self.tokenizer.encode_batch_fast
        return list(encode(list(texts)))

    def run(
        self, encodings: Sequence[Encoding], batch_size: int = 32, types: Sequence[list[int]] | None = None
    ) -> list[Array]:
        """The model's first output for each encoding, in the order given; see `run_windows`."""
        return run_windows(encodings, self._forward, self.limits, batch_size, types)

    def _forward(self, ids: Ids, mask: Ids, types: Ids) -> Array:
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        output: Array = self.session.run(None, {name: known[name] for name in self.inputs})[0]
        return output


def run_windows(
    encodings: Sequence[Encoding],
    forward: Callable[[Ids, Ids, Ids], Array],
    limits: Limits,
    batch_size: int = 32,
    types: Sequence[list[int]] | None = None,
) -> list[Array]:
    """`forward(ids, mask, type ids)` over all encodings, each input (batch, tokens); one array per encoding, in order.

    A model with output (batch, tokens, k) gives arrays (tokens, k), one row for each of `encoding.ids`; one with
    (batch, k) gives vectors (k,). Windows of like length share a batch, so that little padding is computed.
    `types` replaces the encodings' own type ids, one list per encoding.
    """
    windows: list[Window] = []
    for text, encoding in enumerate(encodings):
        ids, kinds = encoding.ids, encoding.type_ids if types is None else types[text]
        for start, places in cut(encoding, limits):
            if places is None:
                windows.append(Window(text, start, ids, kinds))
            else:
                windows.append(Window(text, start, [ids[at] for at in places], [kinds[at] for at in places]))
    order = sorted(range(len(windows)), key=lambda at: -len(windows[at].ids))
    outputs: list[Array] = [np.empty(0, np.float32)] * len(windows)
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        result = forward(*_padded([windows[at] for at in batch], limits.pad_id))
        for row, at in enumerate(batch):
            outputs[at] = result[row, : len(windows[at].ids)] if result.ndim == 3 else result[row]
    pairs = zip(windows, outputs, strict=True)
    return [
        _merged(encodings[text], [(window.start, output) for window, output in group], limits)
        for text, group in groupby(pairs, key=lambda pair: pair[0].text)
    ]


def cut(encoding: Encoding, limits: Limits) -> list[tuple[int, list[int] | None]]:
    """The windows of a text: where each begins among the text's own tokens, and the numbers of its tokens (None: all)."""
    if len(encoding) <= limits.max_length:
        return [(0, None)]
    lead, tail = _special(encoding)
    end, size = len(encoding) - tail, limits.max_length - lead - tail
    return [
        (start, [*range(lead), *range(lead + start, lead + start + size), *range(end, end + tail)])
        for start in window_starts(end - lead, size, limits.overlap)
    ]


def _padded(windows: Sequence[Window], pad_id: int) -> tuple[Ids, Ids, Ids]:
    shape = (len(windows), max(1, *(len(window.ids) for window in windows)))
    ids, mask, types = np.full(shape, pad_id, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, window in enumerate(windows):
        length = len(window.ids)
        ids[row, :length], mask[row, :length], types[row, :length] = window.ids, 1, window.type_ids
    return ids, mask, types


def _merged(encoding: Encoding, parts: list[tuple[int, Array]], limits: Limits) -> Array:
    if len(parts) == 1:
        return parts[0][1]
    if parts[0][1].ndim == 1:
        mean: Array = np.stack([output for _, output in parts]).mean(axis=0, dtype=np.float32)
        return mean
    lead, tail = _special(encoding)
    size = limits.max_length - lead - tail
    merged = np.empty((len(encoding), parts[0][1].shape[1]), np.float32)
    for number, (start, output) in enumerate(parts):
        # The first half of an overlap belongs to the window before, the second to the one after.
        skip = 0 if number == 0 else lead + (parts[number - 1][0] + size - start) // 2
        merged[start + skip : start + len(output)] = output[skip:]
    return merged


def window_starts(length: int, size: int, overlap: int) -> list[int]:
    """Where windows of `size` start that cover `length` tokens and share at least `overlap`; all windows are full."""
    step = max(1, size - overlap)
    return [*range(0, max(1, length - size), step), length - size] if length > size else [0]


def _special(encoding: Encoding) -> tuple[int, int]:
    """How many special tokens stand before and after the text's own."""
    own = [at for at, special in enumerate(encoding.special_tokens_mask) if not special]
    return own[0], len(encoding) - 1 - own[-1]


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
