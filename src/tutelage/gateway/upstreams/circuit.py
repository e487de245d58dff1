"""A circuit breaker: a target that keeps failing is left alone for a while, then probed by a single request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Circuit:
    """Opens after `after` failures in a row; `seconds` later one probe is let through, which closes or opens it again."""

    after: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    failures: int = field(default=0, init=False)
    opened: float | None = field(default=None, init=False)
    probing: bool = field(default=False, init=False)

    @property
    def state(self) -> str:
        """ "closed", "open" or "half-open"."""
        if self.opened is None:
            return "closed"
        return "half-open" if self.probing or self.clock() - self.opened >= self.seconds else "open"

    def lets_through(self) -> bool:
        """Whether a request may be sent now; asked before it is."""
        return self.opened is None or (not self.probing and self.clock() - self.opened >= self.seconds)

    def begin(self) -> None:
        """A request is being sent."""
        if self.opened is not None:
            self.probing = True

    def succeeded(self) -> None:
        self.failures, self.opened, self.probing = 0, None, False

    def failed(self) -> None:
        self.failures += 1
        if self.opened is not None or self.failures >= self.after:
            self.opened = self.clock()
        self.probing = False

    def abandoned(self) -> None:
        """A request ended without telling anything (its client went away)."""
        self.probing = False
