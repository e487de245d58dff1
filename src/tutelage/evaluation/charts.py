"""The report's charts as Vega-Lite: cost, time, and precision against recall."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt

from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.placing import PLACES, Domain, domain, is_logarithmic, places, powers
from tutelage.evaluation.results import Report, Row

KINDS = {
    "hosted LLM": ("#d6336c", "cross"),
    "local LLM": ("#b3541e", "square"),
    "recorded model": ("#7d5ba6", "triangle-down"),
    "off the shelf": ("#5f6b76", "triangle-up"),
    "student": ("#1f77b4", "circle"),
    "system": ("#2b8a3e", "diamond"),
}
"""Colour and shape of each kind of candidate."""
SIZE = {"width": 340, "height": 300}
"""Pixels of a whole chart, axes included, so that three stand side by side on a page 1,280 wide."""

FIT: Any = {"type": "fit", "contains": "padding"}
BAR: dict[str, Any] = {"opacity": 0.8, "strokeWidth": 1.5}


def charts(report: Report) -> dict[str, dict[str, Any]]:
    """Vega-Lite specifications by name: "cost", "time", and for `strings` "precision-recall"; those without points are left out.

    A candidate without a known cost is in no cost chart; `unpriced` names it.
    """
    if not report.candidates:
        return {}
    quality = report.metric
    found = {}
    if any(row.dollars_per_1000 is not None for row in report.candidates):
        points = _points(report, lambda row: row.dollars_per_1000)
        found["cost"] = _against_quality(points, quality, "dollars per 1,000 answers")
    points = _points(report, lambda row: row.latency.p50 or None)
    if points:
        found["time"] = _against_quality(points, quality, "seconds an answer (p50)")
    if {"precision", "recall"} <= set(report.candidates[0].scores):
        found["precision-recall"] = _precision_recall(report)
    return found


def kind_of(row: Row) -> str:
    """What kind of candidate it is, in words."""
    words = {"recorded": "recorded model", "pretrained": "off the shelf", "student": "student", "system": "system"}
    return words.get(row.role) or ("hosted LLM" if row.hosted else "local LLM")


def unpriced(report: Report) -> list[str]:
    """The candidates whose cost is not known."""
    return [row.name for row in report.candidates if row.dollars_per_1000 is None]


def _facts(row: Row, metric: str) -> dict[str, Any]:
    score = row.scores[metric]
    return {
        "candidate": row.name,
        "family": row.family,
        "kind": kind_of(row),
        "quality": score.value,
        "low": score.low,
        "high": score.high,
        "interval": _interval(score),
        "p50": f"{row.latency.p50:.4g} s",
        "rate": f"{row.latency.items_per_second:,.4g}",
        "cost": "unknown" if row.dollars_per_1000 is None else f"${row.dollars_per_1000:.4g}",
        "failures": row.failures,
    }


def _interval(score: Estimate) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _points(report: Report, of: Callable[[Row], float | None]) -> list[dict[str, Any]]:
    points = []
    for row in report.candidates:
        x = of(row)
        if x is not None:
            points.append({**_facts(row, report.metric), "x": x})
    best = -1.0
    for point in sorted(points, key=lambda p: (p["x"], -p["quality"])):
        point["front"] = point["quality"] > best
        best = max(best, point["quality"])
    return points


def _x(ends: Domain, logarithmic: bool, title: str) -> alt.X:
    """A logarithmic axis where positive values span more than a decade, else a linear one."""
    if logarithmic:
        scale = alt.Scale(type="log", domain=list(ends), nice=False)
        return alt.X("x:Q", scale=scale, title=title, axis=alt.Axis(format="~g", values=powers(ends)))
    scale = alt.Scale(zero=False, domain=list(ends), nice=False)
    return alt.X("x:Q", scale=scale, title=title, axis=alt.Axis(format="~g", tickCount=5))


def _share(field: str, title: str, ends: Domain) -> dict[str, Any]:
    """Settings of an axis for a metric."""
    scale = alt.Scale(zero=False, domain=list(ends), nice=False)
    return {"shorthand": f"{field}:Q", "title": title, "scale": scale, "axis": alt.Axis(tickCount=6, format="~g")}


def _names(base: alt.Chart, x: alt.X, y: alt.Y) -> list[Any]:
    """Candidates' names beside their points, one layer for each place."""
    layers = []
    for place in PLACES:
        side, level = place.split("-")
        mark: dict[str, Any] = {"dx": 9 if side == "right" else -9, "dy": -9 if level == "up" else 9}
        text = base.transform_filter(alt.datum.place == place).mark_text(
            **mark, align="left" if side == "right" else "right", baseline="middle", fontSize=11
        )
        layers.append(text.encode(x=x, y=y, text="candidate:N"))
    return layers


def _place(
    points: Sequence[dict[str, Any]], fields: tuple[str, str], ends: tuple[Domain, Domain], logarithmic: bool
) -> None:
    names = [point["candidate"] for point in points]
    at = [(point[fields[0]], point[fields[1]]) for point in points]
    for point, place in zip(points, places(names, at, *ends, logarithmic=logarithmic), strict=True):
        point["place"] = place


def _tooltip(metric: str, *more: alt.Tooltip) -> list[alt.Tooltip]:
    shown = {"candidate": "candidate", "family": "family", "kind": "kind", "interval": metric}
    shown |= {"cost": "per 1,000", "p50": "p50", "rate": "answers per s", "failures": "failed"}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in shown.items()] + list(more)


def _base(points: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=points))  # type: ignore[no-untyped-call]


def _marks(points: Sequence[Mapping[str, Any]]) -> tuple[alt.Color, alt.Shape]:
    names = [kind for kind in KINDS if any(point["kind"] == kind for point in points)]
    colours, shapes = [KINDS[name][0] for name in names], [KINDS[name][1] for name in names]
    legend = alt.Legend(title=None, orient="top", columns=2)
    colour = alt.Color("kind:N", scale=alt.Scale(domain=names, range=colours), legend=legend)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=names, range=shapes), legend=legend)
    return colour, shape


def _against_quality(points: list[dict[str, Any]], metric: str, title: str) -> dict[str, Any]:
    values = [point["x"] for point in points]
    logarithmic = is_logarithmic(values)
    across = domain(values, logarithmic=logarithmic)
    up = domain([point[end] for point in points for end in ("low", "high")], most=1.0)
    _place(points, ("x", "quality"), (across, up), logarithmic)
    x = _x(across, logarithmic, title)
    y = alt.Y(**_share("quality", metric, up))
    colour, shape = _marks(points)
    base = _base(points)
    front = (
        base.transform_filter("datum.front")
        .mark_line(interpolate="step-after", strokeDash=[4, 3], color="#999999")
        .encode(x=x, y=y, order=alt.Order("x:Q"))
    )
    bars = base.mark_rule(**BAR).encode(x=x, y=alt.Y(**_share("low", metric, up)), y2="high:Q", color=colour)
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, tooltip=_tooltip(metric)
    )
    return _dict(alt.layer(front, bars, dots, *_names(base, x, y)))


def _precision_recall(report: Report) -> dict[str, Any]:
    points = []
    for row in report.candidates:
        precision, recall = row.scores["precision"], row.scores["recall"]
        point = _facts(row, report.metric) | {"precision": precision.value, "recall": recall.value}
        point |= {"p_low": precision.low, "p_high": precision.high, "r_low": recall.low, "r_high": recall.high}
        points.append(point | {"p": _interval(precision), "r": _interval(recall)})
    wide = domain([point[end] for point in points for end in ("r_low", "r_high")], most=1.0)
    high = domain([point[end] for point in points for end in ("p_low", "p_high")], most=1.0)
    _place(points, ("recall", "precision"), (wide, high), False)
    colour, shape = _marks(points)
    base = _base(points)
    x = alt.X(**_share("recall", "recall", wide))
    y = alt.Y(**_share("precision", "precision", high))
    both = [alt.Tooltip("p:N", title="precision"), alt.Tooltip("r:N", title="recall")]
    across = base.mark_rule(**BAR).encode(x=alt.X(**_share("r_low", "recall", wide)), x2="r_high:Q", y=y, color=colour)
    up = base.mark_rule(**BAR).encode(x=x, y=alt.Y(**_share("p_low", "precision", high)), y2="p_high:Q", color=colour)
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, tooltip=_tooltip(report.metric, *both)
    )
    return _dict(alt.layer(across, up, dots, *_names(base, x, y)))


def _dict(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.properties(**SIZE, autosize=FIT).configure_view(strokeOpacity=0).to_dict()
    return specification
