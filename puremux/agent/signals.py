"""Ctrl-C, SIGTERM and SIGHUP as events, for commands that run in the foreground until they are told to stop.

Floor 5, agent: imports the standard library only.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["hung_up", "told_to_stop"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """An event that is set by the first signal; a second one does what it did before, for who cannot wait.

    In the main thread only, as signals are.
    """
    told = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        told.set()
        _restore(before)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield told
    finally:
        _restore(before)


@contextlib.contextmanager
def hung_up() -> Iterator[threading.Event]:
    """An event that is set by SIGHUP, which asks daemons to read their configuration again; never, on Windows."""
    told = threading.Event()
    number = getattr(signal, "SIGHUP", None)
    before = {} if number is None else {number: signal.signal(number, lambda *_: told.set())}
    try:
        yield told
    finally:
        _restore(before)


def _restore(handlers: object) -> None:
    for number, handler in dict(handlers).items():  # type: ignore[call-overload]  # signal's handlers have no name
        signal.signal(number, handler)
