"""A causal language model of transformers in memory: found, loaded, prompted, run.

Keys and values of the prefix that a prompt shares with the one before are kept, where the model's cache can be cut back.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from weakref import WeakValueDictionary

import jinja2
import llguidance.hf
import torch
from openai.types.chat import ChatCompletionTokenLogprob
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, StoppingCriteriaList
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.utils import logging

from tutelage import settings as environment
from tutelage.errors import DataError, ModelError
from tutelage.models.chat import Message, Params
from tutelage.models.decoding import Bound, Ended, Recorder, processors

WINDOWS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""Where configurations say how many tokens a model sees."""


class Place(NamedTuple):
    """Where a model is: a folder or a name on the Hub, and the GGUF file in it if it is one."""

    source: str
    file: str | None = None

    @property
    def window(self) -> int | None:
        """The tokens that the model sees, where a configuration is at hand and says so."""
        try:
            found = json.loads((Path(self.source) / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        found |= found.get("text_config") or {}
        return next((found[key] for key in WINDOWS if isinstance(found.get(key), int)), None)


def find(model: str, folder: Path) -> Place:
    """The place of `model`: a path relative to `folder`, or a name. Raises DataError for a path that holds no model."""
    path = folder / Path(model).expanduser()
    if path.is_file():
        return Place(str(path.parent), path.name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise DataError(f"The folder {path} holds no model: there is no config.json in it. Check model = ...")
        return Place(str(path))
    if model.startswith((".", "~", "/")) or model.endswith(".gguf"):
        raise DataError(f"The model {path} does not exist. Check model = ...")
    return Place(model)


@dataclass(frozen=True)
class Generated:
    """The tokens of an answer, those that end it left out, their log probabilities where asked for, and why it ended."""

    tokens: list[int]
    logprobs: list[float] | None
    finish_reason: str
    reused: int
    """The tokens of the prompt whose keys and values were kept."""


class Weights:
    """The model at `place`, to be used under its `lock`. Raises ModelError when it cannot be loaded."""

    _alive: ClassVar[WeakValueDictionary[tuple[Place, int | None], Weights]] = WeakValueDictionary()
    _opening: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def shared(cls, place: Place, threads: int | None = None) -> Weights:
        """The same for all who ask for the same model, for as long as one of them keeps it."""
        with cls._opening:
            found = cls._alive.get((place, threads))
            if found is None:
                found = cls._alive[place, threads] = cls(place, threads)
            return found

    def __init__(self, place: Place, threads: int | None = None) -> None:
        self.lock = threading.Lock()
        environment.wait_passively()
        if threads:
            torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind = "auto" if self.device.type == "cuda" else torch.float32
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(place.source, gguf_file=place.file)
            self.model = AutoModelForCausalLM.from_pretrained(place.source, gguf_file=place.file, dtype=kind)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"The model {place.file or place.source!r} cannot be loaded: {reason}. Check model = ...", fatal=True
            ) from error
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
        self.model.to(self.device).eval()
        self.ends = _ends(self.model.generation_config, self.tokenizer)
        # A checkpoint's own sampling and penalties would shape the answers unseen.
        self.model.generation_config = GenerationConfig(eos_token_id=self.ends, pad_token_id=self.ends[0])
        self._kept: tuple[list[int], DynamicCache] | None = None

    @cached_property
    def vocabulary(self) -> llguidance.LLTokenizer:
        """The tokenizer as llguidance reads it, which takes about a second. Raises ModelError for one it cannot read."""
        try:
            return llguidance.hf.from_tokenizer(
                self.tokenizer, self.model.get_output_embeddings().out_features, self.ends
            )
        except ValueError as error:
            text = f"The tokenizer {type(self.tokenizer).__name__} cannot be bound by a grammar ({error})."
            raise ModelError(f"{text} Set structured = 'none'.", fatal=True) from error

    def encode(self, messages: Sequence[Message], tools: Sequence[Any] | None = None) -> list[int]:
        """The tokens of a prompt by the model's chat template; without one, the messages as paragraphs."""
        if not self.tokenizer.chat_template:
            text = "".join(f"{message.content}\n\n" for message in messages)
            return list(self.tokenizer(text)["input_ids"])
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._templated(turns, tools)
        except jinja2.TemplateError:  # some templates know no system message
            system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
            rest = [turn for turn in turns if turn["role"] != "system"]
            first = {"role": "user", "content": f"{system}\n\n{rest[0]['content']}"}
            return self._templated([first, *rest[1:]], tools)

    def _templated(self, turns: list[dict[str, str]], tools: Sequence[Any] | None) -> list[int]:
        given = list(tools) if tools else None
        encoded = self.tokenizer.apply_chat_template(turns, tools=given, add_generation_prompt=True, return_dict=True)
        return list(encoded["input_ids"])

    def generate(
        self, prompt: list[int], params: Params, binding: Bound | None, most: int, left: threading.Event
    ) -> Generated:
        """At most `most` tokens after `prompt`; `left` ends it early. Raises ModelError when memory does not suffice."""
        recorder = Recorder() if params.logprobs else None
        cache, reused = self._reuse(prompt)
        given = torch.tensor([prompt], device=self.device)
        try:
            with torch.inference_mode():
                found = self.model.generate(
                    given,
                    attention_mask=torch.ones_like(given),
                    past_key_values=cache,
                    max_new_tokens=most,
                    do_sample=False,  # the processors sample
                    logits_processor=processors(params, recorder, binding),
                    stopping_criteria=StoppingCriteriaList([Ended(self._text, len(prompt), params.stop, left)]),
                )
        except (RuntimeError, MemoryError) as error:
            raise ModelError(f"The model failed on {len(prompt):,} tokens: {str(error).splitlines()[0]}") from error
        whole = found[0].tolist()
        if all(type(layer) is DynamicLayer for layer in cache.layers):
            self._kept = whole[: cache.get_seq_length()], cache
        tokens = whole[len(prompt) :]
        logprobs = recorder.logprobs(whole[-1]) if recorder else None
        ended = [token in self.ends for token in tokens].index(True) if set(tokens) & set(self.ends) else None
        finish = "length" if ended is None and len(tokens) >= most and not left.is_set() else "stop"
        return Generated(tokens[:ended], logprobs[:ended] if logprobs else None, finish, reused)

    def listed(self, generated: Generated) -> list[ChatCompletionTokenLogprob]:
        """The text of each token; of a character that is split over tokens the last one bears the whole."""
        stream = DecodeStream(skip_special_tokens=True)
        backend = self.tokenizer.backend_tokenizer
        texts = [stream.step(backend, token) or "" for token in generated.tokens]
        logprobs = generated.logprobs or [0.0] * len(texts)
        return [
            ChatCompletionTokenLogprob.model_construct(token=text, logprob=logprob, bytes=None, top_logprobs=[])
            for text, logprob in zip(texts, logprobs, strict=True)
        ]

    def text(self, tokens: Sequence[int], stop: Sequence[str]) -> str:
        """The text of an answer, up to the first of the stop texts in it."""
        found = self._text(tokens)
        ends = [found.find(one) for one in stop if one in found]
        return found[: min(ends)] if ends else found

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _reuse(self, prompt: list[int]) -> tuple[DynamicCache, int]:
        """A cache that holds what `prompt` shares with the last one, and how many tokens that is."""
        kept, self._kept = self._kept, None  # forgotten until generation has gone well
        if kept is None:
            return DynamicCache(config=self.model.config), 0
        tokens, cache = kept
        shared = 0
        for mine, its in zip(prompt[:-1], tokens, strict=False):
            if mine != its:
                break
            shared += 1
        cache.crop(shared - len(tokens))
        return cache, shared


def _ends(config: GenerationConfig, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: those of the checkpoint, and the tokenizer's own."""
    named = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    found = [token for token in (tokenizer.eos_token_id, *named) if token is not None]
    return list(dict.fromkeys(found)) or [0]
