"""One conversation with a model about one input: asked, asked again where the answer does not fit, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tutelage.errors import AnswerError, ModelError
from tutelage.models.chat import ChatModel, Message, NoAnswer, Params, Reply
from tutelage.models.prices import MESSAGE_TOKENS
from tutelage.prompting.form import Form, Read
from tutelage.tasks.base import Settled
from tutelage.types import Input, Usage

CUT = "cut off at max_tokens"
SHORTEN = "Shorten the input, show fewer shots (shots, shot_tokens)"


class Answer(NamedTuple):
    """An answer that can be used: as it fits the input, as it was read, and the reply it stands in."""

    settled: Settled
    read: Read
    reply: Reply


@dataclass
class Talk:
    """What came of a conversation: the newest answer that can be used, and what is wrong with the last one or with none.

    `usages` are those of all calls that were billed, `repairs` the answers that were asked for again, `error` what ended
    it from outside.
    """

    messages: list[Message]
    answer: Answer | None = None
    problem: str | None = None
    error: ModelError | None = None
    usages: list[Usage] = field(default_factory=list)
    repairs: int = -1
    told_misfit: bool = False

    @property
    def hopeless(self) -> bool:
        """Whether another conversation would end the same way: all but a refusal or an answer that does not fit."""
        return self.answer is None and self.error is not None and not isinstance(self.error, NoAnswer)


@dataclass(frozen=True)
class Asker:
    """Holds conversations with `model`, each with `repairs` requests to answer again at most; `window` is in tokens."""

    model: ChatModel
    form: Form
    repairs: int
    window: int | None

    async def talk(self, messages: Sequence[Message], params: Params, input: Input) -> Talk:
        """One conversation. Raises nothing for a call that fails: see `Talk.error`."""
        talk = Talk(list(messages))
        for _ in range(1 + self.repairs):
            try:
                await self.check(talk.messages, params.max_tokens)
                reply = await self.model.complete(talk.messages, params)
            except ModelError as error:
                self.hear(talk, error, input, params.max_tokens)
                break
            self.hear(talk, reply, input, params.max_tokens)
            if talk.problem is None:
                break
            talk.messages += [Message("assistant", reply.text), Message("user", self.form.repair(talk.problem))]
        return talk

    def hear(self, talk: Talk, came: Reply | ModelError, input: Input, max_tokens: int) -> None:
        """Take in what came of the last call."""
        if isinstance(came, ModelError):
            talk.usages += [came.usage] if isinstance(came, NoAnswer) else []
            talk.problem, talk.error = str(came), came
            return
        talk.repairs += 1
        talk.usages.append(came.usage)
        talk.problem = self._judge(talk, came, input, max_tokens)

    async def check(self, messages: Sequence[Message], answer: int) -> None:
        """Raises ModelError for a prompt that is not worth sending, or leaves no room for `answer` tokens in the window."""
        longest, length = self.model.limits.max_characters, sum(len(message.content) for message in messages)
        if length > longest:
            raise ModelError(
                f"The prompt has {length:,} characters; {self.model.name!r} is sent at most {longest:,}. {SHORTEN}."
            )
        if self.window is None:
            return
        # No token is less than a byte, no character more than four: most prompts need no counting.
        if 4 * length + MESSAGE_TOKENS * len(messages) + answer <= self.window:
            return
        tokens = await self.model.count_tokens(messages)
        if tokens + answer > self.window:
            raise ModelError(
                f"The prompt has {tokens:,} tokens and the answer may take {answer:,}; {self.model.name!r} holds "
                f"{self.window:,} together. {SHORTEN}, lower max_tokens, or raise context."
            )

    def _judge(self, talk: Talk, reply: Reply, input: Input, max_tokens: int) -> str | None:
        """What is wrong with `reply` and worth asking again for, or None. Keeps the newest answer that can be used."""
        cut = f"The answer was cut off at max_tokens = {max_tokens}: it must be shorter."
        try:
            read = self.form.read(reply.text)
        except AnswerError as error:
            return cut if reply.finish_reason == "length" else str(error)
        settled = self.form.task.settle(read.value, input)
        if reply.finish_reason == "length" and self.form.open_ended(reply.text):
            settled = Settled(settled.value, cut, "; ".join(filter(None, (settled.note, CUT))))
        talk.answer = Answer(settled, read, reply)
        if settled.problem is None or talk.told_misfit:
            return None
        talk.told_misfit = True
        return settled.problem
