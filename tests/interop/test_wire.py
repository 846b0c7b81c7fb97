"""Go's exporter and the real Collector, seen on the wire: every byte is told, and tshark reads it the same."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from fuzz.fuzz_wire import check_tiles
from puremux.wire import Decoder
from puremux.wire.parts import Layer
from puremux.wire.records import CLIENT, SERVER, Connection, Frame, HeaderBlock, Message, Piece, Record, leaves
from puremux.wire.sources import Recording
from tests.shared.programs import PUREMUX, Running
from tests.shared.waiting import eventually

from .harness import shark
from .harness.collector import Collector
from .harness.exporters import Exporting

ARRIVING = 15.0
"""Seconds: Go's exporter alone gathers spans for two."""

StartCollector = Callable[..., Collector]
StartExporter = Callable[..., Exporting]
NewFolder = Callable[[str], Path]

HTTP2 = 50_000
"""A port for captures that nobody captured."""


def export(agent: Collector, exporting: Exporting) -> None:
    """Let Go's exporter send what it makes, and now and then a span of its own making."""
    wanted = {span["span_id"] for span in exporting.record()["spans"]}
    eventually(lambda: wanted <= {span.span_id for span in agent.spans()}, ARRIVING, "every span arrived")
    exporting.finish()


def decode(pieces: Iterable[Piece]) -> list[Record]:
    """All records; every byte of each direction must be told, and understood.  (Go may connect more than once.)"""
    decoder, records = Decoder(), list[Record]()
    sent: dict[tuple[Connection, str], bytes] = {}
    for piece in pieces:
        assert not piece.gap
        way = piece.connection, piece.sender
        sent[way] = sent.get(way, b"") + piece.data
        records += decoder.read(piece)
    records += decoder.finish()
    for (connection, sender), data in sent.items():
        check_tiles([record for record in records if record.connection == connection], sender, data)
    assert sent and not [leaf for leaf in leaves(records) if leaf.layer is Layer.UNKNOWN]
    return records


def as_tshark_tells(records: Iterable[Record], sender: str) -> shark.Decoded:
    told = [record for record in records if record.sender == sender]
    frames = [(each.kind, each.stream_id, each.length, each.flags) for each in told if isinstance(each, Frame)]
    headers = [header for each in told if isinstance(each, HeaderBlock) for header in each.headers]
    return shark.Decoded(frames, [(name.decode(), value.decode()) for name, value in headers])


def agree(records: list[Record], capture: Path, port: int) -> None:
    client, server = shark.decode(capture, port)
    assert (client, server) == (as_tshark_tells(records, CLIENT), as_tshark_tells(records, SERVER))
    assert len(client.frames) > 5 and len(server.frames) > 5
    assert (":path", "/opencensus.proto.agent.trace.v1.TraceService/Export") in client.headers
    assert ("grpc-status", "2") in server.headers, "the Collector has no Config"


def spans_in(records: Iterable[Record]) -> int:
    """How many spans went over."""
    names = [
        (part.name, record.type_name.rpartition(".")[2])
        for record in records
        if isinstance(record, Message)
        for part in record.parts
    ]
    return names.count(("spans", "ExportTraceServiceRequest"))


def packets(pieces: Iterable[Piece]) -> bytes:
    """A pcap that has these pieces as TCP segments, on raw IPv4."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101)
    numbers: dict[tuple[int, str], int] = {}
    for piece in pieces:
        number = piece.connection.number
        if (number, CLIENT) not in numbers:
            data += packet(number, CLIENT, 0, b"", 0x02, piece.time) + packet(number, SERVER, 0, b"", 0x12, piece.time)
            numbers[number, CLIENT] = numbers[number, SERVER] = 1
        for at in range(0, len(piece.data), 30_000):
            part = piece.data[at : at + 30_000]
            data += packet(number, piece.sender, numbers[number, piece.sender], part, 0x18, piece.time)
            numbers[number, piece.sender] += len(part)
    return data


def packet(connection: int, sender: str, number: int, data: bytes, flags: int, time: float) -> bytes:
    ports = (40_000 + connection, HTTP2) if sender == CLIENT else (HTTP2, 40_000 + connection)
    head = struct.pack(">BBHHHBBHII", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0, 0x7F000001, 0x7F000001)
    head += struct.pack(">HHIIBBHHH", *ports, number, 0, 5 << 4, flags, 65_535, 0, 0)
    size = len(head) + len(data)
    return struct.pack("<IIII", int(time), int(time % 1 * 1e6), size, size) + head + data


def test_a_session_through_the_proxy(
    collector: StartCollector, go_exporter: StartExporter, new_folder: NewFolder
) -> None:
    agent, folder = collector("files"), new_folder("wire")
    session, capture = folder / "session", folder / "written.pcap"
    options = ["--listen", "127.0.0.1:0", "--to", agent.address, "--save", session]
    with Running([*PUREMUX, "wire", *options]) as proxy:
        address = proxy.wait_for(r"^Between (\S+) and ").group(1)
        export(agent, go_exporter(address, "demo", "-service=gopher"))
        proxy.interrupt()
        assert proxy.finish() == 0
    assert re.search(r"^\d connections?, .* bytes, all understood\.$", proxy.output, re.MULTILINE)
    pieces = list(Recording(session))
    records = decode(pieces)
    assert spans_in(records) == len(agent.spans()) >= 10
    capture.write_bytes(packets(pieces))
    agree(records, capture, HTTP2)
    again = decode(Recording(capture))
    assert [as_tshark_tells(again, sender) for sender in (CLIENT, SERVER)] == [
        as_tshark_tells(records, sender) for sender in (CLIENT, SERVER)
    ]


def clients_ended(capture: Path) -> bool:
    """Whether a capture has the ends of all that clients sent; packets reach the file a moment after they were sent."""
    pieces = [piece for piece in Recording(capture) if piece.sender == CLIENT]
    ended = {piece.connection for piece in pieces if not piece.data}
    return bool(pieces) and ended == {piece.connection for piece in pieces}


def test_a_capture_of_packets(collector: StartCollector, go_exporter: StartExporter, new_folder: NewFolder) -> None:
    agent = collector("files")
    port = agent.ports["opencensus"]
    with shark.Capturing(new_folder("dumpcap"), port) as capturing:
        export(agent, go_exporter(agent.address, "demo", "-service=gopher"))
        eventually(lambda: clients_ended(capturing.path), ARRIVING, "the clients' ends are in the file")
        capture = capturing.finish()
    recording = Recording(capture)
    records = decode(recording)
    assert spans_in(records) == len(agent.spans()) >= 10 and recording.remarks == []
    agree(records, capture, port)
