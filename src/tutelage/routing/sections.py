"""What routing adds to the report's page: confidence, certificates, routers, preference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tutelage.errors import TutelageError
from tutelage.evaluation.harness import ExampleSet
from tutelage.evaluation.preference.shown import preference_section
from tutelage.evaluation.results import Answered, Report, Section
from tutelage.project import Project
from tutelage.routing.certificate import FOLDER, UNPROVEN, Certificate, check_certified, read_certificate
from tutelage.routing.router.drawing import router_section
from tutelage.routing.shown import look_text, parts_text
from tutelage.routing.trust import confidence_section, risk_chart


def with_sections(project: Project, report: Report, answered: Sequence[Answered], examples: ExampleSet) -> Report:
    """The report with what there is to add."""
    routers = [name for name, given in project.file.candidates.items() if given.get("family") == "router"]
    found = [
        confidence_section(report, answered),
        certificates_section(project),
        *(router_section(project, name, examples) for name in routers),
        preference_section(project, report.split),
    ]
    return replace(report, sections=[one for one in found if one is not None])


def certificates_section(project: Project) -> Section | None:
    """The certificates of the project, and whether they are of what is there now; None where there are none."""
    rows: list[list[str]] = []
    notes: list[str] = []
    points = []
    limits: set[float] = set()
    for path in sorted((project.folder / FOLDER).glob("*.json")):
        try:
            one = read_certificate(path)
            check_certified(project, one)
            state = one.status
        except TutelageError as error:
            notes.append(str(error))
            continue
        rows.append(row(one, state))
        points += [{**point, "candidate": one.candidate} for point in one.curve]
        if one.look > 1:
            notes.append(f"{one.candidate}: {look_text(one)}.")
        limits.add(one.losses[0].most)
    if not rows and not notes:
        return None
    notes.append(
        "proved: over inputs as those of the calibration examples the mean loss is at most the limit, with the confidence given. "
        "unproven: a point estimate, which misses its limit about every other time."
    )
    charts = (
        {
            "Loss by the share that the last one is spared": risk_chart(
                points, "candidate", limits.pop() if len(limits) == 1 else None
            )
        }
        if points
        else {}
    )
    return Section("Certificates", notes, COLUMNS, rows, charts)


def unproven_lines(project: Project) -> list[str]:
    """A line for each cascade and router whose threshold is not proved."""
    lines = []
    for path in sorted((project.folder / FOLDER).glob("*.json")):
        try:
            one = read_certificate(path)
        except TutelageError:
            continue  # the page says why
        if one.status == UNPROVEN and one.candidate in project.file.candidates:
            lines.append(
                f"{one.candidate}: UNPROVEN, its threshold is a point estimate. Prove one with: tutelage calibrate"
            )
    return lines


COLUMNS = (
    "candidate",
    "status",
    "answers from",
    "loss",
    "found (n)",
    "confidence",
    "asked of the last",
    "$ per 1,000",
    "right is",
)


def row(one: Certificate, state: str) -> list[str]:
    losses = "; ".join(
        f"{loss.loss} <= {loss.most:g}{f' in {loss.group}' if loss.group else ''}" for loss in one.losses
    )
    means = "; ".join(f"{loss.mean:.4f} ({loss.n})" for loss in one.losses)
    share = one.escalated
    return [
        f"{one.candidate}: {parts_text(one)}",
        state,
        "never" if one.threshold is None else f"{one.threshold:.4f}",
        losses,
        means,
        f"{one.confidence:g}",
        f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})",
        "unknown" if one.dollars_per_1000 is None else f"{one.dollars_per_1000:.4g}",
        one.reference,
    ]
