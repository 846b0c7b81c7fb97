"""How a step of dialling says what it waits for, and the plain loop that runs such steps one at a time.

Floor 3, transport: imports the standard library only.

A step (resolve a name, connect, shake hands) is a generator.  It never blocks: it yields a ``Wait`` and is
resumed when one of those sockets is ready or the time is up; which of the two, it finds out for itself.
Its result is its ``return`` value.  So one driver thread runs any number of steps on one selector, and
closing the generator early closes whatever sockets it has opened.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Generator
from typing import Callable, NamedTuple, TypeVar

__all__ = ["Clock", "Step", "Wait", "run_blocking"]

Clock = Callable[[], float]
"""Tells the time in seconds as ``time.monotonic`` does; tests pass their own."""


class Wait(NamedTuple):
    """Resume me when one of these sockets is ready, and at ``until`` in any case."""

    until: float
    """Time of the clock, in seconds, at which the step wants to be resumed at the latest."""

    reading: tuple[socket.socket, ...] = ()
    """Sockets to watch for something to read (or the end of the stream)."""

    writing: tuple[socket.socket, ...] = ()
    """Sockets to watch for room to write (or the end of a connection attempt)."""


T = TypeVar("T")

Step = Generator[Wait, None, T]
"""A generator that yields ``Wait``, is sent ``None``, and returns a ``T``."""


def run_blocking(step: Step[T], clock: Clock = time.monotonic) -> T:
    """Run one step to its end on the calling thread; for tools and tests, never for an observed application.

    Raises: whatever the step raises; the step is closed when the wait is interrupted (Ctrl-C).
    """
    try:
        wait = next(step)
        while True:
            _wait(wait, clock)
            wait = step.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration.value is Any
    finally:
        step.close()


def _wait(wait: Wait, clock: Clock) -> None:
    with selectors.DefaultSelector() as selector:
        for sock in {*wait.reading, *wait.writing}:
            events = selectors.EVENT_READ * (sock in wait.reading) | selectors.EVENT_WRITE * (sock in wait.writing)
            selector.register(sock, events)
        selector.select(max(0.0, wait.until - clock()))
