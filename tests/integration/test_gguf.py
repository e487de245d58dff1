"""A real small model under llama.cpp's server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tutelage.errors import DataError, ModelError
from tutelage.models import PROVIDERS, Message, ModelSettings, Params
from tutelage.prompting import Prompted, PromptedSettings
from tutelage.settings import weights_folder
from tutelage.tasks.label import LabelTask
from tutelage.types import Prediction

pytest.importorskip("xllamacpp")

MODEL = weights_folder() / "smollm2-135m" / "smollm2-135m-instruct.q4_1.gguf"
needs_weights = pytest.mark.skipif(not MODEL.is_file(), reason=f"no weights at {MODEL}")
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
