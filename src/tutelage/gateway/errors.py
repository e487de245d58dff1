"""Errors as they go over the wire: an HTTP status with OpenAI's body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class WireError(Exception):
    """An error with its HTTP status, OpenAI's type and code, and headers such as `Retry-After`."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.headers = status, kind, code, dict(headers or {})
        self.raw: bytes | None = None
        """An upstream's own error body, which goes on as it came."""

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": None, "code": self.code}}
