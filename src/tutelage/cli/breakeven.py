"""tutelage breakeven: after how many requests a student has paid for itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from tutelage.cli.options import emit, json_option, out_option, project_options
from tutelage.evaluation.breakeven import QUANTITIES, REQUESTS, Assumptions, break_even
from tutelage.evaluation.breakeven_files import terminal_text, write_break_even
from tutelage.evaluation.breakeven_known import known
from tutelage.project import Project

P = ParamSpec("P")
R = TypeVar("R")


def quantity_options(function: Callable[Concatenate[dict[str, float], P], R]) -> Callable[P, R]:
    """A flag for each quantity; the command gets those given, by name, as its first argument."""

    @functools.wraps(function)
    def named(*args: Any, **options: Any) -> R:
        given = {quantity.name: options.pop(quantity.name) for quantity in QUANTITIES}
        return function({name: value for name, value in given.items() if value is not None}, *args, **options)

    command: Callable[P, R] = named
    for quantity in reversed(QUANTITIES):
        what = quantity.what + (f" [{quantity.unit}]." if quantity.unit else ".")
        metavar = "SHARE" if quantity.share else "NUMBER"
        command = click.option(quantity.flag, type=float, metavar=metavar, help=what)(command)
    return command


@click.command("breakeven")
@click.option("--student", metavar="NAME", help="The candidate that answers instead of the teacher.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A certificate; its escalation rate is taken.",
)
@click.option(
    "--requests",
    type=float,
    multiple=True,
    metavar="N",
    help=f"Requests a day (default: {', '.join(f'{n:,}' for n in REQUESTS)}).",
)
@click.option("--always-on", is_flag=True, help="The student's machine is paid by the day, whatever it answers.")
@out_option
@json_option
@project_options
@quantity_options
def command(
    given: dict[str, float],
    project: Project,
    student: str | None,
    certificate: Path | None,
    requests: tuple[float, ...],
    always_on: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """After how many requests a student has paid for its labels and training, and dollars a day with and without it.

    Figures come from the store, the artefacts and task.toml, each with its basis, unless given as a flag. What is not
    known is asked for by name, never guessed. Writes an HTML page on which every figure can be moved, JSON and CSV.

    \b
    Examples:
      tutelage breakeven --escalation 0.14
      tutelage breakeven --certificate certificate.json --audit-share 0.01 --requests 5000
      tutelage breakeven --escalation 0.14 --always-on --dollars-per-hour 0.05 --review-hours 3 --review-dollars-per-hour 40
    """
    figures = known(project, student, given, certificate)
    found = break_even(Assumptions(figures, always_on), requests or REQUESTS)
    files = write_break_even(project.task.name, found, out or project.reports)
    emit(found.json(), as_json, f"{terminal_text(found)}\nPage: {files['breakeven.html']}")
