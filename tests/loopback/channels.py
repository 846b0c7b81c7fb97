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
    """A driver whose clock stands still until the test moves it.

    Args:
        driver: one whose thread has not begun; None for a new one.
    """

    def __init__(self, driver: Driver | None = None) -> None:
        self.now = 1000.0
        self.driver = driver or Driver()
        self.driver.clock = lambda: self.now

    def settle(self, *others: Driver, hops: int = 3) -> None:
        """Until the driver has done all that is due, and what follows from it.

        Args:
            others: drivers of whoever the driver talks to on this machine; what is on its way is taken at each hop.
            hops: how often each of them looks at what has come.
        """
        for _ in range(hops):
            for driver in (self.driver, *others):
                done = threading.Event()
                driver.call_soon(done.set)
                assert done.wait(LIMIT)

    def advance(self, seconds: float, *others: Driver, hops: int = 3) -> None:
        self.settle(*others, hops=hops)
        self.now += seconds
        self.driver.wake()
        self.settle(*others, hops=hops)

    def go_on(self) -> None:
        """Let the clock run, from where it stands."""
        with self.driver.lock:
            ahead = self.now - time.monotonic()
            self.driver.clock = lambda: time.monotonic() + ahead
        self.driver.wake()


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
