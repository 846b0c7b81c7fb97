"""A gRPC call between puremux's own two ends, frame by frame: what the page on the wire shows.

Both ends are :class:`puremux.protocol.connection.Connection`; no byte is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import hpack
from h2.settings import SettingCodes

from puremux.proto import trace_service_pb2
from puremux.protocol.connection import Connection
from puremux.protocol.events import Event, HalfClosed
from puremux.protocol.metadata import request_headers
from puremux.status import StatusCode

__all__ = ["PREFACE", "Frame", "record"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9  # bytes in front of every frame (RFC 9113 §4.1)
TYPES = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE")


@dataclass(frozen=True)
class Frame:
    """One frame, or the preface, as it went over the wire."""

    sender: str
    """``client`` or ``server``."""

    name: str
    """The frame's type, with its flags and stream, or ``preface``."""

    data: bytes
    """All of it, its nine bytes of head included."""

    says: tuple[str, ...]
    """What the payload means, a line each."""


def record() -> list[Frame]:
    """Make one Export call that carries a Node, and return every frame of it, in order."""
    client, server = Connection(client_side=True), Connection(client_side=False)
    client.initiate()
    server.initiate()
    request = trace_service_pb2.ExportTraceServiceRequest()
    request.node.service_info.name = "breakfast"
    frames: list[Frame] = []
    ends = (("client", client, server), ("server", server, client))
    decoders = {"client": hpack.Decoder(), "server": hpack.Decoder()}
    called = False
    while True:
        sent = False
        for name, here, there in ends:
            data = here.data_to_send()
            if data:
                sent = True
                frames += _frames(name, data, decoders[name])
                _serve(server, there.receive_data(data, now=0.0))
        if not sent and called:
            return frames
        if not sent:
            called = True
            _call(client, request.SerializeToString())


def _call(client: Connection, message: bytes) -> None:
    path = trace_service_pb2.TRACE_SERVICE_EXPORT_PATH
    stream_id = client.open(request_headers(path, authority="localhost:55678", scheme="http"))
    client.send_message(stream_id, message, end=True)


def _serve(server: Connection, events: list[Event]) -> None:
    """What an agent does: read until the client has sent its last message, then say that all is well."""
    for event in events:
        if isinstance(event, HalfClosed):
            server.send_trailers(event.stream_id, StatusCode.OK)


def _frames(sender: str, data: bytes, decoder: hpack.Decoder) -> Iterator[Frame]:
    if data.startswith(PREFACE):
        yield Frame(sender, "preface", PREFACE, ("the same 24 bytes on every connection",))
        data = data[len(PREFACE) :]
    while data:
        end = HEAD + int.from_bytes(data[:3], "big")
        kind, flags, stream_id = data[3], data[4], int.from_bytes(data[5:HEAD], "big")
        name = " ".join([TYPES[kind], *_flags(TYPES[kind], flags)]) + (f", stream {stream_id}" if stream_id else "")
        yield Frame(sender, name, data[:end], tuple(_meaning(TYPES[kind], data[HEAD:end], decoder)))
        data = data[end:]


def _flags(kind: str, flags: int) -> Iterator[str]:
    if flags & 0x1:
        yield "ACK" if kind in ("SETTINGS", "PING") else "END_STREAM"
    if flags & 0x4 and kind == "HEADERS":
        yield "END_HEADERS"


def _meaning(kind: str, payload: bytes, decoder: hpack.Decoder) -> Iterator[str]:
    if kind == "SETTINGS":
        for at in range(0, len(payload), 6):
            code = SettingCodes(int.from_bytes(payload[at : at + 2], "big"))
            yield f"{code.name} = {int.from_bytes(payload[at + 2 : at + 6], 'big'):,}"
    elif kind == "WINDOW_UPDATE":
        yield f"{int.from_bytes(payload, 'big'):,} bytes more"
    elif kind == "HEADERS":
        for name, value in decoder.decode(payload, raw=True):
            yield f"{bytes(name).decode()}: {bytes(value).decode()}"
    elif kind == "DATA" and payload:
        yield f"compressed: {payload[0]}; length: {int.from_bytes(payload[1:5], 'big')}"
        yield f"message: {payload[5:].hex(' ')}"
