"""The candidates that a router chooses from, and how right their answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.errors import TaskFileError
from tutelage.evaluation.candidates import Candidate, candidate
from tutelage.evaluation.exact import exact_match
from tutelage.evaluation.metrics import Floats, Mean
from tutelage.evaluation.scoring import statistic
from tutelage.project import Project
from tutelage.routing.router.settings import RouterSettings


def members_of(project: Project, name: str, settings: RouterSettings) -> list[Candidate]:
    """The candidates that are routed between. Raises TaskFileError for those that cannot be."""
    wanted = settings.candidates
    if len(set(wanted)) < len(wanted):
        raise TaskFileError(f"[candidates.{name}]: candidates = {list(wanted)} names one twice. Name each once.")
    if settings.costs and len(settings.costs) != len(wanted):
        raise TaskFileError(
            f"[candidates.{name}]: {len(settings.costs)} costs for {len(wanted)} candidates. Give one each."
        )
    if settings.model in ("knn", "encoder") and settings.base is None:
        raise TaskFileError(
            f'[candidates.{name}]: model = "{settings.model}" needs base = a sentence encoder. Set base.'
        )
    for one in wanted:
        if one in project.file.candidates and project.file.candidates[one].get("family") == "router":
            raise TaskFileError(f"[candidates.{name}]: {one!r} is a router. Name its candidates instead.")
    return [candidate(project, one) for one in wanted]


def quality_of(project: Project, gold: Sequence[Any], values: Sequence[Any]) -> Floats:
    """(n,) in [0, 1]: the task's main metric of each answer, or whether it is exactly right where that is of no single one."""
    found = statistic(project, "dev", project.task.metric, gold, values)
    return found.scores if isinstance(found, Mean) else exact_match(project.task, gold, values).scores
