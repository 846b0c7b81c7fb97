"""Bytes of HTTP/2 and gRPC, legal or not: each builder writes what it is told and checks nothing.

Spec: RFC 9113 §4.1 and §6 (frames); RFC 7541 §5 and §6 (HPACK); gRPC PROTOCOL-HTTP2.md (length-prefixed messages).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535  # what holds until SETTINGS say otherwise (RFC 9113 §6.5.2)
DEFAULT_FRAME_SIZE = 16_384
DEFAULT_TABLE_SIZE = 4_096

Field = tuple[bytes, bytes]


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """Any frame; ``length`` is what its header claims, when that is not the truth."""
    claimed = len(payload) if length is None else length
    return struct.pack(">BHBBI", claimed >> 16, claimed & 0xFFFF, kind, flags, stream_id) + payload


def settings(values: Mapping[int, int] = {}) -> bytes:
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def settings_ack() -> bytes:
    return frame(SETTINGS, ACK)


def data(stream_id: int, payload: bytes = b"", *, end: bool = False, padding: int | None = None) -> bytes:
    flags = END_STREAM if end else 0
    if padding is None:
        return frame(DATA, flags, stream_id, payload)
    return frame(DATA, flags | PADDED, stream_id, bytes([padding]) + payload + bytes(padding))


def ping(opaque: bytes = b"hostile!", *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, opaque)


def goaway(last_stream_id: int, code: int = 0, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, payload=struct.pack(">II", last_stream_id, code) + debug)


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, struct.pack(">I", code))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, struct.pack(">I", increment))


def message(payload: bytes, flags: int = 0, *, length: int | None = None) -> bytes:
    """A length-prefixed message; ``length`` is what its prefix claims, when that is not the truth."""
    return struct.pack(">BI", flags, len(payload) if length is None else length) + payload


def integer(value: int, prefix_bits: int, first: int = 0) -> bytes:
    """An HPACK integer behind the bits of ``first`` (RFC 7541 §5.1)."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    octets = [first | most]
    value -= most
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def string(value: bytes) -> bytes:
    """An HPACK string, not Huffman-coded (RFC 7541 §5.2)."""
    return integer(len(value), 7) + value


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A header field with a name of its own; ``indexed`` adds it to the dynamic table (RFC 7541 §6.2)."""
    return (b"\x40" if indexed else b"\x00") + string(name) + string(value)


def reference(index: int) -> bytes:
    """A header field out of a table (RFC 7541 §6.1); 62 is the newest entry of the dynamic one."""
    return integer(index, 7, 0x80)


def block(fields: Iterable[Field]) -> bytes:
    """A header block that leaves both dynamic tables alone."""
    return b"".join(literal(name, value) for name, value in fields)


def headers(stream_id: int, fields: Iterable[Field], *, end: bool = False) -> bytes:
    """HEADERS that leave both dynamic tables alone."""
    return header_frames(stream_id, block(fields), end=end)


def header_frames(stream_id: int, header_block: bytes, *, end: bool = False) -> bytes:
    """A whole header block, in HEADERS and as few CONTINUATION frames as can hold it."""
    kind, flags, pieces = HEADERS, END_STREAM if end else 0, []
    while len(header_block) > DEFAULT_FRAME_SIZE:
        pieces.append(frame(kind, flags, stream_id, header_block[:DEFAULT_FRAME_SIZE]))
        header_block = header_block[DEFAULT_FRAME_SIZE:]
        kind, flags = CONTINUATION, 0
    return b"".join(pieces) + frame(kind, flags | END_HEADERS, stream_id, header_block)


ANSWER: tuple[Field, ...] = ((b":status", b"200"), (b"content-type", b"application/grpc"))
STATUS_OK: tuple[Field, ...] = ((b"grpc-status", b"0"),)
