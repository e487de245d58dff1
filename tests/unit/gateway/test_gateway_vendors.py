"""Targets beyond the OpenAI wire, through any-llm: whole, streamed, embedded, and failing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateways import running, written

from tutelage.models.fake import FakeOpenAI, Script

pytest.importorskip("any_llm", reason="the extra `providers` is not installed")


def vendor(server: FakeOpenAI, **more: Any) -> dict[str, Any]:
    target = {"model": "openai:fake", "provider": "any-llm", "base_url": server.base_url}
    return {"m": {"targets": [target | {"price": {"input": 1, "output": 2}}], **more}}


def test_a_vendor_answers_whole_streamed_and_embedded(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer="one two three")) as server, running(tmp_path, upstreams=vendor(server)) as gateway:
        reply = gateway.ask("m", temperature=0.5, user="somebody")
        assert reply.choices[0].message.content == "one two three"
        assert written(gateway.stream("m")) == "one two three"
        assert len(gateway.client().embeddings.create(model="m", input=["a", "b"]).data) == 2
        embedded, streamed, whole = gateway.traces(3)
    assert server.bodies[0]["model"] == "fake" and server.bodies[0]["user"] == "somebody"
    assert whole.usage.output_tokens == streamed.usage.output_tokens == 3
    assert whole.nanodollars and streamed.nanodollars and embedded.nanodollars is not None


@pytest.mark.parametrize("fault", ["429", "500"])
def test_a_vendor_that_fails_is_asked_again(tmp_path: Path, fault: Any) -> None:
    script = Script(faults=[fault, fault], retry_after=0.05)
    with FakeOpenAI(script) as server, running(tmp_path, upstreams=vendor(server)) as gateway:
        assert gateway.ask("m").choices[0].message.content == "ok"
        assert len(server.bodies) == 3


def test_what_a_vendor_does_not_have_is_said(tmp_path: Path) -> None:
    refused = pytest.raises(openai.BadRequestError, match="has no responses")
    with FakeOpenAI() as server, running(tmp_path, upstreams=vendor(server)) as gateway, refused:
        gateway.client().responses.create(model="m", input="x")


def test_a_key_that_a_vendor_refuses_is_the_gateways_fault_not_the_clients(tmp_path: Path) -> None:
    with FakeOpenAI(Script(key="another")) as server, running(tmp_path, upstreams=vendor(server)) as gateway:
        with pytest.raises(openai.InternalServerError, match="refused the API key") as raised:
            gateway.ask("m")
        assert raised.value.status_code == 502
