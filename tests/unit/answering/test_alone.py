"""The program of an exported student, in this process: predict, serve, card."""

from __future__ import annotations

import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import openai
import pytest

from tutelage.answering.alone.command import README, Program, main
from tutelage.answering.alone.serving import make_server
from tutelage.answering.alone.student import ARTEFACT, CARD, TASK, Alone, open_student, read_task, task_facts
from tutelage.answering.base import Answerer
from tutelage.errors import ModelError, StoreError, UsageError
from tutelage.exporting.leaving import as_json
from tutelage.tasks import Task
from tutelage.tasks.label import LabelTask
from tutelage.tasks.labels import LabelsTask
from tutelage.tasks.record import RecordTask
from tutelage.tasks.strings import StringsTask
from tutelage.tasks.text import TextTask
from tutelage.types import Input, Prediction

MOOD = LabelTask("mood", ("text",), "Which mood?", "accuracy", labels=("glad", "sad"))
PAIR = LabelTask("same", ("left", "right"), "", "accuracy", labels=("yes", "no"))


class Longest(Answerer):
    """Glad of long texts; fails on one word."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @classmethod
    def load(cls, task: Task, folder: Path, threads: int | None = None) -> Self:
        assert (folder / "weights").is_file()
        return cls(task)

    def predict_batch(self, inputs: Sequence[Input]) -> list[Prediction]:
        texts = [self.task.input_text(one) for one in inputs]
        if "down" in texts:
            raise ModelError("The model is down.")
        if "bug" in texts:
            raise RuntimeError("a bug")
        labels = getattr(self.task, "labels", ())
        return [
            Prediction(None, error="unanswerable") if text == "fail" else Prediction(labels[len(text) < 10], 0.75)
            for text in texts
        ]


def folder(tmp_path: Path, task: Task) -> Path:
    (tmp_path / ARTEFACT).mkdir(parents=True)
    (tmp_path / ARTEFACT / "weights").touch()
    (tmp_path / TASK).write_bytes(as_json(task_facts(task)))
    (tmp_path / CARD).write_bytes(as_json({"candidate": "longest", "settings": {"threads": 1}}))
    (tmp_path / README).write_text("# mood\n")
    return tmp_path


@pytest.fixture
def program(tmp_path: Path) -> Program:
    place = folder(tmp_path, MOOD)
    return Program(
        "mood", "1.0", "tells moods", place, lambda threads: open_student(place, LabelTask, Longest, threads)
    )


def ran(program: Program, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(program, arguments)
    return int(ended.value.code or 0)


def test_bad_lines_are_kept_in_their_place(
    program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('\ufeff{"text": "a long long text"}\n\n{"text": 1}\nnonsense\n{"text": "short", "id": 3}\n')
    assert ran(program, "predict", str(path)) == 1
    out, told = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["value"] for line in lines] == ["glad", None, None, "sad"]
    assert [line["error"] and line["error"].partition(":")[0] for line in lines] == [None, "line 3", "line 4", None]
    assert [line["source"] for line in lines] == ["longest"] * 4
    assert told == "2 inputs got no answer; their lines carry an error.\n"


def test_standard_input_is_read(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "short"}\n'))
    assert ran(program, "predict", "-", "--json") == 0
    assert json.loads(capsys.readouterr().out)["value"] == "sad"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "nowhere.jsonl"], 1, "Error: nowhere.jsonl cannot be read: No such file or directory."),
        (["dance"], 2, "invalid choice"),
        (["serve", "--port", "99999"], 2, "Error: Port 99999 cannot be used"),
    ],
)
def test_errors_are_one_line(
    program: Program, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(program, *arguments) == code
    assert message in capsys.readouterr().err


def test_input_that_is_not_utf8_is_said(program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin").write_bytes(b'{"text": "caf\xe9"}')
    assert ran(program, "predict", str(tmp_path / "latin")) == 1
    assert "The input is not UTF-8 (byte 13: 0xe9). Convert it." in capsys.readouterr().err


def test_the_card_is_shown(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(program, "card") == 0
    assert capsys.readouterr().out == "# mood\n"
    assert ran(program, "card", "--json") == 0
    assert json.loads(capsys.readouterr().out)["candidate"] == "longest"


def test_a_damaged_package_is_said(program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / TASK).write_text("{")
    assert ran(program, "predict", "x") == 1
    assert "Install the package again." in capsys.readouterr().err
    with pytest.raises(StoreError):
        open_student(tmp_path, LabelTask, Longest)


@pytest.mark.parametrize(
    "task",
    [
        MOOD,
        LabelsTask("aspects", ("text",), "", "f1", labels=("a", "b")),
        StringsTask("names", ("text", "title"), "Who?", "f1", grounded=True),
        RecordTask(
            "r", ("text",), "", "", {"properties": {"z": {"type": "string"}, "n": {"type": "integer"}}}, {"n": "exact"}
        ),
        TextTask("title", ("text",), "", "rougeL", max_characters=9, forbidden_openings=("Here is",)),
    ],
)
def test_a_task_comes_back_from_its_json(task: Task) -> None:
    found = read_task(type(task), json.loads(as_json(task_facts(task))))
    assert found == task
    assert json.dumps(found.schema()) == json.dumps(task.schema())  # fields in their order


@pytest.fixture(params=[MOOD, PAIR], ids=["one field", "two fields"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Task, str]]:
    task: LabelTask = request.param
    student = open_student(folder(tmp_path, task), LabelTask, Longest)
    assert isinstance(student, Alone)
    with make_server(student, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield task, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def asked(url: str, body: object = None) -> tuple[int, Any]:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data)) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def content(task: Task, text: str) -> str:
    return text if len(task.fields) == 1 else json.dumps({name: text for name in task.fields})


def chat(text: object, **more: object) -> dict[str, object]:
    return {
        "model": "longest",
        "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": text}],
        **more,
    }


def test_openais_client_is_answered(served: tuple[Task, str]) -> None:
    task, url = served
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["longest"]
    assert client.models.retrieve("longest").owned_by == "tutelage"
    for text, place in (("a long long text", 0), ("s", 0 if len(task.fields) > 1 else 1)):
        reply = client.chat.completions.with_raw_response.create(
            model="longest", messages=[{"role": "user", "content": content(task, text)}], temperature=0
        )
        found = reply.parse().choices[0].message.content
        assert json.loads(found or "") == {"label": getattr(task, "labels", ())[place]}
        assert reply.headers["X-Tutelage-Confidence"] == "0.7500"
    with pytest.raises(openai.NotFoundError, match="Known: longest"):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "x"}])


def test_a_batch_is_answered_as_predict_does(served: tuple[Task, str]) -> None:
    task, url = served
    status, found = asked(
        f"{url}/v1/tasks/{task.name}/predict", {"inputs": [dict.fromkeys(task.fields, "a long long text"), {"x": 1}, 7]}
    )
    assert status == 200
    assert [one["value"] is None for one in found["predictions"]] == [False, True, True]
    assert found["predictions"][1]["error"].startswith(f"input 2: field {task.fields[0]!r} is missing")
    assert asked(f"{url}/v1/tasks/{task.name}/predict", {"inputs": []}) == (200, {"predictions": []})
    assert asked(f"{url}/health") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/chat/completions", b"{", 400, "not JSON"),
        ("/v1/chat/completions", [1], 400, "must be a JSON object"),
        ("/v1/chat/completions", {"messages": []}, 400, "model"),
        ("/v1/chat/completions", {"model": "longest", "messages": 3}, 400, "messages"),
        ("/v1/chat/completions", {"model": "longest", "messages": []}, 400, "No user message"),
        ("/v1/chat/completions", chat("x", stream=True), 400, "stream"),
        ("/v1/chat/completions", chat("x", n=2), 400, "n = 2"),
        ("/v1/chat/completions", chat([{"type": "image_url"}]), 400, "only parts of type text"),
        ("/v1/tasks/mood/predict", {"input": "x"}, 400, "inputs: a list is required"),
        ("/v1/tasks/mood/predict", {"inputs": [{}] * 1025}, 413, "more than 1024"),
        ("/v1/embeddings", {}, 404, "There is no /v1/embeddings"),
        ("/", None, 404, "Known: /health"),
        ("/v1/chat/completions", chat("fail"), 502, "unanswerable"),
        ("/v1/chat/completions", chat("down"), 502, "The model is down."),
        ("/v1/chat/completions", chat("bug"), 500, "its log says why"),
        ("/v1/chat/completions", chat([{"type": "text", "text": "fa"}, {"type": "text", "text": "il"}]), 502, "unans"),
    ],
)
@pytest.mark.parametrize("served", [MOOD], indirect=True)
def test_bad_requests_are_told_why(
    served: tuple[Task, str], path: str, body: object, status: int, message: str
) -> None:
    found = asked(served[1] + path, body)
    assert found[0] == status
    assert message in found[1]["error"]["message"]


@pytest.mark.parametrize("served", [PAIR], indirect=True)
def test_several_fields_come_as_an_object(served: tuple[Task, str]) -> None:
    status, found = asked(f"{served[1]}/v1/chat/completions", chat("plain"))
    assert (status, found["error"]["message"]) == (
        400,
        'The task has 2 input fields: send a JSON object {"left": "...", "right": "..."} as content.',
    )


def test_a_port_in_use_is_said(served: tuple[Task, str], tmp_path: Path) -> None:
    port = int(served[1].rpartition(":")[2])
    student = open_student(tmp_path, LabelTask, Longest)
    with pytest.raises(UsageError, match=f"^Port {port} is in use"):
        make_server(student, "127.0.0.1", port)
