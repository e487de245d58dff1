"""Tasks behind the gateway, asked by the official client over loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import openai
import pytest
from tests.gateways import Capitals, Running, a_project, running

from tutelage.errors import UsageError
from tutelage.gateway.routes import Served
from tutelage.gateway.settings import Server
from tutelage.models.loopback import bind
from tutelage.types import Input, Prediction

MAX_BODY = Server().max_body


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    served = Served("capitals", a_project(folder / "task"), Capitals(), threshold=0.7, certificate="abc proved")
    with running(folder, {"characters": served, "characters/capitals": served, "capitals": served}) as found:
        yield found


def test_the_official_client_gets_the_answer_as_the_tasks_json(gateway: Running) -> None:
    reply = gateway.client().chat.completions.with_raw_response.create(
        model="capitals", messages=[{"role": "system", "content": "x"}, {"role": "user", "content": "then Ann met Bo"}]
    )
    completion = reply.parse()
    assert json.loads(completion.choices[0].message.content or "") == {"characters": ["Ann", "Bo"]}
    assert completion.usage and completion.usage.total_tokens == 7
    assert reply.headers["x-tutelage-confidence"] == "0.7500"
    assert reply.headers["x-tutelage-threshold"] == "0.7000"
    assert reply.headers["x-tutelage-certificate"] == "abc proved"
    assert reply.headers["x-tutelage-source"] == "capitals"
    assert completion.id == f"chatcmpl-{reply.headers['x-tutelage-trace']}"


def test_a_stream_says_the_same_as_the_whole_answer(gateway: Running) -> None:
    stream = gateway.client().chat.completions.create(
        model="characters/capitals",
        messages=[{"role": "user", "content": "then Ann met Bo"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert json.loads(text) == {"characters": ["Ann", "Bo"]}
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [7]


def test_a_response_says_the_same_whole_and_streamed(gateway: Running) -> None:
    client = gateway.client()
    whole = client.responses.create(model="characters", input="then Ann met Bo")
    assert json.loads(whole.output_text) == {"characters": ["Ann", "Bo"]}
    events = list(client.responses.create(model="characters", input="then Ann met Bo", stream=True))
    assert events[-1].type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text


def test_content_parts_are_joined(gateway: Running) -> None:
    parts = [{"type": "text", "text": "Ann "}, {"type": "text", "text": "Bo"}]
    reply = gateway.client().chat.completions.create(model="capitals", messages=[{"role": "user", "content": parts}])  # type: ignore[list-item,misc]
    assert json.loads(reply.choices[0].message.content or "") == {"characters": ["Ann", "Bo"]}


def test_models_are_listed_and_found(gateway: Running) -> None:
    names = [model.id for model in gateway.client().models.list()]
    assert names == ["characters", "characters/capitals", "capitals"]
    assert gateway.client().models.retrieve("characters/capitals").id == "characters/capitals"
    with pytest.raises(openai.NotFoundError):
        gateway.client().models.retrieve("gpt-9")


def test_an_unknown_model_is_404_naming_the_known_ones(gateway: Running) -> None:
    with pytest.raises(openai.NotFoundError, match=r"'gpt-9' does not exist. Known: characters"):
        gateway.ask("gpt-9")


def test_a_failed_prediction_is_502_with_its_reason(gateway: Running) -> None:
    with pytest.raises(openai.InternalServerError, match="There is nobody"):
        gateway.ask("capitals", "nobody")


def test_a_batch_of_predictions_is_typed_and_one_failure_stays_alone(gateway: Running) -> None:
    body = {"inputs": ["Ann ran", "nobody", {"text": "Bo slept"}]}
    status, found, _ = gateway.post(body, "/v1/tasks/characters/predict")
    rows = found["predictions"]
    assert status == 200
    assert [row["value"] for row in rows] == [["Ann"], None, ["Bo"]]
    assert [row["error"] for row in rows] == [None, "There is nobody.", None]
    assert len({row["trace"] for row in rows}) == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputs": []}, "1 to 1,000"),
        ({"inputs": "Ann"}, "1 to 1,000"),
        ({"inputs": [1]}, "1 input field"),
        ({"inputs": ["a"], "candidate": 3}, "no name"),
    ],
)
def test_a_bad_batch_is_400(gateway: Running, body: dict[str, object], said: str) -> None:
    status, found, _ = gateway.post(body, "/v1/tasks/characters/predict")
    assert status == 400 and said in found["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"[1]", 400, "not an object"),
        (b"\xff\xfe", 400, "body"),
        (b'{"a": "\xed\xa0\x80"}', 400, "body"),
        (b"[" * 100_000, 400, "body"),
        (b'{"model": "capitals", "messages": ' + b"[" * 1000 + b"]" * 1000 + b"}", 400, "deeper than 200"),
        (b'{"model": "capitals"}', 400, "messages"),
        (b'{"model": "capitals", "messages": []}', 400, "messages"),
        (b'{"model": 3, "messages": []}', 400, "model"),
        (b'{"model": "capitals", "messages": ["x"]}', 400, "messages.0"),
        (b'{"model": "capitals", "messages": [{"role": "user", "content": 3}]}', 400, "messages.0.content"),
        (b'{"model": "capitals", "messages": [{"role": "user", "content": "  "}]}', 400, "No user message"),
        (b'{"model": "capitals", "stream": 3, "messages": [{"role": "user", "content": "x"}]}', 400, "stream"),
        (b'{"model": "capitals", "n": 2, "messages": [{"role": "user", "content": "x"}]}', 400, "n = 2"),
        (b'{"model": "capitals", "n": 0, "messages": [{"role": "user", "content": "x"}]}', 400, "n: 0"),
        (b'{"model": "capitals", "max_tokens": "x", "messages": [{"role": "user"}]}', 400, "max_tokens"),
        (b'{"model": "capitals", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', 400, "messages"),
        (b"x" * (MAX_BODY + 1), 413, "larger than"),
    ],
)
def test_bad_requests_get_openais_error_body(gateway: Running, body: bytes, status: int, said: str) -> None:
    found, reply, _ = gateway.post(body)
    error = reply["error"]
    assert (found, error["type"]) == (status, "invalid_request_error")
    assert said in error["message"]


def test_an_unknown_path_gets_openais_error_body(gateway: Running) -> None:
    status, reply, _ = gateway.post(b"{}", "/v1/nothing")
    assert status == 404 and "error" in reply


def test_health_readiness_metrics_and_the_document(gateway: Running) -> None:
    assert gateway.get("/health")[0] == 200
    assert json.loads(gateway.get("/ready")[1])["status"] == "ready"
    gateway.ask("capitals", "Ann")
    assert b"tutelage_requests_total" in gateway.get("/metrics")[1]
    assert "/v1/chat/completions" in json.loads(gateway.get("/openapi.json")[1])["paths"]


def test_every_request_leaves_a_trace(tmp_path: Path) -> None:
    served = Served("capitals", a_project(tmp_path / "task"), Capitals())
    with running(tmp_path, {"capitals": served}) as gateway:
        gateway.ask("capitals", "Ann ran")
        with pytest.raises(openai.InternalServerError):
            gateway.ask("capitals", "nobody")
        failed, answered = gateway.traces(2)
    assert (answered.task, answered.input, answered.output) == ("characters", {"text": "Ann ran"}, ["Ann"])
    assert (answered.status, answered.confidence, answered.source) == (200, 0.75, "capitals")
    assert (failed.status, failed.error) == (502, "There is nobody.")


def test_several_fields_come_as_a_json_object(tmp_path: Path) -> None:
    text = 'name = "topics"\noutput = "label"\nfields = ["title", "body"]\nlabels = ["a", "b"]\n'

    class First:
        name = "first"

        async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
            return [Prediction(input["title"]) for input in inputs]

    project = a_project(tmp_path / "task", text)
    with running(tmp_path, {"first": Served("first", project, First())}) as gateway:
        reply = gateway.ask("first", json.dumps({"title": "b", "body": "x"}))
        assert project.task.parse(reply.choices[0].message.content or "") == "b"
        with pytest.raises(openai.BadRequestError, match="2 input fields"):
            gateway.ask("first", "plain")


def test_a_port_in_use_is_one_line() -> None:
    taken = bind(0)
    taken.listen()
    with pytest.raises(UsageError, match=r"Port \d+ is in use. Choose another with --port"):
        bind(taken.getsockname()[1])
    taken.close()
