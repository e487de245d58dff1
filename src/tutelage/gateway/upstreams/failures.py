"""What a failed attempt means: whether asking again can help, when, and where."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tutelage.gateway.errors import WireError

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 8.0
CLIENTS = frozenset({400, 404, 405, 409, 411, 413, 415, 416, 422})
"""Statuses that blame the request: another target would say the same. 404 is a target's unknown model, see `AttemptFailed`."""


class AttemptFailed(Exception):
    """One attempt at one target came to nothing.

    `status` is what the client gets if nothing else helps; `body` the target's own error body where it sent one. `again`:
    another attempt may succeed; `elsewhere`: only at another target. `faulty`: it counts against the target (circuit).
    `pause`: seconds that the target asked to wait. `reason` in a word, for counting: a status, "timeout", "malformed", "broken".
    """

    reason = "broken"

    def __init__(
        self,
        message: str,
        status: int = 502,
        *,
        again: bool = True,
        elsewhere: bool = False,
        faulty: bool = True,
        pause: float | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.again, self.elsewhere, self.faulty = status, again, elsewhere, faulty
        self.pause, self.body = pause, body

    def wire(self) -> WireError:
        """As the client sees it."""
        headers = {"Retry-After": f"{max(1, round(self.pause))}"} if self.pause is not None else None
        kind = "invalid_request_error" if self.status < 429 else "api_error"
        if self.status == 429:
            kind, code = "rate_limit_error", "rate_limit_exceeded"
        else:
            code = "upstream_error"
        found = WireError(self.status, str(self), kind, code, headers)
        found.raw = self.body
        return found


def refused(where: str, status: int, said: str, retry_after: str | None, body: bytes | None) -> AttemptFailed:
    """The failure that an HTTP status other than 200 is."""
    text = f"{where} answered {status}: {said}" if said else f"{where} answered {status}."
    if status == 429:
        return AttemptFailed(text, 429, faulty=False, pause=seconds_of(retry_after), body=body)
    if status in (401, 402, 403, 404):  # our key or our name of the model is wrong there, not the client's
        return AttemptFailed(text, 502, elsewhere=True)
    if status in CLIENTS:
        return AttemptFailed(text, status, again=False, faulty=False, body=body)
    if status == 408 or status >= 500:
        return AttemptFailed(text, 502, pause=seconds_of(retry_after))
    return AttemptFailed(text, 502, again=False)


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number or an HTTP date."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def pause_before(attempt: int, asked: float | None) -> float:
    """Seconds before attempt `attempt` (from 1): what was asked for, else doubling, with full jitter (so that many clients
    do not come back at once). The loop around it also chooses targets and keeps two deadlines, which retry libraries do not.
    """
    if asked is not None:
        return asked + random.uniform(0, 0.1)
    return random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1)))
