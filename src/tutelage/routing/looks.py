"""Looks: how often the same was to be proved on other calibration examples.

Who finds nothing proved, adds examples and tests again has a second chance to certify what is not so. The level is therefore
spent over the looks: each takes four fifths of what is left of it, so that all looks there may ever be err in at most
1 - confidence together (a union bound, valid however the examples of one look depend on those of another). The first look has
most of the level, because most have no second.

A look is counted for the same models, settings and goal. The same examples again are the same look. The looks are kept beside
the certificate, in certificates/NAME.looks.jsonl.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tutelage.errors import CertificateError
from tutelage.evaluation.candidates import candidate
from tutelage.project import Project, newest_artefact
from tutelage.routing.answered import Goal, reference_set
from tutelage.routing.certificate import FOLDER, certified_settings
from tutelage.routing.parts import parts_of
from tutelage.store import now
from tutelage.types import digest


@dataclass(frozen=True)
class Look:
    """`asked` is the hash of what is to be proved of which models, `examples` the fingerprint of the `n` calibration examples
    it is to be proved on."""

    asked: str
    examples: str
    n: int
    created: str = ""


def looks_path(project: Project, name: str) -> Path:
    return project.folder / FOLDER / f"{name}.looks.jsonl"


def look_of(project: Project, name: str, goal: Goal) -> tuple[int, Look]:
    """Which look it is to prove `goal` (that says whose labels are right) of `name` now, from 1 on. Raises CertificateError."""
    one = candidate(project, name)
    folder = newest_artefact(project, name)
    models = [candidate(project, part).fingerprint(project) for part in parts_of(project, name)]
    wanted = [sorted(goal.most.items()), goal.confidence, goal.against, goal.by_group]
    asked = digest([wanted, certified_settings(one), models, folder and folder.name])
    examples = reference_set(project, "calibration", goal.against)
    look = Look(asked, examples.fingerprint, len(examples.examples), now())
    known = [found.examples for found in read_looks(looks_path(project, name)) if found.asked == asked]
    return (known.index(look.examples) if look.examples in known else len(known)) + 1, look


def keep_look(project: Project, name: str, look: Look) -> None:
    """Write down that it was tested, where that is not written yet."""
    path = looks_path(project, name)
    if any((one.asked, one.examples) == (look.asked, look.examples) for one in read_looks(path)):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(look)) + "\n")


def read_looks(path: Path) -> list[Look]:
    """The looks that are written down. Raises CertificateError for a file that holds something else."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [Look(**json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(
            f"The looks in {path} cannot be read: {error}. Mend the line, or remove the file to count from 1 again."
        ) from None
