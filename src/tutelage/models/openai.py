"""Any OpenAI-compatible endpoint, through the official client."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion

from tutelage import settings
from tutelage.errors import ModelError, UsageError
from tutelage.models.chat import Limits, Message, ModelSettings, Params, PerLoop, Reply, Structured, Token
from tutelage.models.prices import cost, estimated_prompt_tokens, estimated_tokens
from tutelage.types import Usage

OPENAI = "https://api.openai.com/v1"
TIMEOUT = 60.0

BODY_ATTEMPTS = 3
"""How often a call is made in all when answers come that are no chat completion (the client does not retry those)."""

_LENGTHS = ("minLength", "maxLength")


class OpenAIChat:
    """A model behind `settings.base_url` (OpenAI's own by default).

    The client retries 429, 5xx, timeouts and broken connections `settings.max_retries` times and honours `Retry-After`
    up to two minutes; what remains is a ModelError. Parameters that the endpoint says it does not take are left out
    from then on. Raises UsageError when a key is needed and not set; an endpoint on loopback needs none.
    """

    def __init__(self, settings: ModelSettings, *, limits: Limits | None = None) -> None:
        self.endpoint = settings.base_url or OPENAI
        self.timeout = settings.timeout or TIMEOUT
        self._limits = limits or Limits()
        self._settings = settings
        self._key = _key(self.endpoint, settings.api_key_env)
        self._refused: set[str] = set()
        self._client = PerLoop(self._connect)

    @property
    def name(self) -> str:
        return self._settings.model

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
            if problem := _malformed(completion):
                continue
            reply = self._reply(completion, messages)
            return replace(reply, usage=replace(reply.usage, seconds=time.perf_counter() - start))
        raise ModelError(
            f"{self.endpoint} sent {BODY_ATTEMPTS} times in a row what is no chat completion ({_line(problem)}). "
            "Check that base_url names an OpenAI-compatible API.",
            retryable=True,
        )

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return estimated_prompt_tokens(messages)

    async def close(self) -> None:
        if client := self._client.take():
            await client.close()

    def _connect(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self.endpoint,
            timeout=self.timeout,
            max_retries=self._settings.max_retries,
        )

    async def _create(self, messages: Sequence[Message], params: Params) -> ChatCompletion:
        """One call, repeated while the endpoint names a parameter that can be left out."""
        while True:
            body = self._body(messages, params)
            try:
                # As extra_body: the client walks typed parameters one by one, which takes milliseconds for a long schema.
                return await self._client.get().chat.completions.create(
                    model=self._settings.model, messages=[], extra_body=body
                )
            except openai.OpenAIError as error:
                refused = _refused_parameter(error, body)
                if refused is None:
                    raise self._explained(error) from error
                self._refused.add(refused)

    def _body(self, messages: Sequence[Message], params: Params) -> dict[str, Any]:
        limit = "max_completion_tokens" if "max_tokens" in self._refused else "max_tokens"
        body: dict[str, Any] = {
            "messages": [{"role": message.role, "content": _sendable(message.content)} for message in messages],
            limit: params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stop": list(params.stop) or None,
            "seed": params.seed,
            "logprobs": params.logprobs or None,
        }
        if params.schema is not None and params.structured in ("schema", "json"):
            body["response_format"] = self._response_format(params.structured, params.schema)
        return {key: value for key, value in body.items() if value is not None and key not in self._refused - _KEPT}

    def _response_format(self, structured: Structured, schema: Mapping[str, Any]) -> dict[str, Any]:
        if structured == "json":
            return {"type": "json_object"}
        asked = _without_lengths(schema) if "response_format" in self._refused else schema
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": asked, "strict": True}}

    def _reply(self, completion: ChatCompletion, messages: Sequence[Message]) -> Reply:
        choice = completion.choices[0]
        text = choice.message.content or ""
        if not text and choice.message.refusal:
            raise ModelError(f"The model {self.name!r} refused: {_line(choice.message.refusal)}")
        usage = _usage(completion, messages, text)
        usage = replace(usage, dollars=cost(self._settings.price, usage))
        found = choice.logprobs.content if choice.logprobs else None
        tokens = tuple(Token(token.token, token.logprob) for token in found) if found else None
        return Reply(text, usage, completion.model or self.name, choice.finish_reason or "stop", tokens)

    def _explained(self, error: openai.OpenAIError) -> ModelError:
        """`error` as one line for people."""
        model, at, detail = self._settings.model, self.endpoint, _detail(error)
        match error:
            case openai.APITimeoutError():
                text = f"{at} did not answer within {self.timeout:g} s ({self._attempts()}). Raise timeout."
                return ModelError(text, retryable=True)
            case openai.APIConnectionError():
                down = "connect" in type(error.__cause__).__name__.lower()
                cause = _line(str(error.__cause__ or error)) or type(error.__cause__).__name__
                what = "cannot be reached" if down else "broke the connection"
                text = f"{at} {what} ({cause}; {self._attempts()}). Check base_url and that the server runs."
                return ModelError(text, retryable=True, fatal=down)
            case openai.AuthenticationError():
                text = f"{at} refused the API key in {self._settings.api_key_env} ({detail}). Set a valid key."
                return ModelError(text, fatal=True)
            case openai.NotFoundError():
                text = f"The model {model!r} is not at {at} ({detail}). Check model and base_url."
                return ModelError(text, fatal=True)
            case openai.RateLimitError() if error.code == "insufficient_quota":
                return ModelError(f"The account at {at} has no credit left ({detail}).", fatal=True)
            case openai.RateLimitError():
                text = f"{at} limits the rate ({detail}; {self._attempts()}). Lower concurrency or wait."
                return ModelError(text, retryable=True)
            case openai.APIStatusError():
                text = f"{at} answered {error.status_code} for model {model!r}: {detail}"
                return ModelError(text, retryable=error.status_code >= 500 or error.status_code in (408, 409))
            case _:
                return ModelError(f"{at} failed for model {model!r}: {detail}")

    def _attempts(self) -> str:
        return f"asked {self._settings.max_retries + 1} times"


def build_openai(settings: ModelSettings) -> OpenAIChat:
    """The row of the table of providers."""
    return OpenAIChat(settings)


def is_loopback(url: str) -> bool:
    """Whether `url` names this very machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


_KEPT = frozenset({"max_tokens", "response_format"})
"""Refused parameters that are sent in another form instead of being left out."""

_OPTIONAL = ("max_tokens", "temperature", "top_p", "stop", "seed", "logprobs", "response_format")
_REFUSALS = ("unsupported", "not support", "not allowed", "not permitted", "unrecognized", "unknown", "extra")


def _refused_parameter(error: openai.OpenAIError, body: Mapping[str, Any]) -> str | None:
    """The parameter in `body` that a 400, 403 or 422 refuses and that can be left out or sent in another form."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in (400, 403, 422):
        return None
    text = f"{error.code} {error.param} {error.message}"
    if not any(word in text.lower() for word in _REFUSALS):
        return None
    named = [name for name in _OPTIONAL if name in body and re.search(rf"\b{name}\b", text)]
    refused = next(iter(named), None)
    if refused == "response_format" and not any(key in str(body[refused]) for key in _LENGTHS):
        return None
    return refused


def _sendable(text: str) -> str:
    """`text` with lone surrogates, which no UTF-8 can hold, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _without_lengths(schema: Any) -> Any:
    """`schema` without the keywords for lengths of strings, which some endpoints refuse in strict mode."""
    if isinstance(schema, Mapping):
        return {key: _without_lengths(value) for key, value in schema.items() if key not in _LENGTHS}
    return [_without_lengths(part) for part in schema] if isinstance(schema, list) else schema


def _key(endpoint: str, variable: str) -> str:
    try:
        return settings.api_key(variable)
    except UsageError:
        if is_loopback(endpoint):
            return "none"
        raise


def _malformed(completion: object) -> str:
    """What keeps `completion` from being one ("" when nothing does): the client takes any JSON, and HTML as text."""
    if not isinstance(completion, ChatCompletion):
        return f"found {str(completion)[:60]!r}"
    choices: Any = completion.choices
    if not isinstance(choices, list) or not choices:
        return "it has no choices"
    message = getattr(choices[0], "message", None)
    content = getattr(message, "content", None)
    if message is None or not isinstance(content, str | None):
        return "its first choice has no message"
    return ""


def _usage(completion: ChatCompletion, messages: Sequence[Message], text: str) -> Usage:
    """The tokens as billed; estimated where the endpoint does not say, so that a budget still holds."""
    found = completion.usage
    if found is None:
        return Usage(estimated_prompt_tokens(messages), estimated_tokens(text))
    details = found.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return Usage(found.prompt_tokens or 0, found.completion_tokens or 0, cached_input_tokens=cached)


def _detail(error: openai.OpenAIError) -> str:
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return _line(str(message or getattr(error, "message", "") or error))


def _line(text: str, longest: int = 200) -> str:
    """`text` on one line, shortened, without a full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= longest else line[: longest - 3] + "..."
