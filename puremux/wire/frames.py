"""Frames: cuts what one end sent into the preface and frames, and says what each byte of them is.

Floor 5, wire: imports parts and words.  What payloads say is told in payloads.py.
Spec: RFC 9113 §3.4, §4.1; kinds and flags: §6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Union

from .parts import Layer, Part, Stretch
from .words import count

__all__ = ["KINDS", "PREFACE", "Cut", "FrameCutter", "Head", "Kind"]

HEAD = 9
"""Bytes before each payload."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION) = range(10)

ACK = END_STREAM = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20

_ENDS, _PADDED = {END_STREAM: "END_STREAM"}, {PADDED: "PADDED"}
_BLOCK = {END_HEADERS: "END_HEADERS"}
_ACK = {ACK: "ACK"}


class Kind(NamedTuple):
    """What there is to know of a frame's kind."""

    name: str
    flags: dict[int, str]


KINDS = {
    DATA: Kind("DATA", {**_ENDS, **_PADDED}),
    HEADERS: Kind("HEADERS", {**_ENDS, **_BLOCK, **_PADDED, HAS_PRIORITY: "PRIORITY"}),
    PRIORITY: Kind("PRIORITY", {}),
    RST_STREAM: Kind("RST_STREAM", {}),
    SETTINGS: Kind("SETTINGS", _ACK),
    PUSH_PROMISE: Kind("PUSH_PROMISE", {**_BLOCK, **_PADDED}),
    PING: Kind("PING", _ACK),
    GOAWAY: Kind("GOAWAY", {}),
    WINDOW_UPDATE: Kind("WINDOW_UPDATE", {}),
    CONTINUATION: Kind("CONTINUATION", _BLOCK),
    # Extensions; receivers that do not know them skip them (§5.5), and so does the decoder.
    0x0A: Kind("ALTSVC", {}),  # RFC 7838
    0x0C: Kind("ORIGIN", {}),  # RFC 8336
    0x10: Kind("PRIORITY_UPDATE", {}),  # RFC 9218
}


@dataclass(frozen=True)
class Head:
    """The nine bytes before a payload."""

    stretch: Stretch
    length: int
    kind: int
    flags: int
    stream_id: int

    @classmethod
    def read(cls, stretch: Stretch) -> Head:
        """§4.1."""
        data = stretch.data
        stream_id = int.from_bytes(data[5:9], "big") & 0x7FFF_FFFF
        return cls(stretch, int.from_bytes(data[:3], "big"), data[3], data[4], stream_id)

    @property
    def name(self) -> str:
        """Of its kind."""
        return KINDS[self.kind].name if self.kind in KINDS else f"kind 0x{self.kind:02x}"

    @property
    def flag_names(self) -> tuple[str, ...]:
        """Of the flags that are set; those without a meaning by their number."""
        known = KINDS[self.kind].flags if self.kind in KINDS else {}
        bits = [1 << bit for bit in range(8) if self.flags & 1 << bit]
        return tuple(known.get(bit, f"0x{bit:02x}") for bit in bits)

    @property
    def is_plausible(self) -> bool:
        """Whether bytes that were found somewhere may well be a head: most other bytes are not."""
        is_known = self.kind <= CONTINUATION and not self.flags & ~sum(KINDS[self.kind].flags)
        on_connection = self.kind in (SETTINGS, PING, GOAWAY)
        fits = self.kind == WINDOW_UPDATE or on_connection == (self.stream_id == 0)
        return is_known and fits and self.length <= 16_384 and not self.stretch.data[5] & 0x80

    def part(self) -> Part:
        """What each of its bytes says."""
        leaf = self.stretch.leaf
        flags = " ".join(self.flag_names) or "none"
        stream = f"{self.stream_id}" if self.stream_id else "0 (the connection)"
        reserved = "the reserved bit is set" if self.stretch.data[5] & 0x80 else ""
        leaves = (
            leaf(0, 3, Layer.FRAME, "length", f"{self.length:,}"),
            leaf(3, 4, Layer.FRAME, "type", f"{self.kind}, {self.name}"),
            leaf(4, 5, Layer.FRAME, "flags", flags),
            leaf(5, 9, Layer.FRAME, "stream", stream, reserved),
        )
        said = " ".join([self.name, *self.flag_names])
        return Part(Layer.FRAME, "head", f"{said}, stream {stream}, {count(self.length, 'byte')}", parts=leaves)


class FrameCutter:
    """Finds the frames in what one end sent, as it comes.

    Args:
        most: bytes of the largest payload that is put together; of a larger one the pieces are given out as they come.
        start: where the first head lies.
    """

    def __init__(self, most: int, start: int) -> None:
        self._most = most
        self._buffer = bytearray()
        self._start = start  # of the buffer
        self._left = 0  # of a payload that is too large

    def receive(self, data: bytes) -> Iterator[Cut]:
        """Take bytes; yield what can be told now."""
        self._buffer += data
        while True:
            cut = self._piece() if self._left else self._frame()
            if cut is None:
                return
            yield cut

    def rest(self) -> Stretch:
        """Take what has come of a frame that is not whole."""
        return self._take(len(self._buffer))

    def _piece(self) -> Cut | None:
        if not self._buffer:
            return None
        piece = self._take(min(self._left, len(self._buffer)))
        self._left -= len(piece)
        return None, piece

    def _frame(self) -> Cut | None:
        length = int.from_bytes(self._buffer[:3], "big")
        if len(self._buffer) < HEAD + (length if length <= self._most else 0):
            return None
        head = Head.read(self._take(HEAD))
        if length > self._most:
            self._left = length
            return head, None
        return head, self._take(length)

    def _take(self, size: int) -> Stretch:
        taken = Stretch.at(self._start, bytes(self._buffer[:size]))
        del self._buffer[:size]
        self._start += size
        return taken


Cut = tuple[Union[Head, None], Union[Stretch, None]]
"""A head and its payload; a head whose payload is too large, and None; None, and a piece of a payload like that."""
