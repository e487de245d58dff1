"""What tokens cost."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.models.chat import Message
from tutelage.tasks.file import Price
from tutelage.types import Usage

BYTES_PER_TOKEN = 3
"""Low on purpose: English has about four characters a token, so that an estimate is rather too high."""

MESSAGE_TOKENS = 8
"""What the frame of one message (role, separators) costs at most in the common chat formats."""


def cost(price: Price | None, usage: Usage) -> float | None:
    """Dollars for `usage`, cached input tokens at their own price where it has one; None where no price is known."""
    if price is None:
        return None
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    fresh = usage.input_tokens - cached
    return (fresh * price.input + cached * cached_price + usage.output_tokens * price.output) / 1_000_000


def batch_price(price: Price | None) -> Price | None:
    """What the same tokens cost in a batch."""
    if price is None:
        return None
    share = 1 - price.batch_discount
    cached = None if price.cached_input is None else share * price.cached_input
    return price.model_copy(update={"input": share * price.input, "output": share * price.output, "cached_input": cached})


def estimated_tokens(text: str) -> int:
    """An estimate of the tokens in `text`: UTF-8 bytes / 3, rounded up (for English, characters / 3)."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def estimated_prompt_tokens(messages: Sequence[Message]) -> int:
    """An estimate, made before a call, of the tokens that `messages` will be billed as."""
    return sum(estimated_tokens(message.content) + MESSAGE_TOKENS for message in messages)
