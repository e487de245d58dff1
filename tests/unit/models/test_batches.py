"""The client of batch APIs: what it finds, what it reads, and what it says where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tutelage.errors import ModelError
from tutelage.models import Message, ModelSettings, Params, Reply
from tutelage.models.batches import Batches, Row, UnknownBatch, batches_of
from tutelage.models.build import build_model
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.tasks.file import Price

T = TypeVar("T")
HELLO = [Message("user", "hello")]


def asked(server: FakeOpenAI, work: Callable[[Batches], Awaitable[T]]) -> T:
    async def run() -> T:
        price = Price(input=8.0, output=8.0, cached_input=4.0)
        given = ModelSettings(model="m", base_url=server.base_url, timeout=5.0, max_retries=0, price=price)
        model = build_model("openai", given)
        try:
            return await work(batches_of(model))
        finally:
            await model.close()

    return asyncio.run(run())


async def submitted(api: Batches, key: str) -> str:
    file = await api.upload([api.line("one", HELLO, Params())], key)
    return (await api.create(file, key)).id


def test_a_batch_is_found_among_many_by_our_key() -> None:
    async def work(api: Batches) -> None:
        file = await api.upload([api.line("one", HELLO, Params())], "first")
        first = await api.create(file, "first")
        await asyncio.gather(*(api.create(file, f"later {number}") for number in range(101)))
        found = await api.find("first", 10.0)
        assert found and found.id == first.id and not found.ended
        assert await api.find("no such key", 10.0) is None

    with FakeOpenAI() as server:
        asked(server, work)


def test_rows_come_as_they_were_answered() -> None:
    async def work(api: Batches) -> tuple[list[Row], Reply | ModelError]:
        found = await api.read(await submitted(api, "key"))
        assert (found.status, found.done, found.ended) == ("completed", 1, True)
        rows = [row async for row in api.rows(found)]
        return rows, api.came(rows[0], (), Params())

    with FakeOpenAI(Script(answer="yes")) as server:
        rows, reply = asked(server, work)
    assert [(row.id, row.status, row.billed) for row in rows] == [("one", 200, True)]
    assert isinstance(reply, Reply) and reply.text == "yes"
    assert reply.usage.dollars == pytest.approx((reply.usage.input_tokens + reply.usage.output_tokens) * 4 / 1e6)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (Row("a", 400, {"error": {"message": "No.", "code": "context_length_exceeded"}}), "longer than the window"),
        (Row("a", 500, {"message": "<html><p>Down</p>"}), "answered 500 for model 'm': a page of HTML: Down"),
        (Row("a", 0, {"message": "Odd.", "code": "odd"}), "did not answer this request of the batch: Odd"),
        (Row("a", 200, {"message": "what"}), "no chat completion (it has no choices)"),
    ],
)
def test_a_row_without_an_answer_is_one_line(row: Row, says: str) -> None:
    async def work(api: Batches) -> Reply | ModelError:
        return api.came(row, HELLO, Params())

    with FakeOpenAI() as server:
        error = asked(server, work)
    assert isinstance(error, ModelError) and says in str(error) and "\n" not in str(error)


def test_tokens_are_estimated_where_a_row_does_not_count_them() -> None:
    choices = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}]
    row = Row("a", 200, {"id": "x", "model": "m", "choices": choices})

    async def work(api: Batches) -> Reply | ModelError:
        return api.came(row, HELLO, Params())

    with FakeOpenAI() as server:
        reply = asked(server, work)
    assert isinstance(reply, Reply) and not row.billed and reply.usage.input_tokens > 0


def test_a_batch_of_another_key_is_not_known() -> None:
    with FakeOpenAI() as server, pytest.raises(UnknownBatch, match=r"does not know the batch batch_9 .* Use the key"):
        asked(server, lambda api: api.read("batch_9"))


def test_a_bad_key_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with FakeOpenAI(Script(key="right")) as server, pytest.raises(ModelError, match="refused the API key"):
        asked(server, lambda api: api.check())
