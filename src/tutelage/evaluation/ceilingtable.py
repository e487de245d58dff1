"""The report's section "The teacher's ceiling", for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich import box
from rich.table import Table

from tutelage.evaluation.ceiling import CELLS, Ceiling, Quarters
from tutelage.evaluation.estimates import Estimate

TITLE = "The teacher's ceiling"
HEADS = ("student", "", "teacher right", "teacher wrong", "student's score", "agreement")


def ceiling_table(found: Ceiling) -> Table:
    """Two lines a student: where it is right and where it is wrong, by whether the teacher is."""
    table = Table(*HEADS, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for column in table.columns[2:]:
        column.justify = "right"
    for row in found.students:
        for line in _lines(row):
            table.add_row(*line)
    return table


def ceiling_notes(found: Ceiling) -> list[str]:
    """What the table is about, the teacher by itself, and what follows."""
    lines = [
        f"right: {found.metric} of at least {found.right:g} against gold, on the same {found.n:,} examples. agreement: "
        f"{found.metric} of the student against the teacher ({found.found}).",
        f"{found.teacher} against gold: {_figures(found.score)}.",
    ]
    if found.itself:
        itself = found.itself
        how = "" if itself.temperature is None else f" at temperature {itself.temperature:g}"
        whom = "itself" if itself.asked == found.teacher else f"itself as {itself.asked}"
        lines.append(
            f"{found.teacher} against {whom}, asked again{how} with another seed ({itself.n:,} examples): "
            f"{_figures(itself.agreement)}; against gold {_figures(itself.first)} and then {_figures(itself.again)}."
        )
    else:
        lines.append(f"{found.teacher} has not been asked a second time. Ask with: tutelage ceiling")
    for row in found.students:
        if row.copied_share:
            errors = row.counts["teacher only"] + row.counts["both wrong"]
            share = row.copied_share
            lines.append(
                f"{row.student}: {row.copied} of its {errors} errors are the teacher's very answers "
                f"({share.value:.0%}, {share.low:.0%} to {share.high:.0%})."
            )
    return lines + list(found.verdicts)


def ceiling_html(found: Ceiling | None) -> str:
    """A section of the page; "" where there is no gold or no teacher."""
    if found is None:
        return ""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in HEADS)
    cells = [line for row in found.students for line in _lines(row)]
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in cells)
    table = (
        f'<div class="wide" tabindex="0"><table class="figures" id="ceiling"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>\n"
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in ceiling_notes(found))
    return f'<h2>{TITLE}</h2>\n{table if found.students else ""}<ul class="notes soft">{notes}</ul>'


def _lines(row: Quarters) -> Sequence[tuple[str, ...]]:
    both, mine, theirs, none = ((row.counts[cell], row.shares[cell]) for cell in CELLS)
    return (
        (row.student, "right", _cell(*both), _cell(*mine), _figures(row.score), _figures(row.agreement)),
        ("", "wrong", _cell(*theirs), _cell(*none), "", ""),
    )


def _cell(count: int, share: Estimate) -> str:
    return f"{count} = {share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


def _figures(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
