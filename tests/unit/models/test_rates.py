"""Rates: no minute holds more than an endpoint allows, whoever asks."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import ModelError, UnknownName
from tutelage.models import ModelSettings
from tutelage.models.build import build_model, endpoints
from tutelage.models.chat import Limits, Message, Params
from tutelage.models.rates import Pace, Paced, Window
from tutelage.models.scripted import ScriptedModel
from tutelage.project import Project
from tutelage.tasks.file import EndpointLimit, TaskFile
from tutelage.types import Usage

ASKED = [Message("user", "hi")]


def limit(requests: int | None = None, tokens: int | None = None, concurrency: int | None = None) -> EndpointLimit:
    return EndpointLimit(requests_per_minute=requests, tokens_per_minute=tokens, concurrency=concurrency)


@given(
    requests=st.integers(1, 6),
    tokens=st.integers(50, 300),
    calls=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), min_size=1, max_size=40),
)
def test_no_minute_wherever_it_starts_holds_more_than_the_limit(
    requests: int, tokens: int, calls: list[tuple[float, int]]
) -> None:
    window, now, made = Window(limit(requests, tokens)), 0.0, []
    for pause, size in calls:
        now += pause
        while (seconds := window.wait(now, size)) > 0:
            now += seconds + 1e-9  # sums of floats round down
        window.take(now, size)
        made.append((now, size))
    for start, _ in made:
        within = [size for at, size in made if start <= at < start + 60 - 1e-6]
        assert len(within) <= requests
        assert sum(within) <= tokens


def test_a_call_larger_than_the_limit_waits_for_an_empty_minute_and_then_goes() -> None:
    window = Window(limit(tokens=100))
    assert window.wait(0, 500) == 0
    window.take(0, 500)
    assert window.wait(1, 1) == 59


def test_two_models_of_one_endpoint_share_its_requests() -> None:
    pace = Pace(limit(requests=2), minute=0.3)
    models = [Paced(ScriptedModel(lambda _: "ok"), pace) for _ in range(2)]

    async def ask() -> float:
        start = time.perf_counter()
        await asyncio.gather(*(model.complete(ASKED, Params()) for model in models for _ in range(2)))
        return time.perf_counter() - start

    assert asyncio.run(ask()) >= 0.3


def test_tokens_that_a_call_did_not_use_are_free_at_once() -> None:
    model = Paced(ScriptedModel(lambda _: "ok", usage=Usage(5, 5)), Pace(limit(tokens=1000)))

    async def ask() -> None:
        for _ in range(5):  # 5 x 910 reserved, 5 x 10 used: without correction this takes four minutes
            await asyncio.wait_for(model.complete(ASKED, Params(max_tokens=900)), 5)
        waiting = [asyncio.ensure_future(model.complete(ASKED, Params(max_tokens=700))) for _ in range(4)]
        await asyncio.wait_for(asyncio.gather(*waiting), 5)

    asyncio.run(ask())


def test_at_most_concurrency_calls_run_at_a_time_even_after_failures() -> None:
    running, most = 0, 0

    class Slow(ScriptedModel):
        async def complete(self, messages, params):  # type: ignore[no-untyped-def]
            nonlocal running, most
            running, most = running + 1, max(most, running + 1)
            await asyncio.sleep(0.01)
            running -= 1
            raise ModelError("down", retryable=True)

    model = Paced(Slow([]), Pace(limit(concurrency=2)))
    assert model.limits.concurrency == 2

    async def ask() -> list[object]:
        return await asyncio.gather(*(model.complete(ASKED, Params()) for _ in range(6)), return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(ask())] == [ModelError] * 6
    assert most == 2
    assert Limits().concurrency == 8


def test_a_pace_lasts_over_event_loops() -> None:
    model = Paced(ScriptedModel(lambda _: "ok"), Pace(limit(requests=1), minute=0.2))
    start = time.perf_counter()
    for _ in range(2):
        asyncio.run(model.complete(ASKED, Params()))
    assert time.perf_counter() - start >= 0.2


@pytest.mark.parametrize(
    ("provider", "base_url", "model", "found"),
    [
        ("openai", "http://here/v1/", "m", ["http://here/v1"]),
        ("openai", "http://there/v1", "m", []),
        ("openai", "http://here/v1", "large", ["http://here/v1", "large"]),
        ("openai", None, "m", ["https://api.openai.com/v1"]),
        ("any-llm", None, "anthropic:some", ["anthropic"]),
        ("any-llm", None, "anthropic:large", ["large", "anthropic"]),
        ("any-llm", "http://here/v1", "anthropic:some", ["http://here/v1", "anthropic"]),
    ],
)
def test_limits_hold_for_an_endpoint_a_vendor_or_a_model(
    provider: str, base_url: str | None, model: str, found: list[str], tmp_path: Path
) -> None:
    names = ["http://here/v1", "https://api.openai.com/v1", "large", "anthropic"]
    limits = {name: {"requests_per_minute": at + 1} for at, name in enumerate(names)}
    file = TaskFile.model_validate({"name": "t", "output": "label", "labels": ["a", "b"], "limits": limits})
    project = Project(tmp_path, file, file.task())
    paces = project.paces(endpoints(provider, base_url, model))
    assert [names[(pace.limit.requests_per_minute or 0) - 1] for pace in paces] == found
    assert paces == project.paces(endpoints(provider, base_url, model)), "all share the same"


def test_a_provider_that_does_not_exist_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="openai"):
        build_model("opnai", ModelSettings(model="m"))
