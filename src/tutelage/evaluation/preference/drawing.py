"""The leaderboard's charts as Vega-Lite: who wins against whom, and ratings with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from tutelage.evaluation.preference.ranking import Ranking

CELL = 46
"""Pixels of a cell of the heat map."""
LEAST, MOST = 220, 620
Grid = Sequence[Sequence[tuple[float, float, float]]]


def ranking_charts(found: Ranking) -> dict[str, dict[str, Any]]:
    """Specifications by name: "win-probability" and "ratings"."""
    return {"win-probability": heat_map([row.model for row in found.ratings], found.grid), "ratings": _ratings(found)}


def heat_map(models: Sequence[str], grid: Grid) -> dict[str, Any]:
    """P(row wins against column) in %, `grid[row][column]` = P(win), P(loss), P(tie); the diagonal is empty.

    Shaded by P(win) - P(loss), so that a pair which mostly ties is pale and not a loss for both.
    """
    cells = [
        {"row": a, "column": b, "win": 100 * win, "loss": 100 * loss, "tie": 100 * tie, "lead": 100 * (win - loss)}
        for a, line in zip(models, grid, strict=True)
        for b, (win, loss, tie) in zip(models, line, strict=True)
        if a != b
    ]
    side = min(max(CELL * len(models), LEAST), MOST)
    names = list(models)
    x = alt.X("column:N", sort=names, title="against", axis=alt.Axis(labelAngle=-40, labelLimit=140))
    y = alt.Y("row:N", sort=names, title=None, axis=alt.Axis(labelLimit=180))
    scale = alt.Scale(scheme="redblue", domain=[-100, 100], domainMid=0)
    tips = [alt.Tooltip("row:N"), alt.Tooltip("column:N", title="against")]
    tips += [alt.Tooltip(f"{name}:Q", format=".1f", title=f"{name} %") for name in ("win", "tie", "loss")]
    base = alt.Chart(alt.Data(values=cells)).encode(x=x, y=y)  # type: ignore[no-untyped-call]
    legend = alt.Legend(title=["wins less", "losses, %"], gradientLength=min(side, 160))
    shade = base.mark_rect().encode(color=alt.Color("lead:Q", scale=scale, legend=legend), tooltip=tips)
    dark = alt.condition("abs(datum.lead) > 60", alt.value("white"), alt.value("black"))
    text = base.mark_text(fontSize=11).encode(text=alt.Text("win:Q", format=".0f"), color=dark)
    return _dict(alt.layer(shade, text), side, side)


def _ratings(found: Ranking) -> dict[str, Any]:
    points = [
        {"model": row.model, "rating": row.rating.value, "low": row.rating.low, "high": row.rating.high, "elo": row.elo}
        for row in found.ratings
    ]
    names = [row.model for row in found.ratings]
    base = alt.Chart(alt.Data(values=points))  # type: ignore[no-untyped-call]
    y = alt.Y("model:N", sort=names, title=None, axis=alt.Axis(labelLimit=180))
    axis: Any = {"title": "rating (400 points: odds of 10 to 1)", "scale": alt.Scale(zero=False)}
    tips = [
        alt.Tooltip("model:N"),
        *(alt.Tooltip(f"{name}:Q", format=".0f") for name in ("rating", "low", "high", "elo")),
    ]
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **axis), x2="high:Q", y=y)
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(x=alt.X("rating:Q", **axis), y=y, tooltip=tips)
    online = base.mark_point(shape="diamond", size=50, color="#b3541e").encode(
        x=alt.X("elo:Q", **axis), y=y, tooltip=tips
    )
    return _dict(alt.layer(bars, dots, online), 380, min(max(26 * len(names), 120), MOST))


def _dict(chart: Any, width: int, height: int) -> dict[str, Any]:
    specification: dict[str, Any] = chart.properties(width=width, height=height).to_dict()
    return specification
