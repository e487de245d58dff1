"""`tutelage review` as a process, driven by keyboard in a real browser: decisions are in the store exactly as made."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.reviews import a_review, listed

from tutelage.project import Project
from tutelage.store import Decision

pytestmark = pytest.mark.e2e

LABELS = [f"topic_{at}" for at in range(80)]
HOSTILE = '</textarea></script><script>alert(1)</script><img src=x onerror="alert(2)">'


class Server:
    """The verb as a process, on a port of its own."""

    def __init__(self, project: Project) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [
            sys.executable,
            "-m",
            "tutelage",
            "review",
            "-C",
            str(project.folder),
            "--port",
            str(self.port),
        ]
        self._command += ["--no-browser", "--json"]
        self.begin()

    def begin(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(15)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Project], Server]]:
    """Begins servers, which end with the test."""
    servers: list[Server] = []

    def begin(project: Project) -> Server:
        servers.append(Server(project))
        return servers[-1]

    yield begin
    for one in servers:
        if one.process.poll() is None:
            one.end()


def opened(browser: Browser, url: str, name: str, complaints: list[str], size: tuple[int, int] = (1280, 900)) -> Page:
    """The page of somebody who has said their name."""
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(url)
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(page.locator("#decision")).to_be_visible()
    return page


def on(page: Page) -> str:
    return page.url.partition("?")[0].rpartition("/")[2]


def press(page: Page, *keys: str) -> None:
    """Press keys, of which the last one decides, and wait until the next example is there."""
    before = page.locator("#decision input[name=id]").input_value()
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_function("id => document.querySelector('#decision input[name=id]')?.value !== id", arg=before)


def choose(page: Page, label: str) -> None:
    """Edit the label by keyboard alone: open, type a part of it, save."""
    page.keyboard.press("e")
    page.keyboard.type(label.replace("_", " "))
    press(page, "Control+Enter")


def by(project: Project, name: str) -> list[Decision]:
    return list(project.store.decisions.read(name))


def test_fifty_by_keyboard_survive_a_kill_and_a_reload(
    browser: Browser, serve: Callable[[Project], Server], tmp_path: Path
) -> None:
    task = f'output = "label"\nlabels = {listed(LABELS)}\n'
    project = a_review(tmp_path, task, [LABELS[at % 7] for at in range(55)])
    server, complaints = serve(project), list[str]()
    page = opened(browser, server.url, "Ann", complaints)
    made: list[tuple[str, str, str | None]] = []
    for at in range(50):
        id = on(page)
        if at == 20:  # killed; what is decided meanwhile is sent when the server is there again
            server.end(signal.SIGKILL)
            page.keyboard.press("1")
            page.keyboard.press("a")
            expect(page.locator("#problem")).to_contain_text("The server does not answer")
            page.keyboard.press("r")  # decides nothing: the first decision is still being sent
            server.begin()
            page.wait_for_url(re.compile("/review/e21"))
            made.append((id, "accept", LABELS[at % 7]))
        elif at == 30:
            page.keyboard.press("n")
            page.keyboard.type("not sure")
            page.keyboard.press("Escape")
            page.reload()  # what was typed is still there
            expect(page.locator("#note")).to_have_value("not sure")
            press(page, "s")
            made.append((id, "skip", None))
        elif at % 5 == 4:
            choose(page, LABELS[at + 10])
            made.append((id, "edit", LABELS[at + 10]))
        elif at % 11 == 10:
            press(page, "r")
            made.append((id, "reject", None))
        else:
            press(page, "a")
            made.append((id, "accept", LABELS[at % 7]))
    stored = by(project, "Ann")
    assert [(one.example_id, one.verdict, one.value) for one in stored] == made
    assert [one.example_id for one in stored] == [f"e{at}" for at in range(50)]
    assert stored[20].tags == ("wrong",) and stored[30].note == "not sure"
    press(page, "u")
    press(page, "u")
    assert on(page) == "e48"
    expect(page.locator("#live")).to_contain_text("Your last: Accepted: topic_5. 47 of 55 decided")
    assert [one.undoes for one in by(project, "Ann")[50:]] == [stored[49].id, stored[48].id]
    assert complaints == []
    page.context.close()


def test_two_at_once_and_a_stale_tab(browser: Browser, serve: Callable[[Project], Server], tmp_path: Path) -> None:
    project = a_review(tmp_path, suggested=["money"] * 12)
    server, complaints = serve(project), list[str]()
    ann, ben = (opened(browser, server.url, name, complaints) for name in ("Ann", "Ben"))
    stale = ann.context.new_page()
    stale.goto(ann.url)
    for _ in range(5):
        for page in (ann, ben):
            press(page, "a")
    ids = [[one.example_id for one in by(project, name)] for name in ("Ann", "Ben")]
    assert len({*ids[0], *ids[1]}) == 10 and set(ids[0]).isdisjoint(ids[1])
    stale.keyboard.press("e")
    stale.keyboard.type("spo")
    stale.keyboard.press("Control+Enter")
    expect(stale.locator("#problem")).to_contain_text(
        "decided elsewhere since this page was opened. Nothing was stored"
    )
    expect(stale.locator("#value")).to_have_value("sport")
    stale.keyboard.press("Escape")
    stale.locator("#problem a").click()
    expect(stale.locator("#decided")).to_contain_text("You have decided this one: Accepted")
    expect(stale.locator("#value")).to_have_value("sport")  # what was typed is kept
    press(stale, "Control+Enter")
    assert [(one.verdict, one.value) for one in by(project, "Ann") if one.example_id == ids[0][0]] == [
        ("accept", "money"),
        ("edit", "sport"),
    ]
    ann.goto(server.url + "table")
    ann.keyboard.press("x")
    ann.keyboard.press("c")
    expect(ann.locator("#status")).to_have_text("1 accepted.")
    assert len(by(project, "Ann")) == 7
    assert complaints == []
    for page in (ann, ben):
        page.context.close()


def test_spans_are_added_and_removed_in_the_text(
    browser: Browser, serve: Callable[[Project], Server], tmp_path: Path
) -> None:
    task = 'output = "strings"\ngrounded = true\n'
    project = a_review(tmp_path, task, [["Ann", "Bob"], ["Ann"]])
    server, complaints = serve(project), list[str]()
    page = opened(browser, server.url, "Eve", complaints, (390, 844))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator(".text mark")).to_have_text(["Ann"])
    page.keyboard.press("a")
    expect(page.locator("#problem")).to_contain_text('These are not in the text: ["Bob"]')
    page.keyboard.press("e")
    page.locator("#chips .missing").click()
    page.locator("mark", has_text="Ann").focus()
    page.keyboard.press("Delete")
    page.evaluate("""() => {
      const text = document.querySelector(".text").firstChild, range = document.createRange();
      range.setStart(text, 2); range.setEnd(text, 11); getSelection().removeAllRanges(); getSelection().addRange(range);
    }""")  # "ptain Fli": whole words are taken
    expect(page.locator("#add")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.locator("#value")).to_have_value("Captain Flint")
    expect(page.locator(".text mark")).to_have_text(["Captain Flint"])
    press(page, "Control+Enter")
    assert [one.value for one in by(project, "Eve")] == [["Captain Flint"]]
    assert complaints == []
    page.context.close()


def test_a_script_in_a_text_is_text(browser: Browser, serve: Callable[[Project], Server], tmp_path: Path) -> None:
    project = a_review(tmp_path, 'output = "text"\n', [HOSTILE])
    server, complaints = serve(project), list[str]()
    page = opened(browser, server.url, "<b>Eve</b>", complaints)
    expect(page.locator(".suggestion .chip")).to_have_text(HOSTILE)
    page.keyboard.press("e")
    page.locator("#value").fill(HOSTILE + " again")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).to_contain_text("Nothing is left")
    page.goto(server.url + "table")
    page.goto(server.url + "review/e0")
    expect(page.locator("#value")).to_have_value(HOSTILE + " again")
    assert page.locator("img").count() == 0 and complaints == []
    assert [one.value for one in by(project, "<b>Eve</b>")] == [HOSTILE + " again"]
    page.context.close()
