"""The report as a table for the terminal."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from tutelage.evaluation import ceilingtable, fieldtable
from tutelage.evaluation.ceiling import Ceiling
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.latency import readable
from tutelage.evaluation.results import Report, Row, broken_limits
from tutelage.evaluation.trusted import NOTES, TITLE, trust_table

WIDTH = 118


def terminal_table(report: Report) -> str:
    """The report in plain text: one line a candidate, best first, then every assumption behind the figures."""
    columns = (
        "candidate",
        report.metric,
        "95 % interval",
        "difference",
        "p50",
        "per s",
        "$ per 1,000",
        "failed",
        "front",
    )
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    table.columns[0].overflow = "fold"
    for row in report.candidates:
        table.add_row(*_cells(report, row))
    against = next((row.difference.to for row in report.candidates if row.difference), None)
    head = f"{report.task}: {report.n} examples of {report.split}, scored against {report.reference}"
    trusted = ["", TITLE, *_plain(trust_table(report.trust)), *_filled(NOTES)] if report.trust else []
    ceiling = ["", ceilingtable.TITLE, *ceiling_text(report.ceiling)] if report.ceiling else []
    notes = _filled(_notes(report, against))
    return "\n".join([textwrap.fill(head, WIDTH), *_plain(table), *notes, *_fields(report), *trusted, *ceiling])


def _fields(report: Report) -> list[str]:
    if not any(row.fields for row in report.candidates):
        return []
    return ["", fieldtable.TITLE, *_plain(fieldtable.field_table(report.candidates)), *_filled(fieldtable.NOTES)]


def ceiling_text(found: Ceiling) -> list[str]:
    """The section on the teacher's ceiling as lines."""
    table = _plain(ceilingtable.ceiling_table(found)) if found.students else []
    return [*table, *_filled(ceilingtable.ceiling_notes(found))]


def _plain(table: Table) -> list[str]:
    out = io.StringIO()
    # Plain whatever FORCE_COLOR says, and "[prices]" is text, not rich's markup.
    console = Console(
        file=out, width=WIDTH, color_system=None, force_terminal=False, markup=False, emoji=False, highlight=False
    )
    console.print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def _filled(notes: Sequence[str]) -> list[str]:
    return [textwrap.fill(note, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for note in notes]


def _cells(report: Report, row: Row) -> list[str]:
    score = row.scores[report.metric]
    difference = _signed(row.difference.estimate) if row.difference else "-"
    return [
        row.name,
        f"{score.value:.3f}",
        f"{score.low:.3f} to {score.high:.3f}",
        difference,
        readable(row.latency.p50),
        f"{row.latency.items_per_second:,.3g}" if row.latency.items_per_second else "unknown",
        "unknown" if row.dollars_per_1000 is None else f"{row.dollars_per_1000:.3g}",
        str(row.failures),
        "*" if row.on_pareto_front else "",
    ]


def _notes(report: Report, against: str | None) -> list[str]:
    lines = ["* no other candidate is at once cheaper and better"]
    if against:
        lines.append(f"difference: {report.metric} minus that of {against} on the same examples, paired 95 % interval")
    for row in report.candidates:
        trained = f"; trained on {row.trained_on}" if row.trained_on else ""
        lines.append(f"{row.name} ({row.family}{trained}): cost {row.cost_basis}; time {row.latency.how}")
        if broken := broken_limits(row):
            lines.append(f"{row.name}: {broken} of {report.n} answers")
    lines += [f"{name}: {reason}" for name, reason in report.skipped.items()]
    return lines


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
