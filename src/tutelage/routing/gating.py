"""The novelty gate of a cascade: fitted on what its first stage learned from, held against dev."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.project import Project
from tutelage.routing.cascade import CascadeSettings, Gate
from tutelage.routing.certificate import FOLDER, folder_hash
from tutelage.routing.novelty import fit_gate


def fitted_gate(project: Project, name: str, settings: CascadeSettings) -> tuple[Gate, Mapping[str, Any]] | None:
    """The gate and what a certificate says of it, written beside the certificate; None where no gate is wanted.

    Train's texts are what is known, dev's say how unlike them usual inputs are: neither is calibration, whose examples the
    gate treats as any other input. Raises DataError where they are too few.
    """
    if settings.novelty is None:
        return None
    texts = {
        split: [project.task.input_text(one.input) for one in project.store.examples.read(split)]
        for split in ("train", "dev")
    }
    gate = fit_gate(texts["train"], texts["dev"])
    folder = project.folder / FOLDER / f"{name}-gate"
    gate.save(folder)
    facts = {"folder": f"{FOLDER}/{folder.name}", "sha256": folder_hash(folder), "rate": settings.novelty}
    return gate, facts
