"""Anything at all is sent to the gateway: no 500, no hang, no trace lost."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateways import Capitals, Running, a_project, running
from tutelage.gateway.routes import Served
from tutelage.models.fake import FakeOpenAI, Script

PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/tasks/characters/predict", "/v1/feedback"]
MODELS = ["characters", "characters/capitals", "m", "nobody"]
CHECKED = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzzed")
    served = Served("capitals", a_project(folder / "task"), Capitals())
    with FakeOpenAI(Script(answer="ok")) as server:
        aliases = {"m": {"targets": [{"model": "fake", "base_url": server.base_url}], "retries": 0}}
        both = {"characters": served, "characters/capitals": served}
        with running(folder, both, upstreams=aliases, cache={"kind": "memory"}) as found:
            yield found


def test_requests_made_from_the_document_get_what_it_says(gateway: Running) -> None:
    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{gateway.port}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) == 9
    for operation in operations:

        @settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
        @given(case=operation.as_strategy())
        def described(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKED)

        described()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(MODELS) | JSON,
        "messages": st.lists(
            st.fixed_dictionaries({}, optional={"role": st.sampled_from(["user", "system"]) | JSON, "content": JSON}),
            max_size=3,
        )
        | JSON,
        "input": JSON,
        "inputs": st.lists(JSON, max_size=3) | JSON,
        "stream": st.booleans() | JSON,
        "stream_options": JSON,
        "n": st.integers(-1, 3) | JSON,
        "max_tokens": JSON,
        "temperature": JSON,
        "tools": JSON,
        "candidate": JSON,
        "trace": JSON,
        "verdict": st.sampled_from(["right", "wrong"]) | JSON,
    },
)


def sent(gateway: Running, path: str, raw: bytes, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request("POST", path, raw, headers)
    response = connection.getresponse()
    found = response.status, response.read(), response.getheader("x-tutelage-trace")
    connection.close()
    return found


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(path=st.sampled_from(PATHS), body=BODIES)
def test_bodies_of_any_shape_are_answered_or_refused(gateway: Running, path: str, body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    status, reply, _ = sent(gateway, path, raw, {"Content-Type": "application/json"})
    # 502: the fake upstream itself fails on parameters that make no sense.
    assert status in (200, 400, 404, 413, 422) or (status == 502 and body.get("model") == "m"), (status, reply[:300])


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    path=st.sampled_from(PATHS),
    raw=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
    key=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
def test_bytes_of_any_kind_are_refused(gateway: Running, path: str, raw: bytes, key: str) -> None:
    status, reply, _ = sent(gateway, path, raw, {"Authorization": f"Bearer {key.strip()}"})
    assert status in (400, 401, 404), (status, reply[:300])
    assert json.loads(reply)["error"]["message"]


def test_no_trace_is_lost(gateway: Running) -> None:
    wanted = set()
    for number in range(300):
        text = "nobody" if number % 7 == 0 else f"Ann {number}"
        body = {"model": MODELS[number % 4], "stream": number % 5 == 0}
        body["messages"] = [{"role": "user", "content": text}]
        _, _, trace = sent(gateway, PATHS[0], json.dumps(body).encode(), {})
        if trace:
            wanted.add(trace)
    assert len(wanted) == 300  # those that name no model too
    deadline = time.monotonic() + 20
    while missing := wanted - {trace.id for trace in gateway.store.traces.read()}:
        assert time.monotonic() < deadline, missing
        time.sleep(0.1)
    assert gateway.opened.gateway.recorder.lost == 0
