"""What a project knows of its own costs: what was spent, what answers cost, how long trainings took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import DataError, UsageError
from tutelage.evaluation.breakeven import NAMES, QUANTITIES, Figure
from tutelage.evaluation.candidates import Candidate, candidate, teacher_name
from tutelage.evaluation.costs import api_cost
from tutelage.evaluation.curve.curves import label_price
from tutelage.project import CARD, Project, newest_artefact, read_card
from tutelage.store import origin
from tutelage.types import SPLITS


def known(
    project: Project, student: str | None, given: Mapping[str, float], certificate: Path | None
) -> dict[str, Figure]:
    """The figures by quantity: those `given`, else those that the project and the certificate tell. What nobody tells is
    absent. `student` may be left out where one candidate alone is a student.

    Raises UsageError for a student that must be named, DataError for a certificate without an escalation rate.
    """
    found = {quantity.name: Figure(0.0, quantity.zero) for quantity in QUANTITIES if quantity.zero}
    found |= _labels(project) | _machine(project) | _teacher(project)
    if name := _student_name(project, student, given):
        found |= _student(project, candidate(project, name))
    if certificate is not None:
        found["escalation"] = escalation(certificate)
    if "cached_share_measured" in found:
        measured = found["cached_share_measured"].value
        found["cached_share"] = Figure(measured, "as measured")
    return found | {name: Figure(value, f"given with {NAMES[name].flag}") for name, value in given.items()}


def escalation(certificate: Path) -> Figure:
    """The share escalated that a certificate states, with its interval. Raises DataError where it states none."""
    try:
        stated = json.loads(certificate.read_text(encoding="utf-8"))["escalated"]
        if isinstance(stated, dict):
            return Figure(
                float(stated["value"]), f"certificate {certificate.name}", float(stated["low"]), float(stated["high"])
            )
        return Figure(float(stated), f"certificate {certificate.name}")
    except OSError as error:
        raise DataError(f"The certificate {certificate} cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"The certificate {certificate} states no escalation rate. Give it with --escalation."
        ) from None


def _labels(project: Project) -> dict[str, Figure]:
    counts: dict[str, int] = {}
    for source, _, count in project.store.labels.counts():
        counts[source] = counts.get(source, 0) + count
    bought = {source: count for source, count in counts.items() if origin(source) == "teacher"}
    people = sum(count for source, count in counts.items() if source.startswith("human:"))
    imported = counts.get("import", 0)
    found = {}
    if not people:
        found["review_hours"] = Figure(0.0, "no label in the store is a person's")
    accounts = [*bought, *{str(run.facts["account"]) for run in project.store.runs.read() if "account" in run.facts}]
    spent, labels = sum(map(project.store.spend.spent, accounts)), sum(bought.values())
    free = f"; {imported:,} imported labels are not counted" if imported else ""
    if spent:
        found["labels_dollars"] = Figure(spent, f"spent for {labels:,} labels{free}")
    elif not labels:
        found["labels_dollars"] = Figure(0.0, f"no label is a teacher's{free}")
    elif (price := label_price(project)).dollars_per_1000 is not None:
        found["labels_dollars"] = Figure(
            labels * price.dollars_per_1000 / 1000, f"{labels:,} labels, {price.basis}{free}"
        )
    return found


def _machine(project: Project) -> dict[str, Figure]:
    hardware = project.file.hardware
    found = {"occupancy": Figure(hardware.occupancy, "[hardware] of task.toml")}
    if hardware.dollars_per_hour is not None:
        source = f", {hardware.source}" if hardware.source else ""
        found["dollars_per_hour"] = Figure(
            hardware.dollars_per_hour, f"[hardware] of task.toml, {hardware.name}{source}"
        )
    return found


def _teacher(project: Project) -> dict[str, Figure]:
    if not project.file.teacher:
        return {}
    found, price = {}, label_price(project)
    if price.dollars_per_1000 is not None:
        found["teacher_dollars"] = Figure(price.dollars_per_1000, price.basis)
    one = candidate(project, teacher_name(project))
    usages = project.store.predictions.usages(one.fingerprint(project))
    tokens = sum(usage.input_tokens for usage in usages)
    if not tokens:
        return found
    cached = sum(usage.cached_input_tokens for usage in usages) / tokens
    found["cached_share_measured"] = Figure(cached, f"{len(usages):,} stored answers of {one.name}")
    listed = one.price(project)
    if listed is not None and listed.cached_input is not None:
        saving = 1000 * tokens / len(usages) * (listed.input - listed.cached_input) / 1e6
        basis = f"{tokens / len(usages):.0f} input tokens an answer x (${listed.input:g} - ${listed.cached_input:g}) a million"
        found["cached_saving"] = Figure(saving, basis)
    return found


def _student_name(project: Project, name: str | None, given: Mapping[str, float]) -> str | None:
    if name is not None:
        return name
    if {"training_hours", "student_seconds"} <= set(given):
        return None
    students = [one for one in project.file.candidates if candidate(project, one).family.student]
    if len(students) > 1:
        raise UsageError(f"Which student? Name it with --student, one of: {', '.join(students)}.")
    return students[0] if students else None


def _student(project: Project, one: Candidate) -> dict[str, Figure]:
    found = _training(project, one)
    if one.family.student and "training_hours" not in found:
        return {}  # not trained yet: nothing is known of its answers either
    key = one.fingerprint(project)
    billed = api_cost(project.store.predictions.usages(key), f"billed for stored answers of {one.name}")
    if billed.dollars_per_1000 is not None:
        found["student_dollars"] = Figure(billed.dollars_per_1000, billed.basis)
        found["student_seconds"] = Figure(0.0, "a provider's machine answers")
        return found
    for split in reversed(SPLITS):
        facts: Mapping[str, Any] = project.store.measurements.get(key, split) or {}
        if rate := facts.get("items_per_second") or facts.get("rate"):
            basis = f"{rate:,.4g} answers a second of {one.name} on {split}, {facts.get('how', 'as they were asked')}"
            return found | {"student_seconds": Figure(1 / rate, basis)}
    return found


def _training(project: Project, one: Candidate) -> dict[str, Figure]:
    if not one.family.student:
        return {"training_hours": Figure(0.0, f"{one.name} is not trained")}
    if newest_artefact(project, one.name) is None:
        return {}
    cards = [read_card(path.parent) for path in project.artefacts.glob("*/" + CARD)]
    seconds = [float(card["seconds"]) for card in cards if card["candidate"] == one.name]
    return {"training_hours": Figure(sum(seconds) / 3600, f"trainings of {one.name} that are kept: {len(seconds)}")}
