"""tutelage report: the comparison of all candidates."""

from __future__ import annotations

from pathlib import Path

import click

from tutelage.cli.evaluate import against_option, split_option
from tutelage.cli.options import emit, json_option, out_option, project_options
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.exports import write_report
from tutelage.evaluation.harness import example_set
from tutelage.evaluation.reporting import make_report
from tutelage.evaluation.table import terminal_table
from tutelage.project import Project
from tutelage.routing.sections import unproven_lines, with_sections
from tutelage.types import Split


@click.command("report")
@split_option
@against_option
@out_option
@json_option
@project_options
def command(project: Project, split: Split, against: str | None, out: Path | None, as_json: bool) -> None:
    """Compare all evaluated candidates on the same examples: quality with intervals, time, cost.

    Prints the table (or JSON) and writes a self-contained HTML page, CSV, JSON, PNG and SVG charts. Asks nobody anything:
    the answers come from the store.

    \b
    Examples:
      tutelage report
      tutelage report --json | jq '.candidates[] | {name, scores, dollars_per_1000}'
      tutelage report --split dev --out /tmp/dev-report
    """
    examples = example_set(project, split, against)  # type: ignore[arg-type]
    chosen = [candidate(project, name) for name in project.file.candidates]
    result, answered = make_report(project, chosen, examples)
    result = with_sections(project, result, answered, examples)
    files = write_report(result, answered, out or project.reports)
    lines = [] if as_json else [terminal_table(result), *unproven_lines(project)]
    emit(result.json(), as_json, "\n".join([*lines, f"Report: {files['html']}"]))
