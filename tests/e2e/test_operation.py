"""A cascade's whole life: shadow, live, a shift, the alarm that everybody sees, calibrated anew, live again."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import openai
import pytest

from tutelage.models.fake import FakeOpenAI, Script

pytestmark = pytest.mark.e2e

TUTELAGE = [sys.executable, "-m", "tutelage"]
MESSAGES = Path(__file__).parents[2] / "examples" / "desk" / "messages.jsonl"
NEW = "Quote wanted: "
"""Messages that begin so are of a kind that nobody had seen: they are purchases, whatever else they speak of."""
TASK = """name = "desk"
output = "label"
labels = ["access", "hardware", "network", "software", "printing", "purchases"]
instructions = "Which queue?"
teacher = "teacher"
[candidates.words]
family = "linear"
labels = "gold"
[candidates.teacher]
family = "prompted"
provider = "openai"
model = "fake"
base_url = "{url}"
structured = "none"
[candidates.cascade]
family = "cascade"
stages = ["words", "teacher"]
[prices.fake]
input = 1.0
output = 2.0
"""
KNOWN = {row["text"]: row for row in map(json.loads, MESSAGES.read_text(encoding="utf-8").splitlines())}


def says(question: str) -> str:
    """The teacher: it knows every message, and the new kind."""
    label = next(row["queue"] for text, row in KNOWN.items() if text in question)
    return json.dumps({"label": "purchases" if NEW in question else label})


def texts(split: str, prefix: str = "") -> list[str]:
    return [prefix + text for text, row in KNOWN.items() if row["split"] == split]


class Desk:
    """The project and its gateway as processes."""

    def __init__(self, folder: Path, webhook: str) -> None:
        self.folder = folder
        settings = f'[operation]\naudit = 1.0\nwebhook = "{webhook}"\n'
        (folder / "gateway.toml").write_text(settings, encoding="utf-8")
        command = [*TUTELAGE, "serve", "--port", "0", "--json"]
        self.server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        url = json.loads(self.server.stdout.readline())["url"]
        self.client = openai.OpenAI(base_url=url, api_key="none", timeout=60, max_retries=20)
        self.client.models.list()

    def say(self, text: str) -> tuple[str, Mapping[str, str]]:
        """The label and the headers."""
        message: Any = {"role": "user", "content": text}
        reply = self.client.chat.completions.with_raw_response.create(model="desk", messages=[message])
        content = reply.parse().choices[0].message.content or ""
        return json.loads(content)["label"], reply.headers

    def mode(self) -> str:
        return self.say(texts("train")[0])[1]["x-tutelage-mode"]

    def facts(self) -> dict[str, Any]:
        (found,) = json.loads(verb("operation", "--json", cwd=self.folder))
        return dict(found)

    def stop(self) -> None:
        self.server.send_signal(signal.SIGTERM)
        assert self.server.wait(60) in (0, -signal.SIGTERM)


def verb(*arguments: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run([*TUTELAGE, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback, and what it was told."""
    told: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", told
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project with a certified cascade."""
    with FakeOpenAI(Script(answer=says)) as teacher:
        found = tmp_path / "desk"
        found.mkdir()
        (found / "task.toml").write_text(TASK.format(url=teacher.base_url), encoding="utf-8")
        (found / "messages.jsonl").write_text(MESSAGES.read_text(encoding="utf-8"), encoding="utf-8")
        verb("add", "messages.jsonl", "--label", "queue", "--source", "human:author", cwd=found)
        verb("train", "words", cwd=found)
        verb("calibrate", "cascade", "--against", "teacher", "--max-loss", "0.08", cwd=found)
        yield found


def test_the_life_of_a_cascade(folder: Path, hook: tuple[str, list[dict[str, Any]]]) -> None:
    url, told = hook
    desk = Desk(folder, url)
    try:
        shadowed(desk)
        lived(desk)
        shifted(desk, told)
        recovered(desk)
    finally:
        desk.stop()
    assert len(told) == 1


def shadowed(desk: Desk) -> None:
    """In shadow the teacher answers, once for each request, and the cascade is compared."""
    verb("demote", "desk", "--shadow", cwd=desk.folder)
    until(lambda: desk.mode() == "shadow")
    for text in texts("test")[:60]:
        label, headers = desk.say(text)
        assert label == KNOWN[text]["queue"] and headers["x-tutelage-source"] == "teacher"
    until(lambda: desk.facts()["shadow"]["n"] >= 60)
    shadow = desk.facts()["shadow"]
    assert shadow["answered"] / shadow["n"] > 0.5 and shadow["agreed"] / shadow["n"] > 0.85


def lived(desk: Desk) -> None:
    """Live the student answers most, under an audit that finds nothing."""
    verb("promote", cwd=desk.folder)
    until(lambda: desk.mode() == "live")
    sources = [desk.say(text)[1]["x-tutelage-source"] for text in texts("test")]
    assert sources.count("words") > len(sources) / 2
    until(lambda: desk.facts()["audited"] >= len(sources))
    facts = desk.facts()
    assert facts["mode"] == "live" and facts["alarm"] is None
    assert facts["tests"]["wrong"]["loss"]["value"] < 0.15


def shifted(desk: Desk, told: list[dict[str, Any]]) -> None:
    """Another kind of message comes, of which the student is sure and wrong: it is demoted for every client."""
    for text in texts("test", NEW):
        if desk.say(text)[1]["x-tutelage-mode"] == "demoted":
            break
    until(lambda: desk.mode() == "demoted")
    label, headers = desk.say(texts("test", NEW)[0])
    assert label == "purchases" and headers["x-tutelage-source"] == "teacher"
    assert "x-tutelage-certificate" not in headers
    until(lambda: len(told) == 1)
    assert (told[0]["event"], told[0]["task"], told[0]["loss"]) == ("demoted", "desk", "wrong")
    facts = desk.facts()
    assert facts["mode"] == "demoted" and facts["alarm"]["certificate"] == facts["certificate"]
    assert told[0]["label_next"] and set(told[0]["label_next"]) <= set(facts["disagreed"])
    assert facts["label_next"][0]["input"]["text"].startswith(NEW)
    assert "There was an alarm of this certificate" in verb("promote", "desk", cwd=desk.folder, code=2)
    spent = json.loads(verb("traces", "list", "--json", "--limit", "1000", cwd=desk.folder).splitlines()[0])
    assert spent["task"] == "desk"


def recovered(desk: Desk) -> None:
    """Labelled, trained and calibrated on what comes now, it may answer again."""
    before = desk.facts()["certificate"]
    rows = [
        {"text": NEW + text, "queue": "purchases", "split": row["split"]}
        for text, row in KNOWN.items()
        if row["split"] != "test"
    ]
    file = desk.folder / "new.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    verb("add", "new.jsonl", "--label", "queue", "--source", "human:author", cwd=desk.folder)
    verb("train", "words", cwd=desk.folder)
    verb("calibrate", "cascade", "--against", "teacher", "--max-loss", "0.08", cwd=desk.folder)
    until(lambda: desk.facts()["certificate"] != before)
    facts = desk.facts()
    assert facts["mode"] == "demoted" and facts["audited"] == 0
    assert "desk: live" in verb("promote", "desk", "--why", "calibrated anew", cwd=desk.folder)
    until(lambda: desk.mode() == "live")
    for text in [*texts("test", NEW)[:60], *texts("test")[:60]]:
        desk.say(text)
    until(lambda: desk.facts()["audited"] >= 120)
    facts = desk.facts()
    assert facts["mode"] == "live" and facts["why"] == "calibrated anew" and facts["early"] > 60
