"""Asking the operating system for the addresses of a name: a thread a name, however many ask and however long it takes.

Floor 3, transport: imports the standard library, address and threads.

``getaddrinfo`` cannot be interrupted, and where the DNS is away it may hang for ever.  So whoever asks for a name that
is being looked up waits for that look-up; only one that has hung for long gets a successor, and no more than a few do.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from .address import HostPort
from .threads import start_thread

__all__ = ["LookUp", "look_up"]

HUNG = 30.0  # seconds after which a look-up is not expected to end, and another one is tried beside it
MOST = 4  # look-ups of one name at a time, each a thread and two descriptors

_under_way: list[LookUp] = []  # changed in steps that no other thread comes between


def look_up(place: HostPort, now: float) -> LookUp:
    """The look-up of this name that is under way, or a new one.

    Args:
        place: what to look up.
        now: time of the clock.
    Raises:
        OSError: no more files may be opened.
    """
    asked = [each for each in _under_way.copy() if each.place == place]
    if asked and (now - asked[-1].began < HUNG or len(asked) >= MOST):
        return asked[-1]
    newest = LookUp(place, now)
    _under_way.append(newest)
    newest.start()
    return newest


class LookUp:
    """One ``getaddrinfo`` on a thread of its own."""

    def __init__(self, place: HostPort, began: float) -> None:
        self.place = place
        self.began = began
        """Time of the clock."""
        self.answer: Any = None
        """What getaddrinfo has found, or the exception that it raised; None as long as it runs."""
        self._done, self._signal = socket.socketpair()
        # Between asking for a descriptor's number and copying it, it must not be closed, and be another's already.
        self._copying = threading.RLock()

    def waiter(self) -> socket.socket | None:
        """A socket that becomes readable with the answer, and is closed by whoever waits; None if there is an answer.

        Raises:
            OSError: no more files may be opened.
        """
        with self._copying:
            return None if self.answer is not None else self._done.dup()

    def start(self) -> None:
        """Start on a daemon thread; where those are not allowed on another; at the interpreter's end on this one."""
        if start_thread(self._run, "puremux-resolve") is None:
            self._run()

    def forget(self) -> None:
        """Close what the thread would have closed: it stayed with the parent process."""
        self._done.close()
        self._signal.close()

    def _run(self) -> None:
        try:
            self.answer = socket.getaddrinfo(self.place.ascii_host, self.place.port, 0, socket.SOCK_STREAM)
        except BaseException as error:  # noqa: BLE001  # whatever it is, who waits has to hear of it
            self.answer = error
        finally:
            if self in _under_way:
                _under_way.remove(self)
            self._tell()

    def _tell(self) -> None:
        try:  # closing alone would not do: a forked child may hold this end open as well
            self._signal.send(b"\0")
        except OSError:
            pass  # nobody waits any more
        with self._copying:
            self._signal.close()
            self._done.close()  # the waiters have copies


def _after_fork_in_child() -> None:
    while _under_way:
        _under_way.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
