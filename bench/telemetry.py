"""What telling of a request costs: on the event loop, and in the threads beside it.

    OMP_NUM_THREADS=1 python -m bench.telemetry      # 20 seconds; appends to bench/LOG.md

Microseconds of processor time a request, the best of 40 rounds of 300: others use the machine. The request has one step.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, Counter, Histogram

from bench.projects import write_log
from tutelage.gateway.settings import GatewaySettings
from tutelage.gateway.settings import Telemetry as Settings
from tutelage.gateway.telemetry import Telemetry
from tutelage.gateway.telemetry.arriving import NOTHING
from tutelage.gateway.telemetry.logs import Lines, Log, facts_of
from tutelage.gateway.telemetry.metrics import SECONDS, TOKENS
from tutelage.gateway.telemetry.otel import Measures, Spans
from tutelage.store.traces import Step, Trace
from tutelage.types import Usage

ROUNDS, REQUESTS = 40, 300
TRACE = Trace(
    id="01a1ffca6a657bd88f0e5d7c3c31f7bc",
    created="2026-01-01T00:00:00+00:00",
    model="m",
    key="k1",
    source="m/model@host",
    output=[{"message": {"content": "hi"}, "finish_reason": "stop"}],
    steps=(Step(name="m/model@host", seconds=0.2, usage=Usage(10, 20)),),
    usage=Usage(10, 20),
    first=0.1,
    seconds=0.3,
    nanodollars=1234,
)


def main() -> int:
    rows = {
        "the loop: counts": best(Telemetry(models=["m"]).finished),
        "the loop: counts, and a trace for OpenTelemetry": best(told(otlp="http://127.0.0.1:1").finished),
        "the loop: counts, and a line for the log": logged(),
        "for comparison: the same counts by prometheus_client, children kept": best(by_the_library()),
        "a thread: the line": best(lambda one: Lines(()).line(0.0, "info", "x", facts_of(one, NOTHING, False))),
        "a thread: the spans": best(lambda one: SPANS.of(one, NOTHING)),
        "a thread: the spans as protobuf": best(partial(encoded, SPANS.of(TRACE, NOTHING))),
        "a thread: OpenTelemetry's metrics": best(MEASURES.record),
    }
    lines = ["| what | microseconds |", "|---|---|", *(f"| {name} | {cost:.1f} |" for name, cost in rows.items())]
    size, took = page()
    lines.append(f"\nThe page of 50 models and 20 keys: {size:,} bytes in {1000 * took:.0f} ms, in a thread.")
    write_log("telemetry", "\n".join(lines) + f"\n\n{os.cpu_count()} cores of a busy machine.")
    return 0


RESOURCE = Resource.create({"service.name": "tutelage"})
SPANS = Spans(RESOURCE, InstrumentationScope("tutelage"), ["m"], Settings())
MEASURES = Measures(MeterProvider([InMemoryMetricReader()], resource=RESOURCE), ["m"], ["m"])


def best(call: Callable[[Trace], Any]) -> float:
    """Microseconds."""
    found = float("inf")
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(REQUESTS):
            call(TRACE)
        found = min(found, (time.thread_time() - start) / REQUESTS)
    return found * 1e6


def told(**settings: Any) -> Telemetry:
    return Telemetry(GatewaySettings.model_validate({"telemetry": settings}), ["m"])


def logged() -> float:
    telemetry = told(log="requests")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        telemetry.log = Log(stream=nowhere).open()
        found = best(telemetry.finished)
        telemetry.log.close()
    return found


def encoded(spans: Any, _trace: Trace) -> bytes:
    return encode_spans(spans).SerializeToString()


def by_the_library() -> Callable[[Trace], None]:
    """The counts of one finished request that succeeded."""
    registry = CollectorRegistry()
    counters = [Counter(f"c{n}", "c", ("model", "key"), registry=registry).labels("m", "k1") for n in range(4)]
    buckets = [SECONDS] * 4 + [TOKENS] * 2
    histograms = [
        Histogram(f"h{n}", "h", ("model",), buckets=one, registry=registry).labels("m") for n, one in enumerate(buckets)
    ]

    def finished(one: Trace) -> None:
        for counter in counters:
            counter.inc(one.usage.input_tokens)
        for histogram in histograms:
            histogram.observe(one.seconds)

    return finished


def page() -> tuple[int, float]:
    """Bytes and seconds."""
    models = [f"m{n}" for n in range(50)]
    telemetry = Telemetry(models=models)
    for model in models:
        for key in range(20):
            telemetry.finished(replace(TRACE, model=model, key=f"k{key}"))
    start = time.thread_time()
    return len(telemetry.metrics()[0]), time.thread_time() - start


if __name__ == "__main__":
    sys.exit(main())
