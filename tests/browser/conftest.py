"""A real Chromium, as fixtures.

def test_the_page_is_dark(browser, theme):
    browser.open(url)
    assert (browser.style("body", "background-color") == "rgb(0, 0, 0)") == (theme == "dark")
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .chromium import THEMES, Chromium


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One Chromium for all tests, since it takes a second to start; tests take ``browser``."""
    with Chromium(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.fixture
def browser(chromium: Chromium) -> Chromium:
    """A browser that remembers nothing of the tests before, with the light theme."""
    chromium.reset()
    return chromium


@pytest.fixture(params=THEMES)
def theme(request: pytest.FixtureRequest, browser: Chromium) -> str:
    """Runs the test twice: the user prefers ``"light"``, then ``"dark"``."""
    browser.theme(request.param)
    return str(request.param)
