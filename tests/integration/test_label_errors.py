"""Probable errors in lists of strings, found by a real student that learns them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("spacy")

from tutelage.labels.splitting import example_id
from tutelage.project import open_project
from tutelage.review.errors import find_errors
from tutelage.types import Example, Label

NAMES = ["Mia", "Tom", "Oskar", "Ada", "Wanda", "Jan", "Kim Novak", "Sue Storm"]


def test_names_that_were_left_out_or_made_up_come_first(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(
        'name = "people"\noutput = "strings"\ngrounded = true\n[candidates.names]\nfamily = "spacy"\nsteps = 40\n'
    )
    project, chance = open_project(tmp_path), random.Random(3)
    left_out, made_up = set(), set()
    for at in range(60):
        names = chance.sample(NAMES, 2)
        text = f"{names[0]} and {names[1]} and the old dog walked to the river on day {at}"
        one = Example(example_id({"text": text}), {"text": text}, "train")
        if at % 20 == 7:
            left_out.add(one.id)
            names = names[:1]
        elif at % 20 == 19:
            made_up.add(one.id)
            names.append("the river")
        project.store.examples.add([one])
        project.store.labels.add([Label(one.id, names, "teacher:big@1")])
    found = find_errors(project, "train", folds=2)
    first = found.suspects[:12]
    assert len({one.example_id for one in first} & (left_out | made_up)) >= 5
    assert found.student == "names" and found.flagged <= 20
    reasons = {one.example_id: one.reason for one in first}
    assert any("it finds that too (names, " in reasons.get(id, "") for id in left_out)
    assert any("the river: it does not find that (names, " in reasons.get(id, "") for id in made_up)
