"""What a teacher considered comes with its label, from whatever it is known."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from tutelage.labels.teach import teach
from tutelage.models.chat import Token
from tutelage.models.scripted import ScriptedModel
from tutelage.project import Project, open_project
from tutelage.prompting import Prompted
from tutelage.prompting.sampling import SelfConsistency
from tutelage.prompting.settings import PromptedSettings
from tutelage.students.base import FitContext, Trained
from tutelage.students.linear import LinearSettings, LinearStudent
from tutelage.types import Example, Labelled, Predictor

TASK = 'name = "tone"\noutput = "label"\nlabels = ["happy", "sad"]\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(TASK)
    project = open_project(tmp_path)
    project.store.examples.add([Example(str(number), {"text": f"text {number}"}, "train") for number in range(3)])
    return project


def taught(project: Project, teacher: Predictor, fingerprint: str | None = None) -> list[Labelled]:
    asyncio.run(teach(project, teacher, list(project.store.examples.read("train")), fingerprint=fingerprint))
    return list(project.store.labels.read("train", "teacher"))


def test_the_alternatives_of_an_endpoint(project: Project) -> None:
    written = [Token('{"label": "', 0.0), Token("sad", math.log(0.75), {"happy": math.log(0.25)}), Token('"}', 0.0)]
    model = ScriptedModel(lambda _: '{"label": "sad"}', tokens=written)
    teacher = Prompted(model, project.task, PromptedSettings("scripted", top_logprobs=20))
    found = taught(project, teacher)
    assert [one.value for one in found] == ["sad"] * 3
    assert all(one.distribution == {"sad": 0.75, "happy": 0.25} for one in found)
    assert {call.params.top_logprobs for call in model.calls} == {20}
    # Who asks for them asks anew: the answers until then have none.
    assert Prompted(model, project.task, PromptedSettings("scripted")).source != teacher.source


def test_the_votes_of_self_consistency(project: Project) -> None:
    answers = ["sad", "sad", "happy", "sad"] * 3
    asked = Prompted(ScriptedModel(answers), project.task, PromptedSettings("scripted", temperature=0.7, concurrency=1))
    found = taught(project, SelfConsistency(asked, 4, name="voted"))
    assert [one.distribution for one in found] == [{"sad": 0.75, "happy": 0.25}] * 3


def test_the_softmax_of_a_student_and_of_its_stored_answers(project: Project, tmp_path: Path) -> None:
    texts = [f"{'what joy' if at % 2 else 'what grief'} {at}" for at in range(12)]
    gold = [
        Labelled(Example(str(at), {"text": text}, "train"), "happy" if at % 2 else "sad", "import")
        for at, text in enumerate(texts)
    ]
    student = LinearStudent(project.task, LinearSettings())
    student.fit(gold, [], FitContext(tmp_path, Path))
    found = taught(project, Trained("linear", student), "f" * 32)
    for one in found:
        assert max(one.distribution, key=one.distribution.__getitem__) == one.value
        assert sum(one.distribution.values()) == pytest.approx(1, abs=1e-4)
    stored = project.store.predictions.read("f" * 32, ["0"])["0"]
    assert stored.parts == found[0].distribution


def test_a_teacher_that_tells_nothing_gives_plain_labels(project: Project) -> None:
    found = taught(project, Prompted(ScriptedModel(lambda _: "sad"), project.task))
    assert [one.distribution for one in found] == [{}] * 3
