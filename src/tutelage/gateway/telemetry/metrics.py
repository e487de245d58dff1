"""The metrics: their names and labels in one table, what they have counted, and the page that Prometheus reads.

Counts are plain numbers that the event loop's thread alone changes, so that a request costs microseconds: through
prometheus_client's own classes the same counts took three times as long. Sums of money are whole nanodollars until they are
shown. The library still writes the page, with its escapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

Labels: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
"""As the semantic conventions of OpenTelemetry advise."""


@dataclass(frozen=True)
class Metric:
    """One metric. What is counted is `unit` times what is shown (nanodollars, shown as dollars)."""

    name: str
    kind: Kind
    help: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()
    unit: int = 1

    @property
    def shown(self) -> str:
        """The name on the page and in queries (a histogram's with _bucket, _sum or _count after it)."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


WHO = ("task", "model", "key", "source")
STUDENT = ("task", "student")

_ALL = (
    # requests
    Metric("tutelage_requests", "counter", "Requests that were begun", (*WHO, "endpoint", "status")),
    Metric("tutelage_request_seconds", "histogram", "Seconds to the last byte", ("task", "model"), SECONDS),
    Metric("tutelage_first_token_seconds", "histogram", "Seconds to a stream's first event", ("model",), SECONDS),
    Metric("tutelage_output_token_seconds", "histogram", "Seconds a token after a stream's first", ("model",), SHORT),
    Metric("tutelage_responses", "counter", "HTTP responses, refused requests too", ("path", "status")),
    # tokens and money
    Metric("tutelage_tokens", "counter", "Tokens that models read and wrote", (*WHO, "direction")),
    Metric("tutelage_input_length", "histogram", "Tokens of an input", ("model",), TOKENS),
    Metric("tutelage_output_length", "histogram", "Tokens of an output", ("model",), TOKENS),
    Metric("tutelage_cost_dollars", "counter", "Dollars spent", WHO, unit=10**9),
    Metric("tutelage_unpriced_requests", "counter", "Requests whose cost is not known", ("model",)),
    # answers
    Metric("tutelage_cascade_requests", "counter", "Requests that a cascade answered", ("task", "model", "escalated")),
    Metric("tutelage_mode_requests", "counter", "Requests by the mode of their task's operation", ("task", "mode")),
    Metric("tutelage_malformed_answers", "counter", "Answers that could not be read", ("task", "model")),
    Metric("tutelage_empty_answers", "counter", "Answers without text or tool call", ("task", "model")),
    # caches
    Metric("tutelage_cached_answers", "counter", "Requests that a kept answer was given to", ("model", "how")),
    Metric("tutelage_cache_lookups", "counter", "What the exact cache did", ("result",)),
    Metric("tutelage_semantic_lookups", "counter", "What the semantic cache did", ("result",)),
    Metric("tutelage_semantic_wrong_hits", "gauge", "Share of hits that are wrong", ("worker", "bound")),
    # upstreams
    Metric("tutelage_upstream_attempts", "counter", "Attempts at a target", ("target",)),
    Metric("tutelage_upstream_failures", "counter", "Attempts that failed", ("target", "reason")),
    Metric("tutelage_step_seconds", "histogram", "Seconds of a step that succeeded", ("step",), SECONDS),
    Metric("tutelage_upstream_circuit", "gauge", "0: closed, 1: half-open, 2: open", ("worker", "target")),
    Metric("tutelage_upstream_under_way", "gauge", "Attempts under way", ("worker", "target")),
    Metric("tutelage_hedges", "counter", "Second attempts beside a slow first", ("model",)),
    # students
    Metric("tutelage_student_waiting", "gauge", "Inputs that wait for a student", ("worker", *STUDENT)),
    Metric("tutelage_student_batch_size", "gauge", "Most inputs that a student answers at once", ("worker", *STUDENT)),
    Metric("tutelage_student_batch_wait_seconds", "gauge", "Wait for a batch's company", ("worker", *STUDENT)),
    Metric("tutelage_student_inputs_per_second", "gauge", "Speed measured at the start", ("worker", *STUDENT)),
    Metric("tutelage_student_answered", "counter", "Inputs that a student answered", STUDENT),
    Metric("tutelage_student_batches", "counter", "Batches that a student answered", STUDENT),
    Metric("tutelage_student_alone", "counter", "Inputs asked again alone after their batch failed", STUDENT),
    Metric("tutelage_student_failed", "counter", "Inputs that a student failed on", STUDENT),
    Metric("tutelage_student_refused", "counter", "Inputs refused because too many waited", STUDENT),
    Metric("tutelage_student_left", "counter", "Inputs whose client left before their turn", STUDENT),
    Metric("tutelage_reloads_done", "counter", "Newer students and certificates that are served"),
    Metric("tutelage_reloads_failed", "counter", "Newer students and certificates that cannot be served"),
    # certified operation
    Metric("tutelage_operation_mode", "gauge", "1: the task is operated in this mode", ("worker", "task", "mode")),
    Metric("tutelage_operation_evidence", "gauge", "Evidence against the certificate; 1: alarm", ("worker", "task")),
    Metric("tutelage_operation_audits", "counter", "Answers that were audited", ("task",)),
    Metric("tutelage_operation_comparisons", "counter", "Answers that were compared in shadow", ("task",)),
    Metric("tutelage_operation_disagreements", "counter", "Audited answers that the last stage denied", ("task",)),
    Metric("tutelage_operation_dropped", "counter", "Answers drawn but not audited: too much to do", ("task",)),
    Metric("tutelage_operation_failed", "counter", "Audits about which the last stage said nothing", ("task",)),
    Metric("tutelage_operation_alarms", "counter", "Certificates that an audit refuted", ("task",)),
    # the process
    Metric("tutelage_resident_bytes", "gauge", "Memory of the process", ("worker",)),
    Metric("tutelage_cpu_seconds", "counter", "Processor time of the process", ("worker",)),
    Metric("tutelage_open_files", "gauge", "Open files and sockets", ("worker",)),
    Metric("tutelage_connections", "gauge", "Open connections of clients", ("worker",)),
    Metric("tutelage_requests_under_way", "gauge", "Requests that are being answered", ("worker",)),
    Metric("tutelage_connections_cut", "counter", "Connections that were cut for their slowness", ("why",)),
    Metric("tutelage_loop_lag_seconds", "histogram", "How late the event loop ran what was due", (), SHORT),
    Metric("tutelage_spool_bytes", "gauge", "Bytes of traces that wait for the database", ("worker",)),
    Metric("tutelage_traces_lost", "counter", "Traces that were lost or lost their content"),
    Metric("tutelage_telemetry_dropped", "counter", "Requests that no span or log line tells of"),
)
METRICS: Mapping[str, Metric] = {one.name: one for one in _ALL}


class Cell:
    """One number that grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0  # whole for as long as whole numbers are added, so that sums of money are exact


class Buckets:
    """One histogram: how many observations lie in each bucket, the last without bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Totals:
    """What was counted, by metric and labels."""

    def __init__(self) -> None:
        self.numbers: dict[str, dict[Labels, Cell]] = {}
        self.buckets: dict[str, dict[Labels, Buckets]] = {}

    def number(self, name: str, *labels: str) -> Cell:
        """The number to be added to; it is the same one for ever."""
        own = self.numbers.setdefault(name, {})
        return own.get(labels) or own.setdefault(labels, Cell())

    def histogram(self, name: str, *labels: str) -> Buckets:
        own = self.buckets.setdefault(name, {})
        return own.get(labels) or own.setdefault(labels, Buckets(METRICS[name].buckets))

    def add(self, other: Totals) -> None:
        for name, cells in other.numbers.items():
            for labels, cell in cells.items():
                self.number(name, *labels).value += cell.value
        for name, found in other.buckets.items():
            for labels, one in found.items():
                own = self.histogram(name, *labels)
                own.counts = [a + b for a, b in zip(own.counts, one.counts, strict=True)]
                own.sum += one.sum

    def json(self) -> dict[str, Any]:
        numbers = {name: [[labels, one.value] for labels, one in own.items()] for name, own in self.numbers.items()}
        buckets = {
            name: [[labels, one.counts, one.sum] for labels, one in own.items()] for name, own in self.buckets.items()
        }
        return {"numbers": numbers, "buckets": buckets}


def read_totals(data: Mapping[str, Any]) -> Totals:
    """The totals that `Totals.json` gave; metrics that are not known (another version's) are left out."""
    found = Totals()
    for name, rows in data["numbers"].items():
        for labels, value in rows if name in METRICS else ():
            found.number(name, *labels).value = value
    for name, rows in data["buckets"].items():
        for labels, counts, total in rows if name in METRICS else ():
            own = found.histogram(name, *labels)
            if len(counts) == len(own.counts):
                own.counts, own.sum = list(counts), total
    return found


def page(totals: Totals) -> bytes:
    """The page that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(totals))
    return generate_latest(registry)


class _Page(Collector):
    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Family]:
        for metric in METRICS.values():
            if metric.kind == "histogram":
                yield _histogram(metric, self._totals.buckets.get(metric.name, {}).items())
                continue
            make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = make(metric.name, metric.help, labels=metric.labels)
            for labels, cell in self._totals.numbers.get(metric.name, {}).items():
                family.add_metric(labels, cell.value / metric.unit)
            yield family


def _histogram(metric: Metric, found: Iterable[tuple[Labels, Buckets]]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(str, map(float, metric.buckets)), "+Inf"]
    for labels, one in found:
        if not any(one.counts):  # a model that does not stream needs no sixteen lines that say so
            continue
        family.add_metric(labels, list(zip(bounds, accumulate(one.counts), strict=True)), one.sum)
    return family
