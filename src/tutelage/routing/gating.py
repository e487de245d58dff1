"""The novelty gate of a cascade: fitted on what its first stage learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.project import Project
from tutelage.routing.cascade import CascadeSettings, Gate
from tutelage.routing.certificate import FOLDER, folder_hash
from tutelage.routing.novelty import fit_gate


def fitted_gate(project: Project, name: str, settings: CascadeSettings) -> tuple[Gate, Mapping[str, Any]] | None:
    """The gate and what a certificate says of it, written beside the certificate; None where no gate is wanted.

    Train's texts are what is known; a fifth of them, held out, says how unlike them usual inputs are. Dev and calibration may
    hold other groups than train (other layouts, other customers), which a gate held against them would let pass. Raises
    DataError where they are too few.
    """
    if settings.novelty is None:
        return None
    known = list(project.store.examples.read("train"))
    groups = [one.group for one in known if one.group is not None]
    texts = [project.task.input_text(one.input) for one in known]
    gate = fit_gate(texts, groups=groups if len(groups) == len(known) and len(set(groups)) > 1 else None)
    folder = project.folder / FOLDER / f"{name}-gate"
    gate.save(folder)
    facts = {"folder": f"{FOLDER}/{folder.name}", "sha256": folder_hash(folder), "rate": settings.novelty}
    return gate, facts
