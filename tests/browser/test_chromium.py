"""The browser that the other tests look through: it shows pages in either theme, and reaches nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from .chromium import Chromium

PAGE = """<!doctype html><meta charset=utf-8><title>t</title><link rel=icon href=data:,>
<style>body { color: black } @media (prefers-color-scheme: dark) { body { color: white } }</style>
<p id=said>nothing</p><button onclick="said.textContent = 'pressed'">press</button>"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(PAGE)
    return path


def test_a_page_meets_the_theme_that_the_user_prefers(page: Path, browser: Chromium, theme: str) -> None:
    browser.open(page.as_uri())
    assert browser.style("body", "color") == {"light": "rgba(0, 0, 0, 1)", "dark": "rgba(255, 255, 255, 1)"}[theme]


def test_keys_reach_what_has_the_focus(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    browser.press(Keys.TAB, Keys.ENTER)
    assert browser.find("#said").text == "pressed"


def test_scripts_can_be_switched_off(page: Path, browser: Chromium) -> None:
    browser.scripts(False)
    browser.open(page.as_uri())
    browser.find("button").click()
    assert browser.find("#said").text == "nothing"


def test_what_is_elsewhere_is_not_reached_and_is_told(page: Path, browser: Chromium) -> None:
    page.write_text(PAGE + "<img src=http://example.com/picture.png>")
    browser.open(page.as_uri())
    assert "http://example.com/picture.png" in browser.requests()
    assert any("ERR_NAME_NOT_RESOLVED" in complaint for complaint in browser.complaints())


def test_a_picture_is_a_png(page: Path, browser: Chromium, tmp_path: Path) -> None:
    browser.open(page.as_uri())
    browser.picture(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
