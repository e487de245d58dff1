"""What the endpoint sends back, in shapes that the fake server does not send by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tutelage.errors import ModelError
from tutelage.models import Message, ModelSettings, Params, Reply, fake
from tutelage.models.fake import FakeOpenAI
from tutelage.models.fake_answers import error_body
from tutelage.models.openai import OpenAIChat
from tutelage.tasks.file import Price


def reply_to(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Reply:
    monkeypatch.setattr(fake, "completion", lambda _asked, _answer: body)
    with FakeOpenAI() as server:
        price = Price(input=3.0, output=6.0, cached_input=1.0)
        model = OpenAIChat(ModelSettings(model="m", base_url=server.base_url, max_retries=0, price=price))
        return asyncio.run(model.complete([Message("user", "x" * 30)], Params()))


def body(**message: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant"} | message}]}


def test_cached_tokens_have_their_own_price(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 60}}
    reply = reply_to(body(content="a") | {"usage": usage}, monkeypatch)
    assert reply.usage.cached_input_tokens == 60
    assert reply.usage.dollars == pytest.approx((40 * 3 + 60 * 1 + 10 * 6) / 1e6)
    assert (reply.model, reply.finish_reason) == ("m", "stop")


def test_missing_usage_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = reply_to(body(content="abc"), monkeypatch).usage
    assert usage.input_tokens >= 10 and usage.output_tokens == 1 and usage.dollars


def test_an_empty_answer_is_an_empty_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reply_to(body(content=None), monkeypatch).text == ""


def test_a_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="refused: I will not"):
        reply_to(body(content=None, refusal="I will not."), monkeypatch)


@pytest.mark.parametrize("wrong", [{}, {"choices": []}, {"choices": [{"index": 0}]}, body(content=["a"]), {"error": 1}])
def test_json_that_is_no_completion_is_an_error(wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="no chat completion") as caught:
        reply_to(wrong, monkeypatch)
    assert caught.value.retryable


def test_an_account_without_credit_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "completion", lambda _asked, _answer: {})
    monkeypatch.setattr(
        FakeOpenAI, "_response", lambda *_: _later(error_body(429, "No credit.", code="insufficient_quota"))
    )
    with FakeOpenAI() as server:
        model = OpenAIChat(ModelSettings(model="m", base_url=server.base_url, max_retries=0))
        with pytest.raises(ModelError, match="no credit left") as caught:
            asyncio.run(model.complete([Message("user", "x")], Params()))
    assert caught.value.fatal


async def _later(value: Any) -> Any:
    return value
