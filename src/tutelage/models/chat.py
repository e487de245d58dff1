"""What a chat model is: messages in, one reply out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from tutelage.errors import ModelError
from tutelage.tasks.file import Price
from tutelage.types import Usage

T = TypeVar("T")

Role: TypeAlias = Literal["system", "user", "assistant"]
Structured: TypeAlias = Literal["schema", "json", "tool", "choice", "regex", "none"]
"""How an answer is bound: to JSON by its schema, to any JSON object, to the arguments of a tool call, to one of some texts,
to a regular expression, or by the words of the prompt alone."""

Dialect: TypeAlias = Literal["openai", "llama.cpp", "llguidance", "vllm"]
"""How an endpoint is told of choices, regular expressions and tools, which the endpoints that speak OpenAI's API do each in
their own way. "llguidance" is a llama.cpp server built with llguidance, as the one for local files is."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class Params:
    """How to generate. `schema` is the JSON Schema of the answer, `choices` the texts that "choice" allows, `pattern` the
    regular expression of "regex"; `logprobs` asks for the tokens' log probabilities, `top_logprobs` for those of as many
    alternatives to each."""

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    structured: Structured = "schema"
    schema: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    logprobs: bool = False
    top_logprobs: int = 0


class Token(NamedTuple):
    """One generated token: its text and the natural logarithm of its probability; `others` are those of the most probable
    tokens that might have stood there, by their texts, where they were asked for."""

    text: str
    logprob: float
    others: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Reply:
    """A model's answer. `finish_reason` is "length" when it was cut at `max_tokens`; `tokens` are those of `text`, in order,
    None where the model does not give them."""

    text: str
    usage: Usage
    model: str
    finish_reason: str = "stop"
    tokens: tuple[Token, ...] | None = None


class NoAnswer(ModelError):
    """The model answered without an answer (it refused, or was cut off before its first word); `usage` is what that cost."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


class RateLimited(ModelError):
    """The endpoint limits the rate; `retry_after` is the pause that it asks for, as it says it."""

    def __init__(self, message: str, retry_after: str | None) -> None:
        super().__init__(message, retryable=True)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Limits:
    """How many calls at a time are worth making, and how long a prompt may be to be worth sending.

    `context` is the model's window in tokens, prompt and answer together, None where it is not known.
    """

    concurrency: int = 8
    max_characters: int = 4_000_000
    """About a million tokens: more than known models take."""
    context: int | None = None


@runtime_checkable
class ChatModel(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> Limits: ...

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        """The reply. Raises ModelError when there is none; its `retryable` and `fatal` say what asking again can do."""
        ...

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """The tokens of a prompt: exact where the model's tokenizer is at hand, else an estimate that is rather too high."""
        ...

    async def close(self) -> None:
        """Free connections and processes; the model is not used afterwards."""
        ...


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What a provider is told: `PROVIDERS.load(name)(settings) -> ChatModel`.

    `model` is a name, or a path relative to `folder` for providers that run files. `timeout` is in seconds and holds
    for each attempt (None: as the provider thinks fit); `context` is in tokens; `threads` None means all cores.
    """

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    dialect: Dialect = "openai"
    timeout: float | None = None
    max_retries: int = 4
    context: int = 4096
    threads: int | None = None
    price: Price | None = None
    folder: Path = Path()


class PerLoop(Generic[T]):
    """One value per event loop, because clients and semaphores belong to the loop in which they are first used."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._value: T | None = None

    def get(self) -> T:
        """The value of the running loop, made when the loop is another than at the last call."""
        loop = asyncio.get_running_loop()
        if self._value is None or loop is not self._loop:
            self._loop, self._value = loop, self._make()
        return self._value

    def take(self) -> T | None:
        """The value of the running loop if one was made, which is then forgotten."""
        mine = self._value if self._loop is asyncio.get_running_loop() else None
        self._loop = self._value = None
        return mine
