"""Spans and metrics of the gateway, as a real OTLP receiver on loopback decodes them."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.gateways import Capitals, a_project, running
from tests.unit.gateway.test_gateway_telemetry import TRACE

from tutelage.errors import MissingPackage
from tutelage.gateway.routes import Served
from tutelage.gateway.settings import GatewaySettings
from tutelage.gateway.telemetry import Telemetry
from tutelage.gateway.telemetry.arriving import INCOMING, NOTHING, Incoming
from tutelage.models.fake import FakeOpenAI, Script

pytest.importorskip("opentelemetry.sdk", reason="the extra 'otel' is not installed")
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from tutelage.gateway.telemetry.otel import messages, read_traceparent

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Receiver:
    """What a collector takes, decoded; `status` is what it answers."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.raw, self.status = b"", 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") else body)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        self.raw += body
        if path == "/v1/traces":
            for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in one.scope_spans for span in scope.spans]
        else:
            assert path == "/v1/metrics"
            for one in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name: metric for scope in one.scope_metrics for metric in scope.metrics}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    INCOMING.set(NOTHING)
    yield found
    found.server.shutdown()
    found.server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def settings(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"otlp": receiver.url, **more}


def test_a_request_is_a_span_with_its_attempts_and_the_conventions_metrics(tmp_path: Path, receiver: Receiver) -> None:
    with FakeOpenAI(Script(answer="one two three", faults=["500"])) as server:
        target = {"model": "fake", "base_url": server.base_url, "price": {"input": 1, "output": 1}}
        alias = {"targets": [target], "retries": 2}
        with running(tmp_path, upstreams={"m": alias}, telemetry=settings(receiver)) as gateway:
            body = {"model": "m", "messages": [{"role": "user", "content": "Confidential"}]}
            _, _, headers = gateway.post(body, traceparent=CALLER, x_request_id="mine-1")
            gateway.stream("m")
    root, failed, answered = receiver.spans[:3]
    found = attributes(root)
    assert root.name == "chat m" and root.kind == root.SPAN_KIND_SERVER
    assert root.trace_id.hex() == CALLER[3:35] and root.parent_span_id.hex() == CALLER[36:52]
    assert found["gen_ai.operation.name"] == "chat" and found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.request.model"] == "m" and found["gen_ai.response.model"].startswith("m/fake@")
    assert found["gen_ai.usage.output_tokens"] == 3 and found["http.response.status_code"] == 200
    assert found["tutelage.trace"] == headers["x-tutelage-trace"] and found["tutelage.request"] == "mine-1"
    assert [one.string_value for one in found["gen_ai.response.finish_reasons"].values] == ["stop"]
    for child in (failed, answered):
        assert child.trace_id == root.trace_id and child.parent_span_id == root.span_id
        assert child.kind == child.SPAN_KIND_CLIENT
        assert root.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
    assert failed.status.code == failed.status.STATUS_CODE_ERROR and "error.type" in attributes(failed)
    assert answered.status.code == 0 and failed.end_time_unix_nano == answered.start_time_unix_nano
    streamed = attributes(receiver.spans[3])
    assert streamed["gen_ai.request.stream"] is True and streamed["gen_ai.response.time_to_first_chunk"] > 0
    assert receiver.spans[3].trace_id.hex() == streamed["tutelage.trace"] and not receiver.spans[3].parent_span_id
    assert b"Confidential" not in receiver.raw
    points = {name: metric.histogram.data_points for name, metric in receiver.metrics.items()}
    assert sum(point.count for point in points["gen_ai.server.request.duration"]) == 2
    assert sum(point.count for point in points["gen_ai.client.operation.duration"]) == 3
    assert sum(point.count for point in points["gen_ai.server.time_to_first_token"]) == 1
    assert points.keys() >= {"gen_ai.client.token.usage", "gen_ai.server.time_per_output_token"}
    tokens = {attributes(point)["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens["output"] == 6
    assert receiver.metrics["gen_ai.client.operation.duration"].unit == "s"


def test_content_is_sent_only_when_asked_for_and_blanked(tmp_path: Path, receiver: Receiver) -> None:
    served = {"capitals": Served("capitals", a_project(tmp_path / "task"), Capitals())}
    told = settings(receiver, content=True)
    with running(tmp_path, served, telemetry=told, traces={"redact": [r"\d{4,}"]}) as gateway:
        gateway.ask("capitals", "Ann has 123456")
    (found,) = [attributes(one) for one in receiver.spans if "gen_ai.input.messages" in attributes(one)]
    (message,) = json.loads(found["gen_ai.input.messages"])
    assert message["role"] == "user" and message["parts"][0]["type"] == "text"
    assert "Ann has [redacted]" in message["parts"][0]["content"] and "123456" not in repr(receiver.spans)
    assert json.loads(found["gen_ai.output.messages"])[0]["role"] == "assistant"
    assert found["gen_ai.provider.name"] == "tutelage"


def exported(receiver: Receiver, traces: int, incoming: Incoming = NOTHING) -> Telemetry:
    told = {"telemetry": {"otlp": receiver.url}}
    telemetry = Telemetry(GatewaySettings.model_validate(told), ["m"])
    assert telemetry.exporting is not None
    telemetry.exporting.start()
    INCOMING.set(incoming)
    for _ in range(traces):
        telemetry.finished(TRACE)
    telemetry.exporting.close()
    return telemetry


def test_a_request_that_its_caller_does_not_sample_is_not_sent(receiver: Receiver) -> None:
    exported(receiver, 3, Incoming(None, CALLER[:-1] + "0"))
    assert receiver.spans == [] and receiver.metrics  # counted all the same
    exported(receiver, 3, Incoming(None, "garbage"))
    assert len(receiver.spans) == 6


def test_a_share_becomes_spans_and_all_of_a_caller_who_traces(receiver: Receiver) -> None:
    told = {"telemetry": {"otlp": receiver.url, "spans": 0.25}}
    telemetry = Telemetry(GatewaySettings.model_validate(told), ["m"])
    assert telemetry.exporting is not None
    telemetry.exporting.start()
    INCOMING.set(Incoming(None, "garbage"))
    for n in range(400):
        telemetry.finished(replace(TRACE, id=f"{n:032x}", steps=()))
    INCOMING.set(Incoming(None, CALLER))
    telemetry.finished(replace(TRACE, steps=()))
    telemetry.exporting.close()
    callers = [one for one in receiver.spans if one.trace_id.hex() == CALLER[3:35]]
    assert len(callers) == 1 and 60 < len(receiver.spans) - 1 < 140
    (point,) = receiver.metrics["gen_ai.server.request.duration"].histogram.data_points
    assert point.count == 401


def test_all_that_waits_is_sent_at_the_end(receiver: Receiver) -> None:
    telemetry = exported(receiver, 2000)
    assert len(receiver.spans) == 4000 and telemetry.exporting and telemetry.exporting.dropped == 0


def test_a_collector_that_is_away_costs_spans_not_answers(receiver: Receiver) -> None:
    receiver.status = 400
    start = time.monotonic()
    telemetry = exported(receiver, 5)
    assert telemetry.exporting and telemetry.exporting.dropped == 5 and time.monotonic() - start < 30


def test_odd_traces_become_spans_too(receiver: Receiver) -> None:
    told = {"telemetry": {"otlp": receiver.url, "content": True}}
    telemetry = Telemetry(GatewaySettings.model_validate(told), ["m"])
    assert telemetry.exporting is not None
    telemetry.exporting.start()
    for output in ([{"message": None}], {"a": {1: {2}}}, ["\ud800"], [{"finish_reason": 1}], 3):
        telemetry.finished(replace(TRACE, output=output, input=output))
    telemetry.finished(replace(TRACE, id="not hexadecimal"))
    telemetry.exporting.close()
    assert len(receiver.spans) == 10 and telemetry.exporting.dropped == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        None,
        "00-0-0-00",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        CALLER + "-more",
        CALLER.upper(),
    ],
)
def test_a_traceparent_that_is_none_is_passed_over(header: str | None) -> None:
    assert read_traceparent(header) is None


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = read_traceparent("01" + CALLER[2:] + "-more")
    assert found is not None and found.sampled and f"{found.span:016x}" == CALLER[36:52]


def test_messages_keep_their_roles() -> None:
    text = messages(
        [{"role": "system", "content": "s"}, {"message": {"role": "assistant", "content": "a"}}, "x"], "user"
    )
    assert [(one["role"], one["parts"][0]["content"]) for one in json.loads(text or "")] == [
        ("system", "s"),
        ("assistant", "a"),
        ("user", "x"),
    ]


def test_without_the_package_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tutelage.gateway.telemetry.otel")
    for name in [one for one in sys.modules if one.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingPackage, match=r"'opentelemetry'.*tutelage\[otel\]"):
        Telemetry(GatewaySettings.model_validate({"telemetry": {"otlp": "http://127.0.0.1:1"}}))
