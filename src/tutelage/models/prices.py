"""What tokens cost."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tutelage.models.chat import Message
from tutelage.tasks.file import Price
from tutelage.types import Usage

BYTES_PER_TOKEN = 3
"""Low on purpose: English has about four characters a token, so that an estimate is rather too high."""

MESSAGE_TOKENS = 8
"""What the frame of one message (role, separators) costs at most in the common chat formats."""

TABLE = Path(__file__).with_name("prices.toml")
"""Prices as they were on the day that stands in it; what task.toml says goes before it."""

HOSTS = {
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.openai.com": "openai",
    "api.x.ai": "x-ai",
    "generativelanguage.googleapis.com": "google",
}
"""Whose prices hold at an endpoint."""

VENDORS = {"azureopenai": "azure", "bedrock": "aws", "gemini": "google", "vertexai": "google", "xai": "x-ai"}
"""Vendors whose name in any-llm is not the one in the table."""

_DAY = re.compile(r"-(\d{8}|\d{4}-\d\d-\d\d)$")


def listed_price(provider: str, base_url: str | None, model: str) -> Price | None:
    """The price of `model` in the table that comes with the package; None where the table does not know it.

    A day at the end of the name ("-20251001") may be left out in the table. What a gateway asks is not what its vendors ask.
    """
    if provider == "openai":
        vendor = HOSTS.get(urlsplit(base_url or "https://api.openai.com").hostname or "")
    elif provider == "any-llm" and base_url is None:
        vendor, _, model = model.partition(":")
        vendor = VENDORS.get(vendor, vendor)
    else:
        return None
    table = _table()
    rows: Mapping[str, Any] = table["vendors"].get(vendor, {"models": {}})
    found = rows["models"].get(model) or rows["models"].get(_DAY.sub("", model))
    if found is None:
        return None
    prices = {key: value for key, value in found.items() if key != "up_to"}
    most = f", prompts up to {found['up_to']:,} tokens" if "up_to" in found else ""
    return Price(**prices, date=table["date"], source=f"{table['source']}, {rows['source']}{most}")


@functools.cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def cost(price: Price | None, usage: Usage) -> float | None:
    """Dollars for `usage`, cached input tokens at their own price where it has one; None where no price is known."""
    if price is None:
        return None
    return _millionths(price, usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) / 1_000_000


def nanodollars(price: Price | None, read: int, written: int, cached: int = 0) -> int | None:
    """As `cost`, of tokens read (`cached` of them from a cache) and written, as a whole number, so that sums are exact."""
    return None if price is None else round(1000 * _millionths(price, read, written, cached))


def _millionths(price: Price, read: int, written: int, cached: int) -> float:
    """Of a dollar."""
    cached = min(cached, read)
    cached_price = price.input if price.cached_input is None else price.cached_input
    return (read - cached) * price.input + cached * cached_price + written * price.output


def batch_price(price: Price | None) -> Price | None:
    """What the same tokens cost in a batch."""
    if price is None:
        return None
    share = 1 - price.batch_discount
    cached = None if price.cached_input is None else share * price.cached_input
    return price.model_copy(
        update={"input": share * price.input, "output": share * price.output, "cached_input": cached}
    )


def estimated_tokens(text: str) -> int:
    """An estimate of the tokens in `text`: UTF-8 bytes / 3, rounded up (for English, characters / 3)."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def estimated_prompt_tokens(messages: Sequence[Message]) -> int:
    """An estimate, made before a call, of the tokens that `messages` will be billed as."""
    return sum(estimated_tokens(message.content) + MESSAGE_TOKENS for message in messages)
