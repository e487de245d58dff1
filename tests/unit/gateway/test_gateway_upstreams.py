"""Models behind the gateway: what passes through untouched, and what happens when an endpoint fails."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateways import Capitals, Running, a_project, running, written
from tests.letters import Letters

from tutelage.errors import TaskFileError, UsageError
from tutelage.gateway.cache.semantic import SemanticCache
from tutelage.gateway.opening import assembled
from tutelage.gateway.routes import Served
from tutelage.gateway.settings import Cache, GatewaySettings
from tutelage.gateway.systems import Systems
from tutelage.models.fake import FakeOpenAI, Fault, Script
from tutelage.store import open_store

PRICE = {"input": 1000.0, "output": 2000.0}
"""Dollars per million tokens: a token of a prompt costs a million nanodollars."""


def target(server: FakeOpenAI, **more: Any) -> dict[str, Any]:
    return {"model": "fake", "base_url": server.base_url, "price": PRICE, **more}


@contextlib.contextmanager
def upstream(folder: Path, *scripts: Script, **settings: Any) -> Iterator[tuple[Running, list[FakeOpenAI]]]:
    """A gateway with the alias "m", whose targets are fake servers with these scripts."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(FakeOpenAI(script)) for script in scripts]
        alias = {"targets": [target(one) for one in servers], **settings}
        yield stack.enter_context(running(folder, upstreams={"m": alias})), servers


def failing(*faults: Fault | None) -> Script:
    return Script(faults=faults, retry_after=0.05)


def always(fault: Fault) -> Script:
    return Script(rates={fault: 1.0}, retry_after=0.05)


def test_parameters_that_the_gateway_does_not_know_pass_through(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "42"},
        {"role": "user", "content": "and?"},
    ]
    body = {
        "model": "m",
        "messages": messages,
        "temperature": 0.3,
        "min_p": 0.1,
        "made_up": {"a": [1, None]},
        "logit_bias": {"7": -1},
    }
    with upstream(tmp_path, Script(answer="seen")) as (gateway, (server,)):
        status, found, headers = gateway.post(body)
        assert status == 200
        assert server.bodies == [body | {"model": "fake"}]
        assert found["choices"][0]["message"]["content"] == "seen"
        used = found["usage"]
        cost = used["prompt_tokens"] * 1_000_000 + used["completion_tokens"] * 2_000_000
        assert float(headers["x-tutelage-cost"]) == pytest.approx(cost / 1e9)
        (trace,) = gateway.traces()
    assert (trace.nanodollars, trace.usage.input_tokens) == (cost, used["prompt_tokens"])
    assert trace.input == messages and [step.error for step in trace.steps] == [None]


def test_the_providers_prompt_cache_is_asked_for_and_accounted(tmp_path: Path) -> None:
    price = PRICE | {"cached_input": 100.0}
    with FakeOpenAI(Script(cached_tokens=3)) as server:
        targets = [target(server, prompt_cache=True, price=price)]
        with running(tmp_path, upstreams={"m": {"targets": targets}}) as gateway:
            used = gateway.ask("m", "a text of some tokens").usage
            gateway.ask("m", "another text of some tokens", prompt_cache_key="mine")
            gateway.ask("m", "a text of some tokens")
            (trace, _, _) = gateway.traces(3)
    keys = [body["prompt_cache_key"] for body in server.bodies]
    assert keys[0] == keys[2] != keys[1] == "mine"
    assert used and trace.usage.cached_input_tokens == 3
    fresh = (used.prompt_tokens - 3) * 1_000_000
    assert trace.nanodollars == fresh + 3 * 100_000 + used.completion_tokens * 2_000_000


def test_a_forced_tool_call_comes_back_whole_and_streamed(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "weigh", "parameters": {"type": "object"}}}
    choice = {"type": "function", "function": {"name": "weigh"}}
    with upstream(tmp_path, Script(answer='{"kg": 3}')) as (gateway, _):
        reply = gateway.ask("m", tools=[tool], tool_choice=choice)
        assert reply.choices[0].message.tool_calls
        assert reply.choices[0].message.tool_calls[0].function.arguments == '{"kg": 3}'  # type: ignore[union-attr]
        pieces = []
        for chunk in gateway.stream("m", tools=[tool], tool_choice=choice):
            for call in chunk.choices[0].delta.tool_calls or []:
                pieces.append((call.function and call.function.arguments) or "")
        assert "".join(pieces) == '{"kg": 3}'
        streamed, _ = gateway.traces(2)
    assert streamed.output[0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"kg": 3}'


@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_passes_through_and_is_billed(tmp_path: Path, asked: bool) -> None:
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    with upstream(tmp_path, Script(answer="one two three four")) as (gateway, _):
        chunks = gateway.stream("m", **more)
        (trace,) = gateway.traces()
    text = written(chunks)
    assert text == "one two three four"
    assert any(chunk.usage for chunk in chunks) is asked
    assert trace.usage.output_tokens == 4 and trace.nanodollars
    assert trace.output[0]["message"]["content"] == text
    assert trace.first is not None and trace.first <= trace.seconds


def test_embeddings_and_responses_pass_through(tmp_path: Path) -> None:
    with upstream(tmp_path, Script(answer="well")) as (gateway, _):
        found = gateway.client().embeddings.create(model="m", input=["a", "b", "a"], encoding_format="float")
        assert found.data[0].embedding == found.data[2].embedding != found.data[1].embedding
        assert gateway.client().responses.create(model="m", input="how?").output_text == "well"
        assert [trace.endpoint for trace in gateway.traces(2)] == ["responses", "embeddings"]


@pytest.mark.parametrize("fault", ["429", "500", "cut", "malformed", "html"])
def test_what_failed_is_asked_again(tmp_path: Path, fault: Fault) -> None:
    with upstream(tmp_path, failing(fault, fault)) as (gateway, (server,)):
        assert gateway.ask("m").choices[0].message.content == "ok"
        assert len(server.bodies) == 3
        (trace,) = gateway.traces()
    assert [bool(step.error) for step in trace.steps] == [True, True, False]


def test_a_timeout_is_asked_again(tmp_path: Path) -> None:
    with upstream(tmp_path, failing("timeout"), attempt_timeout=0.3) as (gateway, _):
        assert gateway.ask("m").choices[0].message.content == "ok"


def test_retries_end_with_the_last_failures_status(tmp_path: Path) -> None:
    with upstream(tmp_path, always("500"), retries=1) as (gateway, (server,)):
        with pytest.raises(openai.InternalServerError, match="answered 500") as raised:
            gateway.ask("m")
        assert raised.value.status_code == 502 and len(server.bodies) == 2
    with upstream(tmp_path / "limited", always("429"), retries=1) as (gateway, _):
        with pytest.raises(openai.RateLimitError) as limited:
            gateway.ask("m")
        assert limited.value.response.headers["retry-after"] == "1"


def test_the_clients_own_fault_goes_back_as_the_endpoint_said_it(tmp_path: Path) -> None:
    with upstream(tmp_path, Script(refuses=["seed"])) as (gateway, (server,)):
        with pytest.raises(openai.BadRequestError) as raised:
            gateway.ask("m", seed=3)
        assert raised.value.body == {
            "message": "Unsupported parameter: 'seed' is not supported with this model.",
            "type": "invalid_request_error",
            "param": "seed",
            "code": "unsupported_parameter",
        }
        assert len(server.bodies) == 1


def test_a_dead_target_is_left_out_by_its_circuit(tmp_path: Path) -> None:
    slow = {"open_after": 2, "open_seconds": 600.0, "retries": 1}
    with upstream(tmp_path, always("500"), Script(answer="well"), **slow) as (gateway, (bad, good)):
        for _ in range(40):
            assert gateway.ask("m").choices[0].message.content == "well"
        assert len(bad.bodies) == 2 and len(good.bodies) == 40


def test_when_every_circuit_is_open_nobody_is_asked(tmp_path: Path) -> None:
    with upstream(tmp_path, always("500"), open_after=1, retries=0, open_seconds=30) as (gateway, (server,)):
        with pytest.raises(openai.InternalServerError):
            gateway.ask("m")
        with pytest.raises(openai.InternalServerError, match="No target of 'm' can be asked now") as raised:
            gateway.ask("m")
        assert raised.value.status_code == 503 and int(raised.value.response.headers["retry-after"]) > 20
        assert len(server.bodies) == 1


def test_fallbacks_are_asked_in_order_down_to_a_student(tmp_path: Path) -> None:
    served = Served("capitals", a_project(tmp_path / "task"), Capitals())
    with FakeOpenAI(always("500")) as bad, FakeOpenAI(always("500")) as worse:
        aliases = {
            "m": {"targets": [target(bad)], "retries": 0, "fallbacks": ["other"]},
            "other": {"targets": [target(worse)], "retries": 0, "fallbacks": ["capitals"]},
        }
        with running(tmp_path, {"capitals": served}, upstreams=aliases) as gateway:
            assert json.loads(gateway.ask("m", "so Ann").choices[0].message.content or "") == {"characters": ["Ann"]}
            with pytest.raises(openai.InternalServerError, match="answered 500"):  # the first one's error
                gateway.ask("m", "nobody")
            assert "Ann" in written(gateway.stream("m", "so Ann"))


def test_a_student_falls_back_on_a_provider(tmp_path: Path) -> None:
    served = Served("capitals", a_project(tmp_path / "task"), Capitals())
    with FakeOpenAI(Script(answer="Somebody.")) as server:
        aliases = {"m": {"targets": [target(server)]}}
        fallbacks = {"capitals": ["m"]}
        with running(tmp_path, {"capitals": served}, upstreams=aliases, fallbacks=fallbacks) as gateway:
            assert gateway.ask("capitals", "nobody").choices[0].message.content == "Somebody."


def test_a_stream_that_breaks_before_its_first_byte_is_asked_elsewhere_and_later_says_so(tmp_path: Path) -> None:
    with upstream(tmp_path, failing("500", None, "cut")) as (gateway, _):
        assert written(gateway.stream("m")) == "ok"
        with pytest.raises(openai.APIError, match="broke off"):
            gateway.stream("m")
        broken, _ = gateway.traces(2)
    assert broken.status == 502 and "broke off" in (broken.error or "")
    assert broken.note == "the stream told no usage: tokens are estimated"


def test_a_stream_that_breaks_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    answer = "one two three four five six"
    with upstream(tmp_path, Script(answer=answer, faults=["cut", "cut"], gap=0.05)) as (gateway, (server,)):
        chunks = gateway.stream("m", temperature=0, stream_options={"include_usage": True})
        assert written(chunks) == answer
        assert len({chunk.id for chunk in chunks}) == 1 and len(server.bodies) == 3
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        (trace,) = gateway.traces()
    assert trace.status == 200 and trace.output[0]["message"]["content"] == answer
    assert len([step for step in trace.steps if step.error]) == 2
    assert trace.usage.output_tokens > 6  # what came twice may be billed twice


def test_a_stream_that_says_something_else_the_second_time_is_not_patched(tmp_path: Path) -> None:
    answers = iter(["one two three four", "five six seven eight"])
    script = Script(answer=lambda _: next(answers), faults=["cut"], gap=0.05)
    with upstream(tmp_path, script) as (gateway, _), pytest.raises(openai.APIError, match="said something else"):
        gateway.stream("m", temperature=0)


def test_a_stream_without_end_is_ended(tmp_path: Path) -> None:
    endless = Script(faults=["endless"], gap=0.01)
    with upstream(tmp_path, endless, total_timeout=0.5) as (gateway, _):
        with pytest.raises(openai.APIError, match=r"still writing after 0\.5 s"):
            gateway.stream("m")
        assert gateway.ask("m").choices[0].message.content == "ok"


def test_a_slow_answer_is_hedged_at_another_target(tmp_path: Path) -> None:
    with upstream(tmp_path, Script(answer="a"), Script(answer="b"), hedge=0.9, balance="least-busy") as (
        gateway,
        servers,
    ):
        for _ in range(25):
            gateway.ask("m")
        for server in servers[:1]:
            server.script = Script(answer="a", delay=5)
        start = time.monotonic()
        assert gateway.ask("m").choices[0].message.content == "b"
        assert time.monotonic() - start < 3


def test_a_prompt_goes_to_a_target_whose_window_holds_it_or_to_none(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer="small")) as small, FakeOpenAI(Script(answer="large")) as large:
        targets = [target(small, context=100), target(large, context=1000)]
        with running(tmp_path, upstreams={"m": {"targets": targets}}) as gateway:
            assert gateway.ask("m", "x" * 1500).choices[0].message.content == "large"
            with pytest.raises(openai.BadRequestError, match="'m' takes 1,000"):
                gateway.ask("m", "x" * 9000)
            assert len(small.bodies) == 0 and len(large.bodies) == 1


def test_a_client_that_goes_away_ends_the_call_upstream(tmp_path: Path) -> None:
    with upstream(tmp_path, always("timeout")) as (gateway, (server,)):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]})
        connection.request("POST", "/v1/chat/completions", body)
        while not server.bodies:
            time.sleep(0.01)
        connection.close()
        (trace,) = gateway.traces()
        deadline = time.monotonic() + 5
        while not server.asked and time.monotonic() < deadline:  # the fake tells once its client has gone
            time.sleep(0.01)
        assert trace.status == 499 and server.asked


def test_requests_at_once_go_to_the_least_busy(tmp_path: Path) -> None:
    with upstream(tmp_path, Script(delay=0.2), Script(delay=0.2), balance="least-busy") as (gateway, servers):
        threads = [threading.Thread(target=gateway.ask, args=("m",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(server.bodies) for server in servers] == [4, 4]


def test_the_faster_target_gets_most_of_the_requests(tmp_path: Path) -> None:
    with upstream(tmp_path, Script(delay=0.1), Script(), balance="latency") as (gateway, (slow, fast)):
        for _ in range(20):
            gateway.ask("m")
        assert len(fast.bodies) > 15 > 3 > len(slow.bodies)


def test_weights_are_kept(tmp_path: Path) -> None:
    with FakeOpenAI() as one, FakeOpenAI() as two:
        targets = [target(one, weight=9), target(two, weight=1)]
        with running(tmp_path, upstreams={"m": {"targets": targets}}) as gateway:
            for _ in range(100):
                gateway.ask("m")
            assert 75 <= len(one.bodies) <= 99


def test_equal_requests_are_answered_from_the_cache_and_streamed_from_it(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer="said once")) as server:
        cache = {"kind": "memory"}
        with running(tmp_path, upstreams={"m": {"targets": [target(server)]}}, cache=cache) as gateway:
            first, second = (gateway.ask("m", "say it", temperature=0) for _ in range(2))
            text = written(gateway.stream("m", "say it", temperature=0))
            assert first.choices[0].message.content == second.choices[0].message.content == text == "said once"
            gateway.ask("m", "say it", temperature=0, extra_headers={"Cache-Control": "no-cache"})
            assert len(server.bodies) == 2
            fresh, streamed, kept, made = gateway.traces(4)
    assert [one.cache for one in (made, kept, streamed, fresh)] == [None, "hit", "hit", None]
    assert (kept.nanodollars, kept.source) == (0, made.source)


def test_a_question_asked_before_is_answered_by_the_semantic_cache(tmp_path: Path) -> None:
    semantic = {"error_budget": 0.02, "encoder": "letters", "models": ["m"], "reask": 0.0}
    alike = SemanticCache(Cache.model_validate({"semantic": semantic}), Letters(), None)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(FakeOpenAI(Script(answer="It is blue.")))
        gateway = stack.enter_context(running(tmp_path, alike=alike, upstreams={"m": {"targets": [target(server)]}}))
        first, again, other = (gateway.ask("m", text) for text in ("Why is it so?", "Why is it so?", "Who is it?"))
        assert first.choices[0].message.content == again.choices[0].message.content == "It is blue."
        assert other.choices and len(server.bodies) == 2
        assert [trace.cache for trace in gateway.traces(3)] == [None, "alike", None]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"m": {"targets": [{"model": "x", "api_key_env": "NOT_SET"}]}},
            r"\[upstreams.m\]: The API key NOT_SET is not set",
        ),
        (
            {"m": {"targets": [{"model": "x", "base_url": "http://127.0.0.1:1/v1"}], "fallbacks": ["n"]}},
            "'n' is not served",
        ),
        ({}, "Nothing is ready to be served"),
    ],
)
def test_settings_that_cannot_work_are_one_line(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    given = GatewaySettings.model_validate({"tasks": [], "upstreams": settings})
    store = open_store(tmp_path / "gateway.db")
    with pytest.raises((UsageError, TaskFileError), match=said):
        assembled(given, tmp_path, store, Systems(), {})
