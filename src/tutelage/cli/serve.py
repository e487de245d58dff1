"""tutelage serve: candidates over HTTP."""

from __future__ import annotations

import json

import click

from tutelage.cli.options import json_option, project_options
from tutelage.errors import TutelageError, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.gateway.app import make_app
from tutelage.gateway.server import HOST, bind, serve
from tutelage.project import Project
from tutelage.types import Predictor


@click.command("serve")
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free port.")
@json_option
@project_options
def command(project: Project, names: tuple[str, ...], port: int, as_json: bool) -> None:
    """Serve candidates behind an OpenAI-compatible API on loopback: POST /v1/chat/completions, GET /v1/models.

    The request's `model` is a candidate's name, its last user message the input; the reply's content is the answer as
    JSON. Without names every candidate is served that is ready (students: trained).

    \b
    Examples:
      tutelage serve
      tutelage serve tagger --port 8080
    """
    listener = bind(port)
    predictors: dict[str, Predictor] = {}
    for name in names or project.selected():
        try:
            predictors[name] = candidate(project, name).build(project)
        except TutelageError as error:
            if names:
                raise
            click.echo(f"{name} is not served: {error}", err=True)
    if not predictors:
        raise UsageError("No candidate is ready to be served. Run: tutelage train")
    url = f"http://{HOST}:{listener.getsockname()[1]}/v1"
    text = f"Serving {', '.join(predictors)} at {url} (Ctrl-C stops)"
    click.echo(json.dumps({"url": url, "models": list(predictors)}) if as_json else text)
    serve(make_app(project.task, predictors), listener)
