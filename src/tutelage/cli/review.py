"""tutelage review: a page on which people make labels good."""

from __future__ import annotations

import json

import click

from tutelage.cli.options import json_option, project_options
from tutelage.project import Project
from tutelage.review.desk import Desk
from tutelage.review.orders import FILE
from tutelage.types import SPLITS, Split
from tutelage.web.app import make_app
from tutelage.web.review_pages import LINKS, routes
from tutelage.web.serving import serve_pages


@click.command("review")
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True, help="Whose labels.")
@click.option(
    "--order", default=FILE, show_default=True, metavar="NAME", help="What comes first; it can be changed there."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="0 takes a free port.")
@click.option("--no-browser", is_flag=True, help="Print the address, open no browser.")
@json_option
@project_options
def command(project: Project, split: Split, order: str, port: int, no_browser: bool, as_json: bool) -> None:
    """Open a page on which labels are accepted, corrected or rejected, by keyboard, one by one or many at once.

    It is served on this machine alone, until Ctrl-C, and works without a network. Every decision is stored as it is made,
    with who made it; labels are added, never overwritten. Several people may work at once: no example comes up twice, unless
    [review] in task.toml has a share labelled by two.

    \b
    Orders: file (as they came), doubtful, disagree, novel, errors, threshold, audit (drawn at random), and those of `tutelage
    quality`.

    \b
    Examples:
      tutelage review
      tutelage review --order doubtful
      tutelage review --split test --order audit --port 0 --no-browser
    """
    desk = Desk(project, split)
    if not desk.queue(order):
        raise click.UsageError(f"There is no example in {split!r}. Add some with: tutelage add FILE --split {split}")

    def told(address: str) -> None:
        text = f"Reviewing {split} of {project.file.name} at {address} (Ctrl-C stops)"
        click.echo(json.dumps({"url": address, "split": split, "order": order}) if as_json else text)

    serve_pages(make_app(project, routes(desk, order), LINKS), port, told, browser=not no_browser)
    found = desk.progress()
    if not as_json:
        click.echo(f"{found.decided:,} of {found.total:,} examples of {split} are decided.")
