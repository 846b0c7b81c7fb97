"""How an exporter's figures went over the last minutes: a ring of samples of its ``stats()``.

Floor 5, zpages: the standard library only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

__all__ = ["History", "Sample"]

EVERY = 1.0  # seconds between two samples at the least
FIGURES = ("queue", "waiting", "unconfirmed", "sent", "confirmed", "replayed")
MOST = 600  # samples; ten minutes, or twenty with the exporter's usual bundle delay


class Sample(NamedTuple):
    """The figures of one signal at one moment; spans or metrics, but for the first two."""

    at: float
    """Seconds since 1970."""

    state: str
    queue: int
    waiting: int
    unconfirmed: int
    sent: int
    confirmed: int
    replayed: int
    dropped: int

    @property
    def held(self) -> int:
        """What the agent is not proven to have."""
        return self.queue + self.waiting + self.unconfirmed


class History:
    """The newest samples, oldest first.

    Args:
        read: gives the figures, as :meth:`puremux.Exporter.stats` does; None when there are none any more.
        clock: seconds since 1970.
    """

    def __init__(self, read: Callable[[], Mapping[str, Any] | None], clock: Callable[[], float] = time.time) -> None:
        self._read = read
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=MOST)

    def look(self) -> None:
        """Take a sample, if the last one is old enough."""
        now = self._clock()
        if not self._samples or now - self._samples[-1].at >= EVERY or now < self._samples[-1].at:
            self._samples.extend(self._now(now))

    def forget(self) -> None:
        """Begin anew."""
        self._samples.clear()

    def samples(self) -> list[Sample]:
        """The samples, with one of this moment at the end."""
        for _ in range(10):
            try:
                held, now = list(self._samples), self._clock()
                if held and now - held[-1].at < EVERY / 2:  # too close for a rate between the two
                    held.pop()
                return [*held, *self._now(now)]
            except RuntimeError:  # the exporter's thread took one meanwhile
                continue
        return []

    def _now(self, now: float) -> list[Sample]:
        stats = self._read()
        return [] if stats is None else [_sample(now, stats)]


def _sample(now: float, stats: Mapping[str, Any]) -> Sample:
    return Sample(
        at=now,
        state=str(stats["state"]),
        dropped=sum(stats["dropped"].values()),
        **{name: int(stats[name]) for name in FIGURES},
    )
