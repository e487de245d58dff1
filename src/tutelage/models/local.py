"""A local model in Hugging Face's format, run by transformers in this process, on a GPU where there is one.

`model` is a folder, a name on the Hugging Face Hub, or a GGUF file, which is unpacked to 32 bits (llama.cpp, the provider
"gguf", runs those faster). Answers are bound by llguidance with the same grammars as those of the provider "gguf".
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

from tutelage.errors import ModelError
from tutelage.models.binding import Binding, bound
from tutelage.models.chat import Limits, Message, ModelSettings, Params, Reply
from tutelage.models.decoding import Bound
from tutelage.models.tokens import aligned
from tutelage.models.weights import Weights, find
from tutelage.types import Usage

CHARACTERS_PER_TOKEN = 16
"""More than real text has: a prompt beyond context x 16 characters is not worth tokenising."""


class TransformersChat:
    """The model `settings.model`, loaded at the first call; local answers have no price per token.

    One call at a time, in a thread; all candidates over one model share what is in memory. The window is the model's own,
    or `settings.context` where that is smaller; log probabilities are the model's own, before temperature and grammar.
    Raises DataError for a path that holds no model.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._place = find(settings.model, settings.folder)
        self._context = min(settings.context, self._place.window or settings.context)
        self._weights: Weights | None = None

    @property
    def name(self) -> str:
        return self._settings.model

    @property
    def limits(self) -> Limits:
        return Limits(concurrency=1, max_characters=self._context * CHARACTERS_PER_TOKEN, context=self._context)

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        """The reply; the seconds do not hold the loading of the model. Raises ModelError."""
        binding, left = bound(params, "llguidance"), threading.Event()
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await asyncio.to_thread(self._complete, messages, params, binding, left)
        except TimeoutError:
            text = f"{self.name!r} did not answer within {self._settings.timeout:g} s."
            raise ModelError(f"{text} Raise timeout or lower max_tokens.") from None
        finally:
            left.set()  # a thread that nobody waits for any more ends at its next token

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Exact, by the model's own tokenizer and chat template. The frame of a tool is not counted."""

        def count() -> int:
            weights = self._loaded()
            with weights.lock:
                return len(weights.encode(messages))

        return await asyncio.to_thread(count)

    async def close(self) -> None:
        self._weights = None

    def _loaded(self) -> Weights:
        weights = self._weights
        if weights is None:
            weights = self._weights = Weights.shared(self._place, self._settings.threads)
        return weights

    def _complete(self, messages: Sequence[Message], params: Params, binding: Binding, left: threading.Event) -> Reply:
        weights, grammar = self._loaded(), binding.body.get("grammar")
        with weights.lock:
            bound_by = Bound(weights.vocabulary, grammar, weights.ends) if grammar else None
            start = time.perf_counter()
            prompt = weights.encode(messages, binding.body.get("tools"))
            room = self._context - len(prompt)
            if room < 1:
                raise ModelError(
                    f"The prompt has {len(prompt):,} tokens; the window of {self.name!r} is {self._context:,}. Shorten the "
                    "input, take fewer shots, or raise context."
                )
            found = weights.generate(prompt, params, bound_by, min(params.max_tokens, room), left)
            text = binding.bare(weights.text(found.tokens, params.stop))
            usage = Usage(
                len(prompt), len(found.tokens), seconds=time.perf_counter() - start, cached_input_tokens=found.reused
            )
            tokens = aligned(weights.listed(found), text) if params.logprobs else None
            return Reply(text, usage, self.name, found.finish_reason, tokens)


def build_transformers(settings: ModelSettings) -> TransformersChat:
    """The row of the table of providers."""
    return TransformersChat(settings)
