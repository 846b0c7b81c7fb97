"""TCP, put together again: segments of a capture in, pieces of connections out.

Floor 5, wire: imports capture, records and words.
Spec: RFC 9293 §3.4 (numbers, which begin anew behind 2**32).

Segments may come twice, overlap, or come in any order, as networks bring them.  Where one was not captured, what comes
behind it cannot be understood: a gap is told once nobody can expect the segment any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .capture import Segment
from .records import CLIENT, SERVER, Connection, Piece
from .words import count

__all__ = ["pieces_of"]

MAX_WAITING = 1024 * 1024
"""Bytes that wait for a segment before them, of each direction, and what it costs to remember their segments."""

SEGMENT_COST = 128  # bytes

WRAP = 1 << 32
PREFACE = b"PRI * HTTP/2"


def pieces_of(segments: Iterable[Segment]) -> Iterator[Piece]:
    """Put segments together; yield what each end of each connection sent."""
    flows = _Flows()
    for segment in segments:
        yield from flows.take(segment)
    yield from flows.finish()


class _Way:
    """One direction of a connection."""

    def __init__(self, connection: Connection, sender: str) -> None:
        self.has_ended = False
        self._connection = connection
        self._sender = sender
        self._expected: int | None = None  # the number of the next byte
        self._end: int | None = None  # the number behind the last byte
        self._waiting: dict[int, Segment] = {}  # those that came too early, by their numbers
        self._waiting_bytes = 0

    def take(self, segment: Segment, time: float) -> Iterator[Piece]:
        """Take a segment; yield what can be told now."""
        number = segment.number
        if segment.begins:
            number = self._expected = (number + 1) % WRAP  # the SYN counts for a byte (RFC 9293 §3.4)
        if self._expected is None:
            self._expected = number
        if segment.ends:
            self._end = (number + len(segment.data) + segment.missing) % WRAP
        if segment.data or segment.missing:
            yield from self._place(number, segment, time)
            yield from self._look_through_waiting(time)
        if self._end == self._expected:
            yield from self._finish(time)

    def cut_off(self, time: float) -> Iterator[Piece]:
        """Nothing more comes, whatever is missing: the connection was reset."""
        yield from self.give_up(time)
        yield from self._finish(time)

    def give_up(self, time: float) -> Iterator[Piece]:
        """Wait no longer for what is missing."""
        while self._waiting and self._expected is not None:
            distance = {number: _distance(self._expected, number) for number in self._waiting}
            first = min(self._waiting, key=distance.__getitem__)
            yield self._gap(distance[first], time)
            yield from self._look_through_waiting(time)

    def _finish(self, time: float) -> Iterator[Piece]:
        if not self.has_ended:
            self.has_ended = True
            yield Piece(self._connection, time, self._sender, b"")

    def _place(self, number: int, segment: Segment, time: float) -> Iterator[Piece]:
        """Tell of a segment, or let it wait."""
        late = -_distance(self._expected or 0, number)
        if late < 0:
            known = self._waiting.get(number)
            if known is None or len(known.data) < len(segment.data):
                self._waiting[number] = segment
                self._waiting_bytes += _cost(segment) - (0 if known is None else _cost(known))
            if self._waiting_bytes > MAX_WAITING:
                yield from self.give_up(time)
            return
        data = segment.data[late:]
        if data:
            self._expected = ((self._expected or 0) + len(data)) % WRAP
            yield Piece(self._connection, time, self._sender, data)
        missing = segment.missing - max(late - len(segment.data), 0)
        if missing > 0:
            yield self._gap(missing, time)

    def _look_through_waiting(self, time: float) -> Iterator[Piece]:
        """Tell of segments whose turn it is."""
        is_new = True
        while is_new:
            is_new = False
            for number in sorted(self._waiting, key=lambda number: _distance(self._expected or 0, number)):
                if _distance(self._expected or 0, number) > 0:
                    break
                segment = self._waiting.pop(number)
                self._waiting_bytes -= _cost(segment)
                yield from self._place(number, segment, time)
                is_new = True

    def _gap(self, size: int, time: float) -> Piece:
        self._expected = ((self._expected or 0) + size) % WRAP
        reason = f"{count(size, 'byte')} are missing in the capture"
        return Piece(self._connection, time, self._sender, b"", reason)


class _Flows:
    """All connections of a capture."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._now = 0.0
        self._flows: dict[frozenset[str], dict[str, _Way]] = {}  # by its two addresses: each one's way
        self._count = 0

    def take(self, segment: Segment) -> Iterator[Piece]:
        """Take a segment of any of them."""
        if self._began is None:
            self._began = segment.time
        self._now = max(segment.time - self._began, 0.0)
        key = frozenset((segment.source, segment.destination))
        ways = self._flows.get(key)
        if ways is not None and segment.begins and all(way.has_ended for way in ways.values()):
            ways = None  # the same ports, used once more
        if ways is None:
            if not segment.begins and not segment.data:
                return  # the end of a connection that is not in the capture
            ways = self._flows[key] = self._new(segment)
        yield from ways[segment.source].take(segment, self._now)
        if segment.resets:
            for way in ways.values():
                yield from way.cut_off(self._now)

    def finish(self) -> Iterator[Piece]:
        """Nothing more comes."""
        for ways in self._flows.values():
            for way in ways.values():
                yield from way.give_up(self._now)

    def _new(self, segment: Segment) -> dict[str, _Way]:
        self._count += 1
        client, server = _ends(segment)
        connection = Connection(self._count, client, server)
        return {client: _Way(connection, CLIENT), server: _Way(connection, SERVER)}


def _ends(segment: Segment) -> tuple[str, str]:
    """Which end is the client: it says SYN first, or the preface, or it has the larger port."""
    ends = (segment.source, segment.destination)
    if segment.begins:
        from_client = not segment.acknowledges
    elif segment.data.startswith(PREFACE):
        from_client = True
    else:
        from_client = _port(segment.source) >= _port(segment.destination)
    return ends if from_client else (ends[1], ends[0])


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _cost(segment: Segment) -> int:
    return len(segment.data) + SEGMENT_COST


def _distance(start: int, number: int) -> int:
    """From one number to another, which may be behind it."""
    distance = (number - start) % WRAP
    return distance - WRAP if distance >= WRAP // 2 else distance
