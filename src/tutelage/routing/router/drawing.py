"""The cost-quality curve for the report's page."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.charts import BAR, FIT, SIZE
from tutelage.evaluation.estimates import Estimate
from tutelage.evaluation.harness import ExampleSet, answers
from tutelage.evaluation.results import Section
from tutelage.project import Project, newest_artefact
from tutelage.routing.router.curves import CostQuality, cost_quality
from tutelage.routing.router.learnt import load_learnt
from tutelage.routing.router.members import members_of, quality_of

COLOURS = {"router": "#2b8a3e", "random": "#5f6b76", "oracle": "#b8860b"}
WORDS = {"router": "router", "random": "random mix", "oracle": "oracle"}
TITLE = "Cost and quality"


def router_section(project: Project, name: str, examples: ExampleSet) -> Section | None:
    """What candidate `name`, a router, reaches on `examples` at every cost; None where it has not learnt, or one of its
    candidates has not answered them all."""
    found = measured(project, name, examples)
    if found is None:
        return None
    quality = project.task.metric
    rows = [[WORDS[which], shown(area)] for which, area in found.areas.items()]
    rows += [[f"always {one}", f"{reached:.3f} at {cost:.4g}"] for one, (cost, reached) in found.alone.items()]
    notes = [
        f"Mean {quality} over all budgets between the cheapest and the dearest candidate ({found.unit}), {found.n:,} "
        f"examples of {examples.split}, 95 % intervals by the bootstrap over examples.",
        f"Router less random mix at equal cost: {shown(found.gain, sign=True)} over all budgets.",
    ]
    for cost, at in found.at.items():
        notes.append(
            f"At {cost:.4g}: router {shown(at['router'])}, random mix {at['random'].value:.3f}, oracle "
            f"{at['oracle'].value:.3f}; router less random {shown(at['gain'], sign=True)}."
        )
    return Section(f"Router {name}", notes, ["", quality], rows, {TITLE: chart(found, quality)})


def measured(project: Project, name: str, examples: ExampleSet) -> CostQuality | None:
    """The curve of candidate `name` on `examples`, in dollars where all costs are known, else in calls of the last one."""
    folder, settings = newest_artefact(project, name), candidate(project, name).settings
    members = members_of(project, name, settings)
    found = [answers(project, one, examples) for one in members]
    if folder is None or any(one is None for one in found):
        return None
    learnt = load_learnt(folder, settings, project)
    gold = [one.value for one in examples.examples]
    quality = np.column_stack([quality_of(project, gold, [p.value for p in one[0]]) for one in found if one])
    chances = learnt.chances([one.example.input for one in examples.examples])
    costs, unit = np.eye(len(members))[-1], f"share of {members[-1].name}"
    if learnt.costs is not None and len(set(learnt.costs)) > 1:
        costs, unit = np.array(learnt.costs), "dollars per 1,000 answers"
    middle = float(costs.min() + costs.max()) / 2
    return cost_quality(learnt.candidates, chances, quality, costs, unit=unit, at=(middle,))


def shown(one: Estimate, *, sign: bool = False) -> str:
    """A value with its interval."""
    low, high = (f"{end:+.3f}" if sign else f"{end:.3f}" for end in (one.low, one.high))
    return f"{one.value:+.3f} ({low} to {high})" if sign else f"{one.value:.3f} ({low} to {high})"


def chart(curve: CostQuality, quality: str) -> dict[str, Any]:
    """Vega-Lite: the router with its band, the random mix, the oracle, and each candidate alone."""
    lines = [
        {"who": WORDS[which], "cost": cost, "quality": value}
        for which, values in curve.curves.items()
        for cost, value in zip(curve.budgets, values, strict=True)
    ]
    band = [
        {"cost": cost, "low": low, "high": high} for cost, (low, high) in zip(curve.budgets, curve.bands, strict=True)
    ]
    alone = [{"candidate": name, "cost": cost, "quality": value} for name, (cost, value) in curve.alone.items()]
    x = alt.X("cost:Q", title=f"at most, {curve.unit}", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=5))
    y = alt.Y("quality:Q", title=quality, scale=alt.Scale(zero=False))
    named = list(COLOURS)
    colour = alt.Color(
        "who:N",
        scale=alt.Scale(domain=[WORDS[one] for one in named], range=[COLOURS[one] for one in named]),
        legend=alt.Legend(title=None, orient="top"),
    )
    tips = [alt.Tooltip("cost:Q", format=".4g"), alt.Tooltip("quality:Q", title=quality, format=".3f")]
    area = (
        _of(band)
        .mark_area(opacity=0.2, color=COLOURS["router"])
        .encode(x=x, y=alt.Y("low:Q", title=quality), y2="high:Q")
    )
    drawn = _of(lines).mark_line(strokeWidth=BAR["strokeWidth"]).encode(x=x, y=y, color=colour, tooltip=tips)
    dots = _of(alone).mark_point(filled=True, size=80, color="#1f77b4", opacity=1)
    dots = dots.encode(x=x, y=y, tooltip=[alt.Tooltip("candidate:N"), *tips])
    whole: Any = alt.layer(area, drawn, dots).properties(**SIZE, autosize=FIT).configure_view(strokeOpacity=0)
    found: dict[str, Any] = whole.to_dict()
    return found


def _of(values: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=values))  # type: ignore[no-untyped-call]
