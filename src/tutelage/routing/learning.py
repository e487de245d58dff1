"""What `tutelage calibrate` learns of candidates that are no cascade, by family."""

from __future__ import annotations

from pathlib import Path

from tutelage.evaluation.candidates import Candidate
from tutelage.project import Project
from tutelage.registry import load

LEARNERS = {
    "router": "tutelage.routing.router.fitting:fit_router",
    "vote": "tutelage.routing.vote:fit_votes",
    "verified": "tutelage.routing.verifier.fitting:fit_verifier",
}
"""Family -> the function that learns candidate `name` of a project and returns the folder of its artefact."""

TEXTS = {
    "router": "tutelage.routing.learning:router_text",
    "vote": "tutelage.routing.vote:votes_text",
    "verified": "tutelage.routing.verifier.fitting:verifier_text",
}


def learns(one: Candidate) -> bool:
    """Whether there is anything to learn: of a vote only how unequally its members count."""
    return one.family_name in LEARNERS and getattr(one.settings, "weights", "") != "equal"


def learned_text(project: Project, one: Candidate) -> str:
    """Learn it, and say what was learned. Raises TutelageError in one line."""
    folder: Path = load(LEARNERS[one.family_name])(project, one.name)
    return f"{one.name}: {load(TEXTS[one.family_name])(folder)}"


def router_text(folder: Path) -> str:
    return f"whom to ask is learned -> {folder}"
