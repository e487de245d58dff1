"""Students answer in batches: together what waits, alone what fails, nothing for who has gone, and 503 beyond the bound."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest
from tests.gateways import a_project

from tutelage.answering.base import Answerer
from tutelage.errors import DataError
from tutelage.gateway.batching import Batched, Plan
from tutelage.gateway.upstreams.failures import AttemptFailed
from tutelage.gateway.warming import measured, sample_inputs, warm
from tutelage.students.base import Trained
from tutelage.tasks import Task
from tutelage.types import Example, Input, Prediction


class Lengths(Answerer):
    """Answers the text's length, in batches that are remembered; of texts with "bad" it raises."""

    def __init__(self, seconds: float = 0.0, each: float = 0.0) -> None:
        self.seconds, self.each = seconds, each
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.go.set()

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        raise NotImplementedError

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        self.go.wait(10)
        self.threads.add(threading.get_ident())
        self.batches.append([one["text"] for one in inputs])
        time.sleep(self.seconds + self.each * len(inputs))
        if any("bad" in one["text"] for one in inputs):
            raise DataError("this is bad") if any("told" in one["text"] for one in inputs) else RuntimeError("boom")
        return [Prediction(str(len(one["text"])), 0.5) for one in inputs]


def queue_of(answerer: Lengths, **plan: float) -> Batched:
    return Batched(Trained("student", answerer), Plan(**plan))  # type: ignore[arg-type]


def texts(*given: str) -> list[Input]:
    return [{"text": one} for one in given]


async def ask(queue: Batched, *given: str) -> list[str | None]:
    return [one.value for one in await queue.predict(texts(*given))]  # type: ignore[misc]


def test_what_arrives_while_the_student_answers_is_answered_together() -> None:
    student = Lengths()
    queue = queue_of(student, size=4)
    student.go.clear()

    async def run() -> list[list[str | None]]:
        tasks = [asyncio.create_task(ask(queue, "x" * n)) for n in range(1, 8)]
        await asyncio.sleep(0.05)
        student.go.set()
        found = await asyncio.gather(*tasks)
        await queue.close()
        return found

    assert asyncio.run(run()) == [[str(n)] for n in range(1, 8)]
    sizes = [len(one) for one in student.batches]
    assert sum(sizes) == 7 and max(sizes) == 4 and len(sizes) <= 4
    assert len(student.threads) == 1 and threading.get_ident() not in student.threads
    assert (queue.counts.answered, queue.counts.batches) == (7, len(sizes))


def test_many_at_once_get_their_own_answers_in_order() -> None:
    queue = queue_of(Lengths(), size=8)

    async def run() -> None:
        async def one(n: int) -> None:
            assert await ask(queue, "x" * n, "y" * (n + 1)) == [str(n), str(n + 1)]

        await asyncio.gather(*(one(n) for n in range(1, 300)))
        assert await queue.predict([]) == []
        await queue.close()

    asyncio.run(run())


def test_the_event_loop_never_waits_for_the_student() -> None:
    queue = queue_of(Lengths(seconds=0.3), size=4)

    async def run() -> int:
        task, ticks = asyncio.create_task(ask(queue, "x")), 0
        while not task.done():
            await asyncio.sleep(0.005)
            ticks += 1
        await queue.close()
        return ticks

    assert asyncio.run(run()) > 15


def test_waiting_for_company_fills_the_batch() -> None:
    student = Lengths()
    queue = queue_of(student, size=2, wait=5.0)

    async def run() -> float:
        start = time.perf_counter()
        first = asyncio.create_task(ask(queue, "a"))
        await asyncio.sleep(0.05)
        assert not first.done()
        await asyncio.gather(first, ask(queue, "bb"))
        await queue.close()
        return time.perf_counter() - start

    assert asyncio.run(run()) < 2
    assert student.batches == [["a", "bb"]]


def test_a_bad_input_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    student = Lengths()
    queue = queue_of(student, size=8)
    student.go.clear()

    async def run() -> list[list[Prediction]]:
        tasks = [asyncio.create_task(queue.predict(texts(one))) for one in ("x", "good", "bad", "bad told", "z")]
        await asyncio.sleep(0.05)
        student.go.set()
        found = await asyncio.gather(*tasks)
        await queue.close()
        return found

    found = [one for (one,) in asyncio.run(run())]
    assert [one.value for one in found] == ["1", "4", None, None, "1"]
    assert [one.error for one in found] == [None, None, "boom", "this is bad", None]
    assert queue.counts.failed == 2 and queue.counts.answered == 5
    assert [one.exc_info is not None for one in caplog.records] == [True]  # of "boom", which is a bug somewhere


def test_who_has_gone_is_not_answered() -> None:
    student = Lengths()
    queue = queue_of(student, size=1)
    student.go.clear()

    async def run() -> None:
        first = asyncio.create_task(ask(queue, "first"))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(ask(queue, f"other {n}", "two")) for n in range(3)]
        await asyncio.sleep(0.05)
        assert queue.waiting == 6
        others[0].cancel()
        others[2].cancel()
        await asyncio.sleep(0.05)
        assert queue.waiting == 2
        first.cancel()  # it is being answered
        student.go.set()
        assert await others[1] == ["7", "3"]
        assert await ask(queue, "after") == ["5"]
        await queue.close()

    asyncio.run(run())
    assert student.batches == [["first"], ["other 1"], ["two"], ["after"]]
    assert queue.counts.left == 4


def test_beyond_the_bound_it_is_503_with_a_time_to_come_back() -> None:
    student = Lengths()
    queue = queue_of(student, size=8, rate=150.0)
    student.go.clear()

    async def run() -> AttemptFailed:
        first = asyncio.create_task(ask(queue, "x"))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(ask(queue, *["x"] * 1499))
        await asyncio.sleep(0.05)
        with pytest.raises(AttemptFailed) as refused:
            await ask(queue, "one", "too many")
        more = asyncio.create_task(ask(queue, "one more"))
        await asyncio.sleep(0.05)
        student.go.set()
        await asyncio.gather(first, waiting, more)
        await queue.close()
        return refused.value

    wire = asyncio.run(run()).wire()
    assert wire.status == 503 and wire.headers == {"Retry-After": "10"}
    assert queue.counts.refused == 2


def test_seconds_are_the_batchs_by_its_size() -> None:
    queue = queue_of(Lengths(seconds=0.2), size=4)

    async def run() -> list[Prediction]:
        found = await queue.predict(texts("a", "b", "c", "d"))
        await queue.close()
        return found

    for one in asyncio.run(run()):
        assert 0.2 <= 4 * one.usage.seconds < 0.4 and one.source == "student"


def test_a_shared_queue_ends_with_its_last_user() -> None:
    queue = queue_of(Lengths())
    assert queue.share()

    async def run() -> None:
        await queue.close()
        assert await ask(queue, "x") == ["1"]
        await queue.close()
        with pytest.raises(AttemptFailed, match="served no more"):
            await queue.predict(texts("x"))

    asyncio.run(run())
    assert not queue.share()


def test_the_size_is_the_smallest_near_the_best_throughput() -> None:
    student = Lengths(seconds=0.004, each=0.001)  # a batch of n: 4 + n ms, so 64 is far better than 8
    assert measured(queue_of(student), texts("a", "b")).size >= 32
    student = Lengths(each=0.01)  # batches gain nothing
    plan = measured(queue_of(student), texts("a", "b"))
    assert plan.size <= 2
    assert plan.rate == pytest.approx(100, rel=0.3) and plan.single == pytest.approx(0.01, rel=0.3)
    assert set(plan.rates) >= {1, 2, 4}


def test_a_slow_student_is_not_measured_for_long() -> None:
    student = Lengths(seconds=0.5)
    start = time.perf_counter()
    assert measured(queue_of(student), texts("a")).size == 1
    assert time.perf_counter() - start < 6
    assert max(len(one) for one in student.batches) == 1


def test_a_student_is_measured_on_what_the_store_holds(tmp_path: Path) -> None:
    project = a_project(tmp_path / "characters")
    assert {tuple(one) for one in sample_inputs(project)} == {("text",)}
    project.store.examples.add([Example("1", {"text": "Ann"}, "train")])
    assert sample_inputs(project) == [{"text": "Ann"}]
    student = Lengths(seconds=0.001)
    queue = queue_of(student)

    async def run() -> None:
        await warm(queue, project)
        await queue.close()

    asyncio.run(run())
    assert queue.plan.size > 4 and queue.plan.rate > 1000 and 0 <= queue.plan.wait <= queue.plan.single / 10
    assert {text for batch in student.batches for text in batch} == {"Ann"}


def test_a_student_that_fails_on_the_stores_inputs_is_served_singly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = a_project(tmp_path / "characters")
    project.store.examples.add([Example("1", {"text": "bad told"}, "train")])
    queue = queue_of(Lengths())
    asyncio.run(warm(queue, project))
    assert queue.plan == Plan()
    assert "could not be measured: this is bad" in caplog.text
