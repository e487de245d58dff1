"""A real small model under llama.cpp's server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tutelage.errors import DataError, ModelError
from tutelage.models import PROVIDERS, Message, ModelSettings, Params, Reply
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.settings import weights_folder
from tutelage.tasks.label import LabelTask
from tutelage.types import Prediction

pytest.importorskip("xllamacpp")
from tutelage.models.gguf import GgufChat

MODEL = weights_folder() / "smollm2-135m" / "smollm2-135m-instruct.q4_1.gguf"
needs_weights = pytest.mark.skipif(not MODEL.is_file(), reason=f"no weights at {MODEL}")
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "since": {"type": "integer", "minimum": 1, "maximum": 2026},
    },
    "required": ["city", "since"],
    "additionalProperties": False,
}
TASK = LabelTask("tone", ("text",), "Is the text happy or sad?", labels=("happy", "sad"))


@needs_weights
@pytest.mark.weights
def test_a_local_file_answers_within_the_schema() -> None:
    model = PROVIDERS.load("gguf")(ModelSettings(model=str(MODEL), context=512, threads=2))

    async def run() -> list[Prediction]:
        predictor = Prompted(model, TASK, PromptedSettings(str(MODEL), max_tokens=64))
        try:
            assert predictor.concurrency == 1
            return await predictor.predict([{"text": "I love it"}, {"text": "a b " * 600}, {"text": "x" * 9000}])
        finally:
            await predictor.close()

    fits, too_many_tokens, too_many_characters = asyncio.run(run())
    assert fits.value in TASK.labels and fits.confidence and 0 < fits.confidence <= 1
    assert fits.usage.input_tokens > 0 and fits.usage.dollars is None
    assert too_many_tokens.error and "'smollm2-135m-instruct.q4_1' holds 512" in too_many_tokens.error
    assert too_many_characters.error and "at most 8,192" in too_many_characters.error


@pytest.fixture(scope="module")
def model() -> Iterator[GgufChat]:
    found: GgufChat = PROVIDERS.load("gguf")(ModelSettings(model=str(MODEL), context=512, threads=2))
    yield found
    asyncio.run(found.close())


def ask(
    model: GgufChat, params: Params, text: str = "Name a city in France. Say it with café and \U0001f600."
) -> Reply:
    return asyncio.run(model.complete([Message("user", text)], params))


@needs_weights
@pytest.mark.weights
@pytest.mark.parametrize(
    ("params", "form"),
    [
        (Params(schema=SCHEMA), r'\{"city": ".{0,12}", "since": [1-9][0-9]{0,3}\}'),
        (Params(schema=SCHEMA, structured="tool"), r'\{"city": ".{0,12}", "since": [1-9][0-9]{0,3}\}'),
        (Params(structured="choice", choices=('Mâcon "a"', "Besançon/\U0001f600")), 'Mâcon "a"|Besançon/\U0001f600'),
        (Params(structured="regex", pattern=r"^[A-Z][a-z]{2,6}/\d{2}$"), r"[A-Z][a-z]{2,6}/[0-9]{2}"),
        (Params(structured="none", max_tokens=24), r"[\s\S]+"),
        (Params(structured="none", stop=("a",), max_tokens=24), r"[^a]+"),
    ],
    ids=["schema", "tool", "choice", "regex", "none", "stop"],
)
def test_answers_have_the_form_asked_for_and_tokens_that_join_to_them(
    model: GgufChat, params: Params, form: str
) -> None:
    reply = ask(model, replace(params, logprobs=True))
    assert re.fullmatch(form, reply.text)
    assert reply.tokens and "".join(token.text for token in reply.tokens) == reply.text
    assert all(token.logprob <= 0 for token in reply.tokens)


@needs_weights
@pytest.mark.weights
def test_a_json_object_is_on_one_line_and_a_cut_one_is_said_to_be_cut(model: GgufChat) -> None:
    whole = ask(model, Params(schema=SCHEMA, structured="json", max_tokens=64))
    assert isinstance(json.loads(whole.text), dict) and "\n" not in whole.text
    cut = ask(model, Params(schema=SCHEMA, max_tokens=4))
    assert cut.text.startswith("{") and cut.finish_reason == "length"


@needs_weights
@pytest.mark.weights
def test_a_schema_that_contradicts_itself_is_one_line(model: GgufChat) -> None:
    with pytest.raises(ModelError, match=r"minimum \(5\) is greater than maximum \(3\)"):
        ask(model, Params(schema={"type": "integer", "minimum": 5, "maximum": 3}))


@needs_weights
@pytest.mark.weights
def test_prompt_tokens_are_counted_exactly_and_a_shared_prefix_is_read_once(model: GgufChat) -> None:
    shared = "The fox and the hound went to the market. " * 12
    first, second = (
        ask(model, Params(max_tokens=1, structured="none"), f"{shared} {name}?") for name in ("Who", "Why")
    )
    assert asyncio.run(model.count_tokens([Message("user", f"{shared} Who?")])) == first.usage.input_tokens
    assert second.usage.cached_input_tokens > 0.95 * first.usage.input_tokens > first.usage.cached_input_tokens


@needs_weights
@pytest.mark.weights
def test_a_seed_draws_the_same_answer_again(model: GgufChat) -> None:
    drawn = [ask(model, Params(structured="none", temperature=1.5, seed=s, max_tokens=12)).text for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@needs_weights
@pytest.mark.weights
def test_candidates_of_one_file_share_a_server_until_the_last_closes(model: GgufChat) -> None:
    first, second = (GgufChat(ModelSettings(model=str(MODEL), context=256, threads=2)) for _ in range(2))
    started = [asyncio.run(process(one)) for one in (model, first, second)]
    assert started[0] != started[1] == started[2]
    asyncio.run(first.close())
    assert ask(second, Params(max_tokens=1, structured="none")).usage.output_tokens == 1
    for _ in range(2):
        asyncio.run(second.close())
    assert not alive(started[1]) and alive(started[0])


async def process(model: GgufChat) -> int:
    await model.count_tokens([Message("user", "x")])
    assert model._server is not None
    return model._server.process.pid


@needs_weights
@pytest.mark.weights
def test_the_server_ends_with_a_caller_that_is_killed() -> None:
    code = (
        "import asyncio, sys, time\n"
        "from tutelage.models import PROVIDERS, Message, ModelSettings, Params\n"
        f"model = PROVIDERS.load('gguf')(ModelSettings(model={str(MODEL)!r}, context=256, threads=1))\n"
        "asyncio.run(model.complete([Message('user', 'hi')], Params(max_tokens=2)))\n"
        "print(model._server.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    server = int(caller.stdout.readline())
    assert alive(server)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    until = time.monotonic() + 10
    while alive(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(server)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_files_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    build = PROVIDERS.load("gguf")
    with pytest.raises(DataError, match=r"none.gguf cannot be read: No such file"):
        build(ModelSettings(model="none.gguf", folder=tmp_path))
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(DataError, match="is not a GGUF file"):
        build(ModelSettings(model="text.gguf", folder=tmp_path))
    (tmp_path / "torn.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    model = build(ModelSettings(model="torn.gguf", folder=tmp_path))
    with pytest.raises(ModelError, match=r"cannot load .*torn\.gguf") as caught:
        asyncio.run(model.complete([Message("user", "x")], Params()))
    assert caught.value.fatal
    asyncio.run(model.close())
