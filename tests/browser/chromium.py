"""A headless Chromium of Debian's, driven through chromedriver.  It reaches nothing but this machine.

with Chromium(folder) as browser:
    browser.theme("dark")
    browser.open(url)
    browser.press(Keys.TAB, Keys.ENTER)
    browser.picture(path)
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

__all__ = ["THEMES", "Chromium", "Missing"]

THEMES = ("light", "dark")

LIMIT = 20.0
"""Seconds that a page may take to come up; a busy machine needs a few."""

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    # A page that wants something from elsewhere finds no name, and the test that looks at `complaints` fails.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE [::1]",
)


class Missing(AssertionError):
    """Chromium is not here."""


class Chromium:
    """A browser that is started at once and ends with the ``with`` block.

    Args:
        folder: where its profile lies; a fresh one.
        width, height: of the window, in pixels.
    Raises:
        Missing: Chromium or its driver is not installed.
    """

    def __init__(self, folder: Path, width: int = 1280, height: int = 900) -> None:
        options = ChromeOptions()
        options.binary_location = _program("chromium", "chromium")
        for switch in (*SWITCHES, f"--user-data-dir={folder}", f"--window-size={width},{height}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options, Service(_program("chromedriver", "chromium-driver")))
        """Selenium's own object, for what is not here."""
        self.driver.set_page_load_timeout(LIMIT)

    def open(self, url: str) -> None:
        """Load a page, and wait until it is there."""
        self.driver.get(url)

    def theme(self, name: str) -> None:
        """What the user prefers from now on: ``"light"`` or ``"dark"``."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def scripts(self, run: bool) -> None:
        """Whether the scripts of pages run, from the next page on."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not run})

    def resize(self, width: int, height: int) -> None:
        """Show this many pixels of a page."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def find(self, selector: str) -> WebElement:
        """The first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """Every element of a CSS selector, in the order of the page."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait_for(self, selector: str) -> WebElement:
        """The first element of a CSS selector, as soon as there is one and it is shown."""
        return WebDriverWait(self.driver, LIMIT).until(
            lambda _: next((each for each in self.find_all(selector) if each.is_displayed()), False)
        )

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, where the focus is.  See selenium's ``Keys`` for those without a letter."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def style(self, selector: str, name: str) -> str:
        """A property of an element as it is computed, such as ``background-color``."""
        return self.find(selector).value_of_css_property(name)

    def ask(self, script: str, *arguments: Any) -> Any:
        """What a script returns in the page."""
        return self.driver.execute_script(script, *arguments)

    @property
    def text(self) -> str:
        """What the page shows, as text."""
        return self.find("body").text

    @property
    def focused(self) -> WebElement:
        """The element that has the keyboard's focus."""
        return self.driver.switch_to.active_element

    def complaints(self) -> list[str]:
        """What the browser had to say since it was asked last: script errors, resources that are missing, refusals."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for since this was asked last, the pages' own among them."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [str(each["params"]["request"]["url"]) for each in sent]

    def picture(self, path: Path) -> None:
        """Write what the window shows as a PNG file."""
        path.write_bytes(self.driver.get_screenshot_as_png())

    def reset(self) -> None:
        """As it was at first: no page, no cookies, light, scripts run."""
        self.scripts(True)
        self.theme("light")
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.open("about:blank")
        self.driver.delete_all_cookies()
        self.complaints(), self.requests()

    def close(self) -> None:
        """End it."""
        try:
            self.driver.quit()
        except (OSError, WebDriverException):
            pass  # it is gone already

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} is not installed: apt-get install {package}")
    return path
