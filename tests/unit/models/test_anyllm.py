"""Models of many vendors through any-llm: against the fake OpenAI server, and fakes of Anthropic's and Google's wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tutelage.errors import ModelError, UnknownName, UsageError
from tutelage.models import ModelSettings, Reply
from tutelage.models.build import build_model
from tutelage.models.chat import Message, NoAnswer, Params, Structured, Token
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.tasks.file import Price

pytest.importorskip("any_llm", reason="the extra 'providers' is not installed")

ASKED = [Message("system", "Classify."), Message("user", "hi")]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "maxLength": 4}},
    "required": ["label"],
    "additionalProperties": False,
}
ANSWER = '{"label": "a"}'
PRICE = Price(input=1, output=10, cached_input=0.1)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in ("OPENAI", "ANTHROPIC", "MISTRAL", "GEMINI", "GOOGLE"):
        monkeypatch.delenv(f"{vendor}_API_KEY", raising=False)


def ask(model: str, base_url: str, params: Params | None = None, **settings: Any) -> Reply:
    chat = build_model("any-llm", ModelSettings(model=model, base_url=base_url, **settings))

    async def call() -> Reply:
        try:
            return await chat.complete(ASKED, params or Params(schema=SCHEMA))
        finally:
            await chat.close()

    return asyncio.run(call())


class FakeVendors(FakeOpenAI):
    """Answers as Anthropic (/v1/messages) and Gemini (/v1/models/NAME:generateContent) do, the first of `faults` first."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Response] = []
        self.app.router.routes += [
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/models/{call}", self._generate, methods=["POST"]),
        ]

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v1")

    async def _messages(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body | {"key": request.headers.get("x-api-key")})
        if self.faults:
            return self.faults.pop(0)
        if body.get("tools"):
            content = {"type": "tool_use", "id": "t1", "name": body["tools"][0]["name"], "input": {"label": "a"}}
        else:
            content = {"type": "text", "text": ANSWER}
        usage = {
            "input_tokens": 20,
            "output_tokens": 5,
            "cache_read_input_tokens": 80,
            "cache_creation_input_tokens": 0,
        }
        message = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}
        return JSONResponse(message | {"content": [content], "stop_reason": "end_turn", "usage": usage})

    async def _generate(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        content = {"role": "model", "parts": [{"text": ANSWER}]}
        usage = {"promptTokenCount": 100, "candidatesTokenCount": 5, "cachedContentTokenCount": 80}
        return JSONResponse({"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage})


@pytest.fixture
def vendors() -> Iterator[FakeVendors]:
    server = FakeVendors()
    with server:
        yield server


@pytest.mark.parametrize("structured", ["schema", "json", "tool", "none"])
def test_openais_wire_is_asked_for_every_form_and_gives_tokens(structured: Structured) -> None:
    with FakeOpenAI(Script(answer=ANSWER)) as server:
        reply = ask("openai:m", server.base_url, Params(structured=structured, schema=SCHEMA, logprobs=True, seed=3))
    body = server.bodies[0]
    assert reply.text == ANSWER
    assert body["seed"] == 3
    assert ("response_format" in body, "tools" in body) == (structured in ("schema", "json"), structured == "tool")
    if structured != "tool":
        assert reply.tokens and "".join(Token(*token).text for token in reply.tokens) == ANSWER


def test_mistral_takes_the_schema_and_does_without_what_it_does_not_take(caplog: pytest.LogCaptureFixture) -> None:
    with FakeOpenAI(Script(answer=ANSWER)) as server:
        root = server.base_url.removesuffix("/v1")
        reply = ask("mistral:m", root, Params(schema=SCHEMA, seed=3, min_p=0.1, top_k=4))
    assert reply.text == ANSWER
    assert "seed" not in server.bodies[0]
    assert server.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert "does not take 'seed'" in caplog.text


@pytest.mark.parametrize("structured", ["schema", "tool", "none"])
def test_anthropic_is_asked_on_its_own_wire(structured: Structured, vendors: FakeVendors) -> None:
    params = Params(structured=structured, schema=SCHEMA, seed=1, logprobs=True, stop=("END",), max_tokens=77)
    reply = ask("anthropic:claude-x", vendors.root, params, price=PRICE)
    body = vendors.bodies[0]
    assert reply.text == ANSWER
    assert reply.tokens is None
    assert (body["system"], body["max_tokens"], body["stop_sequences"]) == ("Classify.", 77, ["END"])
    form = body.get("output_config", {}).get("format", {}).get("schema", {})
    assert form.get("required") == (["label"] if structured == "schema" else None)
    assert body.get("tool_choice", {}).get("name") == ("answer" if structured == "tool" else None)
    usage = reply.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (100, 80, 5)
    assert usage.dollars == pytest.approx((20 * 1 + 80 * 0.1 + 5 * 10) / 1e6)


def test_gemini_is_asked_on_its_own_wire(vendors: FakeVendors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    reply = ask("gemini:g", vendors.root, Params(schema=SCHEMA, seed=5, top_k=3))
    config = vendors.bodies[0]["generationConfig"]
    assert reply.text == ANSWER
    assert (reply.usage.input_tokens, reply.usage.cached_input_tokens) == (100, 80)
    assert (config["seed"], config["topK"], config["responseJsonSchema"]) == (5, 3, SCHEMA)


def test_bounds_that_a_vendor_refuses_are_left_out_of_the_schema(vendors: FakeVendors) -> None:
    message = "output_config.format.schema: For 'string' type, property 'maxLength' is not supported"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    vendors.faults = [JSONResponse(error, 400)]
    assert ask("anthropic:claude-x", vendors.root).text == ANSWER
    assert vendors.bodies[1]["output_config"]["format"]["schema"]["properties"] == {"label": {"type": "string"}}


def test_a_form_that_a_vendor_does_not_have_is_one_line_and_not_dropped(vendors: FakeVendors) -> None:
    with pytest.raises(ModelError, match=r"cannot be asked in this form .*json_object.* Set structured") as raised:
        ask("anthropic:claude-x", vendors.root, Params(structured="json", schema=SCHEMA))
    assert raised.value.fatal
    assert vendors.bodies == []


@pytest.mark.parametrize(
    ("fault", "text", "fatal"),
    [
        ("429", "limits the rate .*asked 1 times", False),
        ("500", "answered 500", False),
        ("timeout", "did not answer within 0.3 s", False),
        ("cut", "broke the connection", False),
        ("malformed", "no chat completion", False),
        ("html", "no chat completion", False),
    ],
)
def test_a_fault_is_asked_again_and_in_the_end_one_line(fault: Any, text: str, fatal: bool) -> None:
    with FakeOpenAI(Script(answer=ANSWER, faults=[fault, fault], retry_after=0.1)) as server:
        with pytest.raises(ModelError, match=text) as raised:
            ask("openai:m", server.base_url, timeout=0.3, max_retries=0)
        assert (raised.value.retryable, raised.value.fatal) == (True, fatal)
        assert ask("openai:m", server.base_url, timeout=1.5, max_retries=1).text == ANSWER


def test_a_bad_key_is_fatal_and_never_shown(monkeypatch: pytest.MonkeyPatch, vendors: FakeVendors) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-of-mine")
    error = {
        "type": "error",
        "error": {"type": "authentication_error", "message": "invalid x-api-key sk-secret-of-mine"},
    }
    vendors.faults = [JSONResponse(error, 401)]
    with pytest.raises(ModelError, match="refused the API key") as raised:
        ask("anthropic:claude-x", vendors.root, api_key_env="MY_KEY")
    assert vendors.bodies[0]["key"] == "sk-secret-of-mine"
    assert raised.value.fatal
    assert "secret" not in str(raised.value)


def test_the_key_of_openai_is_never_sent_to_another_vendor(
    monkeypatch: pytest.MonkeyPatch, vendors: FakeVendors
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    ask("anthropic:claude-x", vendors.root)
    assert vendors.bodies[0]["key"] != "sk-openai"


@pytest.mark.parametrize(
    ("model", "kind", "text"),
    [
        ("nope:m", UnknownName, "'nope' is not a known vendor"),
        ("claude", UsageError, "'claude' does not name a vendor"),
        ("anthropic:claude-x", UsageError, "ANTHROPIC_API_KEY is not set"),
        ("gemini:g", UsageError, "GEMINI_API_KEY is not set"),
        ("groq:g", UsageError, r"pip install 'any-llm-sdk\[groq\]'"),
    ],
)
def test_what_is_missing_is_said_before_the_first_call(model: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        build_model("any-llm", ModelSettings(model=model))


def test_an_endpoint_that_is_down_is_fatal() -> None:
    with FakeOpenAI() as server:
        pass
    with pytest.raises(ModelError, match="cannot be reached") as raised:
        ask("openai:m", server.base_url, max_retries=0)
    assert raised.value.fatal


def test_a_refusal_keeps_what_it_cost(vendors: FakeVendors) -> None:
    message: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_sequence": None,
    }
    usage = {"input_tokens": 20, "output_tokens": 1}
    vendors.faults = [JSONResponse(message | {"stop_reason": "refusal", "usage": usage})]
    with pytest.raises(NoAnswer, match="refused") as raised:
        ask("anthropic:claude-x", vendors.root, price=PRICE)
    assert raised.value.usage.input_tokens == 20
