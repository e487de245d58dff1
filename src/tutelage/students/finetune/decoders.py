"""A decoder language model to fine-tune: found, loaded, its chat template, and where its weights come from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GgufConfig

from tutelage.embeddings.bases import find_base
from tutelage.embeddings.export import quiet
from tutelage.embeddings.runtime import Array
from tutelage.errors import TrainingError
from tutelage.students.finetune.gguf_file import Blueprint, Weight, from_file, from_model
from tutelage.students.finetune.loop import bf16_pays

SLOT = "<<THE TEXT>>"
"""Where the text stands while a chat template is taken apart."""


@dataclass(frozen=True)
class Decoder:
    """`model` with its tokenizer, as transformers has it and bare. `file` is the GGUF file that it was, if it was one."""

    model: Any
    wrapped: Any
    tokenizer: Tokenizer
    source: str
    file: Path | None
    licence: str
    bits: int

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        found = self.wrapped.eos_token_id
        if found is None:
            raise TrainingError(f"The tokenizer of {self.source} names no token that ends a text. Choose another base.")
        return int(found)

    @property
    def entries(self) -> int:
        """Entries of the vocabulary, those that the tokenizer does not use included."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def window(self) -> int:
        """The tokens that the model sees at once."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 2048))

    def name_tokens(self, first: int, names: Sequence[str]) -> None:
        """Let the bare tokenizer know the tokens from `first` on by `names`, for who reads a prompt as text."""
        unused = [f"<|unused-{at}|>" for at in range(self.tokenizer.get_vocab_size(), first)]
        self.tokenizer.add_special_tokens([*unused, *names])

    def text(self, text: str) -> list[int]:
        """The tokens of a text; marks of the template in it are text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def around(self, system: str | None, lead: str = "") -> tuple[list[int], list[int]]:
        """The tokens before and after a text in the prompt: the base's chat template, or nothing but an empty line."""
        if not self.wrapped.chat_template:
            bos = self.wrapped.bos_token_id
            before = self._marked(f"{system}\n\n{lead}" if system else lead)
            return [*([bos] if bos is not None else []), *before], self._marked("\n\n")
        turn = {"role": "user", "content": lead + SLOT}
        turns = [*([{"role": "system", "content": system}] if system else []), turn]
        try:
            prompt = self._templated(turns)
        except jinja2.TemplateError:  # some templates know no system message
            prompt = self._templated([{"role": "user", "content": f"{system}\n\n{lead}{SLOT}"}])
        before_text, found, after_text = prompt.partition(SLOT)
        if not found:
            raise TrainingError(f"The chat template of {self.source} loses what a user says. Choose another base.")
        return self._marked(before_text), self._marked(after_text)

    def blueprint(self) -> Blueprint:
        """The base as a GGUF file, its weights as they were before training and before they were put in few bits.

        Raises TrainingError for a base that cannot be written as one.
        """
        if self.file:
            return from_file(self.file)
        config = self.model.config
        if self.bits == 16:
            return from_model(config, self.wrapped, {name: _held(one) for name, one in _named(self.model)})
        with torch.device("meta"):
            shapes = {name: tuple(one.shape) for name, one in _named(AutoModelForCausalLM.from_config(config))}

        @cache
        def whole() -> dict[str, torch.Tensor]:
            return dict(_named(AutoModelForCausalLM.from_pretrained(self.source, dtype=torch.bfloat16)))

        return from_model(config, self.wrapped, {name: (shape, _later(whole, name)) for name, shape in shapes.items()})

    def _templated(self, turns: list[dict[str, str]]) -> str:
        return str(self.wrapped.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))

    def _marked(self, text: str) -> list[int]:
        """The tokens of a part of a template, its marks as such."""
        return list(self.wrapped(text, add_special_tokens=False)["input_ids"])


def load_decoder(base: str, path: Callable[[str], Path], bits: int, device: torch.device) -> Decoder:
    """The model in the GGUF file or folder `path(base)`, or of that name on Hugging Face, on `device`.

    Raises TrainingError when there is none, it cannot be loaded, or `bits` ask for what is not here.
    """
    place, licence = find_base(base, path)
    file = _gguf_of(Path(place))
    half = device.type == "cuda" and bf16_pays(device)
    options: dict[str, Any] = {"dtype": torch.bfloat16 if half else torch.float32}
    if bits < 16:
        options["quantization_config"] = _few_bits(bits, device)
        options["device_map"] = {"": device}
    elif file:
        options["quantization_config"] = GgufConfig(dequantize=True)
    if file and bits < 16:
        raise TrainingError(f"bits = {bits} needs a base in Hugging Face's format, and {base!r} is a GGUF file.")
    source, named = (str(file.parent), {"gguf_file": file.name}) if file else (place, {})
    try:
        with quiet():
            wrapped = AutoTokenizer.from_pretrained(source, **named)
            model = AutoModelForCausalLM.from_pretrained(source, **named, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise TrainingError(f"base = {base!r} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    if getattr(wrapped, "backend_tokenizer", None) is None:
        raise TrainingError(f"base = {base!r} has no tokenizer.json. Choose a base with a fast tokenizer.")
    if bits == 16:
        model.to(device)
    model.config.use_cache = False
    bare = Tokenizer.from_str(wrapped.backend_tokenizer.to_str())
    bare.no_truncation()
    bare.no_padding()
    bare.encode_special_tokens = True
    return Decoder(model, wrapped, bare, place, file, licence, bits)


def _gguf_of(place: Path) -> Path | None:
    """The GGUF file at `place`, or the only one in it where it is a folder without a model in Hugging Face's format."""
    if place.suffix == ".gguf" and place.is_file():
        return place
    files = sorted(place.glob("*.gguf")) if place.is_dir() and not (place / "config.json").is_file() else []
    if len(files) > 1:
        raise TrainingError(f"{place} holds {len(files)} GGUF files. Name one of them: {files[0].name}, ...")
    return files[0] if files else None


def _few_bits(bits: int, device: torch.device) -> Any:
    if device.type != "cuda" or importlib.util.find_spec("bitsandbytes") is None:
        missing = "no GPU is found here" if device.type != "cuda" else "bitsandbytes is not installed here"
        raise TrainingError(
            f"bits = {bits} needs a GPU and the package bitsandbytes, and {missing}. Leave bits out, or set bits = 16."
        )
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _named(model: Any) -> list[tuple[str, torch.Tensor]]:
    return [(name, one.detach()) for name, one in model.named_parameters()]


def _held(weight: torch.Tensor) -> Weight:
    return tuple(weight.shape), lambda: weight.float().cpu().numpy()


def _later(weights: Callable[[], dict[str, torch.Tensor]], name: str) -> Callable[[], Array]:
    return lambda: weights()[name].float().cpu().numpy()
