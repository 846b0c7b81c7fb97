"""The hand-over from the application's threads: bounded, drop-counting, and never waiting for anybody.

Floor 4, exporter: imports the standard library only.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["HandOver"]

T = TypeVar("T")


class HandOver(Generic[T]):
    """Items from any number of threads to one.

    When it is full the oldest item makes room: what happened last explains best why nobody was listening.

    Args:
        size: items held at the most.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a queue takes a size of at least 1, not {size}")
        self.size = size
        self.taken = 0
        """Items that went to the consumer."""
        self.dropped = 0
        """Items that made room for newer ones."""
        self._items: deque[T] = deque()  # append and popleft are atomic: the usual path takes no lock
        self._full = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item; microseconds, whatever the consumer does."""
        if len(self._items) >= self.size:
            self._make_room()
        self._items.append(item)

    def take(self, most: int) -> list[T]:
        """Remove the oldest items, ``most`` of them at the most.  For one consumer at a time."""
        taken: list[T] = []
        try:
            while len(taken) < most:
                taken.append(self._items.popleft())
        except IndexError:
            pass  # the producers' dropping may take the last one from under us
        self.taken += len(taken)
        return taken

    def forget(self) -> None:
        """Drop everything uncounted, and count anew: in a forked child, whose parent sends what it held."""
        self._items.clear()
        self.taken = self.dropped = 0
        self._full = threading.Lock()

    def _make_room(self) -> None:
        with self._full:
            while len(self._items) >= self.size:
                try:
                    self._items.popleft()
                except IndexError:
                    return  # the consumer was quicker
                self.dropped += 1
