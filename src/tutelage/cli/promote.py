"""tutelage promote: let a task's cascade answer again."""

from __future__ import annotations

import click

from tutelage.cli.options import emit, json_option, store_options
from tutelage.gateway.operation.changing import promote
from tutelage.store import Store


@click.command("promote")
@click.argument("task", required=False)
@click.option("--force", is_flag=True, help="Even after an alarm of the same certificate; its audit begins anew.")
@click.option("--why", default="by hand", metavar="TEXT", show_default=True, help="Is kept with the mode.")
@json_option
@store_options
def command(store: Store, /, task: str | None, force: bool, why: str, as_json: bool) -> None:
    """Let the cascade of TASK (default: the only one served) answer, from shadow or after it was demoted.

    After an alarm it takes a new certificate: label what `tutelage operation` names, train, calibrate. A running gateway
    follows within seconds.

    \b
    Examples:
      tutelage promote
      tutelage promote desk --why "labelled 200 more, calibrated anew"
    """
    name, state = promote(store, task, why, force=force)
    emit({"task": name, "mode": state.mode, "certificate": state.certificate}, as_json, f"{name}: live, under audit")
