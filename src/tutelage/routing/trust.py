"""Charts of confidence for the report's page: reliability, and risk against coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from tutelage.evaluation.charts import FIT, SIZE
from tutelage.evaluation.metrics import Floats
from tutelage.evaluation.results import Answered, Report, Section

BINS = 10
POINTS = 100
MOST_SHOWN = 6
"""Candidates in a chart: more lines cannot be told apart."""


def confidence_section(report: Report, answered: Sequence[Answered]) -> Section | None:
    """Reliability and risk-coverage of the best candidates that give a confidence; None where none does."""
    judged: dict[str, tuple[Floats, NDArray[np.bool_]]] = {}
    for row in report.candidates:
        confidence = [one.predictions[row.name].confidence for one in answered]
        if len(judged) < MOST_SHOWN and all(one is not None for one in confidence) and report.output != "text":
            right = np.array([one.scores[row.name] == 1.0 for one in answered], dtype=np.bool_)
            judged[row.name] = (np.array(confidence, dtype=np.float64), right)
    if not judged:
        return None
    notes = [
        f"Of {len(answered):,} examples of {report.split}, right means wholly right. Reliability: answers in up to {BINS} groups "
        "of equal size by confidence; on the diagonal the confidence is the share of right answers, below it is too sure.",
        "Risk and coverage: the share of wrong answers among the surest, for every share that is answered.",
    ]
    points = [point for name, one in judged.items() for point in reliability(name, *one)]
    lines = [point for name, one in judged.items() for point in risk_coverage(name, *one)]
    charts = {"Reliability": reliability_chart(points), "Risk and coverage": risk_chart(lines, "candidate")}
    return Section("Confidence", notes, charts=charts)


def reliability(name: str, confidence: Floats, right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Mean confidence and share of right answers in bins of equal mass; equal confidences share a bin."""
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    bins = np.searchsorted(edges, confidence, side="left")
    return [
        {
            "candidate": name,
            "confidence": float(confidence[bins == one].mean()),
            "right": float(right[bins == one].mean()),
            "n": int((bins == one).sum()),
        }
        for one in np.unique(bins)
    ]


def risk_coverage(name: str, confidence: Floats, right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Share of wrong answers among the surest, at up to POINTS shares answered; ties are answered together."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order])
    ends = np.flatnonzero(np.r_[np.diff(confidence[order]) != 0, True])
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, POINTS).astype(int))]
    n = len(right)
    return [
        {"candidate": name, "answered": float((end + 1) / n), "loss": float(wrong[end] / (end + 1))} for end in ends
    ]


def reliability_chart(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    base = alt.Chart(alt.Data(values=list(points)))  # type: ignore[no-untyped-call]
    corners = [{"confidence": 0.0, "right": 0.0}, {"confidence": 1.0, "right": 1.0}]
    diagonal = alt.Chart(alt.Data(values=corners))  # type: ignore[no-untyped-call]
    x = alt.X("confidence:Q", title="confidence", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("right:Q", title="share right", scale=alt.Scale(domain=[0, 1]))
    colour = alt.Color("candidate:N", legend=alt.Legend(title=None, orient="top", columns=2))
    tooltip = [
        alt.Tooltip(f"{name}:{kind}")
        for name, kind in (("candidate", "N"), ("confidence", "Q"), ("right", "Q"), ("n", "Q"))
    ]
    ideal = diagonal.mark_line(strokeDash=[4, 3], color="#999999").encode(x=x, y=y)
    drawn = base.mark_line(point=True).encode(x=x, y=y, color=colour, tooltip=tooltip)
    return _dict(alt.layer(ideal, drawn))


def risk_chart(points: Sequence[Mapping[str, Any]], by: str, limit: float | None = None) -> dict[str, Any]:
    """Lines of loss against the share answered; `limit` is drawn across."""
    base = alt.Chart(alt.Data(values=list(points)))  # type: ignore[no-untyped-call]
    x = alt.X("answered:Q", title="share answered", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("loss:Q", title="mean loss", axis=alt.Axis(format=".1%"))
    colour = alt.Color(f"{by}:N", legend=alt.Legend(title=None, orient="top", columns=2))
    tooltip = [alt.Tooltip(f"{by}:N"), alt.Tooltip("answered:Q", format=".1%"), alt.Tooltip("loss:Q", format=".2%")]
    layers = [base.mark_line().encode(x=x, y=y, color=colour, tooltip=tooltip)]
    if limit is not None:
        across = alt.Chart(alt.Data(values=[{"loss": limit}]))  # type: ignore[no-untyped-call]
        layers.append(across.mark_rule(strokeDash=[4, 3], color="#999999").encode(y=y))
    return _dict(alt.layer(*layers))


def _dict(chart: Any) -> dict[str, Any]:
    found: dict[str, Any] = chart.properties(**SIZE, autosize=FIT).configure_view(strokeOpacity=0).to_dict()
    return found
