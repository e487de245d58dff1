"""Routers that need a transformer: beside the cheap features, and fine-tuned on who is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.tiny import make_base
from tutelage.errors import StoreError
from tutelage.evaluation.candidates import candidate
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.routing.router.family import build_router
from tutelage.routing.router.fitting import fit_router
from tutelage.routing.router.learnt import load_learnt
from tutelage.types import Example, Label, Prediction

TASK = """
name = "kinds"
output = "label"
labels = ["yes", "no"]
[candidates.small]
family = "replay"
file = "small.jsonl"
[candidates.large]
family = "replay"
file = "large.jsonl"
[candidates.router]
family = "router"
candidates = ["small", "large"]
base = "base"
bar = 0.7
effort = "low"
threads = 1
model = "MODEL"
"""


def make(folder: Path, model: str) -> Project:
    """80 examples of dev; the small model is right about colours alone, the large one always."""
    texts = [f"{'a red and blue hen' if at % 2 else 'seven and two make nine'} {at}" for at in range(80)]
    make_base(folder / "base", texts)
    (folder / "task.toml").write_text(TASK.replace("MODEL", model))
    examples = [Example(example_id({"text": text}), {"text": text}, "dev") for text in texts]
    for name in ("small", "large"):
        (folder / f"{name}.jsonl").write_text(json.dumps({"id": examples[0].id, "value": "yes"}))
    project = open_project(folder)
    project.store.examples.add(examples)
    project.store.labels.add([Label(one.id, "yes", "human:ada") for one in examples])
    for name in ("small", "large"):
        said = ["yes" if name == "large" or at % 2 else "no" for at in range(80)]
        key = candidate(project, name).fingerprint(project)
        project.store.predictions.add(
            key, [(one.id, Prediction(value)) for one, value in zip(examples, said, strict=True)]
        )
    return project


@pytest.mark.parametrize("model", ["linear", "knn", "encoder"])
def test_a_router_with_a_base_learns_is_saved_and_asks_who_knows(tmp_path: Path, model: str) -> None:
    project = make(tmp_path, model)
    folder = fit_router(project, "router")
    settings = candidate(project, "router").settings
    router = build_router("router", settings, project)
    routes = router.route([{"text": "a red and blue hen 90"}, {"text": "seven and two make nine 91"}])
    assert [name for name, _ in routes] == ["small", "large"]
    chances = load_learnt(folder, settings, project).chances([{"text": "a blue hen 3"}] * 2)
    assert chances.shape == (2, 2)
    assert np.allclose(chances[0], chances[1])
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pt", ".bin")]


def test_vectors_of_another_encoder_are_refused(tmp_path: Path) -> None:
    project = make(tmp_path, "linear")
    folder = fit_router(project, "router")
    make_base(tmp_path / "other", ["a red hen"], seed=1)
    with pytest.raises(StoreError, match="another sentence encoder"):
        load_learnt(folder, candidate(project, "router", {"base": "other"}).settings, project)
