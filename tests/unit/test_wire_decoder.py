"""The decoder: frames, header blocks and messages of whole connections, and what is not understood."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hpack import Encoder

from fuzz.common import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    raw,
)
from fuzz.fuzz_wire import check_tiles
from puremux.proto import trace_service_pb2
from puremux.protocol.metadata import request_headers
from puremux.wire import Connection, Decoder, Piece
from puremux.wire.direction import Bounds
from puremux.wire.parts import Layer
from puremux.wire.records import (
    CLIENT,
    SERVER,
    Frame,
    HeaderBlock,
    Message,
    NotUnderstood,
    Preface,
    Record,
    leaves,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = raw(SETTINGS, 0, b"")
BEGINNING = PREFACE + EMPTY_SETTINGS
EXPORT = trace_service_pb2.TRACE_SERVICE_EXPORT_PATH
REQUEST = request_headers(EXPORT, authority="h", scheme="http")


def decode(client: bytes = b"", server: bytes = b"", bounds: Bounds | None = None) -> list[Record]:
    """Both directions, the client's first; every byte must be told."""
    decoder = Decoder(bounds=bounds)
    records: list[Record] = []
    for sender, data in ((CLIENT, client), (SERVER, server)):
        if data:
            records += decoder.read(Piece(Connection(1), 0.0, sender, data))
    records += decoder.finish()
    check_tiles(records, CLIENT, client)
    check_tiles(records, SERVER, server)
    return records


def unknown(record: Record) -> str:
    """Why bytes of a record are not understood; empty if all are."""
    found = (leaf for part in record.parts for leaf in part.leaves() if leaf.layer is Layer.UNKNOWN)
    return next((leaf.note for leaf in found), "")


def of(kind: type, records: Iterable[Record]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def request(stream_id: int = 1, encoder: Encoder | None = None, headers: Any = REQUEST, flags: int = 4) -> bytes:
    return raw(HEADERS, stream_id, (encoder or Encoder()).encode(headers), flags)


def grpc(payload: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(payload)) + payload


def named(record: Record) -> dict[str, str]:
    """Names and values of all that a record tells."""
    found: dict[str, str] = {}

    def visit(parts: Any) -> None:
        for part in parts:
            found.setdefault(part.name, part.value)
            visit(part.parts)

    visit(record.parts)
    return found


# Frames


@pytest.mark.parametrize(
    "frame, name, flags, told",
    [
        pytest.param(raw(SETTINGS, 0, b"", 1), "SETTINGS", ("ACK",), {"length": "0"}, id="SETTINGS ACK"),
        pytest.param(
            raw(SETTINGS, 0, bytes.fromhex("000400100000 00ff00000001")),
            "SETTINGS",
            (),
            {"INITIAL_WINDOW_SIZE": "1,048,576", "parameter 0x00ff": "1"},
            id="SETTINGS",
        ),
        pytest.param(raw(PING, 0, b"\1" * 8, 1), "PING", ("ACK",), {"opaque data": "01" * 8}, id="PING"),
        pytest.param(
            raw(GOAWAY, 0, struct.pack(">II", 7, 11) + b"too_many_pings"),
            "GOAWAY",
            (),
            {"last stream": "7", "error code": "ENHANCE_YOUR_CALM", "debug data": "too_many_pings"},
            id="GOAWAY",
        ),
        pytest.param(raw(RST_STREAM, 1, b"\0\0\0\x08"), "RST_STREAM", (), {"error code": "CANCEL"}, id="RST_STREAM"),
        pytest.param(
            raw(RST_STREAM, 1, b"\xff\0\0\x08"),
            "RST_STREAM",
            (),
            {"error code": "error 0xff000008"},
            id="unknown error",
        ),
        pytest.param(
            raw(WINDOW_UPDATE, 0, b"\x80\0\1\0"),
            "WINDOW_UPDATE",
            (),
            {"window size increment": "256"},
            id="WINDOW_UPDATE",
        ),
        pytest.param(
            raw(PRIORITY, 3, b"\x80\0\0\1\xff"),
            "PRIORITY",
            (),
            {"depends on": "stream 1, exclusively", "weight": "256"},
            id="PRIORITY",
        ),
        pytest.param(
            raw(0xBE, 3, b"abc", 0x81), "kind 0xbe", ("0x01", "0x80"), {"type": "190, kind 0xbe"}, id="unknown"
        ),
    ],
)
def test_each_kind_of_frame(frame: bytes, name: str, flags: tuple[str, ...], told: dict[str, str]) -> None:
    record = of(Frame, decode(BEGINNING + frame))[1]
    assert (record.name, record.flag_names, record.length) == (name, flags, len(frame) - 9)
    assert told.items() <= named(record).items()


@pytest.mark.parametrize(
    "frame, reason",
    [
        pytest.param(raw(0xBE, 3, b"abc"), "RFC 9113 knows no frames of this kind", id="an unknown kind"),
        pytest.param(raw(PING, 0, b"short"), "ends in the middle of its opaque data", id="a short PING"),
        pytest.param(raw(PING, 0, b"longer than 8"), "not that long", id="a long PING"),
        pytest.param(raw(SETTINGS, 0, b"seven.."), "six bytes", id="SETTINGS of seven bytes"),
        pytest.param(raw(DATA, 1, b"\xffabc", 8), "more padding than payload", id="too much padding"),
        pytest.param(raw(HEADERS, 1, b"\0\0\0", 0x24), "in the middle of its depends on", id="a priority cut short"),
        pytest.param(raw(CONTINUATION, 1, b"\x82", 4), "No header block was open", id="CONTINUATION of nothing"),
        pytest.param(raw(PING, 0, b"12345678")[:-3], "in the middle of a frame", id="the recording ends"),
        pytest.param(raw(DATA, 1, b"\2....rest"), "begins with the flags 0x02", id="unknown message flags"),
        pytest.param(raw(DATA, 1, grpc(b"abc")[:-1], 1), "stream ended in the middle of a message", id="a message cut"),
        pytest.param(raw(DATA, 1, grpc(b"abc")[:3]), "recording ends in the middle of a message", id="a prefix cut"),
        pytest.param(raw(DATA, 1, grpc(b"abc", 1)), "compressed with something unsaid", id="no grpc-encoding"),
        pytest.param(
            raw(DATA, 1, grpc(b"abc")[:7]) + raw(RST_STREAM, 1, b"\0\0\0\0"), "was reset in the middle", id="a reset"
        ),
        pytest.param(
            raw(HEADERS, 1, b"\x82") + raw(PING, 0, b"12345678"),
            "A PING frame came before the end",
            id="a block interrupted",
        ),
        pytest.param(raw(HEADERS, 1, b"\xff", 4), "HPACK", id="broken HPACK"),
    ],
)
def test_what_is_broken_is_told_with_its_reason(frame: bytes, reason: str) -> None:
    reasons = [unknown(record) for record in decode(BEGINNING + frame)]
    assert any(reason in each for each in reasons), reasons


def test_padding_and_priority_are_told() -> None:
    block = Encoder().encode(REQUEST)
    frame = raw(HEADERS, 1, b"\x05" + b"\0\0\0\3\x0f" + block + b"\0" * 5, 0x2C)
    records = decode(BEGINNING + frame + raw(DATA, 1, b"\2" + grpc(b"") + b"xx", 8))
    headers, data = of(Frame, records)[1:]
    assert {"pad length": "5", "depends on": "stream 3", "weight": "16", "padding": "5 bytes"}.items() <= named(
        headers
    ).items()
    assert [leaf.note for leaf in leaves([data]) if leaf.name == "padding"] == ["not all zero"]
    assert (of(HeaderBlock, records)[0].headers, of(Message, records)[0].length) == (tuple(REQUEST), 0)


def test_a_frame_without_bytes_can_lack_some() -> None:
    assert "in the middle of its pad length" in of(Frame, decode(BEGINNING + raw(DATA, 1, b"", 8)))[1].summary


def test_an_empty_wire_says_nothing() -> None:
    assert decode() == []


# The beginning


@pytest.mark.parametrize(
    "data, reason",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "HTTP/1", id="HTTP/1"),
        pytest.param(b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3", "TLS", id="TLS"),
        pytest.param(b"\xff" * 20, "does not begin as HTTP/2 does", id="something else"),
        pytest.param(b"PRI * HTTP/2", "ends before it is clear", id="half a preface"),
        pytest.param(b"PRI * HTTP/1.1\r\n\r\n", "HTTP/1", id="nearly a preface"),
    ],
)
def test_what_is_no_http2_is_told(data: bytes, reason: str) -> None:
    (record,) = decode(data)
    assert reason in unknown(record) and isinstance(record, NotUnderstood)


def test_a_server_that_answers_http1_is_told() -> None:
    records = decode(BEGINNING, b"HTTP/1.1 400 Bad Request\r\n\r\nbody" * 3)
    assert "HTTP/1" in unknown(records[-1])


def test_a_connection_that_had_begun_before_shows_frames_but_no_headers() -> None:
    encoder = Encoder()
    encoder.encode(REQUEST)
    records = decode(request(7, encoder) + raw(DATA, 7, grpc(b"\x0a\x03abc")))
    assert [record.name for record in of(Frame, records)] == ["HEADERS", "DATA"]
    assert "beginning was not recorded" in unknown(of(HeaderBlock, records)[0])
    assert named(of(Message, records)[0])["field 1"] == '"abc"'


# Header blocks


def test_a_block_is_joined_from_its_frames() -> None:
    block = Encoder().encode(REQUEST)
    frames = raw(HEADERS, 1, block[:3]) + raw(CONTINUATION, 1, block[3:20]) + raw(CONTINUATION, 1, block[20:], 4)
    records = decode(BEGINNING + frames)
    (found,) = of(HeaderBlock, records)
    assert found.headers == tuple(REQUEST)
    assert any(len(leaf.places) == 2 for leaf in leaves([found])), "a field is split between frames"
    assert found.title == "request headers"


def test_both_directions_have_tables_of_their_own_and_titles_that_fit() -> None:
    server, encoder = EMPTY_SETTINGS, Encoder()
    for headers in (
        [(b":status", b"103")],
        [(b":status", b"200"), (b"content-type", b"application/grpc")],
        [(b"grpc-status", b"5"), (b"grpc-message", b"no%20such")],
        [(b":status", b"200"), (b"grpc-status", b"0")],
    ):
        server += raw(HEADERS, 1, encoder.encode(headers), 4)
    server += raw(PUSH_PROMISE, 1, struct.pack(">I", 2) + encoder.encode(REQUEST), 4)
    blocks = of(HeaderBlock, decode(BEGINNING + request(), server))
    assert [block.title for block in blocks[1:]] == [
        "interim response headers",
        "response headers",
        "trailers",
        "trailers-only response",
        "promised request",
    ]
    assert blocks[-1].stream_id == 2
    assert named(blocks[3])["grpc-status"] == "5"
    assert blocks[3].parts[0].note.startswith("NOT_FOUND; ")


def test_settings_of_the_other_end_allow_a_larger_table() -> None:
    larger = Encoder()
    larger.header_table_size = 65_536
    wire = BEGINNING + request(1, larger)
    answer = raw(SETTINGS, 0, struct.pack(">HI", 1, 65_536))
    decoder = Decoder()
    list(decoder.read(Piece(Connection(1), 0.0, SERVER, answer)))
    (block,) = of(HeaderBlock, decoder.read(Piece(Connection(1), 0.0, CLIENT, wire)))
    assert (block.max_table_size, unknown(block)) == (65_536, "")
    list(
        decoder.read(Piece(Connection(2), 0.0, SERVER, EMPTY_SETTINGS + raw(SETTINGS, 0, struct.pack(">HI", 1, 4_096))))
    )
    (block,) = of(HeaderBlock, decoder.read(Piece(Connection(2), 0.0, CLIENT, wire)))
    assert "more than was allowed" in unknown(block)


# Messages


def message(name: str = "breakfast") -> bytes:
    request = trace_service_pb2.ExportTraceServiceRequest()
    request.node.service_info.name = name
    return request.SerializeToString()


def test_a_message_is_told_by_the_names_of_its_method() -> None:
    (found,) = of(Message, decode(BEGINNING + request() + raw(DATA, 1, grpc(message()))))
    assert found.type_name == "opencensus.proto.agent.trace.v1.ExportTraceServiceRequest"
    assert (found.path, found.length, named(found)["name"]) == (EXPORT, 15, '"breakfast"')


def test_a_message_of_an_unknown_method_is_guessed() -> None:
    headers = request_headers("/other.Service/Method", authority="h", scheme="http")
    (found,) = of(Message, decode(BEGINNING + request(headers=headers) + raw(DATA, 1, grpc(message()))))
    assert (found.type_name, found.path) == ("", "/other.Service/Method")
    assert [part.value for part in found.parts[1:]] == ["message"]
    assert named(found)["field 3"] == "message"


@pytest.mark.parametrize("size", [1, 2, 7, 19])
def test_messages_do_not_depend_on_frames(size: int) -> None:
    data = grpc(message("one")) + grpc(b"") + grpc(message("two"))
    frames = b"".join(raw(DATA, 1, data[at : at + size]) for at in range(0, len(data), size))
    found = of(Message, decode(BEGINNING + request() + frames))
    assert [each.length for each in found] == [9, 0, 9]
    assert b"".join(leaf.data for leaf in leaves(found)) == data


def test_several_messages_in_one_frame() -> None:
    data = grpc(message("one")) + grpc(message("two"))
    found = of(Message, decode(BEGINNING + request() + raw(DATA, 1, data)))
    assert [named(each)["name"] for each in found] == ['"one"', '"two"']


def compressed_call(payload: bytes, bounds: Bounds | None = None) -> Message:
    headers = request_headers(EXPORT, authority="h", scheme="http", encoding="gzip")
    (found,) = of(Message, decode(BEGINNING + request(headers=headers) + raw(DATA, 1, grpc(payload, 1)), b"", bounds))
    return found


def test_a_compressed_message_is_told_from_what_is_inside() -> None:
    found = compressed_call(gzip.compress(message("breakfast" * 9)))
    assert (found.encoding, named(found)["name"]) == ("gzip", '"' + "breakfast" * 9 + '"')
    assert found.unpacked_length == len(message("breakfast" * 9))
    inside = [leaf for part in found.parts for leaf in part.leaves() if leaf.is_unpacked]
    assert b"".join(leaf.data for leaf in inside) == message("breakfast" * 9)


@pytest.mark.parametrize(
    "payload, reason",
    [
        pytest.param(b"no gzip", "cannot be decompressed", id="no gzip"),
        pytest.param(gzip.compress(message())[:-9], "cut short", id="cut short"),
        pytest.param(gzip.compress(message()) + b"x", "behind the end", id="too long"),
        pytest.param(gzip.compress(b"\0" * 100_000), "grows beyond 1,000 bytes", id="a bomb"),
    ],
)
def test_compression_that_is_broken_is_told(payload: bytes, reason: str) -> None:
    found = compressed_call(payload, Bounds(unpacked=1_000))
    assert reason in unknown(found) and found.unpacked_length <= 1_000


def test_a_body_that_is_no_grpc_is_a_body() -> None:
    headers = Encoder().encode([(b":status", b"502"), (b"content-type", b"text/html")])
    records = decode(BEGINNING, EMPTY_SETTINGS + raw(HEADERS, 1, headers, 4) + raw(DATA, 1, b"<h1>Bad\x1b[31m</h1>", 1))
    (data,) = [frame for frame in of(Frame, records) if frame.name == "DATA"]
    (body,) = [leaf for leaf in leaves([data]) if leaf.layer is Layer.BODY]
    assert body.value == r"<h1>Bad\x1b[31m</h1>" and not of(Message, records)


# Bounds


@pytest.mark.parametrize(
    "bounds, wire, reason",
    [
        pytest.param(
            Bounds(frame=20), raw(DATA, 1, grpc(b"x" * 30)), "frame of more than 20 bytes", id="a large frame"
        ),
        pytest.param(
            Bounds(message=10), raw(DATA, 1, grpc(b"x" * 11)), "at most 10 are put together", id="a large message"
        ),
        pytest.param(
            Bounds(block=300),
            raw(HEADERS, 1, b"\x82") + raw(CONTINUATION, 1, b"\x82") * 3,
            "header block has more than 300 bytes",
            id="a CONTINUATION flood",
        ),
        pytest.param(
            Bounds(held=1_000),
            b"".join(raw(DATA, stream, grpc(b"x" * 400)[:300]) for stream in (1, 3, 5, 7)),
            "More than 1,000 bytes of messages",
            id="many messages that are not whole",
        ),
        pytest.param(
            Bounds(streams=2),
            b"".join(raw(DATA, stream, grpc(b"abc")[:6]) for stream in (1, 3, 5)),
            "More than 2 streams",
            id="many streams",
        ),
    ],
)
def test_what_is_too_large_is_told_and_passed_over(bounds: Bounds, wire: bytes, reason: str) -> None:
    records = decode(BEGINNING + wire + raw(PING, 0, b"12345678"), b"", bounds)
    assert any(reason in unknown(record) for record in records)
    assert of(Frame, records)[-1].name == "PING"


def test_behind_a_message_that_is_too_large_the_next_one_is_found() -> None:
    wire = BEGINNING + raw(DATA, 1, grpc(b"x" * 11)[:9]) + raw(DATA, 1, b"x" * 7 + grpc(b"\x08\x01"))
    assert [each.length for each in of(Message, decode(wire, b"", Bounds(message=10)))] == [2]


# Gaps and ends


def test_behind_a_gap_nothing_is_understood_but_all_is_told() -> None:
    decoder = Decoder()
    one = Connection(1)
    records = [
        *decoder.read(Piece(one, 0.0, CLIENT, BEGINNING + request()[:20])),
        *decoder.read(Piece(one, 1.0, CLIENT, b"", "4 bytes are missing in the capture")),
        *decoder.read(Piece(one, 2.0, CLIENT, b"....")),
    ]
    assert [type(record) for record in records] == [Preface, Frame, NotUnderstood, NotUnderstood]
    assert "missing in the capture" in unknown(records[-1])
    check_tiles(records, CLIENT, BEGINNING + request()[:20] + b"....")


def test_times_are_those_of_the_last_byte() -> None:
    decoder = Decoder()
    times = [
        (type(record).__name__, record.time)
        for second, at in enumerate(range(0, len(BEGINNING), 11))
        for record in decoder.read(Piece(Connection(1), float(second), CLIENT, BEGINNING[at : at + 11]))
    ]
    assert times == [("Preface", 2.0), ("Frame", 2.0)]


def test_connections_are_told_apart_and_forgotten_at_their_end() -> None:
    decoder = Decoder()
    one, two = Connection(1), Connection(2)
    told = [
        record.connection.number
        for piece in (
            Piece(one, 0.0, CLIENT, BEGINNING[:30]),
            Piece(two, 0.0, CLIENT, BEGINNING),
            Piece(one, 0.0, CLIENT, BEGINNING[30:]),
            Piece(one, 0.0, CLIENT, b""),
            Piece(one, 0.0, SERVER, b""),
        )
        for record in decoder.read(piece)
    ]
    assert told == [1, 2, 2, 1]
    assert list(decoder._connections) == [2]
