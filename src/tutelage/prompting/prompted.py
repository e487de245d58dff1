"""A language model, asked with a prompt, as a predictor."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tutelage.errors import DataError, ModelError
from tutelage.models.chat import ChatModel, Message, Params, PerLoop, Reply
from tutelage.models.prices import cost, estimated_prompt_tokens, estimated_tokens
from tutelage.prompting.asking import Answer, Asker, Talk
from tutelage.prompting.form import form_of
from tutelage.prompting.selectors import Selector
from tutelage.prompting.selectors.fixed import FixedShots
from tutelage.prompting.settings import PromptedSettings
from tutelage.prompting.template import Template
from tutelage.tasks import Task
from tutelage.tasks.confidence import confidence
from tutelage.tasks.file import Price
from tutelage.tasks.reasoning import noted
from tutelage.types import Input, OneByOne, Prediction, Usage, digest

PROMPTS_KEPT = 256

_COUNTED = ("structured", "temperature", "max_tokens", "repairs")
"""The settings that every version counts, in this order; others only where they are set (see `PromptedSettings.unusual`)."""

REPAIR_TOKENS = 100
"""An estimate of what one message of repair is billed as."""


class Estimate(NamedTuple):
    """Tokens of one call, guessed before it: input as UTF-8 bytes / 3, output at its maximum."""

    input_tokens: int
    output_tokens: int


class Question(NamedTuple):
    """A prompt and how it is to be answered."""

    messages: Sequence[Message]
    params: Params


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


class Prompted:
    """`model` asked to do `task`. `source`, which its labels bear, changes with everything that shapes the prompt.

    Raises UsageError for settings that do not go together or with the task, and for a template that cannot be used.
    """

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
        self.form = form_of(task, self.settings)
        self.template = Template(self.form, self.selector, self.settings.system, self.settings.user)
        self.concurrency = self.settings.concurrency or model.limits.concurrency
        self.source = f"teacher:{model.name}@{prompt_version(self.template, self.settings)}"
        self._name = name or model.name
        self._slots = PerLoop(lambda: asyncio.Semaphore(self.concurrency))
        self.params = self.form.params(self.settings)
        self._asker = Asker(model, self.form, self.settings.repairs, self.settings.context or model.limits.context)
        self._names = frozenset(self.form.schema["properties"]) - set(self.form.asked)
        self._prompts: OrderedDict[tuple[str, ...], list[Message]] = OrderedDict()

    @property
    def name(self) -> str:
        return self._name

    @property
    def content(self) -> dict[str, Any]:
        """What the version in `source` is the hash of, and the model, as JSON."""
        return {"model": self.model.name, "settings": _shaping(self.settings), **self.template.facts()}

    def at_most(self, concurrency: int) -> Prompted:
        """The same predictor over the same model with another number of calls at a time."""
        settings = replace(self.settings, concurrency=concurrency)
        return Prompted(self.model, self.task, settings, name=self._name, selector=self.selector, price=self.price)

    async def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """Answers, `concurrency` at a time. Raises ModelError when no call can succeed (bad key, no such model, down)."""
        return await every_one(self.predict_one, inputs)

    async def predict_one(self, input: Input) -> Prediction:
        """One answer; its usage is the sum of all calls made for it. Raises ModelError as `predict`."""
        return await self.draw(input, self.settings.seed)

    async def draw(self, input: Input, seed: int | None) -> Prediction:
        """As `predict_one`, sampled with `seed`; a second try is sampled with the next one, and so on."""
        if problem := self.unsendable(input):
            return self._failed(problem, [], 0.0)
        async with self._slots.get():
            return await self._ask(input, seed)

    def unsendable(self, input: Input) -> str | None:
        """Why no call is made for `input` (too long), or None."""
        longest, length = self.model.limits.max_characters, sum(len(input[field]) for field in self.task.fields)
        if length <= longest:
            return None
        return f"The input has {length:,} characters; {self.model.name!r} is sent at most {longest:,}. Shorten it."

    def estimate(self, input: Input) -> Estimate:
        """The tokens of one call about `input`; none when no call would be made."""
        try:
            messages = [] if self.unsendable(input) else self._messages(input)
        except DataError:
            messages = []
        if not messages:
            return Estimate(0, 0)
        return Estimate(self._schema_tokens + estimated_prompt_tokens(messages), self.settings.max_tokens)

    @cached_property
    def _schema_tokens(self) -> int:
        sent = self.settings.structured in ("schema", "tool")
        return estimated_tokens(json.dumps(self.params.schema)) if sent else 0

    def dollars(self, input: Input, *, repairs: bool = True) -> float | None:
        """The most that an answer about `input` is estimated to cost (without `repairs`: one call); None without a price."""
        prompt, output = self.estimate(input)
        tries, turns = (self.settings.tries, 1 + self.settings.repairs) if repairs and prompt else (1, 1)
        total = Usage()
        for turn in range(turns):
            total += Usage(tries * (prompt + turn * (output + REPAIR_TOKENS)), tries * output)
        return cost(self.price, total)

    async def question(self, input: Input) -> Question:
        """What a first call about `input` sends, for who asks by other means. Raises DataError or ModelError for what
        would not be sent."""
        if problem := self.unsendable(input):
            raise DataError(problem)
        messages = await self._prompt(input)
        await self._asker.check(messages, self.params.max_tokens)
        return Question(messages, self.params)

    def heard(self, input: Input, came: Reply | ModelError | DataError) -> Prediction:
        """The prediction that `came`, which answers a `question`, makes: as a call's, but that nothing is asked again."""
        if isinstance(came, DataError):
            return self._failed(str(came), [], 0.0)
        talk = Talk([])
        self._asker.hear(talk, came, input, self.params.max_tokens)
        return self._came_of(talk, talk.usages, 0, 0.0)

    async def close(self) -> None:
        await self.model.close()

    async def _prompt(self, input: Input) -> list[Message]:
        if self._searching:  # an index, or an encoder: not on the event loop
            return await asyncio.to_thread(self._messages, input)
        return self._messages(input)

    def _messages(self, input: Input) -> list[Message]:
        """The prompt; the last ones are kept, since one input is estimated, asked about and drawn again."""
        key = tuple(input[field] for field in self.task.fields)
        if (messages := self._prompts.get(key)) is None:
            messages = self.template.messages(input)
            self._prompts[key] = messages
            while len(self._prompts) > PROMPTS_KEPT:
                self._prompts.popitem(last=False)
        return messages

    async def _ask(self, input: Input, seed: int | None) -> Prediction:
        start = time.perf_counter()
        try:
            messages = await self._prompt(input)
        except DataError as error:
            return self._failed(str(error), [], time.perf_counter() - start)
        usages: list[Usage] = []
        for number in range(self.settings.tries):
            talk = await self._asker.talk(messages, self._sampled(seed, number), input)
            usages += talk.usages
            if talk.answer is not None or talk.hopeless:
                break
        if talk.error is not None and talk.error.fatal and not usages:
            raise talk.error
        return self._came_of(talk, usages, number, time.perf_counter() - start)

    def _sampled(self, seed: int | None, number: int) -> Params:
        """What the try with this number is asked with."""
        if number:
            seed = (seed or 0) + number
        return self.params if seed == self.params.seed else replace(self.params, seed=seed)

    @cached_property
    def _searching(self) -> bool:
        return not isinstance(self.selector, FixedShots)

    def _came_of(self, talk: Talk, usages: Sequence[Usage], tries_before: int, seconds: float) -> Prediction:
        """The prediction of a conversation that has ended."""
        if talk.answer is None:
            return self._failed(talk.problem or "", usages, seconds)
        note = noted(_note(tries_before, talk, talk.answer.settled.note), talk.answer.read.reasoning)
        return self._prediction(talk.answer, usages, note)

    def _prediction(self, answer: Answer, usages: Sequence[Usage], note: str | None) -> Prediction:
        value, said = answer.settled.value, answer.read.verbalised
        signals, parts = confidence(self.task, value, answer.reply.text, answer.reply.tokens, self._names)
        if said is not None:
            signals = {**signals, "verbalised": said}
        return Prediction(
            value,
            signals.get(self.settings.confidence),
            _summed(usages),
            self.source,
            note=note,
            signals=signals,
            parts=parts,
        )

    def _failed(self, problem: str, usages: Sequence[Usage], seconds: float) -> Prediction:
        nothing = Usage(dollars=None if self.price is None else 0.0)
        usage = replace(_summed(usages) if usages else nothing, seconds=seconds)
        return Prediction(None, None, usage, self.source, problem)


def prompt_version(template: Template, settings: PromptedSettings) -> str:
    """Eight hexadecimal digits that change with the prompt and with the settings that shape answers."""
    shaping, unusual = [getattr(settings, name) for name in _COUNTED], settings.unusual()
    return digest([template.facts(), shaping, *([unusual] if unusual else [])])[:8]


def _shaping(settings: PromptedSettings) -> dict[str, Any]:
    """The settings that `prompt_version` counts, by name."""
    return {name: getattr(settings, name) for name in _COUNTED} | settings.unusual()


def _summed(usages: Sequence[Usage]) -> Usage:
    total = usages[0]
    for usage in usages[1:]:
        total += usage
    return total


def _note(tries_before: int, talk: Talk, misfit: str | None) -> str | None:
    repairs = f"{talk.repairs} repair{'s' if talk.repairs > 1 else ''}" if talk.repairs > 0 else None
    tries = f"{tries_before + 1} tries" if tries_before else None
    return "; ".join(part for part in (tries, repairs, misfit) if part) or None


async def every_one(predict_one: Callable[[Input], Awaitable[Prediction]], inputs: Sequence[Input]) -> list[Prediction]:
    """The predictions for all inputs, in order, asked at once; when one raises, the others are given up."""
    tasks = [asyncio.ensure_future(predict_one(input)) for input in inputs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
