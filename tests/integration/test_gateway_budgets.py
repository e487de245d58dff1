"""A thousand requests at once on a key with one dollar."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from tests.gateways import running
from tutelage.models.fake import FakeOpenAI, Script
from tutelage.store.keys import Key, Limits

DOLLAR = 1_000_000_000
PRICE = {"input": 100.0, "output": 1000.0}
"""Dollars per million tokens: an answer of 4 tokens costs more than 0.4 cents."""


async def asked(url: str, secret: str, count: int) -> list[tuple[int, dict[str, Any], dict[str, str]]]:
    async def one(session: aiohttp.ClientSession, number: int) -> tuple[int, dict[str, Any], dict[str, str]]:
        body = {"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": f"number {number}"}]}
        async with session.post(url, json=body) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, await response.json(), headers

    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        return list(await asyncio.gather(*(one(session, number) for number in range(count))))


def test_a_thousand_requests_at_once_never_spend_more_than_the_budget(tmp_path: Path) -> None:
    with FakeOpenAI(Script(answer="one two three four")) as server:
        targets = [{"model": "fake", "base_url": server.base_url, "price": PRICE}]
        with running(tmp_path, upstreams={"m": {"targets": targets}}, server={"access": "keys"}) as gateway:
            key = Key(id=secrets.token_hex(8), name="poor", limits=Limits(budget_day=DOLLAR))
            secret = gateway.store.keys.add(key)
            url = f"http://127.0.0.1:{gateway.port}/v1/chat/completions"
            found = asyncio.run(asked(url, secret, 1000))
            for _ in range(6):  # what was set aside for the others of the thousand, and not spent, is there again
                found += asyncio.run(asked(url, secret, 50))
            statuses = Counter(status for status, _, _ in found)
            answered = [headers for status, _, headers in found if status == 200]
            cost = sum(round(float(headers["x-tutelage-cost"]) * 1e9) for headers in answered)
            gateway.traces(1300)
            accounts = {name for trace in gateway.store.traces.read() for name in trace.accounts}
            ((spent, _),) = gateway.store.ledger.usage(sorted(accounts)).values()
    assert set(statuses) == {200, 429} and statuses[200] + statuses[429] == 1300
    assert spent == cost <= DOLLAR
    assert cost > 0.9 * DOLLAR  # what is left is less than a few requests may cost
    assert len(server.bodies) == statuses[200]
    for status, body, headers in found:
        if status == 429:
            assert body["error"]["code"] == "insufficient_quota" and int(headers["retry-after"]) >= 1
            assert "It starts anew at" in body["error"]["message"]
