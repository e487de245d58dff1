"""Every page for people in a real browser wide and light, narrow and dark: names, contrast, nothing too wide."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from tests.browser import SIZES
from tests.compared import compared_project
from tests.reviews import a_review

from tutelage.models.loopback import HOST, bind
from tutelage.review.desk import Desk
from tutelage.review.preferring import Kind, Preferring
from tutelage.web import preference_pages, review_pages
from tutelage.web.app import make_app

pytestmark = pytest.mark.e2e

CHECK = (Path(__file__).parent / "accessible.js").read_text()


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    with bind(0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def comparing(folder: Path, kind: Kind) -> Starlette:
    answers = {name: [f"The {name} answer {at} to it." for at in range(3)] for name in ("short", "long")}
    project = compared_project(folder, answers)
    return make_app(
        project, preference_pages.routes(Preferring(project, list(answers), "dev", kind)), {"Ask": f"/{kind}"}
    )


def reviewing(folder: Path, task: str, suggested: list[object]) -> Starlette:
    project = a_review(folder, task, suggested)  # type: ignore[arg-type]
    return make_app(project, review_pages.routes(Desk(project, "train")), review_pages.LINKS)


LABELS = 'output = "labels"\nlabels = ["money", "weather", "sport"]\n'
APPS: dict[str, tuple[Callable[[Path], Starlette], tuple[str, ...]]] = {
    "compare": (lambda folder: comparing(folder, "pair"), ("/compare",)),
    "rank": (lambda folder: comparing(folder, "ranking"), ("/rank",)),
    "labels": (
        lambda folder: reviewing(folder, LABELS, [["money"]] * 3),
        ("/review", "/table", "/conflicts", "/progress"),
    ),
    "spans": (
        lambda folder: reviewing(folder, 'output = "strings"\ngrounded = true\n', [["Ann", "Bob"]] * 3),
        ("/review",),
    ),
    "text": (lambda folder: reviewing(folder, 'output = "text"\n', ["A text."] * 3), ("/review", "/nowhere")),
}


def visited(page: Page, address: str, path: str) -> None:
    """The page at `path`, with what a key opens open."""
    page.goto(address + path)
    page.wait_for_selector("h1")
    if path in ("/review", "/compare", "/rank"):
        page.keyboard.press("e" if path == "/review" else "n")


def test_names_contrast_and_widths(browser: Browser, tmp_path: Path) -> None:
    with ExitStack() as stack:
        apps = {name: stack.enter_context(served(make(tmp_path / name))) for name, (make, _) in APPS.items()}
        found = []
        for size, scheme in zip(SIZES, ("light", "dark"), strict=True):
            view = {"width": size[0], "height": size[1]}
            page = browser.new_context(viewport=view, color_scheme=scheme).new_page()  # type: ignore[arg-type]
            page.set_default_timeout(10_000)
            for at, (name, address) in enumerate(apps.items()):
                if at == 0:
                    page.goto(address + "/name")
                    found += [(name, "/name", size, scheme, one) for one in page.evaluate(CHECK)]
                    page.fill("#name", "Ada")
                    page.keyboard.press("Enter")
                    page.wait_for_selector(".who")
                for path in APPS[name][1]:
                    visited(page, address, path)
                    found += [(name, path, size, scheme, one) for one in page.evaluate(CHECK)]
            page.context.close()
        assert found == []
