"""Telling of an alarm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp

from tutelage.gateway.operation.state import State

LOG = logging.getLogger("tutelage.gateway.operation")
ATTEMPTS, FIRST_PAUSE, TIMEOUT = 5, 0.5, 10.0
NEXT = 50
"""Traces that are named as the ones to label next."""


def event(task: str, state: State) -> dict[str, Any]:
    """What a webhook gets."""
    alarm = state.alarm
    assert alarm is not None
    return {
        "event": "demoted" if state.mode == "demoted" else "alarm",
        "task": task,
        "candidate": state.candidate,
        "mode": state.mode,
        "why": state.why,
        "at": alarm.at,
        "certificate": alarm.certificate,
        "loss": alarm.loss,
        "limit": alarm.limit,
        "mean_loss": alarm.mean,
        "audited": alarm.audited,
        "evidence": alarm.evidence,
        "label_next": list(state.disagreed[:NEXT]),
    }


async def post(session: Callable[[], aiohttp.ClientSession], url: str, body: dict[str, Any]) -> str:
    """POST `body` as JSON, several times where it fails, with pauses that double. Returns how it went, in some words."""
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
        try:
            limit = aiohttp.ClientTimeout(total=TIMEOUT)
            async with session().post(url, json=body, timeout=limit) as reply:
                if reply.status < 300:
                    return "the webhook was told"
                problem = f"it answered {reply.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = str(error) or type(error).__name__
    LOG.error("The webhook could not be told of %s: %s", body["task"], problem)
    return f"the webhook could not be told: {problem}"
