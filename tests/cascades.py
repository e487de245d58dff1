"""Projects with a cascade of recorded models, whose errors and confidences are drawn, for tests of certificates."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tutelage.cli.entry import main
from tutelage.labels.splitting import example_id
from tutelage.project import Project, open_project
from tutelage.types import SPLITS, Example, Label, Prediction, Split, Usage

COUNTS: Mapping[Split, int] = {"dev": 200, "calibration": 400, "test": 60}
HEAD = """name = "kinds"
output = "label"
labels = ["yes", "no"]
instructions = "Yes or no?"
teacher = "teacher"
[candidates.student]
family = "replay"
file = "student.jsonl"
[candidates.teacher]
family = "replay"
file = "teacher.jsonl"
[candidates.cascade]
family = "cascade"
stages = ["student", "teacher"]
"""

Model = Callable[[random.Random, int], tuple[bool | None, float | None]]
"""Of the example with this number: is the answer right (None: it failed), and how sure is the model?"""


def honest(chance: random.Random, at: int) -> tuple[bool, float]:
    """Right as often as it says, mostly sure."""
    confidence = chance.betavariate(6, 1)
    return chance.random() < confidence, confidence


def careful(chance: random.Random, at: int) -> tuple[bool, None]:
    """A teacher: wrong once in 200."""
    return chance.random() > 0.005, None


def always(right: bool, confidence: float | None = None) -> Model:
    return lambda chance, at: (right, chance.random() if confidence is None else confidence)


def make_project(
    folder: Path,
    models: Mapping[str, Model] | None = None,
    counts: Mapping[Split, int] = COUNTS,
    more: str = "",
    group: Callable[[int], str] | None = None,
) -> Project:
    """Examples of each split with a person's labels, and who answered what: student and teacher, unless `models` says so.
    The texts of all splits are alike, with numbers that are dealt to them."""
    chance, numbers = random.Random(11), list(range(1, sum(counts.values()) + 1))
    random.Random(12).shuffle(numbers)
    (folder / "task.toml").write_text(HEAD + more, encoding="utf-8")
    project = open_project(folder)
    answered: dict[str, list[str]] = {}
    for split in [split for split in SPLITS if split in counts]:
        examples, labels = [], []
        for at in range(counts[split]):
            given = {"text": f"question {numbers.pop()}, and is it so?"}
            gold = chance.choice(["yes", "no"])
            examples.append(Example(example_id(given), given, split, group(at) if group else None))
            labels.append(Label(examples[-1].id, gold, "human:ada"))
            for name, model in {"student": honest, "teacher": careful, **(models or {})}.items():
                line = recorded(examples[-1].id, gold, *model(chance, at), dear=name != "student")
                answered.setdefault(name, []).append(line)
        project.store.examples.add(examples)
        project.store.labels.add(labels)
    for name, lines in answered.items():
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return project


def recorded(id: str, gold: str, right: bool | None, confidence: float | None, *, dear: bool) -> str:
    value = None if right is None else gold if right else {"yes": "no", "no": "yes"}[gold]
    usage = {"dollars": 0.001, "seconds": 1.0} if dear else {"dollars": 0.00001, "seconds": 0.01}
    error = {"error": "no answer"} if value is None else {}
    return json.dumps({"id": id, "value": value, "confidence": confidence, "source": "m", "usage": usage, **error})


def prediction(value: str | None, confidence: float | None = None, **usage: float) -> Prediction:
    """An answer as a model gives it; one without value has failed."""
    return Prediction(value, confidence, Usage(**usage), error=None if value else "no answer")  # type: ignore[arg-type]


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit code of a call that is to fail, and the one line that it says."""
    capsys.readouterr()
    code = run(*arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1
    assert code in (1, 2)
    return code, lines[0]
