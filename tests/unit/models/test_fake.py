from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from click.testing import CliRunner

from tutelage.errors import UsageError
from tutelage.models.fake import FakeOpenAI, Script, main
from tutelage.types import digest


def ask(server: FakeOpenAI, text: str) -> str | None:
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0, timeout=5) as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
        return answer.choices[0].message.content


def test_the_official_client_gets_scripted_answers_and_models(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with FakeOpenAI(Script(answer=str.upper, models=["m"], log=log)) as server:
        assert ask(server, "hello") == "HELLO"
        with openai.OpenAI(base_url=server.base_url, api_key="k") as client:
            assert [model.id for model in client.models.list()] == ["m"]
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["message"], entry["answered"], entry["fault"]) for entry in logged] == [
        (digest("hello"), True, None)
    ]


def test_only_whole_answers_count_as_answered() -> None:
    with FakeOpenAI(Script(faults=["500", "slow", None], slow=0.01)) as server:
        with pytest.raises(openai.InternalServerError):
            ask(server, "a")
        ask(server, "a")
        ask(server, "b")
    assert server.answered() == {digest("a"): 1, digest("b"): 1}
    assert [asked.fault for asked in server.asked] == ["500", "slow", None]


def test_rates_are_seeded_and_do_not_depend_on_the_order() -> None:
    texts = [f"text {number}" for number in range(12)]

    def faulty(order: list[str]) -> set[str]:
        with FakeOpenAI(Script(rates={"500": 0.3, "429": 0.2}, seed=3)) as server:
            for text in order:
                with contextlib.suppress(openai.APIStatusError):
                    ask(server, text)
        return {asked.message for asked in server.asked if asked.fault}

    found = faulty(texts)
    assert 0 < len(found) < len(texts)
    assert found == faulty(texts[::-1])


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port} cannot be used"):
            FakeOpenAI(port=port).bind()
        result = CliRunner().invoke(main, ["--port", str(port)])
        assert result.exit_code == 1 and f"Port {port} cannot be used" in result.output


def test_an_unknown_fault_is_refused() -> None:
    result = CliRunner().invoke(main, ["--fault", "flood=0.1"])
    assert result.exit_code == 2 and "'flood' is not a fault" in result.output


def test_it_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tutelage.models.fake", "--answer", "hi", "--fault", "slow=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with openai.OpenAI(base_url=url, api_key="k") as client:
            answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        process.terminate()
    assert answer.choices[0].message.content == "hi"
