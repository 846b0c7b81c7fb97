"""Taps: who wants to see the bytes of a channel's connections is told of each piece as it goes by.

Floor 3, transport: imports logs and the standard library only.
"""

from __future__ import annotations

import itertools
from typing import Callable, NamedTuple

from ..logs import CarefulLogger

__all__ = ["BytesPassed", "CarefulTap", "ConnectionTap", "Tap"]

logger = CarefulLogger("puremux")

_NUMBERS = itertools.count(1)


class BytesPassed(NamedTuple):
    """Some bytes went over a connection, as they are on the wire inside TLS."""

    connection: int
    """Which connection; no other one of this process has the same number."""

    peer: str
    """The address of the other end, as the user wrote it."""

    time: float
    """When, in seconds, as ``time.monotonic()``."""

    direction: str
    """``"sent"`` or ``"received"``."""

    data: bytes
    """The bytes.  None at all: nothing more comes in this direction; of a connection that is closed on this side, only
    ``"sent"`` is told to end."""


Tap = Callable[[BytesPassed], None]
"""Told of each piece of bytes, in order, on the thread that moves them: whatever it does, the calls wait for it."""


class CarefulTap:
    """A tap that can't harm the calls: it is told no more after it has raised, and the log says so, once."""

    def __init__(self, tap: Tap) -> None:
        self._tap: Tap | None = tap

    def __call__(self, passed: BytesPassed) -> None:
        """Tell the tap, if it still wants to know."""
        if self._tap is None:
            return
        try:
            self._tap(passed)
        except Exception as error:  # noqa: BLE001  the application's code; its fault is not the call's
            self._tap = None
            logger.warning("The tap on %s raised %r; it is told no more.", passed.peer, error)


class ConnectionTap:
    """What a tap is told about one connection."""

    def __init__(self, tap: Tap, peer: str, clock: Callable[[], float]) -> None:
        self._tap = tap
        self._peer = peer
        self._clock = clock
        self._number = next(_NUMBERS)

    def passed(self, direction: str, data: bytes) -> None:
        """Tell of some bytes; of none, when the direction has ended."""
        self._tap(BytesPassed(self._number, self._peer, self._clock(), direction, data))
