"""What goes wrong, said once a minute and not once a span.

Floor 4, exporter: imports logs and the standard library only.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Callable, NamedTuple

from ..logs import CarefulLogger

__all__ = ["Complaint", "Complaints"]

PERIOD = 60.0  # seconds between two log lines of a kind
NEWEST = 20  # sentences that are kept
LONGEST = 1_000  # characters of a sentence: an agent may explain a status in 64 KiB


class Complaint(NamedTuple):
    """A sentence, and when it was said last."""

    at: float
    """Seconds since 1970."""

    kind: str
    sentence: str
    times: int
    """In a row."""


class Complaints:
    """Log lines by kind, each kind once a period; in between they are counted.

    Args:
        clock: seconds, as ``time.monotonic``.
        later: runs what it is given at a moment when no lock is held, since whoever takes log lines may wait, or
            look at us; None to log at once.
    """

    def __init__(
        self,
        logger: CarefulLogger,
        clock: Callable[[], float],
        later: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        self.last: str | None = None
        """The newest sentence of any kind, logged or not."""
        self._newest: deque[Complaint] = deque(maxlen=NEWEST)
        self._logger = logger
        self._clock = clock
        self._later = later or (lambda log: log())
        self._said_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def say(self, kind: str, sentence: str) -> None:
        """Log the sentence, unless one of its kind was logged within the period."""
        if len(sentence) > LONGEST:
            sentence = sentence[: LONGEST - 1] + "…"
        self.last = sentence
        self._remember(kind, sentence)
        now = self._clock()
        if now - self._said_at.get(kind, -PERIOD) < PERIOD:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        self._said_at[kind] = now
        more = self._unsaid.pop(kind, 0)
        line = f"{sentence} ({more} more like this since the last line)" if more else sentence
        self._later(lambda: self._logger.warning("puremux: %s", line))

    def forget(self) -> None:
        """Begin anew in a forked child."""
        self.last = None
        self._newest.clear()
        self._said_at.clear()
        self._unsaid.clear()

    def newest(self) -> list[Complaint]:
        """What was said, logged or not, the newest first; bounded."""
        return list(self._newest.copy())[::-1]

    def _remember(self, kind: str, sentence: str) -> None:
        times = 1
        try:
            last = self._newest.pop()  # in one step with the look at it, as other threads complain too
        except IndexError:
            pass
        else:
            if last.sentence == sentence:
                times += last.times
            else:
                self._newest.append(last)
        self._newest.append(Complaint(time.time(), kind, sentence, times))
