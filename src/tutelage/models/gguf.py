"""A local GGUF file, served on loopback by llama.cpp's own server, which ends with this process.

The server is a child process: OpenMP reads its settings once, when it is loaded, and a model that brings llama.cpp down
must not bring the caller down. `python -m tutelage.models.gguf '{"path": ..., "context": ..., "threads": ...}'` is that
child: it prints the address and serves until its standard input closes, which the end of the parent, however sudden, does.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import xllamacpp

from tutelage import settings as environment
from tutelage.errors import DataError, ModelError
from tutelage.models.chat import Limits, Message, ModelSettings, Params, Reply
from tutelage.models.openai import OpenAIChat

TIMEOUT = 600.0
"""Seconds for one answer: a full context takes minutes on few cores."""

CHARACTERS_PER_TOKEN = 16
"""More than real text has: a prompt beyond context x 16 characters is not worth tokenising."""

MAGIC = b"GGUF"


class GgufChat:
    """The file `settings.model`. The server starts at the first call; local answers have no price per token.

    All that run the same file with the same context and threads share one server, which ends when the last of them closes:
    one call at a time, the prompt's prefix kept between calls. Raises DataError when the file is missing or no GGUF.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self.path = settings.folder / Path(settings.model).expanduser()
        _check(self.path)
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


class Server:
    """A running llama.cpp server, for as many users as have joined and not left. `address` has no slash at its end."""

    _running: ClassVar[dict[tuple[Path, int, int], Server]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, context: int, threads: int) -> None:
        self.users = 0
        self._key = path, context, threads
        self.process = _spawn({"path": str(path), "context": context, "threads": threads})
        self.address = (self.process.stdout.readline() if self.process.stdout else "").strip()
        if not self.address:
            code = self.process.wait()
            raise ModelError(
                f"llama.cpp cannot load {path} (exit status {code}). Check that the file is whole and that {context} tokens "
                "of context fit in memory.",
                fatal=True,
            )

    @classmethod
    def join(cls, path: Path, context: int, threads: int) -> Server:
        """The server of the file, started if need be. Raises ModelError when llama.cpp cannot load it."""
        key = path.resolve(), context, threads
        with cls._lock:
            server = cls._running.get(key)
            if server is None or server.process.poll() is not None:
                server = cls._running[key] = cls(*key)
            server.users += 1
            return server

    def leave(self) -> None:
        """The last one stops it."""
        with self._lock:
            self.users -= 1
            if self.users:
                return
            if self._running.get(self._key) is self:
                del self._running[self._key]
        _stop(self.process)


def build_gguf(settings: ModelSettings) -> GgufChat:
    """The row of the table of providers."""
    return GgufChat(settings)


def serve(told: Mapping[str, Any]) -> None:
    """Serve a GGUF file on a free port of loopback, print the address, and go on until standard input closes."""
    params = xllamacpp.CommonParams()
    params.model.path = told["path"]
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.cache_prompt, params.cache_ram_mib = told["context"], 1, True, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
    params.verbosity, params.ui = -1, False
    server = xllamacpp.Server(params)
    sys.stdout.write(server.listening_address + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            found = file.read(len(MAGIC))
    except OSError as error:
        raise DataError(f"The model file {path} cannot be read: {error.strerror}. Check model = ...") from None
    if found != MAGIC:
        raise DataError(f"{path} is not a GGUF file: it starts with {found!r}. Check model = ...")


def _spawn(told: Mapping[str, Any]) -> subprocess.Popen[str]:
    # Spinning OpenMP threads starve every other process on a small machine; sleeping ones cost next to nothing.
    return subprocess.Popen(
        [sys.executable, "-m", "tutelage.models.gguf", json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment.child(OMP_WAIT_POLICY="PASSIVE"),
        start_new_session=True,  # Ctrl-C is for the parent, which closes the pipe
    )


def _stop(server: subprocess.Popen[str]) -> None:
    for pipe in (server.stdin, server.stdout):
        if pipe:
            pipe.close()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
