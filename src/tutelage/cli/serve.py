"""tutelage serve: students, cascades and the models behind them, over HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

from tutelage import settings as environment
from tutelage.cli.options import gateway_folder_option, json_option
from tutelage.errors import UsageError
from tutelage.gateway.app import make_app
from tutelage.gateway.opening import open_gateway
from tutelage.gateway.server import allow_many_files, serve
from tutelage.gateway.settings import FILE, GatewaySettings, read_settings
from tutelage.gateway.telemetry import ALONE, Worker
from tutelage.gateway.telemetry.logs import Log
from tutelage.gateway.workers import AtPost, Workers, read_post, this_command
from tutelage.models.loopback import bind, is_loopback
from tutelage.project import open_project


@click.command("serve")
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@click.option(
    "--settings", "file", type=click.Path(path_type=Path), help=f"Settings (default: DIR/{FILE} where there is one)."
)
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free port (default: 8000).")
@gateway_folder_option
@click.option("--database", metavar="URL", help="Database for traces, keys and spend instead of DIR/tutelage.db.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that share the port (default: 1).")
@click.option("--worker", "post", hidden=True, help="Set by the parent of several workers.")
@json_option
def command(
    names: tuple[str, ...],
    file: Path | None,
    host: str | None,
    port: int | None,
    folder: Path,
    database: str | None,
    workers: int | None,
    post: str | None,
    as_json: bool,
) -> None:
    """Serve tasks, their candidates and upstream models behind one OpenAI-compatible API.

    `model` in a request is a task ("characters"), a candidate ("characters/tagger") or an upstream's alias from
    gateway.toml. Of a task the last user message is the input and the answer comes as JSON; to an upstream everything goes
    as it came. Without names every candidate is served that is ready (students: trained).

    \b
    Examples:
      tutelage serve
      tutelage serve tagger --port 8080
      tutelage serve --settings gateway.toml
      tutelage serve --workers 4
    """
    file = file or (folder / FILE if (folder / FILE).is_file() else None)
    settings = read_settings(file) if file else GatewaySettings()
    given = {"host": host, "port": port, "workers": workers}
    changed = settings.server.model_copy(update={key: value for key, value in given.items() if value is not None})
    settings = settings.model_copy(update={"server": changed, "database": database or settings.database})
    if changed.access == "open" and not is_loopback(f"http://{changed.host}"):
        raise UsageError(
            f'The gateway would answer everybody who reaches {changed.host}. Set [server] access = "keys" in {FILE}, and make '
            "keys with: tutelage keys create NAME"
        )
    allow_many_files()
    root, log = file.parent if file else folder, Log(_secrets(settings)).open()

    def answer(worker: Worker, listener: socket.socket, ready: Callable[[Sequence[str]], None]) -> None:
        projects = [open_project(root / one, database) for one in settings.tasks]
        opened = open_gateway(settings, root, projects, names, worker)
        opened.telemetry.log = log
        for name, why in opened.skipped.items() if worker.index == 0 else ():
            click.echo(f"{name} is not served: {why}", err=True)
        models = list(opened.gateway.routes.by_name)
        serve(make_app(opened), listener, changed.drain, lambda: ready(models))

    try:
        if post is not None:
            place = AtPost(read_post(post))
            answer(place.worker, place.listener, place.ready)
            return
        with bind(changed.port, changed.host) as listener:
            url = f"http://{changed.host}:{listener.getsockname()[1]}/v1"
            told = partial(_told, url, as_json)
            if changed.workers > 1:
                Workers(this_command(), changed.workers, listener, changed.drain).run(told)
            else:
                answer(ALONE, listener, told)
    finally:
        log.close()


def _told(url: str, as_json: bool, models: Sequence[str]) -> None:
    text = f"Serving {', '.join(models)} at {url} (Ctrl-C stops)"
    click.echo(json.dumps({"url": url, "models": list(models)}) if as_json else text)


def _secrets(settings: GatewaySettings) -> list[str]:
    """The API keys of upstreams, which no line of the log may hold."""
    names = {target.api_key_env for one in settings.upstreams.values() for target in one.targets}
    return [found for name in names if (found := environment.variable(name))]
