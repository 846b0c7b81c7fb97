"""What the harnesses share: choices out of bytes, frames out of choices, and a ledger that events must agree with."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from typing import TypeVar

from hpack import Encoder

from puremux.protocol.connection import Connection
from puremux.protocol.events import (
    CallEnded,
    ConnectionEnded,
    Event,
    GoAwayReceived,
    HalfClosed,
    HeadersReceived,
    MessageReceived,
    PingAcknowledged,
    RequestReceived,
    SendBufferDrained,
    SettingsAcknowledged,
    SettingsReceived,
)

T = TypeVar("T")

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

NUMBERS = (0, 1, 2, 4, 5, 99, 4_096, 16_383, 16_384, 65_535, 65_536, 2**20, 2**31 - 1, 2**31, 2**32 - 1)

FIELDS = (
    *((b":status", value) for value in (b"200", b"100", b"103", b"404", b"503", b"20", b"")),
    *((b":method", b"POST"), (b":method", b"GET"), (b":path", b"/p.S/M"), (b":scheme", b"http"), (b":authority", b"h")),
    *((b"content-type", value) for value in (b"application/grpc", b"application/grpc+proto", b"text/html")),
    *((b"grpc-status", value) for value in (b"0", b"5", b"17", b"x", b"")),
    *((b"grpc-message", b"a%20b%"), (b"grpc-encoding", b"gzip"), (b"grpc-encoding", b"br"), (b"grpc-timeout", b"1S")),
    *((b"grpc-timeout", b"now"), (b"te", b"trailers"), (b"content-length", b"7"), (b"connection", b"close")),
    *((b"a-bin", b"AA"), (b"a-bin", b"!"), (b"A", b""), (b"", b""), (b"x", b"y\n"), (b"x", b"y" * 500)),
)
RESPONSE = (b":status", b"200"), (b"content-type", b"application/grpc")
REQUEST = (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/p.S/M"), (b"content-type", b"application/grpc")
STATUS = ((b"grpc-status", b"0"),)
GZIP = ((b"grpc-encoding", b"gzip"),)
LISTS: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
    RESPONSE,
    STATUS,
    REQUEST,
    (*RESPONSE, *STATUS),
    (*RESPONSE, *GZIP),
    (*REQUEST, *GZIP),
)


class Choices:
    """Reads decisions out of the fuzzer's bytes; when they are used up, every decision is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def pick(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]

    def bytes(self, most: int = 255) -> bytes:
        size = min(self.byte(), most)
        self._at += size
        return self._data[self._at - size : self._at]


class FrameMaker:
    """Makes the frames of a peer, mostly valid ones, and now and then changes a byte."""

    def __init__(self, choices: Choices, streams: Sequence[int]) -> None:
        self._choices = choices
        self._streams = streams
        self._encoder = Encoder()

    def frame(self) -> bytes:
        choices = self._choices
        make = choices.pick((self.headers, self.message, self.data, self.control, self.headers, self.message, self.odd))
        frame = make(choices.pick(self._streams))
        if choices.byte() >= 240:
            changed = bytearray(frame)
            changed[choices.byte() % len(frame)] = choices.byte()
            return bytes(changed)
        return frame * choices.pick((1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 12, 300))

    def headers(self, stream_id: int) -> bytes:
        choices = self._choices
        fields = [*choices.pick(LISTS), *(choices.pick(FIELDS) for _ in range(choices.byte() % 4))]
        block, flags = self._encoder.encode(fields), choices.pick((4, 5, 4, 5, 0, 1))
        if flags & 4:
            return raw(HEADERS, stream_id, block, flags)
        cut = choices.byte() % (len(block) + 1)
        return raw(HEADERS, stream_id, block[:cut], flags) + raw(CONTINUATION, stream_id, block[cut:], 4)

    def message(self, stream_id: int) -> bytes:
        choices = self._choices
        payload = choices.bytes(60) * choices.pick((1, 1, 1, 30, 200))
        compressed = choices.pick((0, 0, 0, 1, 2))
        if compressed:
            payload = gzip.compress(payload, mtime=0)[: choices.pick((None, None, -9))] + choices.pick((b"", b"", b"x"))
        claimed = len(payload) if choices.byte() < 200 else choices.pick(NUMBERS)
        wire = struct.pack(">BI", compressed, claimed & 0xFFFFFFFF) + payload
        return raw(DATA, stream_id, wire, choices.pick((0, 0, 1)))

    def data(self, stream_id: int) -> bytes:
        choices = self._choices
        body, flags = choices.bytes(), choices.pick((0, 1, 0, 8, 9))
        return raw(DATA, stream_id, body * choices.pick((1, 1, 1, 60)), flags)

    def control(self, stream_id: int) -> bytes:
        choices = self._choices
        number = struct.pack(">I", choices.pick(NUMBERS))
        return choices.pick(
            (
                raw(SETTINGS, 0, b"".join(bytes((0, choices.byte() % 9)) + number for _ in range(choices.byte() % 3))),
                raw(SETTINGS, 0, b"", 1),
                raw(WINDOW_UPDATE, choices.pick((0, stream_id)), number),
                raw(RST_STREAM, stream_id, number),
                raw(PING, 0, b"12345678", choices.pick((0, 1))),
                raw(GOAWAY, 0, struct.pack(">I", stream_id) + number + choices.bytes(20)),
            )
        )

    def odd(self, stream_id: int) -> bytes:
        choices = self._choices
        return choices.pick(
            (
                raw(PRIORITY, stream_id, b"12345"),
                raw(0xBE, stream_id, choices.bytes()),
                raw(CONTINUATION, stream_id, choices.bytes(), choices.pick((0, 4))),
                raw(PUSH_PROMISE, stream_id, struct.pack(">I", 2) + choices.bytes(), 4),
                raw(HEADERS, stream_id, choices.bytes(), choices.byte()),
                raw(choices.byte(), stream_id, choices.bytes(), choices.byte()),
                choices.bytes() or b"\0",
            )
        )


def raw(kind: int, stream_id: int, body: bytes, flags: int = 0) -> bytes:
    """A frame, whatever it is."""
    return struct.pack(">BHBBI", len(body) >> 16 & 0xFF, len(body) & 0xFFFF, kind, flags, stream_id) + body


class Ledger:
    """Takes what an end tells, and raises where the order of the events, or their sizes, cannot be.

    Args:
        limit: the largest message that the end takes, in bytes.
    """

    def __init__(self, connection: Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self._acknowledged = 0
        self.running: dict[int, list[Event]] = {}
        self.over = False

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            assert not self.over, f"{event} after the end of the connection"
            if isinstance(event, SettingsAcknowledged):
                self._acknowledged += 1
                assert event.ordinal == self._acknowledged
            elif isinstance(event, ConnectionEnded):
                assert not self.running, "a call outlived its connection"
                assert event.reason and self._connection.has_ended
                self.over = True
            elif not isinstance(event, (SettingsReceived, PingAcknowledged, GoAwayReceived)):
                self._take_call(event)
        assert self.over == self._connection.has_ended
        assert self.over or self._connection.calls <= len(self.running)

    def _take_call(
        self, event: RequestReceived | HeadersReceived | MessageReceived | HalfClosed | SendBufferDrained | CallEnded
    ) -> None:
        if isinstance(event, RequestReceived):
            assert event.stream_id not in self.running
            self.running[event.stream_id] = []
        told = self.running[event.stream_id]
        kinds = [type(each) for each in told]
        if isinstance(event, MessageReceived):
            assert len(event.payload) <= self._limit
            assert {HeadersReceived, RequestReceived} & set(kinds) and HalfClosed not in kinds
        elif isinstance(event, (HeadersReceived, HalfClosed)):
            assert type(event) not in kinds
        told.append(event)
        if isinstance(event, CallEnded):
            del self.running[event.stream_id]
