"""tutelage traces: what was asked of the gateway, who answered, what it cost, and what people said about it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tutelage.cli.keys import Moment
from tutelage.cli.options import InOrder, emit, json_option, plain, store_options
from tutelage.errors import UsageError
from tutelage.gateway.traces.ids import lowest_id
from tutelage.store import Feedback, Step, Store, Trace, TraceFilter
from tutelage.store.feedback import VERDICTS

NANO = 1e9
SHORT = 16
"""Digits of an id that are shown: milliseconds and parts of them."""
EVERY, OVERLAP = 1.0, 30.0
"""Seconds between two looks of `tail`, and how late a trace may come in: its id is as old as its request."""


def filters(function: Callable[..., None]) -> Callable[..., None]:
    """The options that choose traces; the command gets them as keyword arguments, for `chosen`."""
    options = [
        click.option("--task", metavar="NAME", help="Of this task."),
        click.option("--model", metavar="NAME", help="Asked for under this name."),
        click.option("--key", metavar="ID", help="With this key."),
        click.option("--source", metavar="NAME", help="Answered by this one."),
        click.option("--status", type=int, help="With this HTTP status (0: the server was killed)."),
        click.option("--since", type=Moment(-1), help="Not older than this: 1h, 7d or a time (UTC)."),
        click.option("--until", type=Moment(-1), help="Older than this."),
        click.option("--cache", metavar="HOW", help='From a cache: hit, shared, ...; "" for none.'),
        click.option("--escalated", is_flag=True, default=None, help="Those that the first stage did not answer."),
        click.option("--errors", is_flag=True, help="Those that failed: status 400 and above, and 0."),
        click.option("--feedback", type=click.Choice(["any", *VERDICTS]), help="About which this was said."),
        click.option(
            "--contains", "text", metavar="TEXT", help="With this in the input, an answer, the error or the note."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.group("traces", cls=InOrder)
def command() -> None:
    """What was asked of the gateway, who answered, and what it cost: list, show, follow, and say what was right.

    A trace is here about half a second after its answer. Its id is the answer's, without chatcmpl-; the first digits do.

    \b
    Examples:
      tutelage traces list --since 1h --errors
      tutelage traces list --escalated --contains refund --json > escalated.jsonl
      tutelage traces show 019a5b2e7c117a40
      tutelage traces feedback 019a5b2e7c117a40 --corrected refund
    """


@command.command("list")
@filters
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="At most so many, the newest.")
@json_option
@store_options
def list_(store: Store, /, limit: int, as_json: bool, **which: Any) -> None:
    """List traces, the newest first. With --json a line of JSON for each, with all that is known.

    \b
    Examples:
      tutelage traces list --task support --since 1d
      tutelage traces list --feedback wrong --limit 1000 --json
    """
    found = store.traces.find(TraceFilter(**which), limit)
    if as_json:
        for trace in found:
            click.echo(line(trace))
    elif not found:
        click.echo("No such trace.")
    else:
        click.echo(listing(found))


@command.command("show")
@click.argument("id")
@json_option
@store_options
def show(store: Store, id: str, as_json: bool) -> None:
    """Show the whole way of one request: what was asked, each step with its tokens, seconds and dollars, and the answer.

    \b
    Examples:
      tutelage traces show 019a5b2e7c117a40
      tutelage traces show chatcmpl-019a5b2e7c117a40b0c1d2e3f4a5b6c7 --json
    """
    trace = one(store, id)
    said = store.feedback.of([trace.id]).get(trace.id, [])
    emit(plain(trace) | {"feedback": plain(said)}, as_json, "\n".join(shown(trace, said)))


@command.command("tail")
@filters
@json_option
@store_options
def tail(store: Store, /, as_json: bool, **which: Any) -> None:
    """Follow: print traces as they come in, until Ctrl-C. A request that took longer than 30 seconds may be passed over.

    \b
    Examples:
      tutelage traces tail --errors
      tutelage traces tail --task support --json
    """
    try:
        for trace in following(store, TraceFilter(**which)):
            click.echo(line(trace) if as_json else "  ".join(cells(trace)))
    except KeyboardInterrupt:
        pass


@command.command("feedback")
@click.argument("id")
@click.option("--right", "verdict", flag_value="right", help="The answer is right.")
@click.option("--wrong", "verdict", flag_value="wrong", help="The answer is wrong.")
@click.option("--corrected", metavar="VALUE", help="The answer that would have been right; lists and objects as JSON.")
@click.option("--preferred", metavar="VALUE", help="An answer that would have been better.")
@click.option("--note", help="Why.")
@click.option("--by", "who", default="cli", show_default=True, metavar="NAME", help="Who says so.")
@json_option
@store_options
def feedback(
    store: Store,
    id: str,
    verdict: str | None,
    corrected: str | None,
    preferred: str | None,
    note: str | None,
    who: str,
    as_json: bool,
) -> None:
    """Say what was right or wrong about an answer. `tutelage harvest` makes labels of it: human:NAME.

    \b
    Examples:
      tutelage traces feedback 019a5b2e7c117a40 --wrong --note "talks of another order"
      tutelage traces feedback 019a5b2e7c117a40 --corrected refund --by ada
      tutelage traces feedback 019a5b2e7c117a40 --corrected '["Ada", "Bob"]'
    """
    given = {"corrected": corrected, "preferred": preferred, "right": verdict == "right", "wrong": verdict == "wrong"}
    if sum(value not in (None, False) for value in given.values()) != 1:
        raise UsageError("Say one thing: --right, --wrong, --corrected VALUE or --preferred VALUE.")
    said = next(name for name in VERDICTS if given[name] not in (None, False))
    value = _value(corrected if corrected is not None else preferred)
    trace = one(store, id)
    new = store.feedback.add(Feedback(trace=trace.id, verdict=said, who=who, value=value, note=note))
    facts = {"trace": trace.id, "verdict": said, "value": value, "who": who, "added": new}
    emit(facts, as_json, f"{trace.id}: {said}, says {who}" if new else f"{who} has said so already.")


def one(store: Store, id: str) -> Trace:
    """The only trace whose id begins so. Raises UsageError."""
    wanted = id.removeprefix("chatcmpl-").removeprefix("resp_")
    found = store.traces.starting(wanted) if wanted else []
    if len(found) != 1:
        what = f"{id!r} is the beginning of several traces" if found else f"There is no trace {id!r}"
        raise UsageError(f"{what}. Find it with: tutelage traces list --json")
    return found[0]


def following(store: Store, which: TraceFilter) -> Iterator[Trace]:
    """Traces that come in from now on, each once."""
    seen = {trace.id for trace in store.traces.read_after(_overlap(), which)}
    while True:
        new = [trace for trace in store.traces.read_after(_overlap(), which) if trace.id not in seen]
        yield from new
        seen = {id for id in seen if id >= _overlap()} | {trace.id for trace in new}
        time.sleep(EVERY)


def line(trace: Trace) -> str:
    return json.dumps(plain(trace), ensure_ascii=False)


def listing(traces: Iterable[Trace]) -> str:
    table = Table("time (UTC)", "id", "model", "source", "status", "conf.", "$", "ms", "input", box=box.SIMPLE_HEAD)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    for trace in traces:
        table.add_row(*map(_literal, cells(trace)))
    buffer = io.StringIO()
    Console(file=buffer, width=150, no_color=True).print(table)
    return "\n".join(text.rstrip() for text in buffer.getvalue().splitlines() if text.strip())


def cells(trace: Trace) -> list[str]:
    status = f"{trace.status}" + (f" {trace.cache}" if trace.cache else "") + (" up" if trace.escalated else "")
    return [
        trace.created[:19].replace("T", " "),
        trace.id[:SHORT],
        trace.model,
        trace.source or "-",
        status,
        _number(trace.confidence, ".2f"),
        _dollars(trace.nanodollars),
        f"{trace.seconds * 1000:.0f}",
        beginning(trace.input if trace.error is None else trace.error),
    ]


def shown(trace: Trace, said: Iterable[Feedback]) -> Iterator[str]:
    """The trace as lines for people."""
    yield f"{trace.id}  {trace.created}  status {trace.status}" + (f"  {trace.error}" if trace.error else "")
    facts = {
        "model": trace.model,
        "endpoint": trace.endpoint,
        "task": trace.task,
        "key": trace.key,
        "source": trace.source,
        "cache": trace.cache,
        "mode": trace.mode,
        "confidence": _number(trace.confidence, ".4g"),
        "threshold": _number(trace.threshold, ".4g"),
        "escalated": {True: "yes", False: "no", None: None}[trace.escalated],
        "note": trace.note,
    }
    yield "  ".join(f"{name}={value}" for name, value in facts.items() if value not in (None, "", "-"))
    yield f"input:  {_whole(trace.input)}"
    for number, step in enumerate(trace.steps, 1):
        yield from _step(number, step)
    yield f"output: {_whole(trace.output)}"
    usage, first = trace.usage, f", {trace.first:.3f} s to the first token" if trace.first is not None else ""
    yield (
        f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens, {trace.seconds:.3f} s{first}, "
        f"${_dollars(trace.nanodollars)}" + (f" on {', '.join(trace.accounts)}" if trace.accounts else "")
    )
    for one in said:
        value = f" {_whole(one.value)}" if one.value is not None else ""
        yield f"{one.created[:19]}  {one.who}: {one.verdict}{value}" + (f" ({one.note})" if one.note else "")


def beginning(value: Any, width: int = 50) -> str:
    """The first words of what was said last, on one line."""
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content", value[-1])
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    text = " ".join((value if isinstance(value, str) else _whole(value)).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _step(number: int, step: Step) -> Iterator[str]:
    usage = step.usage
    dollars = "" if usage.dollars is None else f", ${usage.dollars:.6f}"
    tokens = f", {usage.input_tokens:,} + {usage.output_tokens:,} tokens" if usage.input_tokens else ""
    sure = "" if step.confidence is None else f", confidence {step.confidence:.4g}"
    role = "" if step.role == "answer" else f" ({step.role})"
    yield f"step {number}: {step.name}{role}, {step.seconds:.3f} s{tokens}{dollars}{sure}"
    if step.error:
        yield f"        {step.error}"
    elif step.answer is not None:
        yield f"        {_whole(step.answer)}"


def _whole(value: Any) -> str:
    return "(not kept)" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(text: str | None) -> Any:
    """Lists and objects are JSON; whatever else is a text."""
    if text is None or not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(f'{text!r} is no JSON. Quote it: \'["a", "b"]\'.') from None


def _literal(text: str) -> str:
    return text.replace("[", r"\[")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _dollars(nanodollars: int | None) -> str:
    return "?" if nanodollars is None else f"{nanodollars / NANO:.6f}"


def _overlap() -> str:
    return lowest_id(datetime.now(UTC) - timedelta(seconds=OVERLAP))
