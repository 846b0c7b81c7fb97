"""The hand-over from the application's threads: bounded, drop-counting, and never waiting for anybody.

Floor 4, exporter: imports the standard library only.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

__all__ = ["HandOver"]

T = TypeVar("T")

LISTS = (list, tuple)  # exactly these: iterating over them runs no code of the application's


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
        self.items: deque[T] = deque()
        """What is held; always this deque.  Its methods are atomic: the usual path takes no lock.  Who adds to it
        directly has to :meth:`put` something, be it nothing, when more are held than ``size``."""
        self._full = threading.RLock()  # reentrant: a signal's handler may hand something over in the middle of it
        self._making_room = False

    def __len__(self) -> int:
        return len(self.items)

    def put(self, items: Iterable[T]) -> int:
        """Add items, microseconds whatever the consumer does; return how many are held now.

        A list or a tuple, which the caller holds anyway, is added in one step; what is too much then leaves again.
        Anything else may have no end, and is added item by item.
        """
        held = self.items
        if type(items) in LISTS:
            held.extend(items)
        else:
            for item in items:
                held.append(item)
                if len(held) > self.size:
                    self._make_room()
        length = len(held)
        return length if length <= self.size else self._make_room()

    def counts(self) -> tuple[int, int]:
        """Items held, and items dropped so far, at one moment."""
        with self._full:
            return len(self.items), self.dropped

    def take(self, most: int) -> list[T]:
        """Remove the oldest items, ``most`` of them at the most.  For one consumer at a time."""
        taken: list[T] = []
        try:
            while len(taken) < most:
                taken.append(self.items.popleft())
        except IndexError:
            pass  # the producers' dropping may take the last one from under us
        self.taken += len(taken)
        return taken

    def forget(self) -> None:
        """Drop everything uncounted, and count anew: in a forked child, whose parent sends what it held."""
        self.items.clear()
        self.taken = self.dropped = 0
        self._full = threading.RLock()
        self._making_room = False

    def _make_room(self) -> int:
        with self._full:
            if not self._making_room:  # else it is this thread that does, interrupted by what exports now
                self._making_room = True
                try:
                    self._drop_oldest()
                finally:
                    self._making_room = False
        return len(self.items)

    def _drop_oldest(self) -> None:
        while len(self.items) > self.size:
            try:
                self.items.popleft()
            except IndexError:
                return  # the consumer was quicker
            self.dropped += 1
