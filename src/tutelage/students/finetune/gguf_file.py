"""A fine-tuned decoder as a GGUF file: the base's own file with some tensors changed, or one made of a Hugging Face model.

A base that was a GGUF file keeps its metadata, its tokenizer and every tensor that training left alone to the last bit.
Of Hugging Face models those in ARCHITECTURES with a byte-level BPE tokenizer are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFValueType as Type
from numpy.typing import NDArray

from tutelage.embeddings.runtime import Array
from tutelage.errors import TrainingError

Precision: TypeAlias = Literal["f16", "q8_0"]
KINDS: Mapping[Precision, Any] = {"f16": Kind.F16, "q8_0": Kind.Q8_0}
FILE_TYPES: Mapping[Precision, int] = {"f16": 1, "q8_0": 7}
BLOCK = 32
"""Values that share a scale in q8_0."""

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""Hugging Face's `model_type` -> llama.cpp's architecture."""

SPLITS = {
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*": "llama-bpe",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*": "qwen2",
}
"""What the pattern of a pre-tokenizer holds -> llama.cpp's name for it."""


Weight: TypeAlias = tuple[tuple[int, ...], Callable[[], Array]]
"""A weight's shape and its values, which are read when they are written."""


class Change(NamedTuple):
    """What becomes of a tensor's values, in 32 bits; `rows` are those it has more afterwards."""

    of: Callable[[Array], Array]
    rows: int = 0


class Stored(NamedTuple):
    """A tensor as it is stored (bytes of a quantised one), and its values."""

    shape: tuple[int, ...]
    kind: Any
    data: Callable[[], NDArray[Any]]
    values: Callable[[], Array]


@dataclass(frozen=True)
class Blueprint:
    """The contents of a GGUF file: `fields` (value, type, type of items) and tensors by name."""

    arch: str
    fields: dict[str, tuple[Any, Any, Any]]
    tensors: dict[str, Stored]

    @property
    def heads(self) -> tuple[int, int]:
        """Attention heads, and those of keys and values."""
        heads = self.fields[f"{self.arch}.attention.head_count"][0]
        return heads, self.fields.get(f"{self.arch}.attention.head_count_kv", (heads,))[0]

    def name(self, module: str) -> str:
        """llama.cpp's name for the weight of a module as Hugging Face calls it. Raises TrainingError."""
        layers = self.fields[f"{self.arch}.block_count"][0]
        kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
        found = gguf.get_tensor_name_map(kinds[self.arch], layers).get_name(module + ".weight", (".weight",))
        if found not in self.tensors:
            raise TrainingError(f"The base's {module} has no place in a GGUF file of architecture {self.arch!r}.")
        return str(found)

    def arranged(self, name: str, rows: Array) -> Array:
        """The rows of a weight in the order of llama.cpp, which turns pairs of neighbours where Hugging Face turns halves."""
        if self.arch != "llama" or not name.endswith(("attn_q.weight", "attn_k.weight")):
            return rows
        heads = self.heads[0 if "attn_q" in name else 1]
        halves = rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
        return halves.swapaxes(1, 2).reshape(rows.shape)

    def with_tokens(self, names: list[str]) -> Blueprint:
        """With further tokens that are never part of a text."""
        fields, before = dict(self.fields), len(self.fields["tokenizer.ggml.tokens"][0])
        for key, more in (
            ("tokens", names),
            ("token_type", [int(gguf.TokenType.CONTROL)] * len(names)),
            ("scores", [0.0] * len(names)),
        ):
            if (full := f"tokenizer.ggml.{key}") in fields:
                value, *types = fields[full]
                fields[full] = ([*value, *more], types[0], types[1])
        if (key := f"{self.arch}.vocab_size") in fields:
            fields[key] = (before + len(names), Type.UINT32, None)
        return Blueprint(self.arch, fields, self.tensors)

    def write(self, target: Path, changes: Mapping[str, Change], precision: Precision, *, all: bool) -> None:
        """Write the file with `changes`; changed weights (`all`: every weight) are stored in `precision`."""
        writer = gguf.GGUFWriter(target, self.arch)
        for key, (value, kind, items) in self.fields.items():
            writer.add_key_value(key, value, kind, items)
        writer.add_file_type(FILE_TYPES[precision])
        told = []
        for name, stored in self.tensors.items():
            change = changes.get(name)
            shape = (stored.shape[0] + (change.rows if change else 0), *stored.shape[1:])
            kind = stored.kind if change is None and not all else _kind(shape, precision)
            held = gguf.quant_shape_to_byte_shape(shape, kind) if kind in (Kind.Q8_0,) else shape
            if change is None and kind == stored.kind:
                data = stored.data
                held = data().shape
            else:
                data = _changed(stored, change, kind)
            told.append(data)
            sample = np.dtype({Kind.F32: np.float32, Kind.F16: np.float16}.get(kind, np.uint8))
            writer.add_tensor_info(name, held, sample, int(np.prod(held)) * sample.itemsize, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for data in told:
            writer.write_tensor_data(np.ascontiguousarray(data()))
        writer.close()


def from_file(path: Path) -> Blueprint:
    """The contents of the GGUF file at `path`."""
    reader = gguf.GGUFReader(path)
    fields = {
        field.name: (field.contents(), field.types[0], field.types[-1] if field.types[0] == Type.ARRAY else None)
        for field in reader.fields.values()
        if not field.name.startswith("GGUF.") and field.name not in ("general.architecture", "general.file_type")
    }
    arch = str(reader.fields["general.architecture"].contents())
    tensors = {tensor.name: _stored(tensor) for tensor in reader.tensors}
    return Blueprint(arch, fields, tensors)


def _stored(tensor: Any) -> Stored:
    def values() -> Array:
        found: Array = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        return found

    return Stored(tuple(int(size) for size in reversed(tensor.shape)), tensor.tensor_type, lambda: tensor.data, values)


def from_model(config: Any, tokenizer: Any, weights: Mapping[str, Weight]) -> Blueprint:
    """The contents of a file for a Hugging Face model: its configuration, tokenizer, and weights by name.

    Raises TrainingError for what this cannot write.
    """
    arch = ARCHITECTURES.get(config.model_type)
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if arch is None or rope.get("rope_type", "default") != "default":
        what = f"model type {config.model_type!r}" if arch is None else f"positions scaled by {rope['rope_type']!r}"
        raise TrainingError(
            f"A base with {what} cannot be written as GGUF here (known: {', '.join(ARCHITECTURES)}). "
            "Take the base as a GGUF file."
        )
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    fields: dict[str, tuple[Any, Any, Any]] = {
        "general.name": (Path(str(config.name_or_path)).name or arch, Type.STRING, None),
        f"{arch}.rope.freq_base": (float(rope.get("rope_theta", 10000.0)), Type.FLOAT32, None),
        f"{arch}.attention.layer_norm_rms_epsilon": (float(config.rms_norm_eps), Type.FLOAT32, None),
    }
    numbers = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": size,
        "attention.value_length": size,
        "rope.dimension_count": size,
        "vocab_size": config.vocab_size,
    }
    fields |= {f"{arch}.{key}": (int(value), Type.UINT32, None) for key, value in numbers.items()}
    fields |= _vocabulary(tokenizer, config.vocab_size)
    empty = Blueprint(arch, fields, {})
    tensors, kinds = {}, {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[arch], config.num_hidden_layers)
    for own, (shape, read) in weights.items():
        if own == "lm_head.weight" and config.tie_word_embeddings:
            continue
        name = names.get_name(own, (".weight", ".bias"))
        if name is None:
            raise TrainingError(f"The base's {own} has no place in a GGUF file. Take the base as a GGUF file.")

        def values(name: str = name, read: Callable[[], Array] = read) -> Array:
            return empty.arranged(name, read())

        tensors[name] = Stored(shape, Kind.F32, values, values)
    return Blueprint(arch, fields, tensors)


def _vocabulary(tokenizer: Any, size: int) -> dict[str, tuple[Any, Any, Any]]:
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    if backend["model"]["type"] != "BPE" or "ByteLevel" not in json.dumps(backend.get("decoder")):
        raise TrainingError(
            f"A base whose tokenizer is {backend['model']['type']} and not byte-level BPE cannot be written as GGUF here. "
            "Take the base as a GGUF file."
        )
    tokens, types = [f"[PAD{at}]" for at in range(size)], [int(gguf.TokenType.UNUSED)] * size
    for token, at in backend["model"]["vocab"].items():
        tokens[at], types[at] = token, int(gguf.TokenType.NORMAL)
    for added in backend["added_tokens"]:
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], int(kind)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in backend["model"]["merges"]]
    split = json.dumps(backend.get("pre_tokenizer"), ensure_ascii=False).replace("\\\\", "\\")
    digits = "smollm" if '"Digits"' in split else "gpt-2"
    fields: dict[str, tuple[Any, Any, Any]] = {
        "tokenizer.ggml.model": ("gpt2", Type.STRING, None),
        "tokenizer.ggml.pre": (next((n for p, n in SPLITS.items() if p in split), digits), Type.STRING, None),
        "tokenizer.ggml.tokens": (tokens, Type.ARRAY, Type.STRING),
        "tokenizer.ggml.token_type": (types, Type.ARRAY, Type.INT32),
        "tokenizer.ggml.merges": (merges, Type.ARRAY, Type.STRING),
        "tokenizer.ggml.add_bos_token": (False, Type.BOOL, None),
    }
    for key in ("bos", "eos", "padding"):
        at = getattr(tokenizer, f"{key.removesuffix('ding')}_token_id")
        fields |= {f"tokenizer.ggml.{key}_token_id": (at, Type.UINT32, None)} if at is not None else {}
    if tokenizer.chat_template:
        fields["tokenizer.chat_template"] = (tokenizer.chat_template, Type.STRING, None)
    return fields


def _kind(shape: tuple[int, ...], precision: Precision) -> Any:
    """How values of `shape` are stored: vectors in 32 bits, rows that do not divide into blocks in 16."""
    if len(shape) < 2:
        return Kind.F32
    return Kind.F16 if shape[-1] % BLOCK else KINDS[precision]


def _changed(stored: Stored, change: Change | None, kind: Any) -> Callable[[], NDArray[Any]]:
    def data() -> NDArray[Any]:
        values = stored.values()
        return np.asarray(gguf.quantize(change.of(values) if change else values, kind))

    return data
