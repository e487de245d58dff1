"""tutelage ceiling: ask the teacher again."""

from __future__ import annotations

import asyncio
from functools import partial

import click

from tutelage.cli.evaluate import split_option
from tutelage.cli.options import emit, json_option, project_options
from tutelage.cli.progress import telling
from tutelage.errors import DataError
from tutelage.evaluation.candidates import teacher_name
from tutelage.evaluation.ceiling import TEXT_RIGHT, Ceiling
from tutelage.evaluation.ceilingtable import TITLE
from tutelage.evaluation.harness import example_set
from tutelage.evaluation.reasking import ask_again, ceiling_now
from tutelage.evaluation.table import ceiling_text
from tutelage.project import Project
from tutelage.types import Split


@click.command("ceiling")
@split_option
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="Ask about so many examples.")
@click.option(
    "--budget", type=click.FloatRange(min=0), help="Most dollars for asking again in all, earlier runs included."
)
@click.option("--by", metavar="NAME", help="Ask this candidate instead of the teacher, e.g. where that is recorded.")
@click.option(
    "--right",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help=f"Score from which an answer is right (default: 1, of texts {TEXT_RIGHT}).",
)
@json_option
@project_options
def command(
    project: Project,
    split: Split,
    limit: int,
    budget: float | None,
    by: str | None,
    right: float | None,
    as_json: bool,
) -> None:
    """Ask the teacher a second time, with another seed and all else as it is, and say what students can reach.

    Compares the teacher with gold and with itself, and every evaluated student with both: how many of its errors are the
    teacher's, and whether it agrees with the teacher as often as the teacher with itself. The second answers are stored
    and never paid for twice; `tutelage report` shows the same section from then on. With --limit 0 nobody is asked.

    \b
    Examples:
      tutelage ceiling
      tutelage ceiling --limit 200 --budget 0.50
      tutelage ceiling --by teacher-live --split dev --json
    """
    examples = example_set(project, split, "gold")
    if limit:
        with telling() as told:
            tell = partial(told, f"Asking {by or teacher_name(project)} again")
            asyncio.run(ask_again(project, examples, by or teacher_name(project), (limit, budget), tell))
    found: Ceiling | None = ceiling_now(project, examples, right)
    if found is None:
        raise DataError(
            f"{teacher_name(project)!r} has no answers to {split!r}. "
            f"Get them with: tutelage evaluate {teacher_name(project)} --split {split}"
        )
    emit(found, as_json, "\n".join([f"{project.task.name}: {TITLE}", *ceiling_text(found)]))
