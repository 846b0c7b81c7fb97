"""The one way in which tests wait for something they get no event for: ask again, with a bound."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

__all__ = ["eventually"]

T = TypeVar("T")

INTERVAL = 0.01
"""Seconds between two askings."""


def eventually(ask: Callable[[], T], timeout: float, what: str = "") -> T:
    """Ask until the answer is true, and return it.

    Args:
        ask: What to call; an ``OSError`` or ``AssertionError`` counts as "not yet" and is told if it stays.
        timeout: Seconds after which it is given up.
        what: What is waited for, for the error's sentence.
    Raises:
        AssertionError: No true answer came in time; the last one is in the message.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            last = answer = ask()
            if answer:
                return answer
        except (OSError, AssertionError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or ask}; the last answer: {last!r}")
        time.sleep(INTERVAL)
