"""Projects whose candidates' answers are in the store, for tests of comparing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tutelage.evaluation.candidates import candidate
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.types import Example, Prediction, Value

TEXT = 'name = "replies"\noutput = "text"\ninstructions = "Answer kindly."\n'


def compared_project(
    folder: Path, answers: Mapping[str, Sequence[Value | None]], head: str = TEXT, database: str | None = None
) -> Project:
    """A project of as many inputs in dev as each of the candidates named in `answers` has answered; None is a failed answer."""
    rows = "".join(f'[candidates.{name}]\nfamily = "replay"\nfile = "{name}.jsonl"\n' for name in answers)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(head + rows)
    for name in answers:
        (folder / f"{name}.jsonl").touch()
    project = open_project(folder, database)
    count = max(map(len, answers.values()))
    inputs = [{"text": f"Question {at}?"} for at in range(count)]
    ids = [example_id(one) for one in inputs]
    project.store.examples.add([Example(id, one, "dev") for id, one in zip(ids, inputs, strict=True)])
    for name, values in answers.items():
        said = [Prediction(value, source=name, error=None if value is not None else "gone") for value in values]
        fingerprint = candidate(project, name).fingerprint(project)
        project.store.predictions.add(fingerprint, list(zip(ids, said, strict=False)))
    return project
