"""tutelage operation: how cascades are served."""

from __future__ import annotations

import click

from tutelage.cli.options import emit, json_option, store_options
from tutelage.errors import UnknownName
from tutelage.gateway.operation.shown import shown
from tutelage.gateway.operation.state import read_state
from tutelage.store import Store


@click.command("operation")
@click.argument("tasks", nargs=-1, metavar="[TASK ...]")
@click.option(
    "--next", "most", type=click.IntRange(0), default=10, show_default=True, help="Traces to label next that are shown."
)
@json_option
@store_options
def command(store: Store, /, tasks: tuple[str, ...], most: int, as_json: bool) -> None:
    """Show how cascades are served: mode, certificate, what the audit found, and what to label next.

    A task is there once `tutelage serve` has served a cascade of it.

    \b
    Examples:
      tutelage operation
      tutelage operation desk --next 50 --json
    """
    there = store.operations.read()
    for name in tasks:
        if name not in there:
            raise UnknownName("operated task", name, there)
    found = [shown(store, name, read_state(there[name]), most) for name in tasks or there]
    text = "\n".join(one.text() for one in found) or "No cascade has been served yet. Run: tutelage serve"
    emit([one.json() for one in found], as_json, text)
