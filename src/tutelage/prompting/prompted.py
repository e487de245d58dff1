"""A language model, asked with a prompt, as a predictor."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

from tutelage.errors import AnswerError, ModelError
from tutelage.models.chat import ChatModel, Message, Params, PerLoop, Reply
from tutelage.models.prices import cost, estimated_prompt_tokens, estimated_tokens
from tutelage.prompting.selectors import Selector
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.settings import PromptedSettings
from tutelage.prompting.template import Template, repair
from tutelage.tasks import Task
from tutelage.tasks.base import Settled
from tutelage.tasks.file import Price
from tutelage.types import Input, OneByOne, Prediction, Usage, digest

REPAIR_TOKENS = 100
"""An estimate of what one message of repair is billed as."""


class Estimate(NamedTuple):
    """Tokens of one call, guessed before it: input as UTF-8 bytes / 3, output at its maximum."""

    input_tokens: int
    output_tokens: int


@runtime_checkable
class Asked(OneByOne, Protocol):
    """A predictor whose answers are asked of a model and may cost money: single calls, and those made of several.

    `source` is what its labels bear, `price` the model's (None: not known), `concurrency` how many answers are worth
    asking for at a time.
    """

    @property
    def source(self) -> str: ...

    @property
    def price(self) -> Price | None: ...

    @property
    def concurrency(self) -> int: ...

    def at_most(self, concurrency: int) -> Asked:
        """The same with another number of calls at a time."""
        ...

    def unsendable(self, input: Input) -> str | None:
        """Why no call is made for `input`, or None."""
        ...

    def estimate(self, input: Input) -> Estimate:
        """The tokens of the calls about `input`, repairs left out."""
        ...

    def dollars(self, input: Input, *, repairs: bool = True) -> float | None:
        """The most that an answer about `input` is estimated to cost; None without a price."""
        ...

    async def close(self) -> None: ...


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
        selector: Selector | None = None,
        price: Price | None = None,
    ) -> None:
        self.model, self.task, self.price = model, task, price
        self.settings = settings or PromptedSettings(model.name)
        self.selector = selector or FixedShots(())
        self.template = Template(task, self.selector)
        self.concurrency = self.settings.concurrency or model.limits.concurrency
        self.source = f"teacher:{model.name}@{prompt_version(self.template, self.settings)}"
        self._name = name or model.name
        self._slots = PerLoop(lambda: asyncio.Semaphore(self.concurrency))
        self._params = Params(
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
            structured=self.settings.structured,
            schema=task.schema(),
            top_p=self.settings.top_p,
            top_k=self.settings.top_k,
            min_p=self.settings.min_p,
            stop=self.settings.stop,
            seed=self.settings.seed,
            pattern=self.settings.pattern,
            logprobs=self.settings.logprobs,
        )

    @property
    def name(self) -> str:
        return self._name

    def at_most(self, concurrency: int) -> Prompted:
        """The same predictor over the same model with another number of calls at a time."""
        settings = replace(self.settings, concurrency=concurrency)
        return Prompted(self.model, self.task, settings, name=self._name, selector=self.selector, price=self.price)

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
        return await self.draw(input, self.settings.seed)

    async def draw(self, input: Input, seed: int | None) -> Prediction:
        """As `predict_one`, sampled with `seed`."""
        if problem := self.unsendable(input):
            return self._failed(problem, [], 0.0)
        async with self._slots.get():
            return await self._ask(input, replace(self._params, seed=seed))

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
        prompt = estimated_prompt_tokens(self.template.messages(input))
        return Estimate(self._schema_tokens + prompt, self.settings.max_tokens)

    @cached_property
    def _schema_tokens(self) -> int:
        return estimated_tokens(json.dumps(self._params.schema)) if self.settings.structured == "schema" else 0

    def dollars(self, input: Input, *, repairs: bool = True) -> float | None:
        """The most that an answer about `input` is estimated to cost (without `repairs`: one call); None without a price."""
        prompt, output = self.estimate(input)
        total = Usage()
        for turn in range(1 + (self.settings.repairs if repairs and prompt else 0)):
            total += Usage(prompt + turn * (output + REPAIR_TOKENS), output)
        return cost(self.price, total)

    async def close(self) -> None:
        await self.model.close()

    async def _ask(self, input: Input, params: Params) -> Prediction:
        start = time.perf_counter()
        talk = _Talk(self.template.messages(input))
        problem: str | None = None
        for _ in range(1 + self.settings.repairs):
            try:
                reply = await self.model.complete(talk.messages, params)
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
    return digest([template.facts(), shaping, *([unusual] if (unusual := settings.unusual()) else [])])[:8]


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
