from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tutelage.errors import BudgetExceeded, ModelError, StoreError, UsageError
from tutelage.labels.teach import TeachOptions, TeachReport, dry_run, teach
from tutelage.models.chat import Limits, Message, Params, Reply
from tutelage.models.scripted import Answer, ScriptedModel
from tutelage.project import Project, open_project
from tutelage.prompting import Prompted
from tutelage.tasks.file import Price
from tutelage.types import Example, Input, Label, Prediction, Usage

TASK = 'name = "tone"\noutput = "label"\nlabels = ["happy", "sad"]\n'
COUNT = 12
FINGERPRINT = "f" * 32
PRICE = Price(input=1000, output=1000)
"""A call costs 0.015 dollars; a guess before it is far higher."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(TASK)
    project = open_project(tmp_path)
    project.store.examples.add([Example(str(number), {"text": f"text {number}"}, "train") for number in range(COUNT)])
    return project


def examples(project: Project) -> list[Example]:
    return list(project.store.examples.read("train"))


def script(answers: Callable[[str], Answer] = lambda _: "sad", concurrency: int = 4) -> ScriptedModel:
    usage = Usage(10, 5, 0.015, 0.01)
    return ScriptedModel(answers, usage=usage, limits=Limits(concurrency))


def run(project: Project, model: ScriptedModel, options: TeachOptions | None = None) -> TeachReport:
    teacher = Prompted(model, project.task, price=PRICE)
    return asyncio.run(teach(project, teacher, examples(project), options, fingerprint=FINGERPRINT))


def labelled(project: Project) -> dict[str, object]:
    return {found.example.id: found.value for found in project.store.labels.read("train", "teacher")}


def by_number(text: str) -> str:
    return "happy" if int(text.split()[-1]) % 2 else "sad"


def test_every_example_gets_its_own_answer_once(project: Project) -> None:
    reports: list[TeachReport] = []
    model = script(by_number)
    teacher = Prompted(model, project.task, price=PRICE)
    report = asyncio.run(teach(project, teacher, examples(project), fingerprint=FINGERPRINT, progress=reports.append))
    assert (report.asked, report.answered, report.failed, report.skipped, report.problem) == (COUNT, COUNT, 0, 0, None)
    assert report.dollars == pytest.approx(COUNT * 0.015)
    assert labelled(project) == {str(n): "happy" if n % 2 else "sad" for n in range(COUNT)}
    assert reports[-1].answered == COUNT and len(reports) == COUNT
    stored = project.store.predictions.read(FINGERPRINT, [str(n) for n in range(COUNT)])
    assert len(stored) == COUNT and stored["1"].usage.dollars == 0.015
    assert project.store.spend.spent(teacher.source) == pytest.approx(COUNT * 0.015)

    again = run(project, model)
    assert (again.asked, again.skipped, len(model.calls)) == (0, COUNT, COUNT)


def test_an_answer_is_in_the_store_before_the_next_call(project: Project) -> None:
    seen: list[int] = []

    def answer(_: str) -> str:
        with sqlite3.connect(project.folder / "tutelage.db") as database:
            seen.append(database.execute("SELECT count(*) FROM labels").fetchone()[0])
        return "sad"

    run(project, script(answer, concurrency=1))
    assert seen == list(range(COUNT))


def test_failed_answers_are_kept_and_asked_again_at_the_next_run(project: Project) -> None:
    broken = script(lambda text: ModelError("The rate is limited.") if text == "text 3" else "sad")
    report = run(project, broken)
    assert (report.answered, report.failed, report.errors) == (COUNT - 1, 1, (("The rate is limited.", 1),))
    assert project.store.predictions.read(FINGERPRINT, ["3"])["3"].error == "The rate is limited."
    assert "3" not in labelled(project)
    model = script()
    assert run(project, model).asked == 1 and len(model.calls) == 1
    assert len(labelled(project)) == COUNT


def test_an_answer_stored_without_its_label_is_not_asked_for_again(project: Project) -> None:
    model = script(by_number)
    source = Prompted(model, project.task, price=PRICE).source
    project.store.predictions.add(FINGERPRINT, [("1", Prediction("happy", source=source))])
    report = run(project, model)
    assert (report.reused, report.asked) == (1, COUNT - 1)
    assert labelled(project)["1"] == "happy"


def test_a_limit_and_examples_that_come_twice(project: Project) -> None:
    model = script()
    teacher = Prompted(model, project.task)
    twice = [example for example in examples(project) for _ in range(2)]
    report = asyncio.run(teach(project, teacher, twice, TeachOptions(limit=5, concurrency=2)))
    assert (report.asked, report.answered, len(labelled(project))) == (5, 5, 5)


def test_the_budget_is_never_exceeded_and_counts_earlier_runs(project: Project) -> None:
    model = script(concurrency=4)
    most = Prompted(model, project.task, price=PRICE).dollars(examples(project)[0].input)
    assert most and most > 1
    budget = most + 3 * 0.015 + 0.001
    report = run(project, model, TeachOptions(budget=budget))
    assert isinstance(report.problem, BudgetExceeded) and "--budget" in str(report.problem)
    assert report.answered == len(model.calls) == len(labelled(project)) == 4
    assert project.store.spend.spent(report.source) <= budget
    assert run(project, model, TeachOptions(budget=budget)).asked == 0
    assert run(project, model, TeachOptions(budget=budget + 1)).problem is None
    assert len(labelled(project)) == COUNT


def test_a_budget_needs_a_price(project: Project) -> None:
    teacher = Prompted(script(), project.task)
    with pytest.raises(UsageError, match=r"\[prices.'scripted'\]"):
        asyncio.run(teach(project, teacher, examples(project), TeachOptions(budget=1.0)))


def test_a_fatal_error_stops_at_once_and_costs_nothing(project: Project) -> None:
    model = script(lambda text: ModelError("The key is bad.", fatal=True), concurrency=2)
    report = run(project, model, TeachOptions(budget=50.0))
    assert str(report.problem) == "The key is bad." and len(model.calls) <= 2
    assert (report.asked, report.failed) == (0, 0)
    assert project.store.spend.spent(report.source) == 0


def test_a_teacher_that_only_fails_is_given_up(project: Project) -> None:
    model = script(lambda text: "nonsense", concurrency=1)
    report = run(project, model, TeachOptions(patience=3))
    assert report.failed == 3 and "3 answers in a row failed" in str(report.problem)


class Slow(ScriptedModel):
    """Takes `pause` seconds from its fifth call on, and says when that comes."""

    def __init__(self, pause: float) -> None:
        super().__init__(lambda _: "sad", limits=Limits(1))
        self.pause, self.fifth = pause, asyncio.Event()

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        if len(self.calls) == 4:
            self.fifth.set()
            await asyncio.sleep(self.pause)
        return await super().complete(messages, params)


def test_stop_finishes_what_runs(project: Project) -> None:
    async def stopped() -> TeachReport:
        model = Slow(0.01)
        return await teach(project, Prompted(model, project.task), examples(project), stop=model.fifth)

    report = asyncio.run(stopped())
    assert (report.answered, report.problem, len(labelled(project))) == (5, None, 5)


def test_cancelling_keeps_what_arrived(project: Project) -> None:
    async def cancelled() -> None:
        model = Slow(5)
        running = asyncio.ensure_future(teach(project, Prompted(model, project.task), examples(project)))
        await model.fifth.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert len(labelled(project)) == 4


def test_a_store_that_cannot_be_written_is_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Prompted(script(), project.task)
    assert project.store.examples.counts()["train"] == COUNT
    with project.store.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE labels")
        connection.exec_driver_sql("CREATE VIEW labels AS SELECT 1 AS example_id, '' AS source, '' AS value, 1 AS seq")
    with pytest.raises(StoreError, match="failed"):
        asyncio.run(teach(project, teacher, examples(project)))


class Recorded:
    """A predictor that is asked in batches, like recorded answers."""

    name = "recorded"

    def __init__(self, source: str = "", error: ModelError | None = None) -> None:
        self.batches: list[int] = []
        self._source, self._error = source, error

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        self.batches.append(len(inputs))
        if self._error:
            raise self._error
        return [
            Prediction(None, error="not recorded") if i["text"] == "text 0" else Prediction("sad", source=self._source)
            for i in inputs
        ]


def test_other_predictors_teach_in_batches(project: Project) -> None:
    report = asyncio.run(teach(project, Recorded(), examples(project), fingerprint=FINGERPRINT))
    assert (report.asked, report.answered, report.failed, report.dollars) == (COUNT, COUNT - 1, 1, 0.0)
    assert report.source == "teacher:recorded"
    again = Recorded()
    assert asyncio.run(teach(project, again, examples(project))).skipped == COUNT - 1
    assert again.batches == [1]


def test_recorded_answers_keep_the_teacher_they_name(project: Project) -> None:
    for fingerprint in (FINGERPRINT, None, FINGERPRINT):
        asyncio.run(teach(project, Recorded("teacher:big@1"), examples(project), fingerprint=fingerprint))
    assert project.store.labels.counts() == [("teacher:big@1", "train", COUNT - 1)]
    with sqlite3.connect(project.folder / "tutelage.db") as database:
        assert database.execute("SELECT count(*) FROM labels").fetchone()[0] == COUNT - 1


def test_a_model_error_of_a_batch_ends_the_run(project: Project) -> None:
    report = asyncio.run(teach(project, Recorded(error=ModelError("gone")), examples(project)))
    assert str(report.problem) == "gone" and report.answered == 0


def test_a_dry_run_asks_nothing(project: Project) -> None:
    model = script()
    teacher = Prompted(model, project.task, price=PRICE)
    project.store.labels.add([Label("0", "sad", teacher.source)])
    estimate = dry_run(project, teacher, examples(project))
    assert (estimate.calls, estimate.skipped, model.calls) == (COUNT - 1, 1, [])
    assert estimate.output_tokens == (COUNT - 1) * 512 and estimate.input_tokens > 0
    assert estimate.dollars and estimate.most_dollars and estimate.most_dollars > estimate.dollars
    assert dry_run(project, teacher, examples(project), TeachOptions(limit=3)).calls == 3
    assert dry_run(project, Prompted(model, project.task), examples(project)).dollars is None
    assert dry_run(project, Recorded(), examples(project)) == (COUNT, 0, 0, 0, 0.0, 0.0)
