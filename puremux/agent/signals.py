"""Ctrl-C and SIGTERM as an event, for commands that run in the foreground until they are told to stop.

Floor 5, agent: imports the standard library only.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["told_to_stop"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """An event that is set by the first signal; a second one does what it did before, for who cannot wait.

    In the main thread only, as signals are.
    """
    told = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        told.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
