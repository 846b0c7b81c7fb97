"""A gRPC call between puremux's own two ends, frame by frame: what the page on the wire shows.

Both ends are :class:`puremux.protocol.connection.Connection`; no byte is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from puremux.proto import trace_service_pb2
from puremux.protocol.connection import Connection
from puremux.protocol.events import Event, HalfClosed
from puremux.protocol.metadata import request_headers
from puremux.status import StatusCode
from puremux.wire import Connection as Wire
from puremux.wire import Decoder, Piece
from puremux.wire import records as wire
from puremux.wire.lines import lines_of
from puremux.wire.records import HeaderBlock, Message, Record

__all__ = ["Frame", "pieces", "record"]


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
    decoder = Decoder()
    return [frame for piece in pieces() for frame in _frames(decoder.read(piece))]


def pieces() -> Iterator[Piece]:
    """What the ends of that call send, in order."""
    client, server = Connection(client_side=True), Connection(client_side=False)
    client.initiate()
    server.initiate()
    request = trace_service_pb2.ExportTraceServiceRequest()
    request.node.service_info.name = "breakfast"
    called = False
    while True:
        sent = False
        for name, here, there in (("client", client, server), ("server", server, client)):
            data = here.data_to_send()
            if data:
                sent = True
                yield Piece(Wire(1), 0.0, name, data)
                _serve(server, there.receive_data(data, now=0.0))
        if not sent and called:
            return
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


def _frames(records: Iterator[Record]) -> Iterator[Frame]:
    """A frame, and what its header block or its message says, which is told by the record behind it."""
    frames: list[Frame] = []
    for record in records:
        if isinstance(record, (HeaderBlock, Message)):
            says = tuple(f"{'  ' * line.depth}{line.name}: {line.value}" for line in lines_of(record))
            frames[-1] = replace(frames[-1], says=says)
        else:
            frames.append(_frame(record))
    return iter(frames)


def _frame(record: Record) -> Frame:
    data = b"".join(leaf.data for part in record.parts for leaf in part.leaves())
    if not isinstance(record, wire.Frame):
        return Frame(record.sender, "preface", data, ("the same 24 bytes on every connection",))
    name = " ".join([record.name, *record.flag_names]) + (f", stream {record.stream_id}" if record.stream_id else "")
    says = tuple(f"{line.name}: {line.value}" for line in lines_of(record) if line.name != "head")
    return Frame(record.sender, name, data, says)
