"""The browser that pages are looked at with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.browser import CHROMIUM, FLAGS


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    # Of a module: while Playwright's loop runs in this thread, no other test could run one of its own.
    if not CHROMIUM.exists():
        reason = f"{request.node.name} IS NOT TESTED: {CHROMIUM} is absent. Install the package chromium."
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
