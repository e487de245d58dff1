"""A chat completion, as any endpoint sends it, read as a reply; and what every request for one holds."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from tutelage.models.binding import Binding, without_bounds
from tutelage.models.chat import Message, NoAnswer, Params, Reply, Token
from tutelage.models.failures import line
from tutelage.models.prices import estimated_prompt_tokens, estimated_tokens
from tutelage.models.tokens import aligned
from tutelage.types import Usage


@dataclass(frozen=True)
class Reader:
    """Reads what `model` at `endpoint` answers."""

    endpoint: str
    model: str

    def reply(self, completion: ChatCompletion, params: Params, binding: Binding, usage: Usage) -> Reply:
        """The answer in `completion`. Raises NoAnswer for a refusal and for what is no answer."""
        choice = completion.choices[0]
        message, finish = choice.message, choice.finish_reason or "stop"
        given = called(choice)
        text = given if given is not None else binding.bare(message.content or "")
        if not text and message.refusal:
            raise NoAnswer(f"The model {self.model!r} refused: {line(message.refusal)}", usage)
        if finish == "content_filter":
            raise NoAnswer(f"The model {self.model!r} refused: a content filter stopped its answer.", usage)
        if not text and finish == "length":
            raise NoAnswer(
                f"The model {self.model!r} came to max_tokens = {params.max_tokens} before the first word of its answer (models "
                "that reason write that first). Raise max_tokens.",
                usage,
            )
        if binding.pattern and finish == "stop" and not binding.pattern.fullmatch(text):
            raise NoAnswer(
                f"{self.endpoint} cannot bind {self.model!r} to a regular expression: it answered {line(text, 60)!r}. Set "
                "dialect to what the endpoint is, or structured to another form.",
                usage,
            )
        tokens = self._tokens(choice, text) if params.logprobs else None
        return Reply(text, usage, completion.model or self.model, "length" if finish == "length" else "stop", tokens)

    def _tokens(self, choice: Choice, text: str) -> tuple[Token, ...] | None:
        found = choice.logprobs.content if choice.logprobs else None
        if found:
            return aligned(found, text)
        if not choice.message.tool_calls:
            warn_once(
                f"{self.endpoint} gives no log probabilities for {self.model!r}: its answers have no confidence from them."
            )
        return None


def malformed(completion: object) -> str:
    """What keeps `completion` from being one ("" when nothing does): the client takes any JSON, and HTML as text."""
    if not isinstance(completion, ChatCompletion):
        return f"found {line(str(completion), 60)!r}"
    choices: Any = completion.choices
    if not isinstance(choices, list) or not choices:
        return "it has no choices"
    message = getattr(choices[0], "message", None)
    content = getattr(message, "content", None)
    if message is None or not isinstance(content, str | None):
        return "its first choice has no message"
    return ""


def called(choice: Choice) -> str | None:
    """The arguments of the first tool that the model called, as JSON; None when it called none."""
    calls = choice.message.tool_calls
    function: Any = getattr(calls[0], "function", None) if calls else None
    given = getattr(function, "arguments", None)
    return given if given is None or isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def usage_of(completion: ChatCompletion, messages: Sequence[Message]) -> Usage:
    """The tokens as billed; estimated where the endpoint does not say, so that a budget still holds."""
    found = completion.usage
    if found is None:
        choice = completion.choices[0]
        written = called(choice) or choice.message.content or ""
        return Usage(estimated_prompt_tokens(messages), estimated_tokens(written))
    details = found.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return Usage(found.prompt_tokens or 0, found.completion_tokens or 0, cached_input_tokens=cached)


def sent(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The messages, lone surrogates, which no UTF-8 can hold, as question marks."""
    return [
        {"role": message.role, "content": message.content.encode("utf-8", "replace").decode("utf-8")}
        for message in messages
    ]


def asked(messages: Sequence[Message], params: Params, binding: Binding, refused: Collection[str]) -> dict[str, Any]:
    """What a request holds but for the model and the most tokens, None where nothing is asked.

    Where "response_format" is among what the endpoint `refused`, its schema comes without bounds.
    """
    body: dict[str, Any] = {
        "messages": sent(messages),
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "min_p": params.min_p,
        "stop": list(params.stop) or None,
        "seed": params.seed,
        "logprobs": params.logprobs or None,
        "top_logprobs": (params.logprobs and params.top_logprobs) or None,
        **binding.body,
    }
    if "response_format" in refused and "response_format" in body:
        body["response_format"] = without_bounds(body["response_format"])
    return body


@functools.cache
def warn_once(text: str) -> None:
    """Say `text` once in the life of the process; Python's own handler writes it to standard error."""
    logging.getLogger(__name__).warning(text)
