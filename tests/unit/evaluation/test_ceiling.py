"""The teacher's ceiling: the table of who is right, copied errors, the teacher against itself, and what it costs to ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tutelage.errors import BudgetExceeded, UsageError
from tutelage.evaluation.candidates import candidate
from tutelage.evaluation.ceiling import CELLS, Ceiling, Quarters, ceiling
from tutelage.evaluation.ceilingtable import ceiling_html, ceiling_notes
from tutelage.evaluation.harness import ExampleSet, evaluate, example_set
from tutelage.evaluation.reasking import ask_again, ceiling_now
from tutelage.evaluation.reporting import make_report
from tutelage.evaluation.table import ceiling_text, terminal_table
from tutelage.labels.splitting import example_id
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.project import Project, open_project
from tutelage.types import Example, Label, Prediction, Value

N = 20
TASK = """
name = "mood"
output = "label"
labels = ["good", "bad", "odd"]
instructions = "Say how it feels."
teacher = "teacher"
"""
REPLAY = '[candidates.teacher]\nfamily = "replay"\nfile = "teacher.jsonl"\n'
LIVE = """
[candidates.{name}]
family = "prompted"
model = "some-model"
base_url = "{url}"
api_key_env = "FAKE_KEY"
structured = "none"
temperature = 0.7
repairs = 0

[prices.some-model]
input = 1000
output = 1000
"""


def made(
    folder: Path, gold: Sequence[str], teacher: Sequence[str | None], more: str = ""
) -> tuple[Project, ExampleSet]:
    """A project whose recorded teacher gives the answers of `teacher` to examples with the labels of `gold`."""
    inputs = [{"text": f"text {at}"} for at in range(len(gold))]
    lines = [{"id": example_id(one), "value": said} for one, said in zip(inputs, teacher, strict=True)]
    (folder / "teacher.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "task.toml").write_text(TASK + (REPLAY if "[candidates.teacher]" not in more else "") + more)
    project = open_project(folder)
    examples = [Example(example_id(one), one, "test") for one in inputs]
    project.store.examples.add(examples)
    project.store.labels.add([Label(e.id, label, "human:ada") for e, label in zip(examples, gold, strict=True)])
    key = candidate(project, "teacher").fingerprint(project)
    predictions = [Prediction(said, error=None if said else "broken") for said in teacher]
    project.store.predictions.add(key, list(zip([e.id for e in examples], predictions, strict=True)))
    return project, example_set(project, "test")


def seen(
    project: Project, examples: ExampleSet, student: Sequence[Value | None], right: float | None = None
) -> Ceiling:
    found = ceiling(project, examples, {"student": ("20 teacher labels", student)}, right)
    assert found is not None
    return found


def only(found: Ceiling) -> Quarters:
    (row,) = found.students
    return row


def test_who_is_right_where_is_counted(tmp_path: Path) -> None:
    gold = ["good"] * N
    teacher = ["good"] * 14 + ["bad"] * 6
    student = ["good"] * 12 + ["odd"] * 2 + ["good"] + ["bad"] * 4 + ["odd"]
    found = seen(*made(tmp_path, gold, teacher), student)
    row = only(found)
    assert dict(row.counts) == dict(zip(CELLS, (12, 1, 2, 5), strict=True)) and sum(row.counts.values()) == N == row.n
    assert [row.shares[cell].value for cell in CELLS] == [0.6, 0.05, 0.1, 0.25]
    assert all(row.shares[cell].low <= row.shares[cell].value <= row.shares[cell].high for cell in CELLS)
    assert (found.score.value, row.score.value, row.agreement.value) == (0.7, 0.65, 0.8)
    assert row.copied == 4 and row.copied_share is not None and row.copied_share.value == pytest.approx(4 / 7)
    assert (
        len(found.verdicts) == 1
        and "4 of the 7 errors of student are the very answers of teacher (57%" in (found.verdicts[0])
    )
    assert "so few do not settle it" in found.verdicts[0]
    text = "\n".join(ceiling_text(found))
    assert "12 = 60%" in text and "5 = 25%" in text
    assert 'id="ceiling"' in ceiling_html(found)


def test_errors_that_are_all_the_teachers_settle_it(tmp_path: Path) -> None:
    answers = ["good"] * 10 + ["bad"] * 10
    found = seen(*made(tmp_path, ["good"] * N, answers), answers)
    assert found.verdicts[0].startswith("The teacher is the problem: 10 of the 10 errors")
    assert "settle" not in found.verdicts[0]


def test_errors_of_its_own_are_not_the_teachers(tmp_path: Path) -> None:
    found = seen(*made(tmp_path, ["good"] * N, ["good"] * 15 + ["bad"] * 5), ["good"] * 10 + ["odd"] * 10)
    assert only(found).copied == 0 and found.verdicts == []


def test_a_teacher_that_failed_is_wrong_and_nobody_agrees_with_it(tmp_path: Path) -> None:
    found = seen(*made(tmp_path, ["good"] * 4, ["good", None, None, "bad"]), ["good", "good", None, "bad"])
    row = only(found)
    assert dict(row.counts) == dict(zip(CELLS, (1, 1, 0, 2), strict=True))
    assert row.agreement.value == 0.5 and row.copied == 1


def test_without_gold_or_teacher_there_is_no_ceiling(tmp_path: Path) -> None:
    project, examples = made(tmp_path, ["good"] * 3, ["good"] * 3)
    assert ceiling(project, replace(examples, reference="teacher labels (3 from teacher)"), {}) is None
    (tmp_path / "task.toml").write_text(TASK.replace('teacher = "teacher"\n', "") + REPLAY)
    assert ceiling(open_project(tmp_path), examples, {}) is None


def test_the_report_shows_it(tmp_path: Path) -> None:
    project, examples = made(tmp_path, ["good"] * N, ["good"] * 15 + ["bad"] * 5)
    report, _ = make_report(project, [candidate(project, "teacher")], examples)
    assert report.ceiling is not None and report.ceiling.score.value == 0.75
    assert "has not been asked a second time. Ask with: tutelage ceiling" in terminal_table(report)
    assert report.json()["ceiling"]["n"] == N


def test_a_threshold_is_said(tmp_path: Path) -> None:
    found = seen(*made(tmp_path, ["good"] * 3, ["good"] * 3), ["good"] * 3, right=0.8)
    assert any("right: accuracy of at least 0.8 against gold" in note for note in ceiling_notes(found))


def test_a_recorded_teacher_cannot_be_asked_again(tmp_path: Path) -> None:
    project, examples = made(tmp_path, ["good"] * 3, ["good"] * 3)
    with pytest.raises(UsageError, match=r"'teacher' cannot be asked again: its family 'replay' .* with --by"):
        asyncio.run(ask_again(project, examples, "teacher", (3, None)))


@pytest.fixture
def wavering() -> FakeOpenAI:
    """Says "good" but on every fourth text, where it says "bad"."""
    return FakeOpenAI(Script(answer=lambda text: "bad" if text.rstrip().endswith(("3", "7")) else "good"))


def test_the_teacher_against_itself(tmp_path: Path, wavering: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", "k")
    with wavering as server:
        more = LIVE.format(name="teacher", url=server.base_url)
        project, examples = made(tmp_path, ["good"] * N, ["good"] * N, more)
        assert asyncio.run(ask_again(project, examples, "teacher", (12, None))) == 12
        asked = len(server.asked)
        assert asyncio.run(ask_again(project, examples, "teacher", (12, None))) == 0
        assert asyncio.run(ask_again(project, examples, "teacher", (N, None))) == N - 12
        assert asked == 12 and len(server.asked) == N
    found = seen(project, examples, ["good"] * N)
    itself, row = found.itself, only(found)
    assert itself is not None and itself.n == N and itself.temperature == 0.7
    assert (itself.agreement.value, itself.first.value, itself.again.value) == (0.8, 1.0, 0.8)
    assert row.gap is not None and row.gap.value == pytest.approx(0.2)
    assert found.verdicts[0].startswith("The teacher is the ceiling: student agrees with teacher as often")
    assert ceiling_now(project, examples) is not None


def test_another_candidate_may_answer_for_a_recorded_teacher(
    tmp_path: Path, wavering: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KEY", "k")
    with wavering as server:
        more = LIVE.format(name="live", url=server.base_url)
        project, examples = made(tmp_path, ["good"] * N, ["good"] * N, more)
        asyncio.run(ask_again(project, examples, "live", (N, None)))
        # The answers of the evaluation are others than those of asking again.
        asyncio.run(evaluate(project, candidate(project, "live"), examples))
        assert len(server.asked) == 2 * N
    found = seen(project, examples, ["good"] * N)
    assert found.itself is not None and found.itself.asked == "live"


def test_a_budget_is_kept(tmp_path: Path, wavering: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", "k")
    with wavering as server:
        more = LIVE.format(name="teacher", url=server.base_url)
        project, examples = made(tmp_path, ["good"] * N, ["good"] * N, more)
        with pytest.raises(BudgetExceeded):
            asyncio.run(ask_again(project, examples, "teacher", (N, 0.001)))
        assert len(server.asked) < N
        assert ceiling_now(project, examples) is not None
