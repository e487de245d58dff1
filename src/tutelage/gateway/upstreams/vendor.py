"""Targets beyond the OpenAI wire, through the same library as labelling uses (any-llm)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from tutelage.errors import ModelError
from tutelage.gateway.settings import Target
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.models.chat import ModelSettings, RateLimited
from tutelage.registry import load

BUILD = "tutelage.models.anyllm:build_anyllm"


class VendorWire:
    """`model` is "VENDOR:NAME"; chat completions and embeddings. The library is imported when a target names it."""

    def __init__(self, target: Target) -> None:
        self._name = target.model
        settings = ModelSettings(model=target.model, base_url=target.base_url, api_key_env=target.api_key_env)
        self._vendor: Any = load(BUILD)(settings)

    async def whole(self, path: str, body: Mapping[str, Any]) -> bytes:
        if path == "/responses":
            raise AttemptFailed(
                f"{self._name} has no responses. Ask it for chat completions.", 400, again=False, faulty=False
            )
        try:
            found: Any = await self._vendor.forward(body, embed=path == "/embeddings")
        except ModelError as error:
            raise _failed(error) from None
        return bytes(found.model_dump_json().encode())

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        if path != "/chat/completions":
            raise AttemptFailed(f"{self._name} does not stream {path}.", 400, again=False, faulty=False)
        try:
            async for chunk in await self._vendor.forward(body):
                yield chunk.model_dump_json(exclude_unset=True).encode()
        except ModelError as error:
            raise _failed(error) from None
        except RuntimeError as error:  # a vendor's own exception, in the middle of its stream
            raise AttemptFailed(f"{self._name} broke off ({type(error).__name__}).") from None

    async def close(self) -> None:
        await self._vendor.close()


def _failed(error: ModelError) -> AttemptFailed:
    """`fatal`: a key or a name that is wrong at this target alone."""
    status = 429 if isinstance(error, RateLimited) else 502
    return AttemptFailed(str(error), status, again=error.retryable or error.fatal, elsewhere=error.fatal)
