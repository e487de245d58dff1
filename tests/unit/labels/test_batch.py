"""Labels by the batch API of an endpoint: asked once, read as live answers, picked up however a run ended."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import BudgetExceeded, ModelError, UsageError
from tutelage.labels import collecting
from tutelage.labels.batch import BatchOptions, BatchReport, dry_batch, teach_in_batches
from tutelage.labels.teach import TeachReport, teach
from tutelage.models.build import build_model
from tutelage.models.chat import ModelSettings
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.models.rates import Pace
from tutelage.models.scripted import ScriptedModel
from tutelage.project import Project, open_project
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.store import Submitted
from tutelage.tasks.file import EndpointLimit, Price
from tutelage.types import Example, digest

TASK = 'name = "tone"\noutput = "label"\nlabels = ["happy", "sad"]\n'
COUNT = 12
FINGERPRINT = "f" * 32
PRICE = Price(input=1000, output=1000, batch_discount=0.75)
QUICK = BatchOptions(pause=0.01, longest_pause=0.02)


def by_number(text: str) -> str:
    return '{"label": "happy"}' if int(text.split()[-1]) % 2 else '{"label": "sad"}'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "task.toml").write_text(TASK)
    project = open_project(tmp_path)
    project.store.examples.add(
        [Example(f"{number:032}", {"text": f"text {number}"}, "train") for number in range(COUNT)]
    )
    return project


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Script(answer=by_number)) as found:
        yield found


def teacher(project: Project, server: FakeOpenAI, price: Price | None = PRICE, **more: Any) -> Prompted:
    given = ModelSettings(model="m", base_url=server.base_url, timeout=5.0, max_retries=0, price=price)
    model = build_model("openai", given, [Pace(EndpointLimit(concurrency=4))])
    return Prompted(model, project.task, PromptedSettings("m", **more), price=price)


def run(project: Project, server: FakeOpenAI, options: BatchOptions = QUICK, **more: Any) -> BatchReport:
    async def work() -> BatchReport:
        asked = teacher(project, server, **more)
        try:
            examples = project.store.examples.read("train")
            return await teach_in_batches(project, asked, examples, options, fingerprint=FINGERPRINT)
        finally:
            await asked.close()

    return asyncio.run(work())


def live(project: Project, server: FakeOpenAI) -> TeachReport:
    async def work() -> TeachReport:
        asked = teacher(project, server)
        try:
            return await teach(project, asked, project.store.examples.read("train"), fingerprint=FINGERPRINT)
        finally:
            await asked.close()

    return asyncio.run(work())


def labelled(project: Project) -> dict[int, object]:
    return {int(found.example.id): found.value for found in project.store.labels.read("train", "teacher")}


def paid(server: FakeOpenAI) -> Counter[str]:
    """How often each question was answered, live or in a batch."""
    return server.answered() + Counter(digest(body["messages"][-1]["content"]) for body in server.batches.bodies)


def go(server: FakeOpenAI, **changed: Any) -> None:
    """Change how batches go from now on."""
    assert server.batches.script
    server.batches.script = replace(server.batches.script, **changed)


RIGHT = {number: "happy" if number % 2 else "sad" for number in range(COUNT)}


def test_a_batch_labels_every_example_once_at_the_price_of_batches(project: Project, server: FakeOpenAI) -> None:
    go(server, polls=3)
    report = run(project, server)
    assert (report.asked, report.answered, report.failed, report.waiting, report.problem) == (COUNT, COUNT, 0, 0, None)
    assert labelled(project) == RIGHT
    assert set(paid(server).values()) == {1} and paid(server).total() == COUNT
    assert len(server.asked) == 1 and len(server.batches.held) == 1
    stored = project.store.predictions.read(FINGERPRINT, [f"{number:032}" for number in range(COUNT)])
    one, other = stored[f"{0:032}"], stored[f"{2:032}"]
    assert one.usage.dollars and other.usage.dollars == pytest.approx(one.usage.dollars / 4)
    assert other.signals == one.signals and other.confidence == one.confidence and other.note == "from a batch"
    assert other.usage.seconds == 0 < one.usage.seconds
    assert report.dollars == pytest.approx(project.store.spend.spent(report.source))
    again = run(project, server)
    assert (again.asked, again.skipped, again.dollars) == (0, COUNT, 0.0)


def test_a_request_in_a_batch_is_the_body_of_a_live_call(project: Project, server: FakeOpenAI) -> None:
    run(project, server, structured="tool", seed=7, stop=("x",), top_p=0.5, temperature=1.0)
    (first,), (second, *_) = server.bodies, server.batches.bodies
    assert first["seed"] == 7 and first["tools"] and "max_tokens" in first
    same = {"messages": first["messages"]}
    assert second | same == first


def test_what_the_endpoint_refuses_is_learned_before_a_batch_is_sent(project: Project) -> None:
    with FakeOpenAI(Script(answer=by_number, refuses=["max_tokens", "temperature"])) as server:
        report = run(project, server)
        assert (report.answered, report.failed) == (COUNT, 0)
        assert all("max_completion_tokens" in body and "temperature" not in body for body in server.batches.bodies)


def test_without_waiting_the_next_run_picks_up_what_was_submitted(project: Project, server: FakeOpenAI) -> None:
    go(server, polls=2)
    first = run(project, server, replace(QUICK, wait=False))
    assert (first.asked, first.answered, first.waiting) == (COUNT, 1, COUNT - 1)
    between = live(project, server)
    assert (between.asked, between.skipped, between.waiting) == (0, 1, COUNT - 1)
    assert dry_batch(project, teacher(project, server), project.store.examples.read("train"), None).calls == 0
    second = run(project, server, replace(QUICK, wait=False))
    assert (second.asked, second.answered, second.waiting) == (0, 0, COUNT - 1)
    third = run(project, server, replace(QUICK, wait=False))
    assert (third.asked, third.answered, third.skipped, third.waiting) == (0, COUNT - 1, 1, 0)
    assert labelled(project) == RIGHT and set(paid(server).values()) == {1} and len(server.batches.held) == 1


def test_batches_hold_only_so_many_requests_and_bytes(project: Project, server: FakeOpenAI) -> None:
    run(project, server, replace(QUICK, requests=3, limit=7))
    assert [len(held.lines) for held in server.batches.held.values()] == [3, 3]
    run(project, server, replace(QUICK, size=1500))
    sizes = [len(held.lines) for held in list(server.batches.held.values())[2:]]
    assert sum(sizes) == COUNT - 7 - 1 and max(sizes) < COUNT - 7 - 1
    assert labelled(project) == RIGHT


def test_what_fails_in_a_batch_is_kept_and_asked_again_by_the_next_run(project: Project) -> None:
    answers = {"text 3": "nonsense"}
    with FakeOpenAI(Script(answer=lambda text: answers.get(text) or by_number(text))) as server:
        go(server, fails=lambda text: text == "text 5")
        report = run(project, server)
        assert (report.answered, report.failed) == (COUNT - 2, 2)
        errors = {
            id: found.error
            for id, found in project.store.predictions.read(FINGERPRINT, [f"{3:032}", f"{5:032}"]).items()
        }
        assert errors[f"{3:032}"] and "answered 500" in (errors[f"{5:032}"] or "")
        answers.clear()
        again = live(project, server)
    assert (again.asked, again.answered) == (2, 2) and labelled(project) == RIGHT


@pytest.mark.parametrize("ends", ["expired", "cancelled"])
def test_what_was_answered_before_a_batch_ended_early_is_kept(project: Project, server: FakeOpenAI, ends: Any) -> None:
    go(server, ends=ends, answers=lambda text: int(text.split()[-1]) < 4)
    report = run(project, server)
    assert (report.answered, report.failed, report.lost) == (4, 0, COUNT - 4)
    assert ends in str(report.problem) and f"3 of its {COUNT - 1} examples were answered" in str(report.problem)
    assert report.dollars == pytest.approx(project.store.spend.spent(report.source))
    go(server, ends="completed")
    again = run(project, server)
    assert (again.asked, again.problem) == (COUNT - 4, None)
    assert labelled(project) == RIGHT and set(paid(server).values()) == {1}


def test_a_batch_that_is_not_valid_costs_nothing_and_says_why(project: Project, server: FakeOpenAI) -> None:
    go(server, invalid="Enqueued token limit reached.")
    report = run(project, server)
    assert (report.answered, report.lost) == (1, COUNT - 1)
    assert "was refused (line 1: Enqueued token limit reached)" in str(report.problem)
    assert report.dollars == pytest.approx(project.store.spend.spent(report.source))


def test_a_batch_without_its_name_is_found_by_our_key(project: Project, server: FakeOpenAI) -> None:
    go(server, refused=500)  # but it is made all the same
    first = run(project, server, replace(QUICK, wait=False))
    assert (first.waiting, first.problem, len(server.batches.held)) == (COUNT - 1, None, 1)
    go(server, refused=None)
    report = run(project, server)
    assert report.answered == COUNT - 1 and len(server.batches.held) == 1
    assert labelled(project) == RIGHT and set(paid(server).values()) == {1}


def test_a_batch_that_was_never_made_is_given_up_in_time(
    project: Project, server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(server, refused=500)
    run(project, server, replace(QUICK, wait=False))
    server.batches.held.clear()
    go(server, refused=None)
    assert run(project, server, replace(QUICK, wait=False)).waiting == COUNT - 1
    monkeypatch.setattr(collecting, "GRACE", 0.0)
    report = run(project, server)
    assert report.lost == COUNT - 1 and "never began a batch" in str(report.problem)
    assert run(project, server).problem is None and labelled(project) == RIGHT


def test_a_process_killed_while_it_uploads_leaves_nothing_behind(project: Project, server: FakeOpenAI) -> None:
    ids = [f"{number:032}" for number in range(COUNT)]
    source, endpoint = teacher(project, server).source, server.base_url
    dead = Submitted("k", endpoint, source, FINGERPRINT, "another-host:1", "uploading", None, COUNT, 0, 0)
    project.store.batches.begin(dead, ids, 5.0, None)
    report = run(project, server)
    assert report.answered == COUNT and report.dollars == pytest.approx(project.store.spend.spent(source))


def test_a_refused_batch_is_said_and_its_examples_are_free(project: Project, server: FakeOpenAI) -> None:
    go(server, refused=400)
    report = run(project, server)
    assert "No more batches today" in str(report.problem) and (report.asked, report.waiting) == (1, 0)
    go(server, refused=None)
    assert run(project, server).asked == COUNT - 1


def test_the_budget_holds_and_settled_money_is_used_again(project: Project, server: FakeOpenAI) -> None:
    full, example = Price(input=1000, output=1000, batch_discount=0), next(project.store.examples.read("train"))
    budget = 3.5 * (teacher(project, server, full, repairs=0).dollars(example.input) or 0.0)
    report = run(project, server, replace(QUICK, budget=budget), price=full, repairs=0)
    sizes = [len(held.lines) for held in server.batches.held.values()]
    assert max(sizes) == 3 and sum(sizes) == COUNT - 1 and project.store.spend.spent(report.source) <= budget
    assert report.problem is None and labelled(project) == RIGHT


def test_a_budget_that_is_used_up_is_one_line(project: Project, server: FakeOpenAI) -> None:
    report = run(project, server, replace(QUICK, budget=0.001))
    assert isinstance(report.problem, BudgetExceeded) and not server.asked and not server.batches.held
    with pytest.raises(UsageError, match="a budget cannot be kept"):
        run(project, server, replace(QUICK, budget=1.0), price=None)
    unpriced = run(project, server, price=None)
    assert (unpriced.answered, unpriced.dollars) == (COUNT, None)


def test_a_dry_run_knows_the_price_of_batches(project: Project, server: FakeOpenAI) -> None:
    asked = teacher(project, server)
    estimate = dry_batch(project, asked, project.store.examples.read("train"), 3)
    each = [asked.dollars(example.input, repairs=False) or 0.0 for example in project.store.examples.read("train")]
    assert estimate.calls == 3 and estimate.dollars == pytest.approx(sum(each[:3]) / 4)


def test_an_endpoint_without_a_batch_api_is_one_line_and_asks_nothing(project: Project) -> None:
    with FakeOpenAI(Script(batches=None)) as server:
        report = run(project, server)
    assert "has no batch API" in str(report.problem) and "Leave out --batch" in str(report.problem)
    assert server.bodies == []


def test_other_teachers_have_no_batches(project: Project) -> None:
    examples = project.store.examples.read("train")
    with pytest.raises(ModelError, match=r"provider without a batch API.*Leave out --batch"):
        asyncio.run(teach_in_batches(project, Prompted(ScriptedModel(["sad"]), project.task), examples))


def test_an_input_that_is_too_long_fails_without_being_sent(project: Project, server: FakeOpenAI) -> None:
    project.store.examples.add([Example("long", {"text": "word " * 1000}, "train")])
    report = run(project, server, context=700, max_tokens=64)
    assert (report.asked, report.answered, report.failed) == (COUNT + 1, COUNT, 1)
    assert "700" in report.errors[0][0] and sum(len(held.lines) for held in server.batches.held.values()) == COUNT - 1


def test_another_prompt_leaves_the_batches_of_the_first_alone(project: Project, server: FakeOpenAI) -> None:
    run(project, server, replace(QUICK, wait=False, limit=4))
    other = run(project, server, replace(QUICK, limit=2), temperature=0.5)
    assert (other.answered, other.others, other.waiting) == (2, 3, 0)
    assert run(project, server).answered == COUNT - 1


def test_a_file_of_answers_that_comes_broken_is_fetched_again(project: Project, server: FakeOpenAI) -> None:
    run(project, server, replace(QUICK, wait=False))
    (held,) = server.batches.held.values()
    server.batches._end(held)
    whole = server.batches.files[held.files["output"]]
    server.batches.files[held.files["output"]] = whole[:-30]
    report = run(project, server)
    assert "cannot be read" in str(report.problem) and report.waiting == COUNT - 1
    server.batches.files[held.files["output"]] = whole
    assert run(project, server).answered == COUNT - 1 and set(paid(server).values()) == {1}


def test_a_batch_that_the_endpoint_forgot_is_kept_until_its_answers_are_surely_gone(
    project: Project, server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, server, replace(QUICK, wait=False))
    spent = project.store.spend.spent(teacher(project, server).source)
    server.batches.held.clear()
    report = run(project, server)
    assert "does not know the batch" in str(report.problem) and report.waiting == COUNT - 1
    monkeypatch.setattr(collecting, "KEPT", 0.0)
    gone = run(project, server)
    assert gone.lost == COUNT - 1 and "answers are kept for 30 days" in str(gone.problem)
    assert gone.dollars is None and project.store.spend.spent(gone.source) == spent
    assert run(project, server).problem is None and labelled(project) == RIGHT


def test_a_batch_that_another_process_is_sending_is_left_to_it(project: Project, server: FakeOpenAI) -> None:
    ids, owner = [f"{number:032}" for number in range(4)], f"{socket.gethostname()}:{os.getppid()}"
    source, endpoint = teacher(project, server).source, server.base_url
    sending = Submitted("k", endpoint, source, FINGERPRINT, owner, "uploading", None, 4, 0, 0)
    project.store.batches.begin(sending, ids, 5.0, None)
    report = run(project, server, replace(QUICK, wait=False))
    assert (report.asked, report.waiting) == (COUNT - 4, COUNT - 1) and project.store.batches.creating("k")


def test_stopping_leaves_batches_running(project: Project, server: FakeOpenAI) -> None:
    go(server, polls=1000)
    stop = asyncio.Event()

    async def work() -> BatchReport:
        asked, examples = teacher(project, server), project.store.examples.read("train")

        def once_sent(report: BatchReport) -> None:
            if report.waiting == COUNT - 1:
                stop.set()

        try:
            return await teach_in_batches(
                project, asked, examples, QUICK, fingerprint=FINGERPRINT, progress=once_sent, stop=stop
            )
        finally:
            await asked.close()

    report = asyncio.run(work())
    assert (report.problem, report.waiting, report.answered) == (None, COUNT - 1, 1)
    go(server, polls=1)
    assert run(project, server).answered == COUNT - 1 and set(paid(server).values()) == {1}
