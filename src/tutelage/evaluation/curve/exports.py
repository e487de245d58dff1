"""Learning curves as files: one HTML page, JSON, CSV, and the charts as PNG and SVG."""

from __future__ import annotations

import csv
import io
import json
from html import escape
from pathlib import Path

import vl_convert

from tutelage.evaluation.curve.curves import Curve, Curves
from tutelage.evaluation.curve.drawing import curve_charts
from tutelage.evaluation.curve.table import cells, heads, notes, sentences
from tutelage.evaluation.exports import write_files
from tutelage.evaluation.page import POLICY, asset

NAME = "learning-curve"


def write_curves(found: Curves, plain: object, folder: Path) -> dict[str, Path]:
    """Write everything into `folder` and return the paths by file name; `plain` is the curves as JSON holds them.

    Raises StoreError when the folder cannot be written.
    """
    charts = curve_charts(found)
    pictures = {name: vl_convert.vegalite_to_svg(chart) for name, chart in charts.items()}
    text = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    files: dict[str, bytes] = {
        f"{NAME}.html": curve_page(found, pictures).encode(errors="backslashreplace"),
        f"{NAME}.json": text.encode(errors="backslashreplace"),
        f"{NAME}.csv": csv_text(found).encode(),
    }
    for name, chart in charts.items():
        files[f"{name}.svg"] = pictures[name].encode()
        files[f"{name}.png"] = vl_convert.vegalite_to_png(chart, scale=2)
    return write_files(files, folder)


def curve_page(found: Curves, pictures: dict[str, str]) -> str:
    """One page that fetches nothing: the charts as pictures, a table a candidate, and what it says."""
    figures = "".join(f"<figure>{picture}</figure>" for picture in pictures.values())
    sections = "".join(_section(one, found) for one in found.curves)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(found.task)}: learning curves</title>
<style>{asset("page.css")}</style>
</head>
<body>
<h1>{escape(found.task)}: learning curves</h1>
<p>{escape(found.metric)} on {found.n:,} examples of {found.split}, scored against {escape(found.reference)}.</p>
<p class="soft">Examples and gold have the fingerprint <code>{escape(found.fingerprint)}</code>. Every training counts the
 labels that it chose on; the examples it is scored on are new to it.</p>
<div class="charts">{figures}</div>
{sections}
{_list(notes(found))}
</body>
</html>
"""


def csv_text(found: Curves) -> str:
    """One line a candidate and size."""
    out = io.StringIO()
    writer = csv.writer(out)
    kinds = (found.metric, "agreement", "toxic")
    ends = [f"{kind}{part}" for kind in kinds for part in ("", "_low", "_high")]
    writer.writerow(["candidate", "family", "examples", "repeats", *ends, "seconds", "failed"])
    for one in found.curves:
        for size in one.sizes:
            values = [
                v for s in (size.score, size.teacher, size.toxic) for v in ((s.value, s.low, s.high) if s else [""] * 3)
            ]
            writer.writerow([one.candidate, one.family, size.size, size.repeats, *values, size.seconds, size.failed])
    return out.getvalue()


def _section(one: Curve, found: Curves) -> str:
    labels = " + ".join(f"{count:,} {origin}" for origin, count in one.labels.items())
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads(one, found.metric))
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(size)) + "</tr>" for size in one.sizes)
    return (
        f'<h2>{escape(one.candidate)}</h2>\n<p class="soft">{escape(one.family)}, {labels} labels</p>\n'
        f'<div class="wide" tabindex="0"><table class="figures"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"\n{_list(sentences(one, found))}\n"
    )


def _list(lines: list[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""
