"""What the gateway tells of itself: what is counted, what it costs to count, what is written where."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import logging
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.gateways import Capitals, Running, a_project, running

from tutelage.gateway.cache.alike import SemanticStats
from tutelage.gateway.routes import Served
from tutelage.gateway.settings import GatewaySettings, Server
from tutelage.gateway.settings import Telemetry as TelemetrySettings
from tutelage.gateway.telemetry import Telemetry, Worker
from tutelage.gateway.telemetry.arriving import Incoming, incoming_of
from tutelage.gateway.telemetry.counting import MOST_NAMES, is_empty
from tutelage.gateway.telemetry.logs import Log
from tutelage.gateway.telemetry.metrics import METRICS, Totals, page, read_totals
from tutelage.gateway.telemetry.readings import of_semantic
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.store import open_store
from tutelage.store.keys import Key
from tutelage.store.traces import Step, Trace
from tutelage.types import Usage

ROOT = Path(__file__).parents[3]
TRACE = Trace(
    id="0" * 31 + "1",
    created="2026-01-01T00:00:00+00:00",
    model="m",
    source="m/fake",
    usage=Usage(10, 5),
    first=0.1,
    seconds=0.5,
    nanodollars=1,
    steps=(Step(name="m/fake", seconds=0.3, usage=Usage(10, 5)),),
)

Page = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: bytes | str) -> Page:
    text = text.decode() if isinstance(text, bytes) else text
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def of(found: Page, name: str, **labels: str) -> float:
    """The sum of what has these labels among others."""
    return sum(value for (one, own), value in found.items() if one == name and labels.items() <= dict(own).items())


def told(*traces: Trace, **settings: Any) -> Page:
    telemetry = Telemetry(GatewaySettings.model_validate({"telemetry": settings}), ["m"])
    for trace in traces:
        telemetry.finished(trace)
    return read(telemetry.metrics()[0])


def test_a_request_is_counted_by_all_that_is_asked_of_it() -> None:
    escalated = replace(
        TRACE, task="t", threshold=0.8, confidence=0.7, mode="live", cache="hit", status=502, output=None
    )
    found = told(TRACE, TRACE, escalated, replace(TRACE, nanodollars=None, first=None))
    assert of(found, "tutelage_requests_total", model="m", status="200", source="m/fake", key="none") == 3
    assert of(found, "tutelage_requests_total", status="502", task="t") == 1
    assert of(found, "tutelage_tokens_total", direction="input") == 40
    assert of(found, "tutelage_output_length_bucket", le="4.0") == 0
    assert of(found, "tutelage_output_length_bucket", le="16.0") == 4
    assert of(found, "tutelage_request_seconds_sum", task="none") == pytest.approx(1.5)
    assert of(found, "tutelage_first_token_seconds_count") == 3
    assert of(found, "tutelage_output_token_seconds_sum") == pytest.approx(3 * 0.1)
    assert of(found, "tutelage_step_seconds_count", step="m/fake") == 4
    assert of(found, "tutelage_unpriced_requests_total") == 1
    assert of(found, "tutelage_cascade_requests_total", task="t", escalated="true") == 1
    assert of(found, "tutelage_mode_requests_total", mode="live") == 1
    assert of(found, "tutelage_cached_answers_total", how="hit") == 1
    assert of(found, "tutelage_malformed_answers_total", task="t") == 1


def test_dollars_are_summed_exactly() -> None:
    traces = [replace(TRACE, nanodollars=n) for n in (10**15, *[1] * 999, 100_000_001)]
    assert of(told(*traces), "tutelage_cost_dollars_total") == (10**15 + 999 + 100_000_001) / 1e9


def test_what_clients_make_up_becomes_no_label() -> None:
    made_up = [replace(TRACE, model=f"made-up-{n}", source="", status=404) for n in range(50)]
    sources = [replace(TRACE, source=f"source-{n}") for n in range(MOST_NAMES + 50)]
    found = told(*made_up, *sources)
    assert of(found, "tutelage_requests_total", model="unknown", status="404") == 50
    assert not [labels for _, labels in found if any("made-up" in value for _, value in labels)]
    assert of(found, "tutelage_requests_total", source="other") == 51  # one name is that of no source
    assert len({dict(labels).get("source") for name, labels in found if name == "tutelage_requests_total"}) <= 502


@pytest.mark.parametrize(
    ("output", "empty"),
    [
        ([{"message": {"content": ""}}], True),
        ([{"message": {"content": None}}], True),
        ([{"message": {"content": "x"}}], False),
        ([{"message": {"content": None, "tool_calls": [{}]}}], False),
        ([{"message": {"refusal": "no"}}], False),
        ([], False),
        (None, False),
        (["Ann"], False),
    ],
)
def test_an_empty_answer_has_neither_text_nor_call(output: Any, empty: bool) -> None:
    assert is_empty(output) is empty
    assert of(told(replace(TRACE, output=output)), "tutelage_empty_answers_total") == empty


def test_counting_costs_little() -> None:
    telemetry = Telemetry(models=["m"])
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(500):
            telemetry.finished(TRACE)
        best = min(best, (time.perf_counter() - start) / 500)
    assert best < 100e-6  # measured: 7 microseconds; a machine may be busy


def test_totals_survive_being_written_and_read() -> None:
    totals = Totals()
    totals.number("tutelage_hedges", "m").value = 3
    totals.histogram("tutelage_input_length", "m").observe(17)
    again = read_totals(json.loads(json.dumps(totals.json() | {"more": 1})))
    assert page(again) == page(totals)
    assert page(read_totals({"numbers": {"gone": [[["x"], 1]]}, "buckets": {}})) == page(Totals())


def test_one_scrape_shows_the_sum_of_all_workers_and_a_successor_counts_on(tmp_path: Path) -> None:
    async def work(index: int, requests: int) -> Telemetry:
        found = Telemetry(models=["m"], worker=Worker(index, tmp_path))
        found.connections = lambda: 7
        await found.start()
        for _ in range(requests):
            found.finished(TRACE)
        await found.close()
        return found

    first = asyncio.run(work(0, 3))
    second = asyncio.run(work(1, 4))
    for one in (first, second):
        found = read(one.metrics()[0])
        assert of(found, "tutelage_requests_total") == 7
        assert of(found, "tutelage_request_seconds_count") == 7
        assert {dict(labels)["worker"] for name, labels in found if name == "tutelage_resident_bytes"} == {"0", "1"}
    successor = Telemetry(models=["m"], worker=Worker(0, tmp_path))
    found = read(successor.metrics()[0])
    assert of(found, "tutelage_requests_total") == 7
    assert of(found, "tutelage_connections", worker="0") == 0  # that was its predecessor's


def test_the_share_of_wrong_hits_comes_with_its_interval() -> None:
    telemetry = Telemetry()
    telemetry.read(of_semantic(lambda: SemanticStats(hits=100, reasked=50, reasked_wrong=1)))
    found = read(telemetry.metrics()[0])
    assert of(found, "tutelage_semantic_wrong_hits", bound="estimate") == pytest.approx(0.02)
    low, high = (of(found, "tutelage_semantic_wrong_hits", bound=bound) for bound in ("low", "high"))
    assert 0 < low < 0.02 < high < 0.15


def test_an_incoming_id_is_repeated_only_where_it_is_harmless() -> None:
    assert incoming_of([(b"x-request-id", b"abc-1")]) == Incoming("abc-1")
    for bad in (b"", b"a" * 129, b"a\tb", b"\xe4"):
        assert incoming_of([(b"x-request-id", bad)]).request_id is None


def served(folder: Path) -> dict[str, Served]:
    return {"capitals": Served("capitals", a_project(folder / "task"), Capitals())}


def page_of(gateway: Running, secret: str = "") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {secret}"} if secret else {})
    response = connection.getresponse()
    text = response.read().decode()
    assert response.status == 200, text
    return text


def test_every_response_is_counted_and_the_clients_id_comes_back(tmp_path: Path) -> None:
    with running(tmp_path, served(tmp_path)) as gateway:
        body = {"model": "capitals", "messages": [{"role": "user", "content": "Ann"}]}
        _, _, headers = gateway.post(body, x_request_id="mine-1")
        assert headers["x-request-id"] == "mine-1"
        _, _, headers = gateway.post({**body, "model": "nobody"})
        assert "x-request-id" not in headers
        gateway.post(b"{", path="/v1/chat/completions")
        gateway.get("/v1/models/capitals")
        gateway.get("/made/up")
        found = read(page_of(gateway))
    responses = {
        (dict(labels)["path"], dict(labels)["status"]): value
        for (name, labels), value in found.items()
        if name == "tutelage_responses_total"
    }
    chat = "/v1/chat/completions"
    assert responses == {
        (chat, "200"): 1,
        (chat, "404"): 1,
        (chat, "400"): 1,
        ("/v1/models/{name}", "200"): 1,
        ("other", "404"): 1,
    }
    assert of(found, "tutelage_requests_total", model="capitals", task="characters", source="capitals") == 1
    assert of(found, "tutelage_requests_under_way", worker="0") == 1  # this one
    assert of(found, "tutelage_connections") >= 1 and of(found, "tutelage_resident_bytes") > 10**7


def test_upstreams_tell_attempts_failures_and_circuits(tmp_path: Path) -> None:
    script = Script(faults=["500", "malformed", None])
    with FakeOpenAI(script) as server:
        target = {"model": "fake", "base_url": server.base_url, "price": {"input": 1, "output": 1}}
        alias = {"targets": [target], "retries": 3, "open_after": 9}
        with running(tmp_path, upstreams={"m": alias}) as gateway:
            gateway.ask("m")
            found = read(page_of(gateway))
    assert of(found, "tutelage_upstream_attempts_total") == 3
    assert of(found, "tutelage_upstream_failures_total", reason="500") == 1
    assert of(found, "tutelage_upstream_failures_total", reason="malformed") == 1
    assert of(found, "tutelage_upstream_circuit") == 0 and of(found, "tutelage_upstream_under_way") == 0


def test_no_secret_and_no_body_is_in_the_log_the_metrics_or_the_traces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream_key = "very-secret-upstream-key-1"
    monkeypatch.setenv("UPSTREAM_KEY", upstream_key)
    stream = io.StringIO()
    log = Log([upstream_key], stream).open()
    store = open_store(tmp_path / "gateway.db")
    secret = store.keys.add(Key(id="", name="lab"))
    store.close()
    with FakeOpenAI(Script(key="another")) as server:
        target = {
            "model": "fake",
            "base_url": server.base_url,
            "api_key_env": "UPSTREAM_KEY",
            "price": {"input": 1, "output": 1},
        }
        settings: dict[str, Any] = {
            "server": {"access": "keys"},
            "upstreams": {"m": {"targets": [target], "retries": 0}},
        }
        with running(tmp_path, served(tmp_path), telemetry={"log": "requests"}, **settings) as gateway:
            gateway.opened.telemetry.log = log
            bearer = {"Authorization": f"Bearer {secret}"}
            for model in ("m", "capitals", secret):
                gateway.post(
                    {"model": model, "messages": [{"role": "user", "content": "Confidential nobody"}]}, **bearer
                )
            logging.getLogger("tutelage.gateway").error("it broke near %s and %s", upstream_key, secret)
            text = page_of(gateway, secret)
            traces = gateway.traces(3)
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    requests = {line["model"]: line for line in lines if line["logger"] == "tutelage.requests"}
    assert requests["m"]["status"] == 502 and "answered 401" in requests["m"]["error"]
    assert requests["m"]["failed"] == [traces[-1].steps[0].name]
    assert requests["capitals"]["status"] == 502 and "error" not in requests["capitals"]
    assert of(read(text), "tutelage_requests_total", key="lab") == 3
    for place in (stream.getvalue(), text):
        assert "Confidential" not in place
    for place in (
        stream.getvalue(),
        text,
        *(repr(trace.steps) + repr(trace.error) for trace in traces if trace.model != secret),
    ):
        assert upstream_key not in place and secret not in place


def test_metrics_want_a_key_where_everything_does(tmp_path: Path) -> None:
    with running(tmp_path, served(tmp_path), server={"access": "keys"}) as gateway:
        assert gateway.get("/metrics")[0] == 401
        assert gateway.get("/health")[0] == gateway.get("/ready")[0] == 200


def test_the_log_is_written_by_a_thread_and_drops_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.gateway.telemetry.logs.WAITING", 3)
    stream = io.StringIO()
    log = Log(stream=stream)
    for _ in range(5):
        log.request(replace(TRACE, status=503, error="upstream said: Bearer abcdefghij"), Incoming("r-1"), False)
    log.open()
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("lines_dropped") for line in lines] == [None, None, None, 2]
    assert lines[0]["level"] == "error" and lines[0]["request"] == "r-1"
    assert lines[0]["error"] == "upstream said: [secret]"


def test_every_metric_and_setting_is_documented() -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(tutelage_\w+)` \| (\w+) \| (.*?) \|", text, re.MULTILINE)
    shown = [(one.shown, one.kind, ", ".join(f"`{label}`" for label in one.labels) or "-") for one in METRICS.values()]
    assert sorted(documented) == sorted(shown)
    assert [name for name in TelemetrySettings.model_fields if f"| `{name}` |" not in text] == []
    deploy = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert [name for name in Server.model_fields if f"`{name}`" not in deploy] == []
