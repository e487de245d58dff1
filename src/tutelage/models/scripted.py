"""A chat model that answers from a script, for tests and examples without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from tutelage.errors import ModelError
from tutelage.models.chat import Limits, Message, Params, Reply, Token
from tutelage.models.prices import estimated_prompt_tokens
from tutelage.types import Usage

Answer: TypeAlias = str | Reply | ModelError
"""A text, a whole reply, or an error to raise."""

Answers: TypeAlias = Callable[[str], Answer] | Mapping[str, Answer] | Sequence[Answer]

USAGE = Usage(input_tokens=10, output_tokens=5, seconds=0.01)


class Call(NamedTuple):
    """What the model was asked."""

    messages: tuple[Message, ...]
    params: Params


class ScriptedModel:
    """Answers by a function or a mapping of the last user message, or from a list in order; `calls` is what it was asked."""

    def __init__(
        self,
        answers: Answers,
        *,
        name: str = "scripted",
        usage: Usage = USAGE,
        tokens: Sequence[Token] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.calls: list[Call] = []
        self.closed = False
        self._answers, self._name, self._usage, self._tokens = answers, name, usage, tokens
        self._limits = limits or Limits()

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> Limits:
        return self._limits

    async def complete(self, messages: Sequence[Message], params: Params) -> Reply:
        """The scripted reply. Raises the scripted ModelError, or one that says that the script has no answer."""
        self.calls.append(Call(tuple(messages), params))
        answer = self._answer(messages[-1].content)
        if isinstance(answer, ModelError):
            raise answer
        if isinstance(answer, Reply):
            return answer
        tokens = tuple(self._tokens) if self._tokens and params.logprobs else None
        return Reply(answer, self._usage, self._name, tokens=tokens)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return estimated_prompt_tokens(messages)

    async def close(self) -> None:
        self.closed = True

    def _answer(self, asked: str) -> Answer:
        if callable(self._answers):
            return self._answers(asked)
        try:
            return self._answers[asked] if isinstance(self._answers, Mapping) else self._answers[len(self.calls) - 1]
        except LookupError:
            return ModelError(f"The script has no answer for call {len(self.calls)}, {asked[:60]!r}.")
