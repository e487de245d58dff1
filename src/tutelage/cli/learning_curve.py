"""tutelage learning-curve: train students on more and more examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from tutelage.cli.evaluate import against_option
from tutelage.cli.options import emit, json_option, out_option, plain, project_options
from tutelage.cli.progress import progress
from tutelage.errors import UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.curve.exports import write_curves
from tutelage.evaluation.curve.measuring import CurveOptions, measure_curves
from tutelage.evaluation.curve.points import REPEATS, Tell
from tutelage.evaluation.curve.table import curves_text
from tutelage.evaluation.harness import example_set
from tutelage.project import Project
from tutelage.types import Split


def sizes_of(_context: click.Context, _parameter: click.Parameter, given: str | None) -> tuple[int, ...]:
    """The numbers of "50,100,200". Raises BadParameter."""
    try:
        return tuple(int(part) for part in given.split(",")) if given else ()
    except ValueError:
        raise click.BadParameter(f"{given!r} is not a list of numbers such as 50,100,200.") from None


@click.command("learning-curve")
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@click.option(
    "--sizes", callback=sizes_of, metavar="N,N,...", help="Examples of each point (default: 50, 100, 200, ... and all)."
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=REPEATS,
    show_default=True,
    help="Trainings of each point, with other examples and other seeds.",
)
@click.option(
    "--split",
    type=click.Choice(["dev", "test"]),
    default="dev",
    show_default=True,
    help="What is scored. Take test once, at the end.",
)
@against_option
@out_option
@json_option
@project_options
def command(
    project: Project,
    names: tuple[str, ...],
    sizes: tuple[int, ...],
    repeats: int,
    split: Split,
    against: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train students on 50, 100, 200, ... examples and say what they score, and what twice the examples would buy.

    Says also how many examples each prompted model is worth (where `tutelage evaluate` has its answers for the split), and
    whether more of the teacher's labels help on gold or only bring the student nearer to the teacher.

    The artefacts of candidates stay what they are. Every point is kept: called again, done ones are not trained again.
    Writes an HTML page, JSON, CSV, PNG and SVG charts.

    \b
    Examples:
      tutelage learning-curve
      tutelage learning-curve linear --sizes 50,100,200,400,800 --repeats 5
      tutelage learning-curve linear --split test --json
    """
    chosen = [candidate(project, name) for name in names or project.selected()]
    if not names:
        chosen = [one for one in chosen if one.family.role == "student"]
    if not chosen:
        raise UsageError(
            'No student among the candidates. Add one to task.toml, e.g. [candidates.linear] family = "linear"'
        )
    examples = example_set(project, split, against)  # type: ignore[arg-type]
    with _telling() as tell:
        found = measure_curves(project, chosen, examples, CurveOptions(sizes, repeats), tell)
    facts = plain(found.json())
    files = write_curves(found, facts, out or project.reports)
    emit(facts, as_json, "" if as_json else f"{curves_text(found)}\nCurves: {files['learning-curve.html']}")


@contextmanager
def _telling() -> Iterator[Tell]:
    """Yields what to tell how far a candidate's trainings are: a bar each, in hundredths."""
    with ExitStack() as stack:
        bars: dict[str, int] = {}
        advance = None

        def tell(what: str, share: float, shown: Mapping[str, object]) -> None:
            nonlocal advance
            name, _, training = what.partition(": ")
            if name not in bars or advance is None:
                stack.close()  # one bar at a time
                advance, bars[name] = stack.enter_context(progress(f"Curve of {name}", 100)), 0
            step = max(0, math.floor(share * 100) - bars[name])
            bars[name] += step
            advance(step, at=training, **{str(key): value for key, value in shown.items()})

        yield tell
