"""Learning curves as Vega-Lite: points with their intervals, the fitted laws, and prompted models as level lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from tutelage.evaluation.curve.curves import Curve, Curves
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.placing import domain

SIZE = {"width": 560, "height": 380}
COLOURS = ("#1f77b4", "#d6336c", "#2b8a3e", "#b3541e", "#7d5ba6", "#0b7285", "#5f6b76", "#e67700")
STEPS = 60
AHEAD = 2.0
"""How far beyond the largest size a law that may be trusted is drawn."""


def curve_charts(found: Curves) -> dict[str, dict[str, Any]]:
    """Specifications by name: "learning-curve", and "false-promise" where the points are scored against gold and teacher."""
    charts = {"learning-curve": _curves(found)}
    if both := [one for one in found.curves if one.promise]:
        charts["false-promise"] = _promise(both, found.metric)
    return charts


def _curves(found: Curves) -> dict[str, Any]:
    points, lines = [], []
    for one in found.curves:
        points += [_point(one.candidate, size.size, size.score) for size in one.sizes]
        lines += _line(one)
    levels = [{"candidate": name, "score": score.value} for name, score in found.prompts.items()]
    ends = [point[end] for point in points for end in ("low", "high")] + [level["score"] for level in levels]
    x, y = _x(found.curves), _y(found.metric, ends)
    colour = _colour([one.candidate for one in found.curves])
    base, along, across = (alt.Chart(alt.Data(values=rows)) for rows in (points, lines, levels))  # type: ignore[no-untyped-call]
    drawn = along.encode(x=x, y=y, color=colour, detail="part:N")
    layers = [
        along.mark_area(opacity=0.12).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour, detail="part:N"),
        drawn.transform_filter("datum.part == 'measured'").mark_line(strokeWidth=1.5),
        drawn.transform_filter("datum.part == 'ahead'").mark_line(strokeWidth=1.5, strokeDash=[3, 3]),
        base.mark_rule(opacity=0.8).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, color=colour, tooltip=_tooltip(found.metric)),
    ]
    if levels:
        layers += [
            across.mark_rule(strokeDash=[6, 3], color="#555555").encode(y=y),
            across.mark_text(align="left", baseline="bottom", dx=4, dy=-2, color="#555555").encode(
                y=y, x=alt.value(0), text="candidate:N"
            ),
        ]
    return _dict(alt.layer(*layers))


def _promise(curves: Sequence[Curve], metric: str) -> dict[str, Any]:
    points = []
    for one in curves:
        for size in one.sizes:
            for against, score in (("gold", size.score), ("the teacher", size.teacher)):
                if score:
                    points.append(_point(one.candidate, size.size, score) | {"against": against})
    x, y = _x(curves), _y(metric, [point[end] for point in points for end in ("low", "high")])
    colour = _colour([one.candidate for one in curves])
    base = alt.Chart(alt.Data(values=points))  # type: ignore[no-untyped-call]
    dash = alt.StrokeDash("against:N", title="against", legend=alt.Legend(orient="top"))
    layers = (
        base.mark_line().encode(x=x, y=y, color=colour, strokeDash=dash),
        base.mark_rule(opacity=0.6).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, color=colour, tooltip=_tooltip(metric)),
    )
    return _dict(alt.layer(*layers))


def _point(candidate: str, size: int, score: Estimate) -> dict[str, Any]:
    shown = f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"
    return {"candidate": candidate, "size": size, "score": score.value} | {
        "low": score.low,
        "high": score.high,
        "shown": shown,
    }


def _line(one: Curve) -> list[dict[str, Any]]:
    """The fitted law over what was measured, and beyond it where it may be trusted."""
    if one.fit is None:
        return []
    first, last = one.fit.first, one.fit.largest
    parts = [("measured", first, last)] + ([] if one.fit.refusal else [("ahead", last, last * AHEAD)])
    rows = []
    for part, begin, end in parts:
        sizes = np.geomspace(begin, end, STEPS)
        for n, value, low, high in zip(sizes, *one.fit.band(sizes), strict=True):
            clipped = {"score": float(value), "low": float(max(low, 0)), "high": float(min(high, 1))}
            rows.append({"candidate": one.candidate, "part": part, "size": float(n), **clipped})
    return rows


def _x(curves: Sequence[Curve]) -> alt.X:
    sizes = sorted({size.size for one in curves for size in one.sizes})
    ahead = [one.fit.largest * AHEAD for one in curves if one.fit and not one.fit.refusal]
    ends = [sizes[0] * 0.85, max([*sizes, *ahead]) * 1.15]
    scale = alt.Scale(type="log", domain=ends, nice=False)
    axis = alt.Axis(values=[float(size) for size in sizes], format=",", labelOverlap=True)
    return alt.X("size:Q", scale=scale, title="examples in train", axis=axis)


def _y(metric: str, values: Sequence[float]) -> alt.Y:
    scale = alt.Scale(zero=False, domain=list(domain(values, most=1.0)), nice=False)
    return alt.Y("score:Q", title=metric, scale=scale, axis=alt.Axis(format="~g"))


def _colour(names: Sequence[str]) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=[COLOURS[at % len(COLOURS)] for at in range(len(names))])
    return alt.Color(
        "candidate:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=3, symbolOpacity=1)
    )


def _tooltip(metric: str) -> list[alt.Tooltip]:
    shown = {"candidate": "candidate", "size": "examples", "shown": metric}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in shown.items()]


def _dict(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.properties(**SIZE).configure_view(strokeOpacity=0).to_dict()
    return specification
