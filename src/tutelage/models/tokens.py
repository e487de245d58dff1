"""The generated tokens of an answer, as an endpoint lists them, made to fit the answer's text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from openai.types.chat import ChatCompletionTokenLogprob

from tutelage.models.chat import Token


def aligned(listed: Sequence[ChatCompletionTokenLogprob], text: str) -> tuple[Token, ...] | None:
    """The tokens whose texts join to `text`; None when `text` is empty or is not among them.

    What stands around `text` is left out: white space that the endpoint strips, the JSON around a bare text, reasoning
    before the answer, the token that ends it. Of a character that is split over tokens the last one bears the whole; a last
    token cut by a stop text lends its logarithm to what is left of it.
    """
    tokens = _decoded(listed)
    whole = "".join(token.text for token in tokens)
    if not text or not whole:
        return None
    if whole == text:
        return tuple(tokens)
    start = whole.rfind(text)
    if start >= 0:
        return _cut(tokens, start, start + len(text))
    if text.startswith(whole) and len(text) - len(whole) <= len(whole):
        last = max(at for at, token in enumerate(tokens) if token.text)
        ended = Token(tokens[last].text + text[len(whole) :], tokens[last].logprob, tokens[last].others)
        return (*tokens[:last], ended)
    return None


def _decoded(listed: Sequence[ChatCompletionTokenLogprob]) -> list[Token]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return [
        Token(one.token if one.bytes is None else decoder.decode(bytes(one.bytes)), one.logprob, _others(one))
        for one in listed
        if one.token or one.bytes
    ]


def _others(listed: ChatCompletionTokenLogprob) -> dict[str, float]:
    """The alternatives to a token that spell anything by themselves, without the token itself."""
    texts = [
        one.token if one.bytes is None else bytes(one.bytes).decode("utf-8", "replace") for one in listed.top_logprobs
    ]
    own = listed.token if listed.bytes is None else bytes(listed.bytes).decode("utf-8", "replace")
    known = zip(texts, listed.top_logprobs, strict=True)
    return {text: one.logprob for text, one in known if text and text != own and "\ufffd" not in text}


def _cut(tokens: Sequence[Token], start: int, end: int) -> tuple[Token, ...]:
    """The parts of `tokens` between two places of their joined text."""
    found, at = [], 0
    for text, logprob, others in tokens:
        part = text[max(start - at, 0) : max(end - at, 0)]
        before = text[: max(start - at, 0)]
        inside = start <= at < end if not text else bool(part)
        at += len(text)
        if inside:
            alike = {other[len(before) :]: p for other, p in others.items() if other.startswith(before)}
            found.append(Token(part, logprob, {other: p for other, p in alike.items() if other}))
    return tuple(found)
