"""Peers for the protocol's tests: two ends joined in memory, and a peer whose frames are made by hand."""

from __future__ import annotations

import struct
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from puremux.protocol.connection import Connection
from puremux.protocol.events import CallEnded, ConnectionEnded, Event
from puremux.protocol.guard import Limits
from puremux.protocol.metadata import HeaderList, request_headers

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REQUEST = request_headers("/p.S/M", authority="h:1", scheme="http", accept_encoding="")
OK = [(b":status", b"200"), (b"content-type", b"application/grpc")]
STATUS_OK = [(b"grpc-status", b"0")]
HI = b"\0\0\0\0\2hi"
"""A message with its prefix."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8

STRICT = Limits(idle_frames=100, idle_frames_per_second=0)
MIB = 1024 * 1024


def raw(kind: int, stream_id: int = 0, body: bytes = b"", flags: int = 0) -> bytes:
    """A frame, whatever it is."""
    return struct.pack(">BHBBI", len(body) >> 16, len(body) & 0xFFFF, kind, flags, stream_id) + body


def frames(data: bytes) -> list[Frame]:
    """What is in bytes that one of our ends has made."""
    data = data[len(PREFACE) :] if data.startswith(PREFACE) else data
    found = []
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        found.append(frame)
        data = data[9 + length :]
    return found


class Joined:
    """A client and a server whose bytes go to each other when the test says so."""

    def __init__(self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.client = Connection(client_side=True, **(client or {}))
        self.server = Connection(client_side=False, **(server or {}))
        self.now = 0.0
        self.client.initiate()
        self.server.initiate()

    def exchange(self, chunk: int = 0) -> tuple[list[Event], list[Event]]:
        """Pass bytes on until there are none; return what the client and the server have seen."""
        seen: tuple[list[Event], list[Event]] = ([], [])
        moved = True
        while moved:
            moved = self.to_server(seen, chunk) | self.to_client(seen, chunk)
        return seen

    def to_server(self, seen: tuple[list[Event], list[Event]], chunk: int = 0) -> bool:
        """Pass on what the client has to send; whether there was anything."""
        return self._pass(self.client, self.server, seen[0], seen[1], chunk)

    def to_client(self, seen: tuple[list[Event], list[Event]], chunk: int = 0) -> bool:
        """Pass on what the server has to send; whether there was anything."""
        return self._pass(self.server, self.client, seen[1], seen[0], chunk)

    def _pass(self, sender: Connection, receiver: Connection, sent: list[Event], got: list[Event], chunk: int) -> bool:
        data = sender.data_to_send()
        sent += sender.take_events()
        for at in range(0, len(data), chunk or len(data) or 1):
            got += receiver.receive_data(data[at : at + (chunk or len(data))], self.now)
        return bool(data)


class ByHand:
    """One of our ends, and a peer that sends what the test says.

    Args:
        client_side: the role of our end.
        options: of our end.
    """

    def __init__(self, *, client_side: bool = True, **options: Any) -> None:
        self.ours = Connection(client_side=client_side, **options)
        self.now = 0.0
        self._encoder = Encoder()
        self._decoder = Decoder()
        self.ours.initiate()
        self.received = frames(self.ours.data_to_send())
        self.events: list[Event] = []
        if not client_side:
            self.send(PREFACE)
        self.send(SettingsFrame(0), SettingsFrame(0, flags=["ACK"]))
        self.received, self.events = [], []

    def open(self, *, end: bool = False) -> int:
        """Open a call of ours, if our end is a client; return its stream id."""
        stream_id = self.ours.open(REQUEST)
        if end:
            self.ours.half_close(stream_id)
        self.take()
        self.events += self.ours.take_events()
        return stream_id

    def send(self, *pieces: bytes | Frame) -> list[Event]:
        """Let our end receive; return what it tells."""
        data = b"".join(piece if isinstance(piece, bytes) else piece.serialize() for piece in pieces)
        events = self.ours.receive_data(data, self.now)
        self.take()
        events += self.ours.take_events()
        self.events += events
        return events

    def take(self) -> list[Frame]:
        """What our end has sent since the last time; all of it is in ``received``."""
        new: list[Frame] = []
        while data := self.ours.data_to_send():
            new += frames(data)
        self.received += new
        return new

    def headers(self, stream_id: int, headers: HeaderList, *, end: bool = False) -> Frame:
        """A HEADERS frame."""
        flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
        return HeadersFrame(stream_id, self._encoder.encode(headers), flags=flags)

    def decode(self, frame: Frame) -> HeaderList:
        """The headers in a HEADERS frame of ours; frames must be decoded in order."""
        assert isinstance(frame, HeadersFrame)
        return [(name, value) for name, value in self._decoder.decode(frame.data, raw=True)]

    def kinds(self) -> list[str]:
        """The names of the frames received, such as ``"RstStream"``."""
        return [type(frame).__name__[: -len("Frame")] for frame in self.received]

    def resets(self) -> list[tuple[int, int]]:
        """(stream, code) of each RST_STREAM received."""
        return [(each.stream_id, each.error_code) for each in self.received if isinstance(each, RstStreamFrame)]

    def goaways(self) -> list[int]:
        """The code of each GOAWAY received."""
        return [each.error_code for each in self.received if isinstance(each, GoAwayFrame)]

    def credit(self, stream_id: int) -> int:
        """Bytes of credit received for a stream, or for the connection (0)."""
        updates = [each for each in self.received if isinstance(each, WindowUpdateFrame)]
        return sum(each.window_increment for each in updates if each.stream_id == stream_id)

    def messages(self, stream_id: int) -> bytes:
        """The DATA received on a stream."""
        return b"".join(
            each.data for each in self.received if isinstance(each, DataFrame) and each.stream_id == stream_id
        )


def data(stream_id: int, payload: bytes, *, end: bool = False) -> Frame:
    """A DATA frame."""
    return DataFrame(stream_id, payload, flags=["END_STREAM"] if end else [])


def message(payload: bytes, flags: int = 0) -> bytes:
    """A message with its prefix."""
    return struct.pack(">BI", flags, len(payload)) + payload


def joined(**options: object) -> Joined:
    """Two ends that have greeted each other."""
    pair = Joined(**options)  # type: ignore[arg-type]
    pair.exchange()
    return pair


def of_kind(events: list[Event], *kinds: type) -> list[Event]:
    return [event for event in events if isinstance(event, kinds)]


def end_of(events: list[Event], stream_id: int = 1) -> CallEnded:
    (event,) = [each for each in events if isinstance(each, CallEnded) and each.stream_id == stream_id]
    return event


def connection_end(events: list[Event]) -> ConnectionEnded:
    assert isinstance(events[-1], ConnectionEnded)
    (event,) = of_kind(events, ConnectionEnded)
    return event  # type: ignore[return-value]
