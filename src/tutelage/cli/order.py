"""tutelage order: which candidates make the best cascade, and in which order."""

from __future__ import annotations

import io
import json

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tutelage.cli.options import emit, json_option, project_options
from tutelage.errors import UsageError
from tutelage.project import Project
from tutelage.routing.order import Ordering, Row, Wish, learn_order

NAME = "ordered"
"""Of the cascade in the lines for task.toml."""


@click.command("order")
@click.argument("names", nargs=-1, metavar="[CANDIDATE ...]")
@click.option("--budget", type=click.FloatRange(min=0), metavar="DOLLARS", help="At most so much per 1,000 inputs.")
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="At most this mean loss (wrong answers; of free text 1 minus the metric), for the fewest dollars.",
)
@click.option(
    "--against",
    type=click.Choice(["gold", "teacher"]),
    help="Whose answers are right (default: gold where dev has any, else the teacher's).",
)
@json_option
@project_options
def command(
    project: Project,
    names: tuple[str, ...],
    budget: float | None,
    max_loss: float | None,
    against: str | None,
    as_json: bool,
) -> None:
    """Find the cascade of at most three candidates that loses least under a budget, or costs least under a loss.

    Reads the stored answers to dev (without names: of all candidates that have answered it); nobody is asked. All orders are
    tried, at a grid of thresholds of calibrated confidence. The figures are cross-validated: what is chosen on one half of
    dev is measured on the other. They are no proof: put the cascade into task.toml and let `tutelage calibrate` prove on the
    calibration split what it loses.

    \b
    Examples:
      tutelage order --budget 0.5
      tutelage order --max-loss 0.05 small middle large
    """
    if (budget is None) == (max_loss is None):
        raise UsageError("Set one of the two: --budget DOLLARS per 1,000 inputs, or --max-loss SHARE.")
    found = learn_order(project, names, Wish(budget, max_loss), against)  # type: ignore[arg-type]
    emit({**plain_rows(found), "task_toml": toml(found)}, as_json, order_text(found))


def plain_rows(found: Ordering) -> dict[str, object]:
    """The result without the notes of people."""
    return {
        "wish": found.wish,
        "loss": found.loss,
        "reference": found.reference,
        "n": found.n,
        "chosen": found.chosen,
        "halves": found.halves,
        "own_thresholds": found.own_thresholds,
        "orders": found.rows,
        "alone": found.alone,
        "left_out": found.left_out,
    }


def toml(found: Ordering) -> str:
    """The lines for task.toml; "" where one candidate alone is best."""
    stages = found.chosen.stages
    if len(stages) == 1:
        return ""
    return f'[candidates.{NAME}]\nfamily = "cascade"\nstages = {json.dumps(list(stages), ensure_ascii=False)}\n'


def order_text(found: Ordering) -> str:
    """The table and what it means."""
    wish = (
        f"least loss for at most {found.wish.budget:g} dollars per 1,000"
        if found.wish.budget is not None
        else f"fewest dollars for a loss of at most {found.wish.max_loss:g}"
    )
    table = Table("stages", f"{found.loss} (95 %)", "$ per 1,000", "from", "answered by", box=box.SIMPLE_HEAD)
    table.columns[0].overflow = "fold"
    for row in found.rows:
        table.add_row(*cells(row))
    table.add_section()
    for row in found.alone:
        table.add_row(*cells(row))
    buffer = io.StringIO()
    Console(file=buffer, width=118, no_color=True).print(table)
    one, own = found.chosen, found.own_thresholds
    lines = [
        f"{wish}; {found.n} examples of dev, {found.reference}",
        *[line.rstrip() for line in buffer.getvalue().splitlines() if line.strip()],
        "Thresholds (and, below, orders) are chosen on one half of dev and measured on the other, both ways; the orders shown "
        "are the best on all of dev.",
        f"The choice as a whole, order included: {found.loss} {shown(one)}, $ {one.dollars_per_1000:.4g} per 1,000; the halves "
        f"chose {' and '.join(' -> '.join(half) for half in found.halves)}.",
        f"With a threshold for each stage, which a cascade does not have: {found.loss} {shown(own)}, $ "
        f"{own.dollars_per_1000:.4g}, {' -> '.join(own.stages)}.",
        *(f"Left out: {name} {reason}." for name, reason in found.left_out.items()),
    ]
    if not toml(found):
        return "\n".join([*lines, "", f"One candidate alone is best: {one.stages[0]}. No cascade is needed."])
    advice = f"It is chosen on dev; what it loses is proved afterwards: tutelage calibrate {NAME} --max-loss SHARE"
    return "\n".join([*lines, "", "For task.toml:", "", toml(found), advice])


def cells(row: Row) -> list[str]:
    answered = ", ".join(f"{name} {share:.0%}" for name, share in row.answered.items())
    threshold = f"{row.thresholds[0]:.3f}" if row.thresholds else ""
    return [" -> ".join(row.stages), shown(row), f"{row.dollars_per_1000:.4g}", threshold, answered]


def shown(row: Row) -> str:
    return f"{row.loss.value:.4f} ({row.loss.low:.4f} to {row.loss.high:.4f})"
