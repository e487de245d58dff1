"""A project of recorded models that are right by rule, for votes, verifiers and orders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.harness import evaluate, example_set
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.types import Example, Label, Split

HEAD = 'name = "kinds"\noutput = "label"\nlabels = ["yes", "no", "maybe"]\n'


def recorded_project(
    folder: Path,
    models: Mapping[str, Callable[[int], tuple[str | None, float | None]]],
    more: str,
    n: int = 200,
    splits: Sequence[Split] = ("dev", "calibration", "test"),
    dollars: float | None = 1e-4,
) -> Project:
    """n examples labelled "yes" in each split, and `models`: what each answers to example number `at`, and how sure it is. Model
    number k costs 10 ** k times `dollars` an answer."""
    heads = "".join(f'[candidates.{name}]\nfamily = "replay"\nfile = "{name}.jsonl"\n' for name in models)
    (folder / "task.toml").write_text(HEAD + heads + more, encoding="utf-8")
    project, lines = open_project(folder), {name: list[str]() for name in models}
    for split in splits:
        for at in range(n):
            given = {"text": f"question {at} of {split}"}
            one = Example(example_id(given), given, split)
            project.store.examples.add([one])
            project.store.labels.add([Label(one.id, "yes", "human:ada")])
            for number, (name, says) in enumerate(models.items()):
                value, confidence = says(at)
                usage = {"dollars": dollars and dollars * 10**number, "seconds": 0.1 * (number + 1)}
                facts = {"id": one.id, "value": value, "confidence": confidence, "source": name, "usage": usage}
                lines[name].append(json.dumps(facts | ({} if value else {"error": "it failed"})))
    for name, found in lines.items():
        (folder / f"{name}.jsonl").write_text("\n".join(found), encoding="utf-8")
    for split in splits:
        for name in models:
            ask(project, name, split)
    return project


def ask(project: Project, name: str, split: Split) -> int:
    return asyncio.run(evaluate(project, candidate(project, name), example_set(project, split)))
