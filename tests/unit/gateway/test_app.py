"""The first slice of the gateway, asked by the official client over loopback."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Sequence

import openai
import pytest
import uvicorn

from tutelage.errors import UsageError
from tutelage.gateway.app import MAX_BODY, make_app
from tutelage.gateway.server import HOST, bind
from tutelage.tasks.label import LabelTask
from tutelage.tasks.strings import StringsTask
from tutelage.types import Input, Prediction, Usage

TASK = StringsTask("characters", ("text",), "List them.")


class Capitals:
    """Answers the capitalised words; fails on "nobody"."""

    name = "capitals"

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        return [self.answer(" ".join(input.values())) for input in inputs]

    def answer(self, text: str) -> Prediction:
        if "nobody" in text:
            return Prediction(None, error="There is nobody.")
        return Prediction([w for w in text.split() if w[0].isupper()], 0.75, Usage(3, 4), "capitals")


class Running:
    def __init__(self, app: object) -> None:
        self.socket = bind(0)
        self.port = self.socket.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://{HOST}:{self.port}/v1", api_key="none", max_retries=0)

    def post(self, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    found = Running(make_app(TASK, {"capitals": Capitals()}))
    yield found
    found.stop()


def test_the_official_client_gets_the_answer_as_the_tasks_json(running: Running) -> None:
    reply = running.client().chat.completions.with_raw_response.create(
        model="capitals", messages=[{"role": "system", "content": "x"}, {"role": "user", "content": "then Ann met Bo"}]
    )
    completion = reply.parse()
    assert TASK.parse(completion.choices[0].message.content or "") == ["Ann", "Bo"]
    assert completion.usage and completion.usage.total_tokens == 7
    assert reply.headers["x-tutelage-confidence"] == "0.7500"


def test_content_parts_are_joined(running: Running) -> None:
    parts = [{"type": "text", "text": "Ann "}, {"type": "text", "text": "Bo"}]
    reply = running.client().chat.completions.create(model="capitals", messages=[{"role": "user", "content": parts}])  # type: ignore[list-item,misc]
    assert json.loads(reply.choices[0].message.content or "") == {"characters": ["Ann", "Bo"]}


def test_models_are_listed_and_found(running: Running) -> None:
    assert [model.id for model in running.client().models.list()] == ["capitals"]
    assert running.client().models.retrieve("capitals").id == "capitals"
    with pytest.raises(openai.NotFoundError):
        running.client().models.retrieve("gpt-9")


def test_an_unknown_model_is_404_naming_the_known_ones(running: Running) -> None:
    with pytest.raises(openai.NotFoundError, match=r"'gpt-9' does not exist. Known: capitals"):
        running.client().chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])


def test_a_failed_prediction_is_502_with_its_reason(running: Running) -> None:
    with pytest.raises(openai.InternalServerError, match="There is nobody"):
        running.client().chat.completions.create(model="capitals", messages=[{"role": "user", "content": "nobody"}])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"\xff\xfe", 400, "body"),
        (b"[" * 100_000, 400, "body"),
        (b'{"model": "capitals"}', 400, "messages"),
        (b'{"model": "capitals", "messages": []}', 400, "No user message"),
        (b'{"model": "capitals", "messages": [{"role": "user", "content": "  "}]}', 400, "No user message"),
        (b'{"model": "capitals", "stream": true, "messages": [{"role": "user", "content": "x"}]}', 400, "stream"),
        (b'{"model": "capitals", "n": 2, "messages": [{"role": "user", "content": "x"}]}', 400, "n = 2"),
        (b'{"model": "capitals", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', 400, "messages"),
        (b"x" * (MAX_BODY + 1), 413, "larger than"),
    ],
)
def test_bad_requests_get_openais_error_body(running: Running, body: bytes, status: int, said: str) -> None:
    found, reply = running.post(body)
    error = reply["error"]
    assert isinstance(error, dict)
    assert (found, error["type"]) == (status, "invalid_request_error")
    assert said in error["message"]


def test_an_unknown_path_gets_openais_error_body(running: Running) -> None:
    status, reply = running.post(b"{}", "/v1/nothing")
    assert status == 404 and "error" in reply


def test_several_fields_come_as_a_json_object() -> None:
    task = LabelTask("topics", ("title", "body"), "", labels=("a", "b"))

    class First:
        name = "first"

        async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
            return [Prediction(input["title"]) for input in inputs]

    running = Running(make_app(task, {"first": First()}))
    try:
        content = json.dumps({"title": "b", "body": "x"})
        reply = running.client().chat.completions.create(model="first", messages=[{"role": "user", "content": content}])
        assert task.parse(reply.choices[0].message.content or "") == "b"
        with pytest.raises(openai.BadRequestError, match="2 input fields"):
            running.client().chat.completions.create(model="first", messages=[{"role": "user", "content": "plain"}])
    finally:
        running.stop()


def test_a_port_in_use_is_one_line() -> None:
    taken = bind(0)
    taken.listen()
    with pytest.raises(UsageError, match=r"Port \d+ is in use. Choose another with --port"):
        bind(taken.getsockname()[1])
    taken.close()
