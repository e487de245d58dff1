"""A language model, asked with a prompt, as a predictor."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field

from tutelage.errors import AnswerError, ModelError
from tutelage.models.chat import ChatModel, Message, Params, PerLoop, Reply, Structured
from tutelage.models.prices import cost, estimated_prompt_tokens, estimated_tokens
from tutelage.prompting.template import Template, repair
from tutelage.tasks import Task
from tutelage.tasks.base import Settled
from tutelage.tasks.file import Price
from tutelage.types import Input, Labelled, Prediction, Usage, digest

REPAIR_TOKENS = 100
"""An estimate of what one message of repair is billed as."""


@dataclass(frozen=True)
class PromptedSettings:
    """A candidate of family `prompted` in task.toml. `model` is a name, or a GGUF file's path for provider "gguf".

    `timeout` in seconds holds for each attempt; `context`, in tokens, and `threads` are for local files; `repairs` is
    how often an answer that does not fit is asked for again; `shots` is the number of solved examples in the prompt.
    Empty `concurrency` and `timeout` are what the provider thinks fit (8 calls at a time, 1 for a local file).
    """

    model: str
    provider: str = "openai"
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    structured: Structured = "schema"
    temperature: Annotated[float, Field(ge=0)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] = 512
    concurrency: Annotated[int | None, Field(ge=1)] = None
    repairs: Annotated[int, Field(ge=0)] = 1
    max_retries: Annotated[int, Field(ge=0)] = 4
    timeout: Annotated[float | None, Field(gt=0)] = None
    context: Annotated[int, Field(ge=128)] = 4096
    threads: Annotated[int | None, Field(ge=1)] = None
    shots: Annotated[int, Field(ge=0)] = 0
    logprobs: bool = True

    @property
    def hosted(self) -> bool:
        """Whether somebody else's machine answers: any endpoint that is not on this one."""
        host = urlsplit(self.base_url or "https://api.openai.com").hostname
        return self.provider == "openai" and host not in ("127.0.0.1", "localhost", "::1")


class Estimate(NamedTuple):
    """Tokens of one call, guessed before it: input as UTF-8 bytes / 3, output at its maximum."""

    input_tokens: int
    output_tokens: int


class _Answer(NamedTuple):
    settled: Settled
    reply: Reply


@dataclass
class _Talk:
    """One conversation about one input."""

    messages: list[Message]
    replies: list[Reply] = field(default_factory=list)
    best: _Answer | None = None
    asked_to_fit: bool = False


class Prompted:
    """`model` asked to do `task`. `source`, which its labels bear, changes with everything that shapes the prompt."""

    def __init__(
        self,
        model: ChatModel,
        task: Task,
        settings: PromptedSettings | None = None,
        *,
        name: str | None = None,
        shots: Sequence[Labelled] = (),
        price: Price | None = None,
    ) -> None:
        self.model, self.task, self.price = model, task, price
        self.settings = settings or PromptedSettings(model.name)
        self.template = Template(task, tuple(shots))
        self.concurrency = self.settings.concurrency or model.limits.concurrency
        self.source = f"teacher:{model.name}@{prompt_version(self.template, self.settings)}"
        self._name = name or model.name
        self._slots = PerLoop(lambda: asyncio.Semaphore(self.concurrency))
        self._params = Params(
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
            structured=self.settings.structured,
            schema=task.schema(),
            logprobs=self.settings.logprobs,
        )

    @property
    def name(self) -> str:
        return self._name

    def at_most(self, concurrency: int) -> Prompted:
        """The same predictor over the same model with another number of calls at a time."""
        settings, shots = replace(self.settings, concurrency=concurrency), self.template.shots
        return Prompted(self.model, self.task, settings, name=self._name, shots=shots, price=self.price)

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, `concurrency` at a time. Raises ModelError when no call can succeed (bad key, no such model, down)."""
        tasks = [asyncio.ensure_future(self.predict_one(input)) for input in inputs]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def predict_one(self, input: Input) -> Prediction:
        """One answer; its usage is the sum of all calls made for it, repairs included. Raises ModelError as `predict`."""
        if problem := self.unsendable(input):
            return self._failed(problem, [], 0.0)
        async with self._slots.get():
            return await self._ask(input)

    def unsendable(self, input: Input) -> str | None:
        """Why no call is made for `input` (too long), or None."""
        longest, length = self.model.limits.max_characters, sum(len(input[field]) for field in self.task.fields)
        if length <= longest:
            return None
        return f"The input has {length:,} characters; {self.model.name!r} is sent at most {longest:,}. Shorten it."

    def estimate(self, input: Input) -> Estimate:
        """The tokens of one call about `input`; none when no call would be made."""
        if self.unsendable(input):
            return Estimate(0, 0)
        fresh = estimated_prompt_tokens(self.template.messages(input)[len(self.template.prefix) :])
        return Estimate(self._prefix_tokens + fresh, self.settings.max_tokens)

    @cached_property
    def _prefix_tokens(self) -> int:
        schema = json.dumps(self._params.schema) if self.settings.structured == "schema" else ""
        return estimated_prompt_tokens(self.template.prefix) + estimated_tokens(schema)

    def dollars(self, input: Input, *, repairs: bool = True) -> float | None:
        """The most that an answer about `input` is estimated to cost (without `repairs`: one call); None without a price."""
        prompt, output = self.estimate(input)
        total = Usage()
        for turn in range(1 + (self.settings.repairs if repairs and prompt else 0)):
            total += Usage(prompt + turn * (output + REPAIR_TOKENS), output)
        return cost(self.price, total)

    async def close(self) -> None:
        await self.model.close()

    async def _ask(self, input: Input) -> Prediction:
        start = time.perf_counter()
        talk = _Talk(self.template.messages(input))
        problem: str | None = None
        for _ in range(1 + self.settings.repairs):
            try:
                reply = await self.model.complete(talk.messages, self._params)
            except ModelError as error:
                if error.fatal and not talk.replies:
                    raise
                problem = str(error)
                break
            talk.replies.append(reply)
            problem = self._judge(talk, reply, input)
            if problem is None:
                break
            talk.messages += [Message("assistant", reply.text), repair(problem)]
        if talk.best is None:
            return self._failed(problem or "", talk.replies, time.perf_counter() - start)
        settled, last = talk.best
        note = _note(talk, settled.note)
        return Prediction(settled.value, _confidence(last), _summed(talk.replies), self.source, None, note)

    def _judge(self, talk: _Talk, reply: Reply, input: Input) -> str | None:
        """What is wrong with `reply` and worth asking again for, or None. Keeps the newest answer that can be used."""
        try:
            value = self.task.parse(reply.text)
        except AnswerError as error:
            if reply.finish_reason == "length":
                return f"The answer was cut off at max_tokens = {self.settings.max_tokens}: it must be shorter."
            return str(error)
        settled = self.task.settle(value, input)
        talk.best = _Answer(settled, reply)
        if settled.problem is None or talk.asked_to_fit:
            return None
        talk.asked_to_fit = True
        return settled.problem

    def _failed(self, problem: str, replies: Sequence[Reply], seconds: float) -> Prediction:
        nothing = Usage(dollars=None if self.price is None else 0.0)
        usage = replace(_summed(replies) if replies else nothing, seconds=seconds)
        return Prediction(None, None, usage, self.source, problem)


def prompt_version(template: Template, settings: PromptedSettings) -> str:
    """Eight hexadecimal digits that change with the prompt and with the settings that shape answers."""
    shaping = [settings.structured, settings.temperature, settings.max_tokens, settings.repairs]
    return digest([template.facts(), shaping])[:8]


def _summed(replies: Sequence[Reply]) -> Usage:
    total = replies[0].usage
    for reply in replies[1:]:
        total += reply.usage
    return total


def _confidence(reply: Reply) -> float | None:
    """The geometric mean of the tokens' probabilities, where the model gave them."""
    if not reply.tokens:
        return None
    return min(1.0, math.exp(sum(token.logprob for token in reply.tokens) / len(reply.tokens)))


def _note(talk: _Talk, misfit: str | None) -> str | None:
    repairs = len(talk.replies) - 1
    parts = [f"{repairs} repair{'s' if repairs > 1 else ''}"] if repairs else []
    return "; ".join(parts + ([misfit] if misfit else [])) or None
