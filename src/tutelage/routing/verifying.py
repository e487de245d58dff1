"""A certificate, computed again from the store."""

from __future__ import annotations

import math

from tutelage.errors import CertificateError
from tutelage.evaluation.candidates import candidate
from tutelage.project import Project
from tutelage.routing.answered import Goal
from tutelage.routing.cascade import CascadeSettings, gate_of
from tutelage.routing.certificate import PROVED, Certificate, check_stages
from tutelage.routing.certify import certify, prepared, unproven
from tutelage.routing.losses import Loss


def verified(project: Project, certificate: Certificate) -> list[str]:
    """What was checked, in words. Raises CertificateError naming the first thing that is not as certified."""
    name = certificate.candidate
    if certificate.task != project.task.name:
        raise CertificateError(
            f"The certificate is of task {certificate.task!r}, this project's is {project.task.name!r}."
        )
    settings: CascadeSettings = candidate(project, name).settings
    if [stage.name for stage in certificate.stages] != settings.stages:
        raise CertificateError(f"task.toml gives {name!r} other stages than its certificate. Calibrate again.")
    check_stages(project, certificate)
    checks = ["models: " + ", ".join(f"{one.name} {one.fingerprint[:12]}" for one in certificate.stages)]
    gate, _ = gate_of(project, certificate.gate)
    if gate is not None and certificate.gate is not None:
        checks.append(f"novelty gate: {str(certificate.gate['sha256'])[:12]}")
    most: dict[Loss, float] = {}
    for one in certificate.losses:
        share = 2 * one.most - 1 if one.loss == "excess" else one.most
        most[one.loss] = round(share, 12)  # type: ignore[index]
    goal = Goal(most, certificate.confidence, certificate.against, certificate.assumes == "groups", certificate.tried)  # type: ignore[arg-type]
    pair = None if gate is None or certificate.gate is None else (gate, certificate.gate)
    trial = prepared(project, name, goal, pair)
    for what, found, wanted in (
        ("calibration examples", trial.calibration.examples.fingerprint, certificate.calibration_fingerprint),
        ("dev examples", trial.dev.examples.fingerprint, certificate.dev_fingerprint),
    ):
        if found != wanted:
            raise CertificateError(
                f"The {what} are not those of the certificate (fingerprint {wanted[:12]}, now {found[:12]}). "
                f"Certify with them: tutelage calibrate {name}"
            )
        checks.append(f"{what}: {found[:12]}")
    again = certify(trial).certificate if certificate.status == PROVED else unproven(trial)
    same = again is not None and _close(again.threshold, certificate.threshold) and again.losses == certificate.losses
    if not same:
        now = "nothing" if again is None else f"the threshold {again.threshold}"
        raise CertificateError(
            f"The proof is another when it is computed again: {now}, the certificate says {certificate.threshold}. "
            f"It may have been edited. Make it again: tutelage calibrate {name}"
        )
    checks.append(
        "the proof is the same"
        if certificate.status == PROVED
        else "the point estimate is the same (nothing is proved)"
    )
    return checks


def _close(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9))
