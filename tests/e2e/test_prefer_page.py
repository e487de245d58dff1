"""Comparing answers in a real browser, with a real server that is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.compared import compared_project

from tutelage.evaluation.preference.people import compared, pairs
from tutelage.project import Project
from tutelage.store import Preference

pytestmark = pytest.mark.e2e

SCRIPT = "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\">"
COUNT = 20


class Pages:
    """`tutelage prefer` in a process of its own, always on the same port."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self._command = [
            sys.executable,
            "-m",
            "tutelage",
            "prefer",
            *arguments,
            "--no-browser",
            "--json",
            "-C",
            str(project.folder),
        ]
        self._port = "0"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, "--port", self._port], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.address: str = json.loads(self._process.stdout.readline())["url"]
        self._port = self.address.rsplit(":", 1)[1].strip("/")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    answers = {
        name: [f"{'Kind' if name == 'gardener' else 'Terse'} answer {at}. {SCRIPT}" for at in range(COUNT)]
        for name in ("gardener", "locksmith")
    }
    return compared_project(tmp_path, {**answers, "beekeeper": [f"Odd answer {at}." for at in range(COUNT)]})


def signed_in(browser: Browser, address: str, name: str, size: tuple[int, int] = (1280, 900)) -> Page:
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
    page.goto(address)
    page.fill("#name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#asked")
    return page


def press(page: Page, key: str) -> None:
    """Press a key and wait until another question, or the end, is there."""
    old = page.get_attribute("input[name=example]", "value")
    page.keyboard.press(key)
    page.wait_for_function("old => document.querySelector('input[name=example]')?.value !== old", arg=old)


def kind_side(page: Page) -> str:
    return "1" if "Kind" in page.inner_text(".answer >> nth=0") else "2"


def test_no_comparison_is_lost_or_doubled(browser: Browser, project: Project) -> None:
    pages = Pages(project, "gardener", "locksmith")
    try:
        page = signed_in(browser, pages.address, "Ada")
        made, sides = dict[str, str](), list[str]()
        for at in range(COUNT):
            content = page.content()
            assert not any(name in content for name in ("gardener", "locksmith")) and page.title() != "run"
            example = page.get_attribute("input[name=example]", "value") or ""
            assert example not in made
            sides.append(kind_side(page))
            made[example] = "gardener" if at % 3 else "tie"
            key = {"1": "ArrowLeft", "2": "2"}[sides[-1]] if at % 3 else "t"
            if at == 6:
                page.reload()
            if at == 12:  # the server dies while the choice is on its way, and comes back
                pages.kill()
                page.keyboard.press(key)
                expect(page.locator("#problem")).to_contain_text("Your choice is kept")
                page.keyboard.press(key)
                pages.start()
                page.wait_for_function(
                    "old => document.querySelector('input[name=example]')?.value !== old", arg=example
                )
            elif at == 16:  # taken back and made again
                press(page, key)
                page.keyboard.press("u")
                page.wait_for_function(
                    "old => document.querySelector('input[name=example]')?.value === old", arg=example
                )
                press(page, key)
            else:
                press(page, key)
        expect(page.locator("main")).to_contain_text("Everything was compared")
        assert 3 <= sides.count("1") <= 17
        found = compared(project.store.preferences.stand())
        assert {one.preference.example_id: _better(one.preference) for one in found} == made
        assert [one.preference.example_id for one in found if one.preference.example_id in made] == list(made)
        assert [one.kind for one in project.store.preferences.read()].count("undo") == 1
        assert len(list(project.store.preferences.read())) == COUNT + 2
        page.context.close()
    finally:
        pages.kill()


def _better(preference: Preference) -> str:
    ((_, a, b, winner),) = pairs(preference)
    return "tie" if winner == "tie" else (a if winner == "a" else b).candidate


def test_two_annotators_a_stale_tab_a_note_and_a_choice_kept_through_a_reload(
    browser: Browser, project: Project
) -> None:
    pages = Pages(project, "gardener", "locksmith")
    try:
        ada, bob = (signed_in(browser, pages.address, name) for name in ("Ada", "Bob"))
        stale = ada.context.new_page()
        stale.goto(pages.address)
        ada.keyboard.press("n")
        ada.keyboard.type("1 is not 2")
        ada.keyboard.press("Escape")
        press(ada, "1")
        press(bob, "2")
        stale.keyboard.press("2")
        expect(stale.locator("#problem")).to_contain_text("compared elsewhere")
        first = ada.get_attribute("input[name=example]", "value")
        pages.kill()
        ada.keyboard.press("1")
        expect(ada.locator("#problem")).to_contain_text("Your choice is kept")
        pages.start()
        ada.goto(pages.address)  # in place of waiting
        ada.wait_for_function("old => document.querySelector('input[name=example]')?.value !== old", arg=first)
        stored = project.store.preferences.stand()
        assert sorted((one.annotator, one.note) for one in stored if one.example_id != first) == [
            ("Ada", "1 is not 2"), ("Bob", None)
        ]  # fmt: skip
        assert [(one.annotator, one.scores) for one in stored if one.example_id == first] == [("Ada", (1.0, 0.0))]
        for page in (ada, bob):
            page.context.close()
    finally:
        pages.kill()


def test_rankings_by_keyboard_on_a_small_screen(browser: Browser, project: Project) -> None:
    pages = Pages(project, "gardener", "locksmith", "beekeeper", "--rank")
    try:
        page = signed_in(browser, pages.address, "Ada", (390, 844))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.keyboard.press("Enter")  # nothing is scored yet: the browser says so and sends nothing
        for key in ("2", "7", "ArrowUp", "ArrowUp", "3", "7"):
            page.keyboard.press(key)
        press(page, "Enter")
        (stored,) = project.store.preferences.stand()
        assert stored.kind == "ranking" and stored.scores == (3.0, 7.0, 7.0) and len(pairs(stored)) == 3
        page.context.close()
    finally:
        pages.kill()
