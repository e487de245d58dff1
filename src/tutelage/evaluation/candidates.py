"""Candidates: what task.toml names under [candidates.NAME], looked up, built, and recognised by a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.errors import TaskFileError
from tutelage.project import Project
from tutelage.registry import Family, Table
from tutelage.students import FAMILIES as STUDENTS
from tutelage.students.material import ALL, SETTINGS, Material
from tutelage.tasks.file import Price, validated
from tutelage.types import Predictor, digest

FAMILIES = Table(
    "candidates",
    "family",
    {
        "prompted": "tutelage.prompting.family:FAMILY",
        "self-consistency": "tutelage.prompting.sampling:SELF_CONSISTENCY",
        "best-of-n": "tutelage.prompting.sampling:BEST_OF_N",
        "prompt-search": "tutelage.evaluation.search.family:FAMILY",
        "replay": "tutelage.evaluation.replay:FAMILY",
        "cascade": "tutelage.routing.cascade:FAMILY",
        "router": "tutelage.routing.router.family:FAMILY",
        "vote": "tutelage.routing.vote:FAMILY",
        "verified": "tutelage.routing.verifier.family:FAMILY",
        "weak": "tutelage.routing.weak:FAMILY",
        **STUDENTS.rows(),
    },
)


@dataclass(frozen=True)
class Candidate:
    """A candidate as task.toml describes it; nothing is loaded yet. `material` is what a student learns from."""

    name: str
    family_name: str
    family: Family
    settings: Any
    material: Material = ALL

    def hosted(self, project: Project) -> bool:
        """Whether somebody else's machine answers."""
        if self.family.hosted:
            return self.family.hosted(self.name, self.settings, project)
        return bool(getattr(self.settings, "hosted", False))

    def price(self, project: Project) -> Price | None:
        """What the model that is asked costs; None where none is asked, or none is known."""
        settings = self.settings
        if isinstance(of := getattr(settings, "of", None), str):
            settings = candidate(project, of).settings
        if not hasattr(settings, "provider"):
            return None
        return project.price(settings.provider, settings.base_url, settings.model)

    def fingerprint(self, project: Project, artefact: str | None = None) -> str:
        """Hash of everything that decides the answers; stored predictions are kept under it.

        `artefact` is the id of a student's run, where not the newest one is meant.
        """
        facts = self.settings.facts() if hasattr(self.settings, "facts") else asdict(self.settings)
        depends = artefact or self.family.fingerprint(self.name, self.settings, project)
        task = [project.task.output, list(project.task.fields), project.task.instructions, project.task.schema()]
        task += project.task.reading()
        return digest([self.family_name, facts, depends, task])

    def build(self, project: Project) -> Predictor:
        """The predictor. Raises TutelageError in one line when it cannot be had (not trained, no such model, ...)."""
        predictor: Predictor = self.family.build(self.name, self.settings, project)
        return predictor


def candidate(project: Project, name: str, changed: Mapping[str, Any] | None = None) -> Candidate:
    """The candidate `name`, with settings `changed` from those in task.toml.

    Raises UnknownName or TaskFileError for names and settings that do not exist.
    """
    given = project.candidate(name) | dict(changed or {})
    family_name = given.pop("family", None)
    if not isinstance(family_name, str):
        raise TaskFileError(f"[candidates.{name}] has no family. Set: family = one of {', '.join(FAMILIES.rows())}")
    family: Family = FAMILIES.load(family_name)
    about = {key: given.pop(key) for key in SETTINGS if key in given} if family.student else {}
    material = validated(Material, about, f"[candidates.{name}]")
    settings = validated(family.settings, given, f"[candidates.{name}]")
    return Candidate(name, family_name, family, settings, material)


def teacher_name(project: Project) -> str:
    """The candidate that labels. Raises TaskFileError when task.toml names none."""
    if not project.file.teacher:
        raise TaskFileError('task.toml names no teacher. Set: teacher = "NAME" of one of the candidates.')
    return project.file.teacher


async def close(predictor: Predictor) -> None:
    """Let go of what a predictor holds (connections, a model's server); most hold nothing and have no `close`."""
    if closing := getattr(predictor, "close", None):
        await closing()
