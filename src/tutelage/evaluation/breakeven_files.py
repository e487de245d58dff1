"""The break-even as text, and as files: an HTML page on which every figure can be moved, JSON and CSV."""

from __future__ import annotations

import io
import json
import math
import textwrap
from html import escape
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tutelage.evaluation.breakeven import COLUMNS, QUANTITIES, BreakEven, Quantity, cells, csv_text, headline, notes
from tutelage.evaluation.exports import write_files
from tutelage.evaluation.page import POLICY, asset

WIDTH = 118


def terminal_text(found: BreakEven) -> str:
    """The table and what was assumed."""
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for row in cells(found):
        table.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=WIDTH, color_system=None, force_terminal=False, markup=False).print(table)
    told = [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes(found)]
    lines = [headline(found), "", *(line.rstrip() for line in out.getvalue().splitlines()), "", *told]
    return "\n".join(lines)


def write_break_even(task: str, found: BreakEven, folder: Path) -> dict[str, Path]:
    """breakeven.html, .json and .csv in `folder`, each whole or not at all, by name. Raises StoreError."""
    files = {
        "breakeven.html": page(task, found).encode(errors="backslashreplace"),
        "breakeven.json": (json.dumps(found.json(), indent=2, ensure_ascii=False) + "\n").encode(),
        "breakeven.csv": csv_text(found).encode(),
    }
    return write_files(files, folder)


def page(task: str, found: BreakEven) -> str:
    """A page that works offline: a slider a figure, the table and the chart follow. What is moved is not kept."""
    sliders = "".join(_slider(quantity, found) for quantity in QUANTITIES)
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in COLUMNS)
    data = {"requests": [day.requests for day in found.days], "always_on": found.assumptions.always_on}
    checked = " checked" if found.assumptions.always_on else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(task)}: when it pays for itself</title>
<style>{asset("page.css")}{asset("breakeven.css")}</style>
</head>
<body>
<h1>{escape(task)}: when it pays for itself</h1>
<p id="headline" role="status">{escape(headline(found))}</p>
<h2>Dollars a day</h2>
<div class="wide" tabindex="0"><table class="figures" id="days"><thead><tr>{heads}</tr></thead><tbody></tbody></table></div>
<h2>All dollars so far, by requests answered</h2>
<svg id="chart" viewBox="0 0 640 280" role="img" aria-label="Dollars so far by requests, the figures are in the table"></svg>
<p class="soft"><span class="teacher">teacher alone</span>, <span class="system">with the student</span>; what went before
is paid at the left edge. With a machine paid by the day: at <span id="rate"></span> requests a day.</p>
<h2>Figures</h2>
<p class="soft">Move one: table and chart follow. <button id="reset" type="button">Back to what was found</button></p>
<label class="tick"><input type="checkbox" id="always_on"{checked}> the machine is paid by the day, whatever it answers</label>
<div id="figures">{sliders}</div>
<script type="application/json" id="data">{json.dumps(data)}</script>
<script>{asset("breakeven.js")}</script>
</body>
</html>
"""


def _slider(quantity: Quantity, found: BreakEven) -> str:
    """The row of a quantity: a slider and a box of the same figure, and where it comes from."""
    figure = found.assumptions.figures.get(quantity.name)
    value, basis = (figure.value, figure.basis) if figure else (0.0, "not known, and of no effect so far")
    most = 1.0 if quantity.share else _round_up(4 * value if value else 10.0)
    shared = f'data-name="{quantity.name}" min="0" max="{most:g}" value="{value!r}"'
    what = escape(quantity.what + (f", {quantity.unit}" if quantity.unit else ""))
    return (
        f'<label>{what}<span class="both"><input type="range" step="any" aria-label="{what}, slider" {shared}>'
        f'<input type="number" step="any" {shared.replace(f"max={chr(34)}{most:g}{chr(34)}", "")}></span>'
        f"<small>{escape(basis)}</small></label>"
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, ... at or above `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
