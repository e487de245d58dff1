"""Projects under review: examples with suggestions of a teacher."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tutelage.project import Project, open_project
from tutelage.review.deciding import Word
from tutelage.review.desk import Desk
from tutelage.store import Decision
from tutelage.types import Example, Label, Prediction, Value

TEACHER = "teacher:m@1"
TOPICS = 'output = "label"\nlabels = ["money", "weather", "sport"]\n'


def a_review(folder: Path, task: str = TOPICS, suggested: Sequence[Value] = ("money",) * 6, more: str = "") -> Project:
    """Examples e0, e1, ... of train with these suggestions; the teacher was the less sure the later it was asked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(f'name = "topics"\n{task}[review]\n{more}', encoding="utf-8")
    project = open_project(folder)
    ids = [f"e{at}" for at in range(len(suggested))]
    project.store.examples.add([Example(id, {"text": f"Captain Flint met Ann, text {id}"}, "train") for id in ids])
    project.store.labels.add([Label(id, value, TEACHER) for id, value in zip(ids, suggested, strict=True)])
    sure = [Prediction(value, 0.9 - at / 100, source=TEACHER) for at, value in enumerate(suggested)]
    project.store.predictions.add("p" * 32, list(zip(ids, sure, strict=True)))
    return project


def word(desk: Desk, example: str, id: str, annotator: str, verdict: str = "accept", value: object = None) -> Word:
    """What the page of `example`, opened now, sends."""
    found = desk.show([example], annotator)[0]
    key = found.suggestion.key if found.suggestion else None
    return Word(id=id, annotator=annotator, verdict=verdict, value=value, shown=key, seen=found.seen)


def say(desk: Desk, example: str, id: str, annotator: str, verdict: str = "accept", value: object = None) -> Decision:
    return desk.decide(example, word(desk, example, id, annotator, verdict, value))


def listed(names: Sequence[str]) -> str:
    """TOML's list of these names."""
    return json.dumps(list(names))
