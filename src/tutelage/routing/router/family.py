"""Family `router`: sends each input to one of its candidates, by the predicted chance that it is right."""

from __future__ import annotations

from tutelage.errors import TrainingError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.project import Project, newest_artefact
from tutelage.registry import Family
from tutelage.routing.router.learnt import load_learnt
from tutelage.routing.router.predictor import Router
from tutelage.routing.router.settings import RouterSettings, rule


def build_router(name: str, settings: RouterSettings, project: Project) -> Router:
    """The router of the newest artefact. Raises TrainingError where it has not learnt, and as its candidates do."""
    folder = newest_artefact(project, name)
    if folder is None:
        raise TrainingError(f"{name!r} has not learnt yet who is right. Run: tutelage calibrate {name}")
    learnt = load_learnt(folder, settings, project)
    if learnt.candidates != settings.candidates or learnt.kind != settings.model:
        raise TrainingError(
            f"{name!r} learnt about {', '.join(learnt.candidates)} with model {learnt.kind!r}, and task.toml says otherwise "
            f"now. Run: tutelage calibrate {name}"
        )
    members = {one.name: one.build(project) for one in _members(settings, project)}
    return Router(name, learnt, rule(name, settings, learnt), members)


def _members(settings: RouterSettings, project: Project) -> list[Candidate]:
    return [candidate(project, one) for one in settings.candidates]


def _fingerprint(name: str, settings: RouterSettings, project: Project) -> object:
    """The artefact, and all that decides what the candidates answer."""
    folder = newest_artefact(project, name)
    return [folder and folder.name, [one.fingerprint(project) for one in _members(settings, project)]]


def _hosted(name: str, settings: RouterSettings, project: Project) -> bool:
    return any(one.hosted(project) for one in _members(settings, project))


FAMILY = Family("system", RouterSettings, build_router, _fingerprint, hosted=_hosted)
