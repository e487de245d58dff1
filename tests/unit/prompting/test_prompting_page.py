"""The examples of docs/prompting.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from tutelage.evaluation.candidates import candidate
from tutelage.models.chat import Structured
from tutelage.project import Project, open_project
from tutelage.prompting import Prompted, PromptedSettings, build_prompted
from tutelage.prompting.selectors import SELECTORS
from tutelage.prompting.settings import Signal
from tutelage.tasks.file import validated
from tutelage.types import Example, Label

PAGE = (Path(__file__).parents[3] / "docs" / "prompting.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (tmp_path / "task.toml").write_text("\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)))
    project = open_project(tmp_path)
    inputs = [{"title": f"Day {number}", "text": "The sun shone."} for number in range(3)]
    project.store.examples.add([Example(str(number), one, "train") for number, one in enumerate(inputs)])
    project.store.labels.add([Label(str(number), "happy", "human:a") for number in range(3)])
    return project


def built(project: Project, name: str) -> Prompted:
    given = project.candidate(name)
    assert given.pop("family") == "prompted"
    return build_prompted(name, validated(PromptedSettings, given, name), project)


def test_every_example_can_be_built(project: Project) -> None:
    prompted = [name for name, given in project.file.candidates.items() if given["family"] == "prompted"]
    assert {built(project, name).name for name in prompted} == {"plain", "jinja", "dynamic", "honest"}
    searched = candidate(project, "searched").settings
    assert (searched.of, searched.shots) == ("dynamic", (0, 8))


def test_templates_say_what_the_page_says(project: Project) -> None:
    given = {"title": "Rain", "text": "It fell. "}
    system, user = built(project, "plain").template.messages(given)
    assert system.content.startswith("Is the text happy or sad? Answer only with JSON")
    assert user.content == "Rain: It fell. "
    (user,) = built(project, "jinja").template.messages(given)
    assert user.content.splitlines() == [
        "Is the text happy or sad?",
        "Day 0: The sun shone. -> happy",
        "Day 1: The sun shone. -> happy",
        "Rain: It fell. ->",
    ]


@pytest.mark.parametrize("name", [*get_args(Structured), *SELECTORS.rows(), *get_args(Signal)])
def test_every_choice_is_explained(name: str) -> None:
    assert f"| `{name}` |" in PAGE
