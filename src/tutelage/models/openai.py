"""Any OpenAI-compatible endpoint, through the official client."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from tutelage import settings
from tutelage.errors import ModelError, UsageError
from tutelage.models.binding import Binding, bound, without_bounds
from tutelage.models.chat import Dialect, Limits, Message, ModelSettings, Params, PerLoop, Reply
from tutelage.models.failures import Endpoint, line, refused_parameter, said
from tutelage.models.loopback import is_loopback
from tutelage.models.prices import cost, estimated_prompt_tokens
from tutelage.models.replies import Reader, asked, malformed, sent, usage_of, warn_once
from tutelage.types import Usage

OPENAI = "https://api.openai.com/v1"
TIMEOUT = 60.0

BODY_ATTEMPTS = 3
"""How often a call is made in all when answers come that are no chat completion (the client does not retry those)."""

COUNTERS: Mapping[Dialect, tuple[str, str]] = {
    "llama.cpp": ("/v1/chat/completions/input_tokens", "input_tokens"),
    "llguidance": ("/v1/chat/completions/input_tokens", "input_tokens"),
    "vllm": ("/tokenize", "count"),
}
"""Where a server counts the tokens of a prompt, and the key of the figure."""


class OpenAIChat:
    """A model behind `settings.base_url` (OpenAI's own by default).

    The client retries 429, 5xx, timeouts and broken connections `settings.max_retries` times and honours `Retry-After`
    up to two minutes; what remains is a ModelError. Parameters that the endpoint says it does not take are left out
    from then on, which is logged once. Raises UsageError when a key is needed and not set; an endpoint on loopback needs none.
    """

    def __init__(self, settings: ModelSettings, *, limits: Limits | None = None) -> None:
        self.endpoint = settings.base_url or OPENAI
        self.timeout = settings.timeout or TIMEOUT
        self._limits = limits or Limits()
        self.settings = settings
        self._key = _key(self.endpoint, settings.api_key_env)
        self._refused: set[str] = set()
        self._bound: tuple[Params, Binding] | None = None
        self._client = PerLoop(self._connect)
        self._reader = Reader(self.endpoint, settings.model)
        self.who = Endpoint(self.endpoint, settings.model, settings.api_key_env, self.timeout, settings.max_retries)

    @property
    def name(self) -> str:
        return self.settings.model

    @property
    def limits(self) -> Limits:
        return self._limits

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        """The reply; `usage.seconds` is the wall time of the whole call, retries included. Raises ModelError."""
        start = time.perf_counter()
        problem = ""
        for _ in range(BODY_ATTEMPTS):
            try:
                completion = await self._create(messages, params)
            except ValueError as error:  # a body that is not JSON
                problem = f"{type(error).__name__}: {error}"
                continue
            if problem := malformed(completion):
                continue
            usage = usage_of(completion, messages)
            usage = replace(usage, dollars=cost(self.settings.price, usage), seconds=time.perf_counter() - start)
            return self.reply(completion, params, usage)
        raise ModelError(
            f"{self.endpoint} sent {BODY_ATTEMPTS} times in a row what is no chat completion ({line(problem)}). "
            "Check that base_url names an OpenAI-compatible API.",
            retryable=True,
        )

    def request(self, messages: Sequence[Message], params: Params) -> dict[str, Any]:
        """The body of a call, without the parameters that the endpoint has refused so far. Raises ModelError as `bound`."""
        limit = "max_completion_tokens" if "max_tokens" in self._refused else "max_tokens"
        llama = self.settings.dialect in ("llama.cpp", "llguidance")
        body = {
            "model": self.settings.model,
            limit: params.max_tokens,
            **asked(messages, params, self._binding(params), self._refused),
        }
        if llama and params.logprobs:
            # It lists twenty alternatives of every token unless told otherwise, and none of any for 0.
            body["top_logprobs"] = max(1, params.top_logprobs)
        return {key: value for key, value in body.items() if value is not None and key not in self._refused - _KEPT}

    def reply(self, completion: ChatCompletion, params: Params, usage: Usage) -> Reply:
        """What `completion` answers to a request with `params`. Raises NoAnswer."""
        sampled = replace(params, logprobs=False) if "logprobs" in self._refused else params
        return self._reader.reply(completion, sampled, self._binding(params), usage)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Exact where the endpoint counts (llama.cpp, vLLM), else an estimate. The frame of a tool is not counted."""
        if (counter := COUNTERS.get(self.settings.dialect)) is None:
            return estimated_prompt_tokens(messages)
        path, key = counter
        body = {"model": self.settings.model, "messages": sent(messages)}
        try:
            url = self.endpoint.rstrip("/").removesuffix("/v1") + path
            counted: Any = await self.client.post(url, body=body, cast_to=object)
        except (openai.OpenAIError, ValueError):  # an older server, or one that is down, which the next call says
            return estimated_prompt_tokens(messages)
        found = counted.get(key) if isinstance(counted, dict) else None
        return found if isinstance(found, int) else estimated_prompt_tokens(messages)

    async def close(self) -> None:
        if client := self._client.take():
            await client.close()

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The client of the running event loop."""
        return self._client.get()

    def _connect(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self.endpoint,
            timeout=self.timeout,
            max_retries=self.settings.max_retries,
        )

    def _binding(self, params: Params) -> Binding:
        """How `params` binds the answer: worked out once for calls that differ in other things (seed, temperature)."""
        last = self._bound
        if last and all(getattr(last[0], name) is getattr(params, name) for name in _BINDS):
            return last[1]
        binding = bound(params, self.settings.dialect)
        self._bound = params, binding
        return binding

    async def _create(self, messages: Sequence[Message], params: Params) -> ChatCompletion:
        """One call, repeated while the endpoint names a parameter that can be left out."""
        while True:
            body = self.request(messages, params)
            try:
                # As extra_body: the client walks typed parameters one by one, which takes milliseconds for a long schema.
                return await self.client.chat.completions.create(
                    model=self.settings.model, messages=[], extra_body=body
                )
            except openai.OpenAIError as error:
                refused = refused_parameter(error, body)
                if refused is None or (refused == "response_format" and without_bounds(body[refused]) == body[refused]):
                    raise self._explained(error, params) from error
                self._leave_out(refused, said(error))

    def _leave_out(self, name: str, why: str) -> None:
        self._refused.add(name)
        if name == "response_format":
            warn_once(
                f"{self.endpoint} takes no bounds in a schema ({why}): answers of {self.name!r} come without them."
            )
        elif name != "max_tokens":
            warn_once(f"{self.endpoint} does not take {name!r} ({why}): answers of {self.name!r} come without it.")

    def _explained(self, error: openai.OpenAIError, params: Params) -> ModelError:
        if params.structured == "regex" and isinstance(error, openai.BadRequestError) and _FORM.search(str(error)):
            return ModelError(
                f"{self.endpoint} cannot bind {self.name!r} to the regular expression {params.pattern!r} ({said(error)}). "
                "Simplify it, set dialect to what the endpoint is, or set structured to another form.",
                fatal=True,
            )
        return self.who.explained(error)


def build_openai(settings: ModelSettings) -> OpenAIChat:
    """The row of the table of providers."""
    return OpenAIChat(settings)


_KEPT = frozenset({"max_tokens", "response_format"})
"""Refused parameters that are sent in another form instead of being left out."""

_BINDS = ("structured", "schema", "choices", "pattern")
"""The parameters that say how an answer is bound."""

_FORM = re.compile("pattern|regex|grammar|schema|response_format|structured", re.IGNORECASE)


def _key(endpoint: str, variable: str) -> str:
    try:
        return settings.api_key(variable)
    except UsageError:
        if is_loopback(endpoint):
            return "none"
        raise
