"""A peer made by hand that breaks HTTP/2 or floods: the connection ends in words, before it costs much."""

from __future__ import annotations

import struct

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame, PushPromiseFrame, SettingsFrame, WindowUpdateFrame

from puremux.protocol.connection import Connection
from puremux.protocol.events import CallEnded, ConnectionEnded, MessageReceived
from puremux.status import StatusCode
from tests.unit.peers import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    HI,
    OK,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    STATUS_OK,
    STRICT,
    WINDOW_UPDATE,
    ByHand,
    connection_end,
    data,
    end_of,
    frames,
    of_kind,
    raw,
)

FATAL = [
    pytest.param([SettingsFrame(0, settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**31})], 3, id="a window of 2 GiB"),
    pytest.param([SettingsFrame(0, settings={SettingCodes.MAX_FRAME_SIZE: 1})], 1, id="frames of one byte"),
    pytest.param([raw(SETTINGS, 0, b"12345")], 6, id="SETTINGS of 5 bytes"),
    pytest.param([raw(SETTINGS, 0, bytes(6), ACK)], 6, id="an acknowledgement with settings"),
    pytest.param([WindowUpdateFrame(0, 2**31 - 1)], 3, id="window overflow of the connection"),
    pytest.param([raw(WINDOW_UPDATE, 0, bytes(4))], 1, id="a window increment of 0"),
    pytest.param([WindowUpdateFrame(99, 1)], 1, id="WINDOW_UPDATE on an idle stream"),
    pytest.param([data(99, b"x")], 1, id="DATA on an idle stream"),
    pytest.param([data(2, b"x")], 1, id="DATA on a stream of the server's"),
    pytest.param([raw(DATA, 0, b"x")], 1, id="DATA on no stream"),
    pytest.param([data(1, bytes(16_384))] * 5, 3, id="more than the window"),
    pytest.param([raw(DATA, 1, b"\5abc", PADDED)], 1, id="more padding than frame"),
    pytest.param([raw(DATA, 1, bytes(16_385))], 6, id="a frame too large"),
    pytest.param([HeadersFrame(2, b"\x88", flags=["END_HEADERS"])], 1, id="HEADERS on a stream of the server's"),
    pytest.param([HeadersFrame(99, b"\x88", flags=["END_HEADERS"])], 1, id="HEADERS on an idle stream"),
    pytest.param([HeadersFrame(1, b"\xff" * 9, flags=["END_HEADERS"])], 9, id="HEADERS that are not HPACK"),
    pytest.param([HeadersFrame(1, b"\x3f\xe1\xff\x03", flags=["END_HEADERS"])], 9, id="a header table too large"),
    pytest.param([HeadersFrame(1, b"\x88"), data(1, b"x")], 1, id="a header block interrupted"),
    pytest.param([raw(CONTINUATION, 1, b"", END_HEADERS)], 1, id="CONTINUATION of nothing"),
    pytest.param([PushPromiseFrame(1, 2, b"\x82\x87\x84", flags=["END_HEADERS"])], 1, id="PUSH_PROMISE"),
    pytest.param([raw(PING, 0, b"1234567")], 6, id="PING of 7 bytes"),
    pytest.param([raw(RST_STREAM, 1, b"123")], 6, id="RST_STREAM of 3 bytes"),
    pytest.param([raw(RST_STREAM, 0, bytes(4))], 1, id="RST_STREAM on no stream"),
    pytest.param([b"HTTP/1.1 400 Bad Request\r\n\r\n"], 1, id="HTTP/1 later on"),
    pytest.param([raw(0xBE) + b"\xff" * 9], 6, id="garbage"),
]


@pytest.mark.parametrize("wire, code", FATAL)
@pytest.mark.parametrize("chunk", [pytest.param(0, id="whole"), pytest.param(1, id="byte by byte")])
def test_what_breaks_the_connection_ends_every_call_and_is_explained(wire, code: int, chunk: int) -> None:
    server = ByHand(stream_window=65_535, connection_window=65_535)
    calls = [server.open(), server.open(end=True)]
    server.send(*(server.headers(call, OK) for call in calls))
    whole = b"".join(each if isinstance(each, bytes) else each.serialize() for each in wire)
    for at in range(0, len(whole), chunk or len(whole)):
        server.send(whole[at : at + (chunk or len(whole))])
    end = connection_end(server.events)
    assert end.reason
    for call in calls:
        assert end_of(server.events, call) == CallEnded(call, StatusCode.UNAVAILABLE, end.reason)
    assert len(server.goaways()) == 1
    assert server.goaways() == [end.error_code]
    if chunk == 0:
        assert end.error_code == code


def test_garbage_for_a_greeting_has_a_sentence() -> None:
    client = Connection(client_side=True, peer="h:1")
    client.initiate()
    (event,) = client.receive_data(b"HTTP/1.1 400 Bad Request\r\n\r\n", 0.0)
    said = "h:1: the server speaks HTTP/1, not HTTP/2: it answered 'HTTP/1.1 400 Bad Request'"
    assert event == ConnectionEnded(1, f"{said}; check that this is its port for gRPC")
    assert isinstance(frames(client.data_to_send())[-1], GoAwayFrame)


def bomb() -> bytes:
    """16 KiB that name a header of 4,000 bytes 12,000 times: 48 MB of headers."""
    block = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4_000 + b"\xbe" * 12_000
    return raw(HEADERS, 1, block, END_HEADERS)


FLOODS = [
    pytest.param(raw(SETTINGS), id="SETTINGS"),
    pytest.param(raw(SETTINGS, 0, struct.pack(">HI", 4, 65_535) * 100), id="large SETTINGS"),
    pytest.param(raw(SETTINGS, 0, b"", ACK), id="acknowledgements"),
    pytest.param(raw(PING, 0, bytes(8)), id="PING"),
    pytest.param(raw(PING, 0, bytes(8), ACK), id="PING acknowledgements"),
    pytest.param(raw(PRIORITY, 1, bytes(5)), id="PRIORITY"),
    pytest.param(raw(0xBE, 0, b"x"), id="unknown frames"),
    pytest.param(raw(DATA, 1), id="empty DATA"),
    pytest.param(raw(DATA, 1, b"\x03" + bytes(3), PADDED), id="DATA of padding only"),
    pytest.param(raw(DATA, 3, b"x"), id="DATA of a call that was answered"),
    pytest.param(raw(DATA, 3), id="empty DATA of a call that was answered"),
    pytest.param(raw(HEADERS, 5, b"\x88", END_HEADERS), id="HEADERS of a call that we have reset"),
    pytest.param(raw(HEADERS, 1, b"\x08\x03103", END_HEADERS), id="informational HEADERS"),
    pytest.param(raw(WINDOW_UPDATE, 0, b"\0\0\0\1"), id="WINDOW_UPDATE"),
    pytest.param(raw(WINDOW_UPDATE, 1, b"\0\0\0\1"), id="WINDOW_UPDATE of a stream"),
    pytest.param(raw(RST_STREAM, 3, bytes(4)), id="RST_STREAM"),
    pytest.param(struct.pack(">BHBBI", 0, 8, 7, 0, 0) + struct.pack(">II", 99, 0), id="GOAWAY"),
    pytest.param(raw(HEADERS, 1, b"") + raw(CONTINUATION, 1) * 1_000, id="CONTINUATION"),
]


@pytest.mark.parametrize("frame", FLOODS)
def test_a_flood_ends_the_connection_before_it_costs_much(frame: bytes) -> None:
    server = ByHand(stream_window=1_000)
    server.open()
    server.open(end=True)
    third = server.open()
    server.send(server.headers(1, OK) if b"103" not in frame else b"", server.headers(3, [*OK, *STATUS_OK], end=True))
    server.ours.reset(third)
    server.take()
    answered = 0
    for _ in range(5_000):
        if server.ours.has_ended:
            break
        server.ours.receive_data(frame, 0.0)
        answered += len(server.ours.data_to_send())
    assert server.ours.has_ended
    assert answered < 64 * 1024


def test_a_header_bomb_is_not_unpacked() -> None:
    server = ByHand()
    server.open()
    end = connection_end(server.send(bomb()))
    assert end.error_code == ErrorCodes.ENHANCE_YOUR_CALM
    assert "Oversized header block" in end.reason


def test_ten_thousand_headers_end_their_call_only() -> None:
    server = ByHand()
    call, other = server.open(), server.open(end=True)
    block = server.headers(call, [*OK, *[(b"x%d" % (each % 90), b"y") for each in range(10_000)]]).data
    pieces = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    server.send(raw(HEADERS, call, pieces[0]), *(raw(CONTINUATION, call, each) for each in pieces[1:]))
    server.send(raw(CONTINUATION, call, b"", END_HEADERS))
    assert end_of(server.events, call).code is StatusCode.RESOURCE_EXHAUSTED
    assert server.send(server.headers(other, [*OK, *STATUS_OK], end=True)) == [CallEnded(other, StatusCode.OK)]


def test_frames_of_use_are_no_flood() -> None:
    """A stream of tiny messages, with the PINGs and credit that servers send along."""
    server = ByHand(limits=STRICT)
    call = server.open()
    server.send(server.headers(call, OK))
    for _ in range(300):
        server.ours.send_message(call, b"x" * 100)
        server.send(
            *[data(call, HI)] * 10, PingFrame(0, b"12345678"), WindowUpdateFrame(call, 105), WindowUpdateFrame(0, 105)
        )
        for _ in range(10):
            server.ours.message_taken(call)
    assert not server.ours.has_ended
    assert len(of_kind(server.events, MessageReceived)) == 3_000


def test_calls_with_much_metadata_are_no_flood() -> None:
    server = ByHand(limits=STRICT)
    for index in range(12):
        call = server.open(end=True)
        noise = b"%06d" % index * 1_000
        server.send(
            server.headers(call, [*OK, (b"x", noise)]), server.headers(call, [*STATUS_OK, (b"y", noise)], end=True)
        )
    assert [each.code for each in of_kind(server.events, CallEnded)] == [StatusCode.OK] * 12
