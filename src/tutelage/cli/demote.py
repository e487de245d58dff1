"""tutelage demote: let a task's last stage answer instead of its cascade."""

from __future__ import annotations

import click

from tutelage.cli.options import emit, json_option, store_options
from tutelage.gateway.operation.changing import demote
from tutelage.store import Store


@click.command("demote")
@click.argument("task", required=False)
@click.option("--shadow", is_flag=True, help="Compare the cascade with the last stage in the background.")
@click.option("--why", default="by hand", metavar="TEXT", show_default=True, help="Is kept with the mode.")
@json_option
@store_options
def command(store: Store, /, task: str | None, shadow: bool, why: str, as_json: bool) -> None:
    """Let the last stage, the teacher, answer for TASK (default: the only one served) whatever the cascade's certificate says.

    A running gateway follows within seconds; `tutelage promote` takes it back.

    \b
    Examples:
      tutelage demote
      tutelage demote desk --shadow --why "new product line"
    """
    name, state = demote(store, task, "shadow" if shadow else "demoted", why)
    emit({"task": name, "mode": state.mode, "certificate": state.certificate}, as_json, f"{name}: {state.mode}")
