"""An OpenAI-compatible endpoint: what is sent to it, what is read back, and how it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tutelage.errors import ModelError, UsageError
from tutelage.models import Message, ModelSettings, Params, Reply
from tutelage.models.chat import Dialect, NoAnswer, PerLoop, Structured, Token
from tutelage.models.fake import FakeOpenAI, Fault, Script
from tutelage.models.fake_answers import error_body
from tutelage.models.loopback import is_loopback
from tutelage.models.openai import OpenAIChat
from tutelage.tasks.file import Price

SCHEMA = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string", "minLength": 1}}}}


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def ask(settings: ModelSettings, params: Params | None = None, text: str = "hello") -> Reply:
    async def run() -> Reply:
        model = OpenAIChat(settings)
        try:
            return await model.complete([Message("system", "s"), Message("user", text)], params or Params())
        finally:
            await model.close()

    return asyncio.run(run())


def settings(server: FakeOpenAI, **more: Any) -> ModelSettings:
    given: dict[str, Any] = {"model": "m", "base_url": server.base_url, "timeout": 5.0, "max_retries": 1} | more
    return ModelSettings(**given)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("tutelage")]


def failure(server: FakeOpenAI, **more: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        ask(settings(server, **more))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_reply_carries_text_tokens_dollars_and_seconds() -> None:
    with FakeOpenAI(Script(answer="yes", delay=0.05)) as server:
        reply = ask(settings(server, price=Price(input=3.0, output=6.0)), Params(logprobs=True, stop=("x",), seed=1))
    usage = reply.usage
    assert (reply.text, reply.model, reply.finish_reason) == ("yes", "m", "stop")
    assert reply.tokens == (Token("yes", -0.1),)
    assert usage.dollars == pytest.approx((usage.input_tokens * 3 + usage.output_tokens * 6) / 1e6)
    assert 0.05 <= usage.seconds < 5
    sent = server.bodies[0]
    assert (sent["max_tokens"], sent["temperature"], sent["stop"], sent["seed"]) == (512, 0.0, ["x"], 1)
    assert "top_p" not in sent and "response_format" not in sent


def test_a_reply_without_price_has_no_dollars() -> None:
    with FakeOpenAI() as server:
        assert ask(settings(server)).usage.dollars is None


@pytest.mark.parametrize("structured", ["schema", "json", "none"])
def test_the_answer_is_bound_as_settings_say(structured: Structured) -> None:
    with FakeOpenAI() as server:
        ask(settings(server), Params(schema=SCHEMA, structured=structured))
    sent = server.bodies[0].get("response_format")
    whole = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert sent == {"schema": whole, "json": {"type": "json_object"}, "none": None}[structured]


@pytest.mark.parametrize("ignores", [[], ["tools"]])
def test_the_arguments_of_a_tool_call_are_the_answer(ignores: list[str]) -> None:
    with FakeOpenAI(Script(answer='{"a": ["b"]}', ignores=ignores)) as server:
        reply = ask(settings(server), Params(schema=SCHEMA, structured="tool", logprobs=True))
    assert (reply.text, reply.finish_reason) == ('{"a": ["b"]}', "stop")
    assert bool(reply.tokens) == bool(ignores)  # no endpoint gives the tokens of a tool call
    sent = server.bodies[0]
    assert sent["tools"][0]["function"]["parameters"] == SCHEMA
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "answer"}}


@pytest.mark.parametrize("answer", ['{"answer": "no \\ud83d\\ude00"}', "no 😀"])
def test_a_choice_is_the_bare_text(answer: str) -> None:
    with FakeOpenAI(Script(answer=answer)) as server:
        reply = ask(settings(server), Params(structured="choice", choices=("yes", "no 😀")))
    assert reply.text == "no 😀"


def test_tokens_are_those_of_the_bare_text() -> None:
    with FakeOpenAI(Script(answer='{"answer": "Zoë 😀 ok"}')) as server:
        reply = ask(settings(server), Params(structured="choice", choices=("Zoë 😀 ok",), logprobs=True))
    assert [token.text for token in reply.tokens or ()] == ["Zoë", " ", "😀", " ok"]


def test_an_answer_cut_at_max_tokens_says_so() -> None:
    with FakeOpenAI(Script(answer="one two three four")) as server:
        reply = ask(settings(server), Params(max_tokens=2))
    assert (reply.text, reply.finish_reason, reply.usage.output_tokens) == ("one two", "length", 2)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("refusal", "refused: I cannot help"),
        ("filtered", "refused: a content filter"),
        ("reasoned", "max_tokens = 512"),
    ],
)
def test_no_answer_is_one_line_with_what_it_cost(fault: Fault, says: str) -> None:
    with FakeOpenAI(Script(rates={fault: 1.0})) as server:
        error = failure(server, price=Price(input=3.0, output=6.0))
    assert isinstance(error, NoAnswer) and says in str(error) and not error.fatal
    assert error.usage.output_tokens > 0 and error.usage.dollars


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
        ("request (6031 tokens) exceeds the available context size (1024 tokens), try increasing it", "400"),
    ],
)
def test_a_prompt_longer_than_the_window_is_said_with_the_remedy(
    message: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeOpenAI, "_response", lambda *_: _later(error_body(400, message, code=code)))
    with FakeOpenAI() as server:
        error = failure(server)
    assert "longer than the window of 'm'" in str(error) and "fewer shots" in str(error) and not error.fatal


@pytest.mark.parametrize("fault", ["429", "500", "timeout", "cut", "malformed", "html"])
def test_one_fault_is_asked_again(fault: Fault) -> None:
    with FakeOpenAI(Script(answer="yes", faults=[fault], retry_after=0.01)) as server:
        assert ask(settings(server, timeout=1.0)).text == "yes"
    assert len(server.bodies) == 2


def test_retry_after_is_honoured() -> None:
    with FakeOpenAI(Script(faults=["429"], retry_after=0.8)) as server:
        assert ask(settings(server)).usage.seconds >= 0.8


@pytest.mark.parametrize(
    ("fault", "says", "calls"),
    [
        ("429", "limits the rate", 2),
        ("500", "answered 500", 2),
        ("timeout", "did not answer within 0.2 s", 2),
        ("cut", "broke the connection", 2),
        ("malformed", "no chat completion", 3),
        ("html", "no chat completion", 3),
    ],
)
def test_a_lasting_fault_is_one_retryable_line(fault: Fault, says: str, calls: int) -> None:
    with FakeOpenAI(Script(rates={fault: 1.0}, retry_after=0.01)) as server:
        error = failure(server, timeout=0.2)
    assert says in str(error) and error.retryable and not error.fatal
    assert len(server.bodies) == calls


def test_an_unknown_model_is_named_with_its_endpoint() -> None:
    with FakeOpenAI(Script(models=["other"])) as server:
        error = failure(server)
    assert "'m'" in str(error) and server.base_url in str(error) and error.fatal and not error.retryable


def test_a_bad_key_is_fatal_and_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "wrong")
    with FakeOpenAI(Script(key="right")) as server:
        error = failure(server, api_key_env="MY_KEY")
        assert "MY_KEY" in str(error) and "wrong" not in str(error) and error.fatal
        monkeypatch.setenv("MY_KEY", "right")
        assert ask(settings(server, api_key_env="MY_KEY")).text == "ok"


def test_an_endpoint_that_is_down_is_fatal() -> None:
    with FakeOpenAI() as server:
        pass
    error = failure(server, max_retries=0)
    assert "cannot be reached" in str(error) and error.fatal and error.retryable


def test_a_missing_key_is_an_error_but_on_loopback() -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        OpenAIChat(ModelSettings(model="m"))
    assert OpenAIChat(ModelSettings(model="m", base_url="http://[::1]:1/v1")).name == "m"


def test_refused_parameters_are_left_out_or_sent_in_another_form() -> None:
    with FakeOpenAI(Script(refuses=["max_tokens", "temperature", "logprobs"])) as server:
        ask(settings(server), Params(logprobs=True, max_tokens=7))
        sent = server.bodies[-1]
    assert sent["max_completion_tokens"] == 7
    assert not {"max_tokens", "temperature", "logprobs"} & set(sent)
    assert len(server.bodies) == 4


def test_a_refused_schema_is_sent_without_lengths_and_then_given_up() -> None:
    with FakeOpenAI(Script(refuses=["response_format"])) as server, pytest.raises(ModelError, match="answered 400"):
        ask(settings(server), Params(schema=SCHEMA))
    assert "minLength" in str(server.bodies[0]) and "minLength" not in str(server.bodies[1])
    assert len(server.bodies) == 2


def test_a_parameter_that_is_refused_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with FakeOpenAI(Script(refuses=["top_k", "min_p"])) as server:
        for _ in range(2):
            ask(settings(server), Params(top_k=5, min_p=0.1, top_p=0.9))
    assert [("top_k" in body, "min_p" in body, "top_p" in body) for body in server.bodies][-1] == (False, False, True)
    assert [text.split(" (")[0] for text in said(caplog)] == [
        f"{server.base_url} does not take {name!r}" for name in ("top_k", "min_p")
    ]


@pytest.mark.parametrize("script", [Script(refuses=["logprobs"]), Script(ignores=["logprobs"])])
def test_an_endpoint_without_log_probabilities_answers_and_says_so_once(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeOpenAI(script) as server:
        replies = [ask(settings(server), Params(logprobs=True)) for _ in range(2)]
    assert [(reply.text, reply.tokens) for reply in replies] == [("ok", None)] * 2
    assert len(said(caplog)) == 1


def test_a_regular_expression_that_is_not_kept_or_not_taken_is_one_line() -> None:
    params = Params(structured="regex", pattern="[0-9]{2}")
    with FakeOpenAI(Script(answer='{"answer": "12"}')) as server:
        assert ask(settings(server), params).text == "12"
    with FakeOpenAI(Script(answer="twelve")) as server, pytest.raises(ModelError, match="cannot bind 'm' to a regular"):
        ask(settings(server), params)
    refuses = FakeOpenAI(Script(refuses=["structured_outputs"]))
    with refuses as server, pytest.raises(ModelError, match=r"cannot bind 'm' to the regular .*Unsupported") as caught:
        ask(settings(server, dialect="vllm"), params)
    assert caught.value.fatal


def test_a_field_that_bears_the_name_of_a_keyword_stays_and_the_call_is_given_up() -> None:
    schema = {"type": "object", "properties": {"format": {"type": "string", "format": "date"}}}
    with FakeOpenAI(Script(refuses=["response_format"])) as server, pytest.raises(ModelError, match="answered 400"):
        ask(settings(server), Params(schema=schema))
    sent = server.bodies[-1]["response_format"]["json_schema"]["schema"]
    assert sent == {"type": "object", "properties": {"format": {"type": "string"}}}


def test_tokens_are_estimated_where_the_endpoint_does_not_count() -> None:
    async def count(dialect: Dialect) -> int:
        model = OpenAIChat(settings(server, dialect=dialect))
        try:
            return await model.count_tokens([Message("user", "x" * 300)])
        finally:
            await model.close()

    with FakeOpenAI() as server:
        assert {asyncio.run(count(dialect)) for dialect in ("openai", "vllm", "llama.cpp")} == {108}


def test_lone_surrogates_can_be_sent() -> None:
    with FakeOpenAI() as server:
        ask(settings(server), text="a\ud800b")
    assert server.bodies[0]["messages"][1]["content"] == "a?b"


def test_one_model_serves_several_event_loops() -> None:
    with FakeOpenAI() as server:
        model = OpenAIChat(settings(server))
        for _ in range(2):
            assert asyncio.run(model.complete([Message("user", "x")], Params())).text == "ok"
        asyncio.run(model.close())


def test_loopback() -> None:
    assert all(map(is_loopback, ["http://127.0.0.1:8/v1", "http://localhost/v1", "http://a.localhost", "http://[::1]"]))
    assert not any(map(is_loopback, ["https://api.openai.com/v1", "http://10.0.0.1", "http://localhost.evil.com", ""]))


def test_per_loop_keeps_one_value_a_loop() -> None:
    made = iter(range(9))
    values = PerLoop(lambda: next(made))

    async def twice() -> tuple[int, int]:
        return values.get(), values.get()

    async def take() -> int | None:
        return values.take()

    assert asyncio.run(twice()) == (0, 0)
    assert asyncio.run(twice()) == (1, 1)
    assert asyncio.run(take()) is None


async def _later(value: Any) -> Any:
    return value
