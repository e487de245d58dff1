"""Models of many vendors (Anthropic, Gemini, Mistral, Bedrock, Azure, ...) through the library any-llm.

`model` is "vendor:name", for example "anthropic:claude-haiku-4-5". The key is read from `api_key_env` where task.toml names one,
else from the vendor's own variable. What was weighed against it, and why it was taken, is written in docs/providers.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import any_llm
from any_llm import AnyLLM
from any_llm.exceptions import GatewayTimeoutError, InsufficientFundsError, UpstreamProviderError
from pydantic import ValidationError

from tutelage import settings as environment
from tutelage.errors import ModelError, UnknownName, UsageError
from tutelage.models.binding import BOUNDS, Binding, bound
from tutelage.models.chat import Limits, Message, ModelSettings, Params, PerLoop, RateLimited, Reply
from tutelage.models.failures import OPTIONAL, line
from tutelage.models.loopback import is_loopback
from tutelage.models.openai import TIMEOUT
from tutelage.models.prices import cost, estimated_prompt_tokens
from tutelage.models.replies import Reader, asked, malformed, usage_of, warn_once

LONGEST_PAUSE = 120.0
"""Seconds that a vendor may ask to wait before the next attempt; also the longest pause of our own."""

OPENAI_KEY = "OPENAI_API_KEY"

_LEFT_OUT = frozenset(OPTIONAL) - {"max_tokens", "response_format"}
_REFUSALS = (
    "unsupported",
    "not support",
    "not allowed",
    "not permitted",
    "unrecognized",
    "unknown",
    "unexpected",
    "extra",
)


_DOWN = ("connecterror", "connectionrefused", "gaierror", "connecttimeout", "endpointconnection", "connectorerror")
"""Parts of the names that clients give to a connection that was never made."""


class AnyChat:
    """A model of any vendor that any-llm knows.

    An attempt is broken off after `settings.timeout` seconds; rate limits, overload, broken connections and timeouts are
    asked again `settings.max_retries` times, after the pause that the vendor asks for. Parameters that it does not take are
    left out from then on, which is logged once. Raises UsageError when a key is needed and not set.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self.vendor, self._model = _split(settings.model)
        self.endpoint = settings.base_url or self.vendor
        self.timeout = settings.timeout or TIMEOUT
        self._settings = settings
        self._class = _vendor(self.vendor)
        self._key = _key(self._class, settings)
        self._refused: set[str] = set()
        self._reader = Reader(self.endpoint, settings.model)
        self._client = PerLoop(self._connect)
        self._connect()  # what is missing is said now, not at the first call

    @property
    def name(self) -> str:
        return self._settings.model

    @property
    def limits(self) -> Limits:
        return Limits()

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        """The reply; `usage.seconds` is the wall time of the whole call, retries included. Raises ModelError."""
        start = time.perf_counter()
        binding = bound(params, "openai")
        for attempt in range(self._settings.max_retries + 1):
            try:
                completion = await self._attempt(messages, params, binding)
                break
            except ModelError as error:
                if not error.retryable or attempt == self._settings.max_retries:
                    raise
                await asyncio.sleep(_pause(error, attempt))
        usage = usage_of(completion, messages)
        usage = dataclasses.replace(
            usage, dollars=cost(self._settings.price, usage), seconds=time.perf_counter() - start
        )
        sampled = dataclasses.replace(params, logprobs=params.logprobs and "logprobs" not in self._refused)
        return self._reader.reply(completion, sampled, binding, usage)

    async def forward(self, body: Mapping[str, Any], *, embed: bool = False) -> Any:
        """The vendor's answer to a request in OpenAI's form, parameters as they are: a completion, or the async iterator of
        its chunks where `body` says stream, or with `embed` embeddings. Raises ModelError."""
        given = {key: value for key, value in body.items() if key != "model"}
        client = self._client.get()
        try:
            if embed:
                return await client.aembedding(self._model, given.pop("input"), **given)
            return await client.acompletion(self._model, **given)
        except (any_llm.AnyLLMError, ValidationError, NotImplementedError, TypeError) as error:
            raise self.explained(error) from error

    def explained(self, error: Exception) -> ModelError:
        """What went wrong, in one line without the key."""
        said = self._said(error)
        if isinstance(error, any_llm.AnyLLMError):
            return self._explained(error, said)
        return ModelError(f"{self.endpoint} cannot be asked in this form ({said}). Leave the parameter out.")

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return estimated_prompt_tokens(messages)

    async def close(self) -> None:
        provider = self._client.take()
        client = getattr(provider, "client", None)
        for holder in (client, getattr(client, "aio", None), getattr(provider, "chat_client", None)):
            if leave := getattr(holder, "__aexit__", None):
                await leave(None, None, None)

    def _connect(self) -> AnyLLM:
        retries = {} if self._class.MAX_RETRIES_SUPPORT == "unsupported" else {"max_retries": 0}
        try:
            return AnyLLM.create(self.vendor, self._key, self._settings.base_url, unified_exceptions=True, **retries)
        except any_llm.MissingApiKeyError as error:
            variable = re.split("/| or ", error.env_var_name)[0]
            raise UsageError(f"The API key {variable} is not set. Set it with: export {variable}=...") from None
        except ImportError as error:
            raise UsageError(
                f"The vendor {self.vendor!r} needs a package of its own ({line(str(error), 100)}). "
                f"Install it with: pip install 'any-llm-sdk[{self.vendor}]'"
            ) from None
        except (any_llm.AnyLLMError, ValueError) as error:
            raise UsageError(
                f"The vendor {self.vendor!r} cannot be used: {self._said(error)}. Check base_url."
            ) from None

    async def _attempt(self, messages: Sequence[Message], params: Params, binding: Binding) -> Any:
        """One call, repeated while the vendor names a parameter that can be left out."""
        while True:
            body = self._body(messages, params, binding)
            try:
                async with asyncio.timeout(self.timeout):
                    completion = await self._client.get().acompletion(self._model, **body)
            except TimeoutError:
                raise ModelError(
                    f"{self.endpoint} did not answer within {self.timeout:g} s ({self._asked}). Raise timeout.",
                    retryable=True,
                ) from None
            except (any_llm.AnyLLMError, ValidationError, NotImplementedError) as error:
                said = self._said(error)
                if not self._leave_out(_refused(error, body), said):
                    raise self._explained(error, said) from error
                continue
            if problem := malformed(completion):
                raise ModelError(f"{self.endpoint} sent what is no chat completion ({line(problem)}).", retryable=True)
            return completion

    def _body(self, messages: Sequence[Message], params: Params, binding: Binding) -> dict[str, Any]:
        body = {"max_tokens": params.max_tokens, **asked(messages, params, binding, self._refused)}
        return {key: value for key, value in body.items() if value is not None and key not in self._refused & _LEFT_OUT}

    def _leave_out(self, name: str | None, why: str) -> bool:
        if name is None or name in self._refused:
            return False
        self._refused.add(name)
        what = "bounds in a schema" if name == "response_format" else repr(name)
        warn_once(f"{self.endpoint} does not take {what} ({why}): answers of {self.name!r} come without.")
        return True

    @property
    def _asked(self) -> str:
        return f"asked {self._settings.max_retries + 1} times"

    def _said(self, error: Exception) -> str:
        """The vendor's words on one line, without the key."""
        text = line(str(getattr(error, "message", "") or error))
        return text.replace(self._key, "...") if self._key else text

    def _explained(self, error: Exception, said: str) -> ModelError:
        at, status = self.endpoint, getattr(error, "status_code", None)
        match error:
            case any_llm.AuthenticationError():
                return ModelError(f"{at} refused the API key or the access ({said}). Set a valid key.", fatal=True)
            case any_llm.ModelNotFoundError():
                return ModelError(f"The model {self.name!r} is not at {at} ({said}). Check model.", fatal=True)
            case InsufficientFundsError():
                return ModelError(f"The account at {at} has no credit left ({said}).", fatal=True)
            case any_llm.RateLimitError():
                text = f"{at} limits the rate ({said}; {self._asked}). Lower concurrency, set [limits], or wait."
                return RateLimited(text, error.retry_after)
            case any_llm.ContentFilterError():
                return ModelError(f"The model {self.name!r} refused: the content filter stopped the prompt ({said})")
            case any_llm.ContextLengthExceededError():
                return ModelError(
                    f"The prompt is longer than the window of {self.name!r} ({said}). Shorten the input, take fewer shots, "
                    "or lower max_tokens."
                )
            case any_llm.UnsupportedParameterError():
                text = f"{at} cannot be asked in this form ({said}). Set structured to another form."
                return ModelError(text, fatal=True)
            case UpstreamProviderError() | GatewayTimeoutError():
                return ModelError(f"{at} is overloaded or down ({said}; {self._asked}).", retryable=True)
            case any_llm.ProviderError() if status is None and _is_down(error):
                text = f"{at} cannot be reached ({said}; {self._asked}). Check base_url and the network."
                return ModelError(text, retryable=True, fatal=True)
            case any_llm.ProviderError() if status is None or status < 400:
                text = f"{at} broke the connection or sent what is no chat completion ({said}; {self._asked}). Check base_url."
                return ModelError(text, retryable=True)
            case any_llm.ProviderError():
                return ModelError(f"{at} answered {status} for model {self.name!r}: {said}", retryable=True)
        return ModelError(f"{at} refused the call for model {self.name!r}: {said}")


def build_anyllm(settings: ModelSettings) -> AnyChat:
    """The row of the table of providers."""
    return AnyChat(settings)


def _split(model: str) -> tuple[str, str]:
    vendor, colon, name = model.partition(":")
    if not (vendor and colon and name):
        raise UsageError(
            f"{model!r} does not name a vendor. Write model = 'VENDOR:NAME', e.g. 'anthropic:claude-haiku-4-5'."
        )
    return vendor, name


def _vendor(name: str) -> type[AnyLLM]:
    try:
        return AnyLLM.get_provider_class(name)
    except any_llm.UnsupportedProviderError:
        raise UnknownName("vendor", name, AnyLLM.get_supported_providers()) from None
    except ImportError as error:
        raise UsageError(f"The vendor {name!r} cannot be used: {line(str(error))}.") from None


def _key(vendor: type[AnyLLM], settings: ModelSettings) -> str | None:
    """The key; None leaves it to the vendor's own library (AWS has its chain of credentials)."""
    named = settings.api_key_env != OPENAI_KEY  # else the default, which is another vendor's key
    for variable in [settings.api_key_env] if named else vendor.ENV_API_KEY_NAME.split("/"):
        try:
            return environment.api_key(variable)
        except UsageError:
            if named and not is_loopback(settings.base_url or ""):
                raise
    return "none" if is_loopback(settings.base_url or "") else None


def _refused(error: Exception, body: Mapping[str, Any]) -> str | None:
    """The parameter in `body` that the vendor, or its library, refuses and that can be left out or sent in another form."""
    if getattr(error, "status_code", None) not in (None, 400, 403, 422):
        return None
    said = str(error)
    if not any(word in said.lower() for word in _REFUSALS):
        return None
    named = next(
        (name for name in OPTIONAL if name in _LEFT_OUT and name in body and re.search(rf"\b{name}\b", said)), None
    )
    if named:
        return named
    form = json.dumps(body.get("response_format", {}))
    return "response_format" if any(f'"{word}"' in form and word in said for word in BOUNDS) else None


def _is_down(error: any_llm.AnyLLMError) -> bool:
    """Whether no connection was made at all: all calls will fail the same way."""
    cause: BaseException | None = error.original_exception
    for _ in range(8):  # causes may run in a circle
        if cause is None:
            return False
        if any(word in type(cause).__name__.lower() for word in _DOWN):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _pause(error: ModelError, attempt: int) -> float:
    """Seconds before the next attempt: as asked for, else half a second, doubled each time."""
    try:
        asked = float(getattr(error, "retry_after", None) or "nan")
    except ValueError:  # a date
        asked = float("nan")
    return min(asked if asked >= 0 else 0.5 * 2**attempt, LONGEST_PAUSE)
