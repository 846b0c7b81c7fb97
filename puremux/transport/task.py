"""A step of dialling while the driver runs it: resumed when a socket of its is ready, or its time has come.

Floor 3, transport: imports wait; the driver, which makes it, is known by what a task asks of it.
"""

from __future__ import annotations

import selectors
import socket
from typing import Any, Callable, Protocol, TypeVar

from .wait import Step

__all__ = ["Task"]

T = TypeVar("T")


class Timer(Protocol):
    """What can still be taken back."""

    def cancel(self) -> None:
        """Never call what it was to call."""


class Runner(Protocol):
    """The driver, as far as a task knows it."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call back under the lock, as soon as possible."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """The same when the clock shows ``when`` seconds."""

    def watch(self, watched: Any) -> None:
        """Tell the socket when something is possible that it waits for."""

    def forget(self, watched: Any) -> None:
        """Tell it no more."""


class Task:
    """A step that the driver runs; ``cancel`` closes it, and whatever it has opened."""

    def __init__(self, driver: Runner, step: Step[T], done: Callable[[T | None, BaseException | None], None]) -> None:
        self._driver = driver
        self._step: Step[Any] | None = step
        self._done: Callable[[Any, BaseException | None], None] = done
        self._cancelled = False
        self._watches: list[_StepSocket] = []
        self._timer: Timer | None = None

    def cancel(self) -> None:
        """Give the step up; ``done`` is not called any more.  From any thread, under the lock."""
        self._cancelled = True
        self._driver.call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._step is not None:
            step, self._step = self._step, None
            self._stop_waiting()
            step.close()

    def resume(self) -> None:
        """Let the step take its next move.  Runs on the driver, under the lock."""
        if self._step is None or self._cancelled:
            return
        self._stop_waiting()
        try:
            wait = next(self._step)
        except StopIteration as stop:
            self._step = None
            self._done(stop.value, None)
            return
        except Exception as error:  # noqa: BLE001  # not lost: whoever asked for the step is told
            self._step = None
            self._done(None, error)
            return
        for sock in {*wait.reading, *wait.writing}:
            events = selectors.EVENT_READ * (sock in wait.reading) | selectors.EVENT_WRITE * (sock in wait.writing)
            watch = _StepSocket(sock, events, self)
            self._watches.append(watch)
            self._driver.watch(watch)
        self._timer = self._driver.call_at(wait.until, self.resume)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches:
            watch.stop()
        self._watches = []


class _StepSocket:
    """One socket of a step's ``Wait``."""

    def __init__(self, sock: socket.socket, events: int, task: Task) -> None:
        self._descriptor = sock.fileno()
        self._events = events
        self._task = task

    def fileno(self) -> int:
        return self._descriptor

    def events(self) -> int:
        return self._events

    def ready(self) -> None:
        if self._events:
            self._task.resume()

    def stop(self) -> None:
        self._events = 0
        self._task._driver.forget(self)
