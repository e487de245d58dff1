"""The report's section "Which confidence to trust", for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich import box
from rich.table import Table

from tutelage.evaluation.confidence import PARTS, Trust

TITLE = "Which confidence to trust"
HEADS = ("candidate", "confidence", "AUROC", "95 % interval", "ECE", "Brier", "answers")
NOTES = (
    "AUROC: the chance that of a right and a wrong answer the right one has the higher confidence; 0.5 says nothing.",
    "ECE, Brier: how far the confidence is from being the share of right answers; 0 is best.",
    "* the candidate's own confidence. parts: each field or string of an answer by itself.",
)


def trust_table(rows: Sequence[Trust]) -> Table:
    """One line a confidence."""
    table = Table(*HEADS, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns[2:]:
        column.justify, column.no_wrap = "right", True
    for column in table.columns[:2]:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*_cells(row))
    return table


def trust_html(rows: Sequence[Trust]) -> str:
    """A section of the page; "" where no candidate has a confidence."""
    if not rows:
        return ""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in HEADS)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row)) + "</tr>" for row in rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in NOTES)
    return (
        f'<h2>{TITLE}</h2>\n<div class="wide" tabindex="0"><table class="figures" id="trust"><thead><tr>{heads}</tr></thead>'
        f'<tbody>{lines}</tbody></table></div>\n<ul class="notes soft">{notes}</ul>'
    )


def _cells(row: Trust) -> tuple[str, ...]:
    found = row.auroc
    covered = f"{row.n:,} parts" if row.signal == PARTS else f"{row.n:,} ({row.share:.0%})"
    return (
        row.candidate,
        f"{row.signal} *" if row.used else row.signal,
        "-" if found is None else f"{found.value:.3f}",
        row.note if found is None else f"{found.low:.3f} to {found.high:.3f}",
        _figure(row.ece),
        _figure(row.brier),
        covered,
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
