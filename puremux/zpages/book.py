"""The spans that pages show: the newest, examples of each latency and error, and counts by name; all of it bounded.

Floor 5, zpages: imports surface, and methods below.
Source: OpenCensus's tracez, whose latency buckets these are; spans that ended with an error are counted by status.

One thread adds, any thread reads.  The lock is held for a batch of spans at a time, and readers get copies.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple, Union

from .. import methods
from .surface import Surface

__all__ = ["BUCKETS", "ERRORS", "Bounds", "NameView", "SpanBook", "bucket_of", "name_id"]

LATENCY_BOUNDS = tuple(round(bound * 1e9) for bound in methods.LATENCY_BOUNDS)  # nanoseconds
BUCKETS = ("0", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s")
"""Where each latency bucket begins, of spans and of calls."""

ERRORS = "errors"
"""The cell of spans that ended with a status other than OK."""

HIGHEST_CODE = 16  # of google.rpc's; others are counted together
OTHER_CODE = -1
OTHER_NAMES = "(other names)"
OVERHEAD = 600  # bytes that a span takes in memory beside its own

Cell = Union[int, str]
"""A latency bucket by its number, or ``ERRORS``."""


@dataclass(frozen=True)
class Bounds:
    """How much is held for pages.

    Raises:
        ValueError: a bound is below 0, or no whole number.
    """

    spans: int = 10_000
    """The newest spans."""

    span_bytes: int = 16 * 1024 * 1024
    """Bytes of these spans, as they were sent; what Python needs beside them is counted too."""

    names: int = 500
    """Span names that have counts of their own; further ones are counted together."""

    samples: int = 10
    """Spans kept of each name, in each latency bucket and with each kind of status, after newer ones came by."""

    sample_bytes: int = 8 * 1024 * 1024
    """Bytes of these spans."""

    def __post_init__(self) -> None:
        for name, bound in asdict(self).items():
            if not isinstance(bound, int) or bound < 0:
                raise ValueError(f"Bounds: {name} takes a whole number from 0 up, not {bound!r}")


def bucket_of(nanoseconds: int) -> int:
    """The latency bucket of a duration."""
    return bisect_right(LATENCY_BOUNDS, nanoseconds)


def name_id(name: str) -> str:
    """What stands for a span name in addresses: names may be long, and are anybody's."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class NameView(NamedTuple):
    """The counts of one span name, as they were at one moment."""

    name: str
    name_id: str
    latencies: tuple[int, ...]
    """Spans that ended well, by latency bucket."""

    errors: dict[int, int]
    """Spans that did not, by status code; -1 for codes that google.rpc does not have."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.latencies) + sum(self.errors.values())


class _Name:
    """The counts of a name while they grow."""

    __slots__ = ("errors", "latencies", "name", "name_id", "samples")

    def __init__(self, name: str) -> None:
        self.name = name
        self.name_id = name_id(name)
        self.latencies = [0] * len(BUCKETS)
        self.errors: dict[int, int] = {}
        self.samples: dict[Cell, OrderedDict[int, Surface]] = {}

    def count(self, span: Surface) -> Cell:
        """Count a span, and say in which cell it belongs."""
        if span.code:
            code = span.code if 0 < span.code <= HIGHEST_CODE else OTHER_CODE
            self.errors[code] = self.errors.get(code, 0) + 1
            return ERRORS
        bucket = bucket_of(span.latency)
        self.latencies[bucket] += 1
        return bucket

    def view(self) -> NameView:
        return NameView(self.name, self.name_id, tuple(self.latencies), dict(self.errors))


class SpanBook:
    """Counts of all spans that were added, and some of the spans.

    Args:
        bounds: how much is held.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked child, whose parent's threads may have held the lock."""
        self._lock = threading.Lock()
        self._names: dict[str, _Name] = {}
        self._newest: deque[Surface] = deque()
        self._newest_bytes = 0
        self._sampled: OrderedDict[int, OrderedDict[int, Surface]] = OrderedDict()  # by serial number, oldest first
        self._sample_bytes = 0
        self.added = 0
        """Spans that came by so far."""

    def add(self, spans: Iterable[Surface]) -> None:
        """Count spans, and hold them as long as there is room."""
        with self._lock:
            for span in spans:
                self.added += 1
                name = self._named(span.name)
                cell = name.count(span)
                self._hold(span)
                if self.bounds.samples:
                    self._sample(name, cell, span)

    def _named(self, text: str) -> _Name:
        name = self._names.get(text)
        if name is None:
            if len(self._names) >= self.bounds.names:
                text = OTHER_NAMES
            name = self._names.get(text)
            if name is None:
                name = self._names[text] = _Name(text)
        return name

    def _hold(self, span: Surface) -> None:
        self._newest.append(span)
        self._newest_bytes += _weight(span)
        while len(self._newest) > self.bounds.spans or self._newest_bytes > self.bounds.span_bytes:
            self._newest_bytes -= _weight(self._newest.popleft())

    def _sample(self, name: _Name, cell: Cell, span: Surface) -> None:
        samples = name.samples.setdefault(cell, OrderedDict())
        if len(samples) >= self.bounds.samples:
            self._drop_oldest(samples)
        samples[self.added] = span
        self._sampled[self.added] = samples
        self._sample_bytes += _weight(span)
        while self._sample_bytes > self.bounds.sample_bytes:
            self._drop_oldest(next(iter(self._sampled.values())))

    def _drop_oldest(self, samples: OrderedDict[int, Surface]) -> None:
        serial, span = samples.popitem(last=False)
        del self._sampled[serial]
        self._sample_bytes -= _weight(span)

    # Reading

    @property
    def held(self) -> int:
        """Spans held because they are among the newest."""
        return len(self._newest)

    @property
    def held_bytes(self) -> int:
        """What all spans that are held take, about."""
        return self._newest_bytes + self._sample_bytes

    def names(self) -> list[NameView]:
        """The counts of each name, in the order in which they were first seen."""
        with self._lock:
            return [name.view() for name in self._names.values()]

    def spans(self, wanted: str | None = None, cell: Cell | None = None) -> list[Surface]:
        """The spans held of a name, by its id, and in a cell; the newest ends first."""
        found = [span for span in self._all() if wanted is None or self._name_id(span) == wanted]
        if cell is not None:
            found = [span for span in found if _cell(span) == cell]
        return sorted(found, key=lambda span: span.end, reverse=True)

    def trace(self, trace_id: bytes) -> list[Surface]:
        """The spans held of a trace."""
        return [span for span in self._all() if span.trace_id == trace_id]

    def _all(self) -> list[Surface]:
        with self._lock:
            held = list(self._newest)
            cells = [samples for name in self._names.values() for samples in name.samples.values()]
            sampled = [span for samples in cells for span in samples.values()]
        there = set(map(id, held))
        return held + [span for span in sampled if id(span) not in there]

    def _name_id(self, span: Surface) -> str:
        name = self._names.get(span.name) or self._names.get(OTHER_NAMES)
        return name.name_id if name else ""


def _cell(span: Surface) -> Cell:
    return ERRORS if span.code else bucket_of(span.latency)


def _weight(span: Surface) -> int:
    return (len(span.whole) if isinstance(span.whole, bytes) else 0) + OVERHEAD
