"""Connections, decoded: pieces of bytes in, records out, and nothing that a peer sends can raise.

Floor 5, wire: imports direction, calls, methods and records.  No I/O, and no clock.

    decoder = Decoder()
    for piece in pieces:
        for record in decoder.read(piece):
            ...
    for record in decoder.finish():
        ...
"""

from __future__ import annotations

from collections.abc import Iterator

from .calls import Calls
from .direction import Bounds, Direction
from .methods import Methods
from .records import CLIENT, SERVER, Connection, Piece, Record

__all__ = ["Decoder"]


class Decoder:
    """Decodes any number of connections.

    Args:
        methods: whose messages are told by name.
        bounds: how much is kept.
    """

    def __init__(self, methods: Methods | None = None, bounds: Bounds | None = None) -> None:
        self._methods = methods or Methods()
        self._bounds = bounds or Bounds()
        self._connections: dict[int, _BothWays] = {}

    def read(self, piece: Piece) -> Iterator[Record]:
        """Take what one end of a connection sent; yield what can be told now."""
        number = piece.connection.number
        both = self._connections.get(number)
        if both is None:
            both = self._connections[number] = _BothWays(piece.connection, self._methods, self._bounds)
        yield from both.read(piece)
        if both.has_ended:
            del self._connections[number]

    def finish(self) -> Iterator[Record]:
        """No more comes: tell of what was left unfinished."""
        connections, self._connections = self._connections, {}
        for both in connections.values():
            yield from both.finish()


class _BothWays:
    """One connection."""

    def __init__(self, connection: Connection, methods: Methods, bounds: Bounds) -> None:
        calls = Calls(bounds.calls)
        self._ways = {sender: Direction(connection, sender, calls, methods, bounds) for sender in (CLIENT, SERVER)}
        for sender, other in ((CLIENT, SERVER), (SERVER, CLIENT)):
            self._ways[sender].on_table_size = self._ways[other].allow_table_size

    @property
    def has_ended(self) -> bool:
        return all(way.has_ended for way in self._ways.values())

    def read(self, piece: Piece) -> Iterator[Record]:
        way = self._ways[piece.sender]
        if piece.gap:
            yield from way.lose(piece.gap, piece.time)
        if piece.data:
            yield from way.receive(piece.data, piece.time)
        elif not piece.gap:
            yield from way.end("The connection ended", piece.time)

    def finish(self) -> Iterator[Record]:
        for way in self._ways.values():
            yield from way.end("The recording ends")
