"""The report's section "Field by field", for the terminal, for the page and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from html import escape

from rich import box
from rich.table import Table

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.fields import FieldScore
from tutelage.evaluation.results import Row

TITLE = "Field by field"
HEADS = ("field", "candidate", "in gold", "exact", "95 % interval", "token F1", "95 % interval")
NOTES = (
    "in gold: examples whose gold has the field. exact: share of all examples where it is right, null for null included.",
    "token F1: F1 of the words, over the examples where gold or the answer has the field.",
)


def field_table(rows: Sequence[Row]) -> Table:
    """One line a field and candidate."""
    table = Table(*HEADS, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    for at in (2, 3, 4, 5, 6):
        table.columns[at].justify, table.columns[at].no_wrap = "right", True
    before = ""
    for name, row, score in _lines(rows):
        cells = _cells(name, row, score)
        table.add_row(*(("", *cells[1:]) if name == before else cells))
        before = name
    return table


def field_html(rows: Sequence[Row]) -> str:
    """A section of the page; "" where the answers have no fields."""
    cells = [_cells(*line) for line in _lines(rows)]
    if not cells:
        return ""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in HEADS)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in one) + "</tr>" for one in cells)
    notes = "".join(f"<li>{escape(note)}</li>" for note in NOTES)
    return (
        f'<h2>{TITLE}</h2>\n<div class="wide" tabindex="0"><table class="figures" id="fields"><thead><tr>{heads}</tr>'
        f'</thead><tbody>{lines}</tbody></table></div>\n<ul class="notes soft">{notes}</ul>'
    )


def field_csv(rows: Sequence[Row]) -> str:
    """One line a field and candidate, with the ends of both intervals."""
    out = io.StringIO()
    writer = csv.writer(out)
    metrics = ("exact", "token_f1")
    writer.writerow(["field", "n", "candidate", *(m + part for m in metrics for part in ("", "_low", "_high"))])
    for name, row, score in _lines(rows):
        figures = [v for one in (score.exact, score.token_f1) for v in (one.value, one.low, one.high)]
        writer.writerow([name, score.n, row.name, *figures])
    return out.getvalue()


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, Row, FieldScore]]:
    for name in rows[0].fields if rows else ():
        for row in rows:
            yield name, row, row.fields[name]


def _cells(name: str, row: Row, score: FieldScore) -> tuple[str, ...]:
    return (name, row.name, f"{score.n:,}", *_figures(score.exact), *_figures(score.token_f1))


def _figures(score: Estimate) -> tuple[str, str]:
    return f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}"
