"""Traces: what was asked of the gateway, who answered, and what it cost. The facts, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple

import orjson

from tutelage.types import Usage


class TraceRow(NamedTuple):
    """A trace ready for the database: the columns of `schema.traces` in their order, and what is to be charged to whom."""

    columns: tuple[Any, ...]
    accounts: tuple[str, ...]
    owner: str
    nanodollars: int

    @property
    def id(self) -> str:
        return str(self.columns[0])


_MOST_TOKENS, _MOST_NANODOLLARS = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One attempt on the way to an answer: of an upstream, a stage of a cascade, a cache.

    `role` says what for: `answer`, or `shadow` and `audit` where it was asked beside the one that answered. `source` is the
    answer's own, as labels name it: `teacher:<model>@<prompt version>`, a student's run.
    """

    name: str
    source: str = ""
    role: str = "answer"
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    answer: Any = None
    confidence: float | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """One request. `id` is 32 hexadecimal digits that grow with time; `created` is UTC, ISO 8601.

    `status` is the HTTP status sent; 499: the client had gone; 0: the server was killed before it answered, and what had been
    reserved counts as spent. `source` is who answered. `first` and `seconds` are those to the first token and in all.
    `nanodollars` (None: no price is known) is charged to `accounts`, out of the leases of `owner`. `escalated`: the first
    stage of a cascade did not answer; None: it is, with a threshold, where several stages have answered or the confidence is
    below it.
    """

    id: str
    created: str
    model: str
    endpoint: str = "chat"
    task: str | None = None
    key: str | None = None
    source: str = ""
    status: int = 200
    cache: str | None = None
    confidence: float | None = None
    threshold: float | None = None
    escalated: bool | None = None
    mode: str | None = None
    input: Any = None
    output: Any = None
    steps: tuple[Step, ...] = ()
    usage: Usage = field(default_factory=Usage)
    first: float | None = None
    seconds: float = 0.0
    error: str | None = None
    note: str | None = None
    nanodollars: int | None = None
    accounts: tuple[str, ...] = ()
    owner: str = ""


def encoded(value: object) -> bytes:
    """`value` (dataclasses too) as JSON on one line, whatever it holds: what JSON has not is written as text."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError, RecursionError):  # halves of surrogate pairs, integers over 64 bits
        value = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        return b" " + json.dumps(value, default=_plain).encode()  # the space tells `decoded` who wrote it


def decoded(text: bytes | str) -> Any:
    """The value in JSON that `encoded` wrote. Raises ValueError."""
    if text[:1] in (" ", b" "):
        return json.loads(text)  # orjson would read integers over 64 bits as floats
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def trace_of(facts: Mapping[str, Any]) -> Trace:
    """The trace whose JSON `facts` is; names that are not known are passed over. Raises ValueError."""
    try:
        return _trace(facts)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"This is no trace: {error}.") from None


def _trace(facts: Mapping[str, Any]) -> Trace:
    known = {name: facts[name] for name in _TRACE if name in facts}
    if "usage" in known:
        known["usage"] = _usage(known["usage"])
    if "steps" in known:
        known["steps"] = tuple(map(_step, known["steps"]))
    if "accounts" in known:
        known["accounts"] = tuple(known["accounts"])
    return Trace(**known)


def row_of(facts: Mapping[str, Any], owner: str = "") -> TraceRow:
    """The row of the trace whose JSON `facts` is; `owner` where it names none. Raises ValueError.

    Texts go without what databases refuse, numbers within their bounds. It makes no Trace on the way: of what is written to the
    database this is the part that keeps the interpreter busy.
    """
    try:
        return _row(facts, owner)
    except (TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"This is no trace: {type(error).__name__} {error}.") from None


def _row(facts: Mapping[str, Any], owner: str) -> TraceRow:
    get = facts.get
    usage, steps, confidence = get("usage") or {}, get("steps") or [], get("confidence")
    accounts, nanodollars = tuple(map(str, get("accounts") or ())), get("nanodollars")
    owner = get("owner") or owner
    rest = {name: value for name in _FACTS if (value := get(name)) is not None and value != []}
    rest["usage"] = {name: value for name in _USAGE if (value := usage.get(name))}
    rest["owner"] = owner
    nanodollars = None if nanodollars is None else min(int(nanodollars), _MOST_NANODOLLARS)
    columns = (
        _text(facts["id"], 32),
        _text(facts["created"], 32),
        _text(facts["model"]),
        _text(get("task"), 100),
        _text(get("key"), 16),
        _text(get("source") or ""),
        int(get("status", 200)),
        _text(get("cache"), 10),
        None if confidence is None else float(confidence),
        _escalated(get("escalated"), get("threshold"), confidence, steps),
        min(usage.get("input_tokens", 0), _MOST_TOKENS),
        min(usage.get("output_tokens", 0), _MOST_TOKENS),
        nanodollars,
        float(get("seconds") or 0.0),
        _text(get("error")),
        encoded(rest).decode(),
    )
    return TraceRow(columns, accounts, owner, nanodollars or 0)


def _escalated(
    told: bool | None, threshold: float | None, confidence: float | None, steps: Sequence[Mapping[str, Any]]
) -> int | None:
    answered = {
        step["name"] for step in steps if step.get("role", "answer") == "answer" and step.get("answer") is not None
    }
    if told is not None or threshold is None:
        return None if told is None else int(told)
    return int(len(answered) > 1 or confidence is None or confidence < threshold)


def trace_from_row(row: Mapping[str, Any]) -> Trace:
    """The trace in a row of `schema.traces`."""
    columns = dict(row)
    facts = decoded(columns.pop("facts"))
    tokens = {name: columns.pop(name) for name in ("input_tokens", "output_tokens")}
    escalated = columns.pop("escalated")
    facts["usage"] = facts.get("usage", {}) | tokens
    return trace_of(facts | columns | {"escalated": None if escalated is None else bool(escalated)})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    return str(value)


def _text(value: str | None, most: int | None = None) -> Any:
    """Without NUL and halves of surrogate pairs, which PostgreSQL refuses: one odd request must not block the rest."""
    if value is None:
        return None
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\0", "")[:most]


def _usage(facts: Mapping[str, Any]) -> Usage:
    return Usage(**{name: facts[name] for name in _USAGE if name in facts})


def _step(facts: Mapping[str, Any]) -> Step:
    known = {name: facts[name] for name in _STEP if name in facts}
    return Step(**(known | {"usage": _usage(facts.get("usage", {}))}))


_TRACE = tuple(one.name for one in fields(Trace))
_STEP = tuple(one.name for one in fields(Step))
_USAGE = tuple(one.name for one in fields(Usage))
_FACTS = ("endpoint", "threshold", "mode", "input", "output", "steps", "first", "note", "accounts")
"""What has no column of its own, but for the usage and the owner."""
