"""A gateway in a thread, asked over loopback."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk

from tutelage.gateway.app import make_app
from tutelage.gateway.opening import Opened, assembled
from tutelage.gateway.pipeline import Alike
from tutelage.gateway.routes import Served, SystemRoute
from tutelage.gateway.server import server
from tutelage.gateway.settings import GatewaySettings
from tutelage.gateway.systems import Systems
from tutelage.models.loopback import HOST, bind
from tutelage.project import Project, open_project
from tutelage.store import Store, open_store
from tutelage.store.traces import Trace
from tutelage.types import Input, Prediction, Usage

TASK = """name = "characters"
output = "strings"
instructions = "List them."
"""


class Capitals:
    """Answers the capitalised words; fails on "nobody"."""

    name = "capitals"

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [self.answer(" ".join(input.values())) for input in inputs]

    def answer(self, text: str) -> Prediction:
        if "nobody" in text:
            return Prediction(None, error="There is nobody.")
        return Prediction([w for w in text.split() if w[0].isupper()], 0.75, Usage(3, 4), "capitals")


class Ready(Systems):
    """Systems that were built elsewhere."""

    def __init__(self, served: Mapping[str, Served]) -> None:
        super().__init__()
        self.served = served

    def routes(self) -> Mapping[str, SystemRoute]:
        return {name: SystemRoute(name, one) for name, one in self.served.items()}


def a_project(folder: Path, text: str = TASK) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(text, encoding="utf-8")
    return open_project(folder)


def settings_of(**given: Any) -> GatewaySettings:
    return GatewaySettings.model_validate({"tasks": [], **given})


class Running:
    """The gateway at work; `opened` is what it is made of."""

    def __init__(self, opened: Opened, alike: Alike | None = None) -> None:
        if alike is not None:
            opened.gateway = replace(opened.gateway, alike=alike)
        self.opened = opened
        listener = bind(0)
        self.port = listener.getsockname()[1]
        self._server = server(make_app(opened), 2)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    @property
    def store(self) -> Store:
        return self.opened.store

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://{HOST}:{self.port}/v1", api_key=key, max_retries=0, timeout=20)

    def ask(self, model: str, text: str = "hi", **more: Any) -> openai.types.chat.ChatCompletion:
        reply: openai.types.chat.ChatCompletion = self.client().chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], **more
        )
        return reply

    def stream(self, model: str, text: str = "hi", **more: Any) -> list[ChatCompletionChunk]:
        """All chunks of a streamed answer."""
        chunks: openai.Stream[ChatCompletionChunk] = self.client().chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], stream=True, **more
        )
        return list(chunks)

    def post(
        self, body: bytes | Mapping[str, Any], path: str = "/v1/chat/completions", **headers: str
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", path, raw, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        found = json.loads(response.read())
        return response.status, found, {name.lower(): value for name, value in response.getheaders()}

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()

    def traces(self, least: int = 1) -> list[Trace]:
        """Those in the database, the newest first; waits until there are `least`."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if len(found := self.store.traces.find(limit=least + 50)) >= least:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{self.store.traces.count()} traces, not {least}")


@contextmanager
def running(
    folder: Path, served: Mapping[str, Served] | None = None, alike: Alike | None = None, **settings: Any
) -> Iterator[Running]:
    """A gateway of `settings` (the tables of gateway.toml) that serves `served`, with its database in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(folder / "gateway.db")
    found = Running(assembled(settings_of(**settings), folder, store, Ready(served or {}), {}), alike)
    try:
        yield found
    finally:
        found.stop()
        store.close()


def written(chunks: Sequence[ChatCompletionChunk]) -> str:
    """The text of a streamed answer."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
