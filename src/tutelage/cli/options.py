"""Options that verbs share, and the one way a verb prints its result."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from tutelage.registry import load

if TYPE_CHECKING:
    from tutelage.project import Project
    from tutelage.store import Store

P = ParamSpec("P")
R = TypeVar("R")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
"""Gives the command `as_json: bool`."""

out_option = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the files (default: reports/)."
)
"""Gives the command `out: Path | None`."""


gateway_folder_option = click.option(
    "-C",
    "--project",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("."),
    metavar="DIR",
    help="Folder with task.toml or gateway.toml (default: the current one).",
)
"""Gives the command `folder: Path`."""


class InOrder(click.Group):
    """Its verbs in the order in which they are written."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def project_options(function: Callable[Concatenate[Project, P], R]) -> Callable[P, R]:
    """Options -C/--project and --database; the command gets the opened Project as its first argument."""

    @click.option(
        "-C",
        "--project",
        "project_folder",
        type=click.Path(path_type=Path),
        default=Path("."),
        metavar="DIR",
        help="Folder with task.toml (default: the current one).",
    )
    @click.option("--database", metavar="URL", help="Database instead of DIR/tutelage.db, e.g. postgresql://host/name.")
    @functools.wraps(function)
    def opened(*args: Any, **options: Any) -> R:
        # Loaded here: the store's library takes longest to import, and --help has no need of it.
        open_project: Callable[[Path, str | None], Project] = load("tutelage.project:open_project")
        project = open_project(options.pop("project_folder"), options.pop("database"))
        return function(project, *args, **options)

    return opened


def store_options(function: Callable[Concatenate[Store, P], R]) -> Callable[P, R]:
    """Options -C, --settings and --database; the command gets the gateway's Store as its first argument."""

    @gateway_folder_option
    @click.option(
        "--settings",
        "file",
        type=click.Path(path_type=Path),
        help="The gateway's settings (default: DIR/gateway.toml where there is one).",
    )
    @click.option("--database", metavar="URL", help="Database instead of the one that `tutelage serve` takes.")
    @functools.wraps(function)
    def opened(*args: Any, **options: Any) -> R:
        place: Callable[[Path, Path | None, str | None], str | Path] = load("tutelage.gateway.settings:database_of")
        open_store: Callable[[str | Path], Store] = load("tutelage.store:open_store")
        store = open_store(place(options.pop("folder"), options.pop("file"), options.pop("database")))
        return function(store, *args, **options)

    return opened


def emit(result: object, as_json: bool, text: str) -> None:
    """Print `text`, or with `as_json` the dataclass or mapping `result` as one line of JSON."""
    click.echo(json.dumps(plain(result), ensure_ascii=False) if as_json else text)


def plain(value: object) -> Any:
    """`value` as JSON can hold it: dataclasses become objects, paths text, NaN and infinities null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
