"""The report as one HTML page that works offline: everything it needs is inside, and nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import vl_convert

from tutelage.evaluation.ceilingtable import ceiling_html
from tutelage.evaluation.charts import charts, kind_of, unpriced
from tutelage.evaluation.fieldtable import field_html
from tutelage.evaluation.latency import readable
from tutelage.evaluation.marking import Mark, of_gold
from tutelage.evaluation.results import Answered, Report, Row, Section, broken_limits
from tutelage.evaluation.trusted import trust_html
from tutelage.types import Prediction

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
TITLES = {
    "cost": "Cost against quality",
    "time": "Time against quality",
    "precision-recall": "Precision against recall",
}


def html_page(report: Report, answered: Sequence[Answered]) -> str:
    """The page: headline, table, charts, assumptions, and a browser of the answers side by side."""
    drawn: dict[str, Mapping[str, Any]] = dict(charts(report))
    figures = "".join(_figure(name, TITLES[name]) for name in drawn)
    sections = "".join(_section(number, section, drawn) for number, section in enumerate(report.sections))
    missing = unpriced(report)
    beside = (
        f'<p class="soft">Not in the cost chart, cost unknown: {escape(", ".join(missing))}.</p>' if missing else ""
    )
    names = [row.name for row in report.candidates]
    data = {"charts": drawn, "names": names, "examples": [_example(one, names, report.output) for one in answered]}
    options = "".join(f'<option value="{at}">{escape(name)}</option>' for at, name in enumerate(names))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(report.task)}: {report.n} examples, {len(names)} candidates</title>
<style>{asset("page.css")}</style>
</head>
<body>
<h1>{escape(report.task)}</h1>
<p>{report.n} examples of {report.split}, scored against {escape(report.reference)}.</p>
<p class="soft">Ranked by {escape(report.metric)}. Examples and gold have the fingerprint
 <code>{escape(report.fingerprint)}</code>.</p>
<h2>Candidates</h2>
<div class="wide" tabindex="0">{_table(report)}</div>
{_list(_legend(report))}
{field_html(report.candidates)}
{trust_html(report.trust)}
{ceiling_html(report.ceiling)}
<h2>Charts</h2>
<div class="charts">{figures}</div>
{beside}
{sections}
<h2>Behind the figures</h2>
{_list(_notes(report))}
<h2>Answers side by side</h2>
<form id="filters">
<label>candidate <select id="candidate"><option value="">any</option>{options}</select></label>
<label>show <select id="show"><option value="wrong">wrong answers</option><option value="all-wrong">all candidates wrong</option>
<option value="disagree">candidates disagree</option><option value="failed">failed answers</option>
<option value="all">everything</option></select></label>
<label>search <input id="search" type="search" placeholder="text or answer"></label>
</form>
<div class="turn"><button id="previous" type="button">Previous</button><button id="next" type="button">Next</button>
<span id="count" role="status"></span><span class="soft">keys: p, n</span></div>
<main id="answers"></main>
<script type="application/json" id="data">{_json(data)}</script>
<script>{_vega()}</script>
<script>{asset("page.js")}</script>
</body>
</html>
"""


def _figure(name: str, title: str) -> str:
    place = f'<div id="chart-{name}" role="img" aria-label="{escape(title)}, the figures are in the table"></div>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{place}</figure>"


def _section(number: int, section: Section, drawn: dict[str, Mapping[str, Any]]) -> str:
    """The HTML of a section; its charts are put into `drawn` under the names of their places."""
    figures = ""
    for at, (title, chart) in enumerate(section.charts.items()):
        drawn[f"section-{number}-{at}"] = chart
        figures += _figure(f"section-{number}-{at}", title)
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in section.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in section.rows)
    table = f'<div class="wide" tabindex="0"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    parts = [f"<h2>{escape(section.title)}</h2>", table if rows else "", _list(section.notes) if section.notes else ""]
    return "".join(parts) + (f'<div class="charts">{figures}</div>' if figures else "")


def _table(report: Report) -> str:
    heads = [
        "candidate",
        "kind",
        report.metric,
        "difference",
        "p50",
        "p99",
        "answers per s",
        "$ per 1,000",
        "failed",
        "front",
    ]
    others = [name for name in _metrics(report) if name != report.metric]
    cells = "".join(f'<th scope="col"><button type="button">{escape(head)}</button></th>' for head in heads + others)
    rows = "".join(_row(report, row, others) for row in report.candidates)
    return f'<table id="table"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'


def _metrics(report: Report) -> list[str]:
    return list(report.candidates[0].scores) if report.candidates else []


def _row(report: Report, row: Row, others: Sequence[str]) -> str:
    score, speed, apart = row.scores[report.metric], row.latency, row.difference
    cells: list[tuple[object, str]] = [
        (row.name, escape(row.name)),
        (kind_of(row), kind_of(row)),
        (score.value, f"{score.value:.3f} <small>{score.low:.3f} to {score.high:.3f}</small>"),
        ("", "-")
        if apart is None
        else (
            apart.estimate.value,
            f"{apart.estimate.value:+.3f} <small>{apart.estimate.low:+.3f} to {apart.estimate.high:+.3f}</small>",
        ),
        (speed.p50, readable(speed.p50)),
        (speed.p99, readable(speed.p99)),
        (speed.items_per_second, f"{speed.items_per_second:,.3g}" if speed.items_per_second else "unknown"),
        ("", "unknown") if row.dollars_per_1000 is None else (row.dollars_per_1000, f"{row.dollars_per_1000:.3g}"),
        (row.failures, str(row.failures)),
        (int(row.on_pareto_front), "yes" if row.on_pareto_front else ""),
    ]
    cells += [(row.scores[name].value, f"{row.scores[name].value:.3f}") for name in others]
    return "<tr>" + "".join(f'<td data-sort="{escape(str(key))}">{shown}</td>' for key, shown in cells) + "</tr>"


def _legend(report: Report) -> list[str]:
    to = next((row.difference.to for row in report.candidates if row.difference), None)
    notes = ["Values are followed by their 95 % intervals. front: no other candidate is at once cheaper and better."]
    if to:
        notes.append(f"difference: {report.metric} minus that of {to} on the same examples, paired 95 % interval.")
    return notes


def _notes(report: Report) -> list[str]:
    notes = []
    for row in report.candidates:
        trained = f"; trained on {row.trained_on}" if row.trained_on else ""
        tokens = f"; {row.input_tokens:,} input and {row.output_tokens:,} output tokens" if row.input_tokens else ""
        notes.append(f"{row.name} ({row.family}{trained}): cost {row.cost_basis}; time {row.latency.how}{tokens}.")
        if broken := broken_limits(row):
            notes.append(f"{row.name}: {broken} of {report.n} answers.")
    return notes + [f"{name}: {reason}." for name, reason in report.skipped.items()]


def _list(notes: Sequence[str]) -> str:
    return '<ul class="notes soft">' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"


def _example(one: Answered, names: Sequence[str], output: str) -> dict[str, Any]:
    return {
        "id": one.id,
        "input": dict(one.input),
        "gold": of_gold(output, one.gold),
        "answers": [_answer(one.predictions[name], one.marks.get(name, ()), one.scores[name]) for name in names],
    }


def _answer(prediction: Prediction, marks: Sequence[Mark], score: float) -> Mapping[str, Any]:
    return {
        "value": prediction.value,
        "shown": list(marks),
        "score": score,
        "confidence": prediction.confidence,
        "error": prediction.error,
        "note": prediction.note,
    }


def _json(data: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return (
        json.dumps(data, ensure_ascii=False)
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


@cache
def _vega() -> str:
    """Vega, Vega-Lite and the embedder, as bundled with the charting library."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script")


def asset(name: str) -> str:
    """A file that pages are made of."""
    return (files("tutelage.evaluation") / "page_assets" / name).read_text(encoding="utf-8")
