"""A local GGUF file, served on loopback by llama.cpp's own server, which ends with this process (see `llamacpp`)."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import xllamacpp  # noqa: F401  so that who has it not is told before anything is asked

from tutelage.llamacpp import Server, check_gguf
from tutelage.models.chat import Limits, Message, ModelSettings, Params, Reply
from tutelage.models.openai import OpenAIChat

TIMEOUT = 600.0
"""Seconds for one answer: a full context takes minutes on few cores."""

CHARACTERS_PER_TOKEN = 16
"""More than real text has: a prompt beyond context x 16 characters is not worth tokenising."""


class GgufChat:
    """The file `settings.model`. The server starts at the first call; local answers have no price per token.

    All that run the same file with the same context and threads share one server, which ends when the last of them closes:
    one call at a time, the prompt's prefix kept between calls. Raises DataError when the file is missing or no GGUF.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self.path = settings.folder / Path(settings.model).expanduser()
        check_gguf(self.path)
        self._settings = settings
        self._limits = Limits(
            concurrency=1, max_characters=settings.context * CHARACTERS_PER_TOKEN, context=settings.context
        )
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._chat: OpenAIChat | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def limits(self) -> Limits:
        return self._limits

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        """The reply; the seconds do not hold the loading of the model. Raises ModelError."""
        return await (await self._started()).complete(messages, params)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Exact, by the model's own template and tokenizer. Raises ModelError when the file cannot be loaded."""
        return await (await self._started()).count_tokens(messages)

    async def close(self) -> None:
        chat, server, self._chat, self._server = self._chat, self._server, None, None
        if chat:
            await chat.close()
        if server:
            await asyncio.to_thread(server.leave)

    async def _started(self) -> OpenAIChat:
        chat = self._chat
        return chat if chat else await asyncio.to_thread(self._start)

    def _start(self) -> OpenAIChat:
        with self._lock:
            chat = self._chat
            if chat is None:
                given = self._settings
                server = Server.join(self.path, given.context, given.threads or os.cpu_count() or 1)
                local = replace(given, model=self.name, base_url=f"{server.address}/v1", dialect="llguidance")
                local = replace(local, timeout=given.timeout or TIMEOUT, price=None, max_retries=1)
                chat = OpenAIChat(local, limits=self._limits)
                self._server, self._chat = server, chat
            return chat


def build_gguf(settings: ModelSettings) -> GgufChat:
    """The row of the table of providers."""
    return GgufChat(settings)
