"""Plain data about bytes: what each of them means, layer by layer, and where it lies.

Floor 5, wire: imports the standard library only.
"""

from __future__ import annotations

import bisect
import enum
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Layer", "Part", "Stretch", "not_understood"]

Places = tuple[tuple[int, int], ...]


class Layer(enum.Enum):
    """Which specification gives a byte its meaning."""

    FRAME = "frame"
    """HTTP/2's preface, heads of frames, and what control frames hold (RFC 9113)."""

    HPACK = "hpack"
    """Compressed headers (RFC 7541)."""

    GRPC = "grpc"
    """The five bytes before a message, and messages that are compressed (PROTOCOL-HTTP2.md)."""

    MESSAGE = "message"
    """Fields of a protobuf message."""

    BODY = "body"
    """DATA of a stream that is no gRPC."""

    UNKNOWN = "unknown"
    """Not understood; the part's note says why."""


@dataclass(frozen=True)
class Part:
    """Some bytes that mean something together; either a leaf, which has ``data``, or made of other parts."""

    layer: Layer
    name: str
    """Of a field, as its specification or its type calls it."""

    value: str = ""
    """What the bytes say; printable, whatever the peer sent."""

    note: str = ""
    """How they say it, or why they are not understood."""

    data: bytes = b""
    """Of a leaf: its bytes."""

    places: Places = ()
    """Of a leaf: from where to where its bytes lie in what its sender sent, counted from the connection's first byte.

    Several places, if the bytes are split between frames.  Where ``is_unpacked``, places in the decompressed message.
    """

    is_unpacked: bool = False
    """The bytes were not sent like this: they are inside a compressed message."""

    is_carried: bool = False
    """The bytes are told again, in full: those of a header block or a message, by the record that follows."""

    parts: tuple[Part, ...] = ()

    def leaves(self) -> Iterator[Part]:
        """The leaves, in order."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()

    @property
    def start(self) -> int:
        """Where its first byte lies."""
        return next((leaf.places[0][0] for leaf in self.leaves() if leaf.places), 0)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(len(leaf.data) for leaf in self.leaves())


class Stretch:
    """Bytes that are read as one, and where each of them lies.

    Args:
        data: the bytes.
        places: where they lie, in order.
        is_unpacked: the places are in a decompressed message.
    """

    def __init__(self, data: bytes, places: Places, is_unpacked: bool = False) -> None:
        self.data = data
        self._places = places
        self._is_unpacked = is_unpacked
        sizes = (end - start for start, end in places)
        self._offsets = [0, *itertools.accumulate(sizes)]  # of each place in the data

    @classmethod
    def at(cls, start: int, data: bytes) -> Stretch:
        """Bytes that lie together."""
        return cls(data, ((start, start + len(data)),))

    @classmethod
    def join(cls, stretches: Iterable[Stretch]) -> Stretch:
        """Bytes that belong together although others lie between them."""
        joined = tuple(stretches)
        return cls(b"".join(each.data for each in joined), tuple(place for each in joined for place in each._places))

    def __len__(self) -> int:
        return len(self.data)

    def cut(self, start: int, end: int) -> Stretch:
        """A part of the bytes."""
        return Stretch(self.data[start:end], self._places_of(start, end), self._is_unpacked)

    def leaf(
        self,
        start: int,
        end: int,
        layer: Layer,
        name: str,
        value: str = "",
        note: str = "",
        *,
        is_carried: bool = False,
    ) -> Part:
        """Say what a part of the bytes means."""
        places = self._places_of(start, end)
        return Part(layer, name, value, note, self.data[start:end], places, self._is_unpacked, is_carried)

    def _places_of(self, start: int, end: int) -> Places:
        if start >= end:
            return ()
        index = bisect.bisect_right(self._offsets, start) - 1
        found = []
        while index < len(self._places) and self._offsets[index] < end:
            (begin, stop), offset = self._places[index], self._offsets[index]
            found.append((begin + max(start - offset, 0), min(stop, begin + end - offset)))
            index += 1
        return tuple(found)


def not_understood(stretch: Stretch, start: int, reason: str, end: int | None = None) -> Part:
    """The bytes from ``start`` on, as a leaf that says why nothing can be said about them."""
    return stretch.leaf(start, len(stretch) if end is None else end, Layer.UNKNOWN, "not understood", "", reason)
