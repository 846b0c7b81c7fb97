"""Payloads of frames: what each byte says, kind by kind.

Floor 5, wire: imports frames, parts and words.
Spec: RFC 9113 §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable

from .frames import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Head,
)
from .parts import Layer, Part, Stretch, not_understood
from .words import count, error_name, printable, setting_name

__all__ = ["HEADER_TABLE_SIZE", "Payload", "read_payload"]

HEADER_TABLE_SIZE = 0x1  # of SETTINGS

MOST_SETTINGS = 8  # that a summary tells


@dataclass
class Payload:
    """What a payload says."""

    parts: list[Part] = field(default_factory=list)
    summary: str = ""
    carried: Stretch | None = None
    """Bytes of a header block, or of messages."""

    settings: dict[int, int] = field(default_factory=dict)
    promised_id: int = 0
    """The stream that a PUSH_PROMISE is about."""


def read_payload(head: Head, stretch: Stretch) -> Payload:
    """Say what each byte of a payload is."""
    scan = _Scan(head, stretch)
    read = READERS.get(head.kind)
    try:
        if read is None:
            raise _Broken("RFC 9113 knows no frames of this kind; receivers skip them.")
        if head.flags & PADDED and head.kind in (DATA, HEADERS, PUSH_PROMISE):
            scan.find_padding()
        read(scan)
        if scan.at < scan.end:
            raise _Broken(f"{head.name} frames are not that long.")
    except _Broken as broken:
        scan.give_up(str(broken))
    scan.take_padding()
    return scan.payload


class _Broken(Exception):
    """The payload is not as its kind demands."""


class _Scan:
    """A payload while it is read."""

    def __init__(self, head: Head, stretch: Stretch) -> None:
        self.head = head
        self.stretch = stretch
        self.at = 0
        self.end = len(stretch)
        self.payload = Payload()

    def number(self, size: int, name: str, say: Callable[[int], str] = "{:,}".format, *, bits: int = 32) -> int:
        """Read a number; ``say`` tells what it means."""
        number = int.from_bytes(self.stretch.data[self.at : self.at + size], "big") & ((1 << bits) - 1)
        self.payload.parts.append(self.leaf(size, name, lambda _: say(number)))
        return number

    def leaf(self, size: int, name: str, say: Callable[[bytes], str], note: str = "") -> Part:
        """Take bytes."""
        if self.at + size > self.end:
            raise _Broken(f"The frame ends in the middle of its {name}.")
        data = self.stretch.data[self.at : self.at + size]
        part = self.stretch.leaf(self.at, self.at + size, Layer.FRAME, name, say(data), note)
        self.at += size
        return part

    def carry(self, layer: Layer, name: str) -> None:
        """All that is left belongs to something larger."""
        self.payload.carried = self.stretch.cut(self.at, self.end)
        said = count(self.end - self.at, "byte")
        self.payload.parts.append(self.stretch.leaf(self.at, self.end, layer, name, said, is_carried=True))
        self.at = self.end

    def find_padding(self) -> None:
        """§6.1: the first byte says how many there are at the end that mean nothing."""
        size = self.number(1, "pad length")
        if self.at + size > self.end:
            raise _Broken("There is more padding than payload.")
        self.end -= size

    def take_padding(self) -> None:
        """What is behind the end."""
        if self.end < len(self.stretch):
            note = "" if not any(self.stretch.data[self.end :]) else "not all zero"
            said = count(len(self.stretch) - self.end, "byte")
            self.payload.parts.append(
                self.stretch.leaf(self.end, len(self.stretch), Layer.FRAME, "padding", said, note)
            )

    def give_up(self, reason: str) -> None:
        """Nothing can be said about the rest."""
        if self.at < self.end:
            self.payload.parts.append(not_understood(self.stretch, self.at, reason, self.end))
        self.payload.summary = self.payload.summary or reason
        self.at = self.end


def _data(scan: _Scan) -> None:
    scan.carry(Layer.GRPC, "data")


def _headers(scan: _Scan) -> None:
    if scan.head.flags & HAS_PRIORITY:
        _priority(scan)
        scan.payload.summary = ""
    scan.carry(Layer.HPACK, "header block")


def _continuation(scan: _Scan) -> None:
    scan.carry(Layer.HPACK, "header block")


def _priority(scan: _Scan) -> None:
    exclusive = scan.stretch.data[scan.at : scan.at + 1] >= b"\x80"
    parent = scan.number(4, "depends on", lambda number: f"stream {number}{', exclusively' * exclusive}", bits=31)
    scan.number(1, "weight", lambda number: f"{number + 1}")
    scan.payload.summary = f"depends on stream {parent}; nobody heeds that any more (§5.3.2)"


def _rst_stream(scan: _Scan) -> None:
    scan.payload.summary = error_name(scan.number(4, "error code", error_name))


def _settings(scan: _Scan) -> None:
    while scan.at < scan.end:
        if scan.end - scan.at < 6:
            raise _Broken("Each parameter has six bytes; here are fewer.")
        first = scan.leaf(2, "parameter", lambda data: setting_name(int.from_bytes(data, "big")))
        second = scan.leaf(4, "value", lambda data: f"{int.from_bytes(data, 'big'):,}")
        scan.payload.parts.append(Part(Layer.FRAME, first.value, second.value, parts=(first, second)))
        scan.payload.settings[int.from_bytes(first.data, "big")] = int.from_bytes(second.data, "big")
    said = [f"{setting_name(code)}={value:,}" for code, value in scan.payload.settings.items()]
    scan.payload.summary = ", ".join(said[:MOST_SETTINGS]) + ", …" * (len(said) > MOST_SETTINGS)


def _push_promise(scan: _Scan) -> None:
    scan.payload.promised_id = scan.number(4, "promised stream", bits=31)
    scan.payload.summary = f"stream {scan.payload.promised_id}"
    scan.carry(Layer.HPACK, "header block")


def _ping(scan: _Scan) -> None:
    part = scan.leaf(8, "opaque data", bytes.hex)
    scan.payload.parts.append(part)
    scan.payload.summary = part.value


def _goaway(scan: _Scan) -> None:
    last = scan.number(4, "last stream", bits=31)
    error = error_name(scan.number(4, "error code", error_name))
    debug = scan.stretch.data[scan.at : scan.end]
    if debug:
        scan.payload.parts.append(scan.leaf(len(debug), "debug data", printable))
    scan.payload.summary = ", ".join([error, f"last stream {last}", *filter(None, [printable(debug, 200)])])


def _window_update(scan: _Scan) -> None:
    more = scan.number(4, "window size increment", bits=31)
    scan.payload.summary = f"{count(more, 'byte')} more"


READERS: Mapping[int, Callable[[_Scan], None]] = {
    DATA: _data,
    HEADERS: _headers,
    PRIORITY: _priority,
    RST_STREAM: _rst_stream,
    SETTINGS: _settings,
    PUSH_PROMISE: _push_promise,
    PING: _ping,
    GOAWAY: _goaway,
    WINDOW_UPDATE: _window_update,
    CONTINUATION: _continuation,
}
