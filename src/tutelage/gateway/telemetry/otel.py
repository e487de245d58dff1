"""OpenTelemetry: a span for each request with a child for each step, and metrics, named as the semantic conventions for
generative AI have it (1.37 and later; https://opentelemetry.io/docs/specs/semconv/gen-ai/), sent by OTLP over HTTP.

The event loop only puts the trace into a queue. Spans are made and sent in a thread; where the collector is slow or dead
they are dropped and counted. Spans do not pass through the library's Tracer, since they are made when all is over.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tutelage.gateway.settings import GatewaySettings
from tutelage.gateway.settings import Telemetry as Settings
from tutelage.gateway.telemetry.arriving import Incoming
from tutelage.gateway.telemetry.counting import UNKNOWN
from tutelage.gateway.telemetry.logs import words_of
from tutelage.gateway.telemetry.metrics import TOKENS
from tutelage.gateway.telemetry.sharing import Worker
from tutelage.gateway.traces.redaction import chosen, make_blank, redacted
from tutelage.registry import versions
from tutelage.store.traces import Step, Trace, encoded

LOG = logging.getLogger("tutelage.gateway.telemetry")
MOST_WAITING = 20_000
"""Requests that may wait for the thread."""
BATCH, PAUSE, TIMEOUT = 512, 0.5, 5.0
"""Spans in one message; seconds between two looks; seconds that a collector may take."""
QUIET = 60.0
"""Seconds between two lines of the log about a collector that does not answer."""
METRICS_EVERY = 15_000
"""Milliseconds between two exports of the metrics."""
DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Buckets that the conventions advise."""
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
OPERATIONS = {"chat": "chat", "responses": "chat", "embeddings": "embeddings"}


class Parent(NamedTuple):
    """The span of another that ours is a part of."""

    trace: int
    span: int
    sampled: bool


def read_traceparent(header: str | None) -> Parent | None:
    """What W3C's header says, None where it says nothing valid."""
    found = TRACEPARENT.fullmatch((header or "").strip())
    if found is None or not int(found[1], 16) or not int(found[2], 16) or ((header or "")[:2] == "00" and found[4]):
        return None
    return Parent(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & 1))


class Exporter:
    """Spans and metrics of one worker. `dropped` counts requests whose spans did not arrive."""

    def __init__(self, settings: GatewaySettings, worker: Worker, models: Collection[str]) -> None:
        assert settings.telemetry.otlp is not None
        base = settings.telemetry.otlp.rstrip("/")
        self.dropped = 0
        self._models, self._aliases = frozenset(models), frozenset(settings.upstreams)
        self._blank = make_blank(settings.traces.redact)
        self._waiting: deque[tuple[Trace, Incoming]] = deque()
        self._stop, self._quiet_until = threading.Event(), 0.0
        version = versions(["tutelage"]).get("tutelage", "")
        resource = Resource.create(
            {"service.name": "tutelage", "service.version": version, "service.instance.id": worker.name}
        )
        scope = InstrumentationScope("tutelage", version)
        self._spans = Spans(resource, scope, self._aliases, settings.telemetry)
        self._exporter = OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=TIMEOUT)
        sender = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=TIMEOUT)
        reader = PeriodicExportingMetricReader(sender, METRICS_EVERY, export_timeout_millis=1000 * TIMEOUT)
        self._provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._measures = Measures(self._provider, self._models, self._aliases)
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)

    def finished(self, trace: Trace, incoming: Incoming) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
        else:
            self._waiting.append((trace, incoming))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2 * TIMEOUT)
        self._provider.shutdown(timeout_millis=1000 * TIMEOUT)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._take()
        deadline = time.monotonic() + TIMEOUT
        while self._waiting and time.monotonic() < deadline:
            self._take()
        self.dropped += len(self._waiting)

    def _take(self) -> None:
        """Everything that waits, in messages of at most BATCH spans."""
        batch, requests = list[ReadableSpan](), 0
        while self._waiting:
            trace, incoming = self._waiting.popleft()
            try:
                self._measures.record(trace)
                batch += self._spans.of(redacted(trace, self._blank) if self._blank else trace, incoming)
            except Exception as error:  # one odd trace must not end the thread
                self._told(f"A trace could not be made into spans: {error!r}")
                self.dropped += 1
                continue
            requests += 1
            if len(batch) >= BATCH:
                self._send(batch, requests)
                batch, requests = [], 0
        self._send(batch, requests)

    def _send(self, batch: list[ReadableSpan], requests: int) -> None:
        try:
            if not batch or self._exporter.export(batch) is SpanExportResult.SUCCESS:
                return
            why = "The collector of [telemetry] otlp does not take spans; they are dropped."
        except Exception as error:  # what cannot be encoded must not end the thread
            why = f"Spans could not be sent: {error!r}"
        self.dropped += requests
        self._told(why)

    def _told(self, message: str) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET
            LOG.warning(message)


class Spans:
    """Makes spans of traces."""

    def __init__(
        self, resource: Resource, scope: InstrumentationScope, aliases: Collection[str], settings: Settings
    ) -> None:
        self._resource, self._scope, self._aliases = resource, scope, aliases
        self._content, self._share = settings.content, settings.spans

    def of(self, trace: Trace, incoming: Incoming) -> list[ReadableSpan]:
        """The request's span and its steps'; none where chance or, if it traces itself, its caller has decided so."""
        parent = read_traceparent(incoming.traceparent)
        if not (parent.sampled if parent else chosen(trace.id, self._share)):
            return []
        own = parent.trace if parent else int(trace.id, 16)
        above = _context(parent.trace, parent.span, remote=True) if parent else None
        context = _context(own, _new_id())
        start = round(datetime.fromisoformat(trace.created).timestamp() * 1e9)
        operation = OPERATIONS.get(trace.endpoint, trace.endpoint)
        failed = Status(StatusCode.ERROR, words_of(trace, self._content)) if trace.status >= 500 else Status()
        root = ReadableSpan(
            f"{operation} {trace.model[:200]}",
            context,
            above,
            self._resource,
            self._attributes(trace, operation, incoming),
            kind=SpanKind.SERVER,
            status=failed,
            start_time=start,
            end_time=start + round(trace.seconds * 1e9),
            instrumentation_scope=self._scope,
        )
        return [root, *self._steps(trace, context, start, operation)]

    def _steps(self, trace: Trace, above: SpanContext, start: int, operation: str) -> Iterator[ReadableSpan]:
        """The steps one after the other: when each began is not kept."""
        remote = trace.model in self._aliases
        for step in trace.steps:
            end = start + round(step.seconds * 1e9)
            yield ReadableSpan(
                f"{operation} {step.name}",
                _context(above.trace_id, _new_id()),
                above,
                self._resource,
                _step_attributes(step, operation, remote),
                kind=SpanKind.CLIENT if remote else SpanKind.INTERNAL,
                status=Status(StatusCode.ERROR) if step.error is not None else Status(),
                start_time=start,
                end_time=end,
                instrumentation_scope=self._scope,
            )
            start = end

    def _attributes(self, trace: Trace, operation: str, incoming: Incoming) -> dict[str, Any]:
        usage = trace.usage
        found = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "openai" if trace.model in self._aliases else "tutelage",
            "gen_ai.request.model": trace.model[:200],
            "gen_ai.request.stream": True if trace.first is not None else None,
            "gen_ai.response.id": trace.id,
            "gen_ai.response.model": trace.source or None,
            "gen_ai.response.finish_reasons": _reasons(trace.output),
            "gen_ai.response.time_to_first_chunk": trace.first,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "http.response.status_code": trace.status,
            "error.type": str(trace.status) if trace.status != 200 else None,
            "tutelage.trace": trace.id,
            "tutelage.request": incoming.request_id,
            "tutelage.task": trace.task,
            "tutelage.key": trace.key,
            "tutelage.cache": trace.cache,
            "tutelage.mode": trace.mode,
            "tutelage.confidence": trace.confidence,
            "tutelage.threshold": trace.threshold,
            "tutelage.cost": None if trace.nanodollars is None else trace.nanodollars / 1e9,
        }
        if self._content:
            found["gen_ai.input.messages"] = messages(trace.input, "user")
            found["gen_ai.output.messages"] = messages(trace.output, "assistant")
        return {name: value for name, value in found.items() if value is not None}


def _step_attributes(step: Step, operation: str, remote: bool) -> dict[str, Any]:
    found = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "openai" if remote else "tutelage",
        "gen_ai.request.model": step.name,
        "gen_ai.usage.input_tokens": step.usage.input_tokens,
        "gen_ai.usage.output_tokens": step.usage.output_tokens,
        "error.type": "_OTHER" if step.error is not None else None,
        "tutelage.role": step.role,
        "tutelage.confidence": step.confidence,
    }
    return {name: value for name, value in found.items() if value is not None}


def messages(value: Any, role: str) -> str | None:
    """Messages, choices or anything else as the conventions' JSON of messages with parts."""
    if value is None:
        return None
    rows = value if isinstance(value, list) else [value]
    found = []
    for row in rows:
        message = row.get("message", row) if isinstance(row, dict) else {"content": row}
        content = message.get("content", message) if isinstance(message, dict) else message
        text = content if isinstance(content, str) else encoded(content).decode()
        who = message.get("role", role) if isinstance(message, dict) else role
        found.append({"role": who, "parts": [{"type": "text", "content": text}]})
    return encoded(found).decode()


def _reasons(output: Any) -> tuple[str, ...] | None:
    rows = [row for row in output if isinstance(row, dict)] if isinstance(output, list) else []
    return tuple(str(row["finish_reason"]) for row in rows if row.get("finish_reason")) or None


def _context(trace: int, span: int, *, remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, remote, TraceFlags(TraceFlags.SAMPLED))


def _new_id() -> int:
    return random.getrandbits(64) or 1


class Measures:
    """The conventions' metrics: `gen_ai.server` of requests, `gen_ai.client` of the steps that answer them."""

    def __init__(self, provider: MeterProvider, models: Collection[str], aliases: Collection[str]) -> None:
        self._models, self._aliases = models, aliases
        meter = provider.get_meter("tutelage")

        def histogram(name: str, unit: str, buckets: tuple[float, ...]) -> Any:
            return meter.create_histogram(name, unit, explicit_bucket_boundaries_advisory=buckets)

        self._request = histogram("gen_ai.server.request.duration", "s", DURATIONS)
        self._first = histogram("gen_ai.server.time_to_first_token", "s", FIRST)
        self._each = histogram("gen_ai.server.time_per_output_token", "s", EACH)
        self._duration = histogram("gen_ai.client.operation.duration", "s", DURATIONS)
        self._tokens = histogram("gen_ai.client.token.usage", "{token}", TOKENS)

    def record(self, trace: Trace) -> None:
        remote = trace.model in self._aliases
        common = {
            "gen_ai.operation.name": OPERATIONS.get(trace.endpoint, trace.endpoint),
            "gen_ai.provider.name": "openai" if remote else "tutelage",
            "gen_ai.request.model": trace.model if trace.model in self._models else UNKNOWN,
        }
        error = {"error.type": str(trace.status)} if trace.status != 200 else {}
        self._request.record(trace.seconds, common | error)
        if trace.first is not None:
            self._first.record(trace.first, common)
            if trace.usage.output_tokens > 1:
                self._each.record((trace.seconds - trace.first) / (trace.usage.output_tokens - 1), common)
        for step in trace.steps:
            own = common | {"gen_ai.response.model": step.name}
            self._duration.record(step.seconds, own | ({"error.type": "_OTHER"} if step.error is not None else {}))
            for direction, count in (("input", step.usage.input_tokens), ("output", step.usage.output_tokens)):
                if count:
                    self._tokens.record(count, own | {"gen_ai.token.type": direction})
