"""What may be kept: answers that the same words deserve tomorrow, and from anybody.

Three things keep a request out. It samples (temperature above 0, several choices). Its answer is not made of the request
alone: a tool that the provider runs, a conversation that the provider remembers. Or its last user message is bound to a
time ("today", "the latest", "next week"), to whoever asks ("my order", "near me"), or holds personal data (an e-mail
address, a number of nine digits or more). The words are English; `never` adds regular expressions in any language.
The rule errs on the side of asking again: a question refused costs a call, a wrong answer kept is served for `ttl` seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_UNITS = "second|minute|hour|morning|afternoon|evening|night|day|week|weekend|month|quarter|year|term|semester|season"
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_OWN = (
    "order|account|balance|booking|reservation|subscription|invoice|bill|payment|card|password|address|package|parcel"
    "|delivery|shipment|refund|ticket|appointment|profile|e-?mail|phone|number|name|data|history|transaction|statement"
    "|plan|claim|policy|prescription|result|location|salary|payslip|loan|mortgage|purchase|transfer|limit|pin"
)

TIME = re.compile(
    r"\b(?:now|today|tonight|tomorrow|yesterday|nowadays|currently|current|latest|newest|recent|recently|weather|forecast"
    rf"|news|at the moment|at present|so far|up to date|(?:this|last|next|past|coming) (?:{_UNITS}|{_DAYS})"
    r"|(?:what|which) (?:time|day|date|year)|(?:exchange rate|stock price|share price)s?)\b"
)
"""Words that bind an answer to when it was given; matched in lower case."""

PERSON = re.compile(
    rf"\b(?:(?:my|our) (?:[a-z]+ )?(?:{_OWN})s?|who am i|where am i|near me|around here|nearby|near here)\b"
)
"""Words that bind an answer to who asks; matched in lower case."""

PRIVATE = re.compile(r"[\w.+-]+@[\w-]+\.\w|(?<!\d)\+?(?:\d[ ().-]{0,2}){8}\d")
"""An e-mail address; nine digits or more: telephone, card, account and social security numbers."""

_BOUND = ("previous_response_id", "conversation", "background", "web_search_options", "prompt")
"""Fields by which an answer depends on more than the request."""


class Rule:
    """Says of a request whether its answer may be kept. `never`: regular expressions searched in the last user message."""

    def __init__(self, never: Sequence[str] = (), *, sampled: bool = False) -> None:
        self._never = [re.compile(pattern) for pattern in never]
        self._sampled = sampled

    def refuses(self, body: Mapping[str, Any], *, pure: bool = False) -> str | None:
        """Why the answer is not kept, or None. `pure`: see `Cache.key`."""
        if not self._sampled and ((body.get("temperature") or 0) != 0 or (body.get("n") or 1) != 1):
            return "it samples"
        if any(body.get(name) for name in _BOUND) or any(
            not isinstance(tool, Mapping) or tool.get("type", "function") not in ("function", "custom")
            for tool in body.get("tools") or ()
        ):
            return "it depends on more than the request"
        return self._words(last_user_text(body), pure)

    def _words(self, text: str, pure: bool) -> str | None:
        lower = text.lower()
        if not pure and TIME.search(lower):
            return "it is bound to a time"
        if not pure and PERSON.search(lower):
            return "it is bound to a person"
        if PRIVATE.search(text):
            return "it holds personal data"
        if any(pattern.search(text) for pattern in self._never):
            return "it matches `never`"
        return None


def last_user_text(body: Mapping[str, Any]) -> str:
    """The text of the last user message of a chat or response request, the `input` of others; "" where there is none."""
    messages = body.get("messages", body.get("input"))
    if isinstance(messages, str):
        return messages
    if isinstance(messages, Mapping):
        return "\n".join(str(value) for value in messages.values())
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return _text(message.get("content"))
    return "\n".join(text for text in messages if isinstance(text, str))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("text"))


class Asked(NamedTuple):
    """What a client allows: whether a kept answer may be given (`read`), this one kept (`write`), and its age in seconds."""

    read: bool = True
    write: bool = True
    max_age: float | None = None


ANYTHING = Asked()
"""What a client allows that says nothing."""


def asked(cache_control: str | None) -> Asked:
    """The header `Cache-Control` of a request: no-store, no-cache and max-age (RFC 9111, 5.2.1); others have no effect.

    no-store neither reads nor writes; no-cache writes only.
    """
    if not cache_control:
        return ANYTHING
    read = write = True
    max_age: float | None = None
    for directive in cache_control.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name == "no-store":
            read = write = False
        elif name == "no-cache":
            read = False
        elif name == "max-age" and value.strip('"').isdigit():
            max_age = float(value.strip('"'))
    return Asked(read, write, max_age)
