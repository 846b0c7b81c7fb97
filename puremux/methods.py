"""What became of calls, by method: how many, with which status, how long they took, and what went over them.

Floor 3, I/O: imports status and the standard library.
Source: the figures of OpenCensus's rpcz page, and the latency buckets of its zPages.

Counting is always on: it costs a call less than a microsecond (``python -m bench.zpages``), and a page that is asked
for later knows the whole story.
Whoever counts holds the lock of the driver that the calls run on; :meth:`MethodBook.views` gives copies.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Mapping
from typing import Callable, NamedTuple

from .status import StatusCode

__all__ = ["LATENCY_BOUNDS", "CountedCall", "MethodBook", "MethodCounts", "MethodView", "channel_book", "channel_books"]

LATENCY_BOUNDS = (10e-6, 100e-6, 1e-3, 10e-3, 0.1, 1.0, 10.0, 100.0)
"""Seconds at which one latency bucket ends and the next begins."""

MOST_METHODS = 200  # that have figures of their own
OTHERS = "(other methods)"

_books: weakref.WeakSet[MethodBook] = weakref.WeakSet()


class MethodView(NamedTuple):
    """A method's figures, as they were at one moment."""

    method: str
    """Its path, ``/package.Service/Method``."""

    started: int
    by_status: Mapping[StatusCode, int]
    """Calls that are over."""

    seconds: float
    """How long the calls that are over took, together."""

    longest: float
    """Seconds of the one that took longest."""

    latencies: tuple[int, ...]
    """Calls that are over, by latency bucket: one more than there are bounds."""

    sent_messages: int
    sent_bytes: int
    """Of messages, before they are compressed."""

    received_messages: int
    received_bytes: int

    @property
    def ended(self) -> int:
        """Calls that are over."""
        return sum(self.by_status.values())

    @property
    def running(self) -> int:
        """Calls that are not."""
        return self.started - self.ended


class MethodCounts:
    """A method's figures while they grow."""

    __slots__ = (
        "_by_status",
        "_latencies",
        "_longest",
        "_received_bytes",
        "_received_messages",
        "_seconds",
        "_sent_bytes",
        "_sent_messages",
        "_started",
    )

    def __init__(self) -> None:
        self._started = self._sent_messages = self._sent_bytes = self._received_messages = self._received_bytes = 0
        # By number: hashing a member of an enum takes longer than all else here.
        self._by_status = [0] * len(StatusCode)
        self._latencies = [0] * (len(LATENCY_BOUNDS) + 1)
        self._seconds = self._longest = 0.0

    def start(self) -> None:
        """A call begins."""
        self._started += 1

    def sent(self, size: int) -> None:
        """A message of so many bytes was sent."""
        self._sent_messages += 1
        self._sent_bytes += size

    def received(self, size: int) -> None:
        """A message of so many bytes came."""
        self._received_messages += 1
        self._received_bytes += size

    def end(self, code: StatusCode, seconds: float) -> None:
        """A call that was begun is over, after so long."""
        self._by_status[code] += 1
        self._latencies[bisect_right(LATENCY_BOUNDS, seconds)] += 1
        self._seconds += seconds
        self._longest = max(self._longest, seconds)

    def view(self, method: str) -> MethodView:
        """A copy."""
        return MethodView(
            method,
            self._started,
            {StatusCode(code): count for code, count in enumerate(self._by_status) if count},
            self._seconds,
            self._longest,
            tuple(self._latencies),
            self._sent_messages,
            self._sent_bytes,
            self._received_messages,
            self._received_bytes,
        )


class CountedCall:
    """One call of a method, from now until it ends.

    Args:
        clock: seconds, as ``time.monotonic``.
    """

    __slots__ = ("_began", "_clock", "_counts")

    def __init__(self, counts: MethodCounts, clock: Callable[[], float]) -> None:
        self._counts: MethodCounts | None = counts
        self._clock = clock
        self._began = clock()
        counts.start()

    def sent(self, size: int) -> None:
        """A message of so many bytes was sent."""
        if self._counts is not None:
            self._counts.sent(size)

    def received(self, size: int) -> None:
        """A message of so many bytes came."""
        if self._counts is not None:
            self._counts.received(size)

    def end(self, code: StatusCode) -> None:
        """It is over; only the first time counts, and nothing does afterwards."""
        counts, self._counts = self._counts, None
        if counts is not None:
            counts.end(code, self._clock() - self._began)


class MethodBook:
    """The methods that are called over one channel, or of one server.

    Args:
        name: the channel's target, or what else the calls have in common.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._methods: dict[str, MethodCounts] = {}

    def of(self, path: str) -> MethodCounts:
        """The figures of a method; those of all others together, once there are too many."""
        found = self._methods.get(path)
        if found is None:
            if len(self._methods) >= MOST_METHODS:
                path = OTHERS
            found = self._methods.setdefault(path, MethodCounts())
        return found

    def views(self) -> list[MethodView]:
        """The methods' figures, in the order of their first calls."""
        return [counts.view(method) for method, counts in list(self._methods.items())]


def channel_book(name: str) -> MethodBook:
    """A book that :func:`channel_books` finds for as long as somebody holds it."""
    book = MethodBook(name)
    _books.add(book)
    return book


def channel_books() -> list[MethodBook]:
    """The books of all channels of this program that are still there, by name."""
    while True:
        try:
            return sorted(_books, key=lambda book: book.name)
        except RuntimeError:  # another thread has made a channel meanwhile
            continue
