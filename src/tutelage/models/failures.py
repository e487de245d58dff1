"""What an OpenAI-compatible endpoint says when a call fails, as one line for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openai

from tutelage.errors import ModelError

OPTIONAL = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "stop",
    "seed",
    "top_logprobs",
    "logprobs",
    "response_format",
)
"""Parameters without which, or with which in another form, a call is still worth making."""

_REFUSALS = ("unsupported", "not support", "not allowed", "not permitted", "unrecognized", "unknown", "extra")

_TOO_LONG = re.compile(r"context.{0,12}(length|size|window)|too many (input )?tokens|prompt is too long", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoint:
    """Who was asked, and how often at most."""

    url: str
    model: str
    api_key_env: str
    timeout: float
    max_retries: int

    def explained(self, error: openai.OpenAIError) -> ModelError:
        """`error` as one line that says what is wrong and what to do."""
        model, at, detail, asked = self.model, self.url, said(error), f"asked {self.max_retries + 1} times"
        match error:
            case openai.APITimeoutError():
                text = f"{at} did not answer within {self.timeout:g} s ({asked}). Raise timeout."
                return ModelError(text, retryable=True)
            case openai.APIConnectionError():
                down = "connect" in type(error.__cause__).__name__.lower()
                cause = line(str(error.__cause__ or error)) or type(error.__cause__).__name__
                what = "cannot be reached" if down else "broke the connection"
                text = f"{at} {what} ({cause}; {asked}). Check base_url and that the server runs."
                return ModelError(text, retryable=True, fatal=down)
            case openai.AuthenticationError():
                text = f"{at} refused the API key in {self.api_key_env} ({detail}). Set a valid key."
                return ModelError(text, fatal=True)
            case openai.NotFoundError():
                text = f"The model {model!r} is not at {at} ({detail}). Check model and base_url."
                return ModelError(text, fatal=True)
            case openai.RateLimitError() if error.code == "insufficient_quota":
                return ModelError(f"The account at {at} has no credit left ({detail}).", fatal=True)
            case openai.RateLimitError():
                text = f"{at} limits the rate ({detail}; {asked}). Lower concurrency or wait."
                return ModelError(text, retryable=True)
            case openai.APIStatusError():
                return self.status(error.status_code, error.code, error.message, detail)
            case _:
                return ModelError(f"{at} failed for model {model!r}: {detail}")

    def status(self, status: int, code: str | None, message: str, detail: str) -> ModelError:
        """An answer with an HTTP status of 400 or more; `detail` is `message` on one line."""
        if code == "content_filter":
            return ModelError(f"The model {self.model!r} refused: the content filter stopped the prompt ({detail})")
        if status in (400, 413) and _TOO_LONG.search(f"{code} {message}"):
            return ModelError(
                f"The prompt is longer than the window of {self.model!r} ({detail}). Shorten the input, take fewer shots, "
                "lower max_tokens, or raise context where the model runs here."
            )
        text = f"{self.url} answered {status} for model {self.model!r}: {detail}"
        return ModelError(text, retryable=status >= 500 or status in (408, 409))


def refused_parameter(error: openai.OpenAIError, body: Mapping[str, Any]) -> str | None:
    """The parameter in `body` that a 400, 403 or 422 refuses and that can be left out or sent in another form."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in (400, 403, 422):
        return None
    text = f"{error.code} {error.param} {error.message}"
    if not any(word in text.lower() for word in _REFUSALS):
        return None
    return next((name for name in OPTIONAL if name in body and re.search(rf"\b{name}\b", text)), None)


def said(error: openai.OpenAIError) -> str:
    """The words of the endpoint; of a page of HTML its text alone."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return line(str(message or getattr(error, "message", "") or error))


def line(text: str, longest: int = 200) -> str:
    """`text` on one line, shortened, without a full stop; a page of HTML without its tags."""
    if re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE):
        text = "a page of HTML: " + re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    found = " ".join(text.split()).rstrip(".")
    return found if len(found) <= longest else found[: longest - 3] + "..."
