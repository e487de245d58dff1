"""`POST /v1/feedback`: what somebody says about an answer, checked and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tutelage.errors import AnswerError
from tutelage.gateway.errors import WireError
from tutelage.store import Feedback, Store
from tutelage.store.feedback import Verdict
from tutelage.tasks import Task

PREFIXES = ("chatcmpl-", "resp_")
"""What answers put before the id of their trace."""


class Said(BaseModel):
    """The body. `value` is what should have been answered, or in `preferred` would have been better."""

    model_config = ConfigDict(extra="forbid")
    trace: str = Field(min_length=1, max_length=60)
    verdict: Verdict
    value: Any = None
    note: str | None = Field(default=None, max_length=10_000)


def record_feedback(
    store: Store, body: bytes, who: str, tasks: Mapping[str, Task] | None = None
) -> dict[str, str | bool]:
    """Keep the feedback in `body` (JSON) of `who`; the value of a trace of one of `tasks`, by name, must be its answer.

    Raises WireError 400 for what is wrong with the body, 404 where there is no such trace; StoreError. It waits for the
    database: call it in a thread.
    """
    said = _read(body)
    id = said.trace
    for prefix in PREFIXES:
        id = id.removeprefix(prefix)
    trace = store.traces.get(id)
    if trace is None:
        message = f"There is no trace {said.trace!r}. Traces can be found about a second after the answer."
        raise WireError(404, message, code="trace_not_found")
    value = said.value
    if trace.task is not None and value is not None and (task := (tasks or {}).get(trace.task)):
        try:
            value = task.canonical(value)
        except AnswerError as error:
            raise WireError(400, f"value: {error}") from None
    feedback = Feedback(trace=id, verdict=said.verdict, who=who, value=value, note=said.note)
    return {"object": "feedback", "trace": id, "verdict": said.verdict, "added": store.feedback.add(feedback)}


def _read(body: bytes) -> Said:
    try:
        said = Said.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise WireError(400, f"{place}: {first['msg']}") from None
    if said.verdict in ("corrected", "preferred") and said.value is None:
        raise WireError(
            400, f"verdict {said.verdict!r} needs a value: the answer that would have been right or better."
        )
    return said
