"""Family `router`: sends each input to one of its candidates, by the predicted chance that it is right."""

from __future__ import annotations

from tutelage.errors import TrainingError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.project import Project, newest_artefact
from tutelage.registry import Family
from tutelage.routing.certificate import (
    PROVED,
    certificate_facts,
    certificate_path,
    check_certified,
    read_certificate,
)
from tutelage.routing.router.learnt import Learnt, load_learnt
from tutelage.routing.router.predictor import Router
from tutelage.routing.router.settings import RouterSettings, rule


def build_router(name: str, settings: RouterSettings, project: Project) -> Router:
    """The router of the newest artefact, with strategy = "certified" under its certificate. Raises TrainingError where it has
    not learnt, CertificateError where there is no certificate of what is there now, and as its candidates do."""
    learnt, bar, note = learnt_now(name, settings, project), None, ""
    if settings.under_certificate() is not None:
        certificate = read_certificate(certificate_path(project, name))
        check_certified(project, certificate)
        bar, note = certificate.threshold, "" if certificate.status == PROVED else certificate.status
    members = {one.name: one.build(project) for one in _members(settings, project)}
    return Router(name, learnt, rule(name, settings, learnt, bar), members, note)


def learnt_now(name: str, settings: RouterSettings, project: Project) -> Learnt:
    """What the router learnt. Raises TrainingError where that is nothing, or not what task.toml says now."""
    folder = newest_artefact(project, name)
    if folder is None:
        raise TrainingError(f"{name!r} has not learnt yet who is right. Run: tutelage calibrate {name}")
    learnt = load_learnt(folder, settings, project)
    if learnt.candidates != settings.candidates or learnt.kind != settings.model:
        raise TrainingError(
            f"{name!r} learnt about {', '.join(learnt.candidates)} with model {learnt.kind!r}, and task.toml says otherwise "
            f"now. Run: tutelage calibrate {name}"
        )
    return learnt


def _members(settings: RouterSettings, project: Project) -> list[Candidate]:
    return [candidate(project, one) for one in settings.candidates]


def _fingerprint(name: str, settings: RouterSettings, project: Project) -> object:
    """The artefact, all that decides what the candidates answer, and the certificate where one is needed."""
    folder = newest_artefact(project, name)
    facts: list[object] = [folder and folder.name, [one.fingerprint(project) for one in _members(settings, project)]]
    return facts if settings.under_certificate() is None else [*facts, certificate_facts(project, name)]


def _hosted(name: str, settings: RouterSettings, project: Project) -> bool:
    return any(one.hosted(project) for one in _members(settings, project))


FAMILY = Family("system", RouterSettings, build_router, _fingerprint, hosted=_hosted)
