"""From a finished request to the metrics. All labels are of what the gateway serves, never of what a client may write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from tutelage.gateway.telemetry.metrics import Buckets, Cell, Totals
from tutelage.store.traces import Trace

MOST_NAMES = 500
"""Names of one kind (sources, keys, steps) that have labels of their own; those after them share `OTHER`."""
OTHER, UNKNOWN, NONE = "other", "unknown", "none"


class Names:
    """Names that become labels."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._known: set[str] = set()
        self._most = most

    def __call__(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class _Cells:
    """What requests of one task, model, key, source, endpoint and status count in."""

    __slots__ = ("cost", "first", "input", "inputs", "output", "outputs", "requests", "seconds", "token", "unpriced")

    def __init__(self, totals: Totals, who: tuple[str, str, str, str], endpoint: str, status: str) -> None:
        task, model, _, _ = who
        self.requests: Cell = totals.number("tutelage_requests", *who, endpoint, status)
        self.seconds: Buckets = totals.histogram("tutelage_request_seconds", task, model)
        self.first: Buckets = totals.histogram("tutelage_first_token_seconds", model)
        self.token: Buckets = totals.histogram("tutelage_output_token_seconds", model)
        self.input: Cell = totals.number("tutelage_tokens", *who, "input")
        self.output: Cell = totals.number("tutelage_tokens", *who, "output")
        self.inputs: Buckets = totals.histogram("tutelage_input_length", model)
        self.outputs: Buckets = totals.histogram("tutelage_output_length", model)
        self.cost: Cell = totals.number("tutelage_cost_dollars", *who)
        self.unpriced: Cell = totals.number("tutelage_unpriced_requests", model)


class Counting:
    """Counts finished requests in `totals`. `models` are the names that are served, `key_name` names a key by its id."""

    def __init__(self, totals: Totals, models: Collection[str], key_name: Callable[[str], str | None]) -> None:
        self._totals, self._models, self._key_name = totals, frozenset(models), key_name
        self._sources, self._steps, self._keys = Names(), Names(), Names()
        self._cells: dict[tuple[str, str | None, str | None, str, str, int], _Cells] = {}

    def finished(self, trace: Trace) -> None:
        model = trace.model if trace.model in self._models else UNKNOWN
        source = self._sources(trace.source)
        place = (model, trace.task, trace.key, source, trace.endpoint, trace.status)
        cells = self._cells.get(place) or self._made(place)
        usage, seconds, first = trace.usage, trace.seconds, trace.first
        cells.requests.value += 1
        cells.seconds.observe(seconds)
        if first is not None:
            cells.first.observe(first)
            if usage.output_tokens > 1:
                cells.token.observe((seconds - first) / (usage.output_tokens - 1))
        if usage.input_tokens or usage.output_tokens:
            cells.input.value += usage.input_tokens
            cells.output.value += usage.output_tokens
            cells.inputs.observe(usage.input_tokens)
            cells.outputs.observe(usage.output_tokens)
        if trace.nanodollars is None:
            cells.unpriced.value += 1
        else:
            cells.cost.value += trace.nanodollars
        for step in trace.steps:
            if step.error is None:
                self._totals.histogram("tutelage_step_seconds", self._steps(step.name)).observe(step.seconds)
        self._answer(trace, model)

    def _made(self, place: tuple[str, str | None, str | None, str, str, int]) -> _Cells:
        model, task, key, source, endpoint, status = place
        name = self._keys(self._key_name(key) or key) if key else NONE
        who = (task or NONE, model, name, source or NONE)
        found = self._cells[place] = _Cells(self._totals, who, endpoint, str(status))
        return found

    def _answer(self, trace: Trace, model: str) -> None:
        """What kind of answer it was."""
        totals, task = self._totals, trace.task or NONE
        escalated = trace.escalated
        if escalated is None and trace.threshold is not None:
            escalated = trace.confidence is None or trace.confidence < trace.threshold
        if escalated is not None:
            totals.number("tutelage_cascade_requests", task, model, "true" if escalated else "false").value += 1
        if trace.mode:
            totals.number("tutelage_mode_requests", task, trace.mode).value += 1
        if trace.cache and trace.cache != "made":
            totals.number("tutelage_cached_answers", model, trace.cache).value += 1
        if trace.status == 200 and trace.task is None and is_empty(trace.output):
            totals.number("tutelage_empty_answers", task, model).value += 1
        if trace.status == 502 and trace.output is None and trace.usage.output_tokens:
            totals.number("tutelage_malformed_answers", task, model).value += 1


def is_empty(output: Any) -> bool:
    """Whether OpenAI's choices hold neither text nor a call of a tool; other outputs are not looked into."""
    first = output[0] if isinstance(output, list) and output else None
    message = first.get("message") if isinstance(first, Mapping) else None
    if not isinstance(message, Mapping):
        return False
    return not (message.get("content") or message.get("tool_calls") or message.get("refusal"))
