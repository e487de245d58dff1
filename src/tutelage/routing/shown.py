"""Certificates and what came of a calibration, as text for people."""

from __future__ import annotations

from pathlib import Path

from tutelage.routing.certificate import PROVED, Certificate
from tutelage.routing.certify import Outcome


def certificate_text(one: Certificate) -> str:
    """The certificate in a few lines."""
    share = one.escalated
    lines = [f"{one.candidate}: {parts_text(one)}, {one.status.upper()}"]
    if one.family == "router":
        lines.append(f"  asks the cheapest whose chance of being right is at least {one.threshold or 0:.4f}")
    else:
        threshold = "never" if one.threshold is None else f"from a confidence of {one.threshold:.4f} on"
        lines.append(f"  {one.stages[0].name} answers {threshold}")
    for loss in one.losses:
        where = f" in group {loss.group!r}" if loss.group else ""
        p = "no proof" if loss.p_value is None else f"p = {loss.p_value:.3g}"
        lines.append(f"  {loss.loss} <= {loss.most:g}{where}: {loss.mean:.4f} on {loss.n} examples, {p}")
    if one.status == PROVED:
        lines.append(f"  confidence {one.confidence:g} ({one.bound}, level {one.level:.3g})")
        if one.look > 1:
            lines.append(f"  {look_text(one)}")
    else:
        lines.append("  the threshold is a point estimate, which misses its limit about every other time")
    lines.append(
        f"  right is: {one.reference}, {'by group' if one.assumes == 'groups' else 'inputs as those of calibration'}"
    )
    lines.append(f"  asked of {one.stages[-1].name}: {share.value:.1%} ({share.low:.1%} to {share.high:.1%})")
    dollars = "unknown" if one.dollars_per_1000 is None else f"{one.dollars_per_1000:.4g}"
    lines.append(f"  $ per 1,000: {dollars} ({one.cost_basis})")
    if one.gate:
        lines.append(
            f"  a novelty gate passes on {float(one.gate['rate']):.1%} of usual inputs, and more of unusual ones"
        )
    return "\n".join(lines)


def parts_text(one: Certificate) -> str:
    """Who answers: one after another, or one of them."""
    return (" or " if one.family == "router" else " -> ").join(stage.name for stage in one.stages)


def look_text(one: Certificate) -> str:
    """What it means that the same was tried before on other calibration examples."""
    return (
        f"look {one.look} at this on other calibration examples: tested at {one.level:.3g}, so that all looks together keep "
        f"the confidence of {one.confidence:g}"
    )


def outcome_text(name: str, outcome: Outcome, made: Certificate | None, path: Path | None) -> str:
    """What `tutelage calibrate` says of a cascade or a router."""
    lines = []
    for stage, fitted in outcome.fitted.items():
        chosen = fitted.confidence
        lines.append(
            f"  {stage}: {chosen.signal}, map {chosen.map.kind}; on dev (n = {fitted.n}, {fitted.right:.3f} right) ECE "
            f"{fitted.ece[0]:.3f} -> {fitted.ece[1]:.3f}, Brier {fitted.brier[0]:.3f} -> {fitted.brier[1]:.3f}"
        )
    head = certificate_text(made) if made else f"{name}: nothing proved"
    point = "" if outcome.point is None else f"  the point estimate would take {outcome.point:.4f}, without proof"
    parts = [head, *lines, point, f"  -> {path}" if path else ""]
    return "\n".join(part for part in parts if part)
