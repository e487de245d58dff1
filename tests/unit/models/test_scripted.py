from __future__ import annotations

import asyncio

import pytest

from tutelage.errors import ModelError
from tutelage.models import ChatModel, Message, Params, Reply
from tutelage.models.chat import Token
from tutelage.models.scripted import USAGE, Answers, ScriptedModel
from tutelage.types import Usage


def ask(model: ScriptedModel, text: str = "a") -> Reply:
    return asyncio.run(model.complete([Message("user", text)], Params(logprobs=True)))


@pytest.mark.parametrize("answers", [{"a": "yes"}, ["yes"], lambda text: "yes" if text == "a" else "no"])
def test_answers_from_any_script(answers: Answers) -> None:
    model = ScriptedModel(answers, tokens=[Token("yes", -1.0)])
    reply = ask(model)
    assert (reply.text, reply.usage, reply.tokens) == ("yes", USAGE, (Token("yes", -1.0),))
    assert model.calls[0].messages == (Message("user", "a"),)
    assert isinstance(model, ChatModel)


def test_whole_replies_and_errors() -> None:
    whole = Reply("cut", Usage(1, 2), "m", "length")
    model = ScriptedModel([whole, ModelError("down", retryable=True)])
    assert ask(model) is whole
    with pytest.raises(ModelError, match="down") as caught:
        ask(model)
    assert caught.value.retryable


@pytest.mark.parametrize("answers", [{}, []])
def test_a_script_that_ends_says_so(answers: Answers) -> None:
    with pytest.raises(ModelError, match="no answer for call 1, 'a'"):
        ask(ScriptedModel(answers))


def test_close_is_recorded() -> None:
    model = ScriptedModel([])
    asyncio.run(model.close())
    assert model.closed
