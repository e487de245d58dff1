"""A certificate, computed again from the store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tutelage.errors import CertificateError
from tutelage.project import Project
from tutelage.routing.answered import Goal
from tutelage.routing.cascade import gate_of
from tutelage.routing.certificate import PROVED, Certificate, check_certified
from tutelage.routing.certify import certify, prepared, unproven
from tutelage.routing.losses import Loss

NOT_COMPARED = ("created", "versions", "dollars_per_1000", "cost_basis")
"""What a certificate says besides its proof: when and with what it was made, and costs, which are measured anew."""

MOST_SHOWN = 80


def verified(project: Project, certificate: Certificate) -> list[str]:
    """What was checked, in words. Raises CertificateError naming the first thing that is not as certified."""
    name = certificate.candidate
    if certificate.task != project.task.name:
        raise CertificateError(
            f"The certificate is of task {certificate.task!r}, this project's is {project.task.name!r}."
        )
    check_certified(project, certificate)
    checks = ["models: " + ", ".join(f"{one.name} {one.fingerprint[:12]}" for one in certificate.stages)]
    if certificate.learned is not None:
        checks.append(f"what {name} learned: {certificate.learned['artefact']}")
    gate, _ = gate_of(project, certificate.gate)
    if gate is not None and certificate.gate is not None:
        checks.append(f"novelty gate: {str(certificate.gate['sha256'])[:12]}")
    most: dict[Loss, float] = {one.loss: one.most for one in certificate.losses}  # type: ignore[misc]
    groups, tried = certificate.assumes == "groups", certificate.tried
    goal = Goal(most, certificate.confidence, certificate.against, groups, tried, certificate.look)  # type: ignore[arg-type]
    pair = None if gate is None or certificate.gate is None else (gate, certificate.gate)
    trial = prepared(project, name, goal, pair)
    for what, found, wanted in (
        ("calibration examples", trial.known.calibration.examples.fingerprint, certificate.calibration_fingerprint),
        ("dev examples", trial.known.dev.examples.fingerprint, certificate.dev_fingerprint),
    ):
        if found != wanted:
            raise CertificateError(
                f"The {what} are not those of the certificate (fingerprint {wanted[:12]}, now {found[:12]}). "
                f"Certify with them: tutelage calibrate {name}"
            )
        checks.append(f"{what}: {found[:12]}")
    again = certify(trial).certificate if certificate.status == PROVED else unproven(trial)
    changed = ("proof", "none", certificate.status) if again is None else _changed(again.json(), certificate.json())
    if changed:
        what, now, was = changed
        raise CertificateError(
            f"The proof is another when it is computed again: {what} is {now}, the certificate says {was}. "
            f"It may have been edited. Make it again: tutelage calibrate {name}"
        )
    checks.append(
        "the proof is the same"
        if certificate.status == PROVED
        else "the point estimate is the same (nothing is proved)"
    )
    return checks


def _changed(found: Mapping[str, Any], certificate: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The first key that is another, with what it is and what it was; None where all are the same but for rounding."""
    for key in found:
        now, was = (json.loads(json.dumps(one[key])) for one in (found, certificate))
        if key not in NOT_COMPARED and not _alike(now, was):
            return key, _short(now), _short(was)
    return None


def _alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, numbers up to what another machine's arithmetic may change."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
