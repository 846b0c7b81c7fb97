"""Whoever wants to see what the exporter sends, for pages about it.

Floor 4, exporter: imports logs and the standard library only.
"""

from __future__ import annotations

from typing import Callable, Protocol

from ..logs import CarefulLogger

__all__ = ["Watcher", "Watchers"]

logger = CarefulLogger("puremux.exporter")


class Watcher(Protocol):
    """Told by the exporter's own thread, never by the application's, and under no lock; it must be quick."""

    def batch(self, signal: str, payload: bytes) -> None:
        """A batch is about to be sent for the first time.

        Args:
            signal: ``spans`` or ``metrics``.
            payload: the repeated field of the request, as it goes on the wire.
        """

    def looked(self) -> None:
        """The exporter has looked at its queues, as it does at least every bundle delay."""

    def forked(self) -> None:
        """This is a forked child, where nothing was sent yet, and locks are as the parent's threads left them."""


class Watchers:
    """Watchers of one exporter; usually there is none, and then this costs nothing."""

    def __init__(self) -> None:
        self._watchers: tuple[Watcher, ...] = ()  # replaced as a whole: read without a lock

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def add(self, watcher: Watcher) -> None:
        """Tell one more."""
        self._watchers = (*self._watchers, watcher)

    def remove(self, watcher: Watcher) -> None:
        """Tell one less; nothing happens if it is told nothing."""
        self._watchers = tuple(each for each in self._watchers if each is not watcher)

    def batch(self, signal: str, payload: bytes) -> None:
        """Tell of a batch."""
        self._tell(lambda watcher: watcher.batch(signal, payload))

    def looked(self) -> None:
        """Tell that the queues were looked at."""
        self._tell(lambda watcher: watcher.looked())

    def forked(self) -> None:
        """Tell of a fork, in the child."""
        self._tell(lambda watcher: watcher.forked())

    def _tell(self, tell: Callable[[Watcher], None]) -> None:
        for watcher in self._watchers:
            try:
                tell(watcher)
            except Exception as error:  # noqa: BLE001  a page about the exporter is no reason to lose what it sends
                self.remove(watcher)
                logger.error("puremux: a watcher of the exporter failed, and is told nothing more", error=error)
