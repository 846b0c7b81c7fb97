"""What the tests of channels share: a clock that a driver runs by, and states as they are told."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from puremux.channel import Channel
from puremux.subchannel import Connectivity
from puremux.transport.driver import Driver

LIMIT = 20.0


class Time:
    """A driver whose clock stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.driver = Driver(clock=lambda: self.now)

    def settle(self) -> None:
        """Until the driver has done all that is due, and what follows from it."""
        for _ in range(3):
            done = threading.Event()
            self.driver.call_soon(done.set)
            assert done.wait(LIMIT)

    def advance(self, seconds: float) -> None:
        self.settle()
        self.now += seconds
        self.driver.wake()
        self.settle()


class States:
    """The states that a channel tells, in order."""

    def __init__(self, channel: Channel, *, try_to_connect: bool = False) -> None:
        self._told: queue.Queue[Connectivity] = queue.Queue()
        channel.subscribe(self._told.put, try_to_connect)

    def next(self) -> Connectivity:
        return self._told.get(timeout=LIMIT)

    def until(self, state: Connectivity) -> None:
        while self.next() is not state:
            pass

    @property
    def is_quiet(self) -> bool:
        return self._told.empty()


def within(condition: Any, seconds: float = LIMIT) -> bool:
    """Whether something that has no event of its own comes true."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True
