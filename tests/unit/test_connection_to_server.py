"""Our client's end against a server made by hand: every answer ends its call, and no other."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from puremux.protocol.events import CallEnded, GoAwayReceived, SendBufferDrained, SettingsReceived
from puremux.status import StatusCode
from tests.unit.peers import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HI,
    MIB,
    OK,
    PADDED,
    STATUS_OK,
    ByHand,
    data,
    end_of,
    message,
    of_kind,
    raw,
)


def with_length(server: ByHand, length: bytes) -> list[Frame]:
    """A whole answer of seven bytes that says it has another length."""
    answer = [*OK, (b"content-length", length)]
    return [server.headers(1, answer), data(1, HI), server.headers(1, STATUS_OK, end=True)]


def in_pieces(headers: HeadersFrame) -> list[bytes]:
    """A header block of one byte a frame."""
    first, *rest = [headers.data[at : at + 1] for at in range(len(headers.data))]
    return [
        raw(HEADERS, 1, first, END_STREAM),
        *(raw(CONTINUATION, 1, each) for each in rest),
        raw(CONTINUATION, 1, b"", END_HEADERS),
    ]


ANSWERS = [
    pytest.param(lambda s: [s.headers(1, [*OK, *STATUS_OK], end=True)], "OK", id="trailers-only"),
    pytest.param(
        lambda s: [
            *(s.headers(1, [(b":status", status), (b"link", b"x")]) for status in (b"100", b"103")),
            *(s.headers(1, OK), data(1, HI), s.headers(1, STATUS_OK, end=True)),
        ],
        "OK",
        id="informational headers first",
    ),
    pytest.param(
        lambda s: [s.headers(1, OK), data(1, HI), s.headers(1, STATUS_OK, end=True), RstStreamFrame(1, 0)],
        "OK",
        id="a reset behind a whole answer",
    ),
    pytest.param(
        lambda s: [s.headers(1, OK), data(1, HI), s.headers(1, STATUS_OK, end=True), data(1, HI), data(1, b"")],
        "OK",
        id="DATA behind trailers",
    ),
    pytest.param(lambda s: [s.headers(1, OK), data(1, HI), RstStreamFrame(1, 0)], "INTERNAL", id="NO_ERROR, no status"),
    pytest.param(lambda s: [s.headers(1, OK), data(1, HI, end=True)], "UNKNOWN", id="no trailers"),
    pytest.param(
        lambda s: [s.headers(1, OK), data(1, HI[:6], end=True)], "INTERNAL", id="no trailers, message cut short"
    ),
    pytest.param(
        lambda s: [s.headers(1, OK), data(1, b""), data(1, b"", end=True)], "UNKNOWN", id="nothing but the end"
    ),
    pytest.param(lambda s: [RstStreamFrame(1, 7)], "UNAVAILABLE", id="refused"),
    pytest.param(lambda s: [RstStreamFrame(1, 8)], "CANCELLED", id="cancelled"),
    pytest.param(lambda s: [RstStreamFrame(1, 0xBEEF)], "INTERNAL", id="reset with an unknown code"),
    pytest.param(lambda s: [s.headers(1, [(b":status", b"503")], end=True)], "UNAVAILABLE", id="HTTP 503"),
    pytest.param(
        lambda s: [s.headers(1, [(b":status", b"200"), (b"content-type", b"text/html")]), data(1, b"<html>", end=True)],
        "UNKNOWN",
        id="a page",
    ),
    pytest.param(lambda s: [s.headers(1, [*OK, (b"B", b"")])], "INTERNAL", id="a malformed header"),
    pytest.param(
        lambda s: [s.headers(1, OK), data(1, message(b"hi", 1))], "INTERNAL", id="a compressed flag, no encoding"
    ),
    pytest.param(lambda s: [s.headers(1, OK), data(1, b"\0\xff\xff\xff\xff")], "RESOURCE_EXHAUSTED", id="claims 4 GiB"),
    pytest.param(lambda s: [s.headers(1, OK), data(1, message(b"hi", 2))], "INTERNAL", id="unknown message flags"),
    pytest.param(lambda s: [GoAwayFrame(0, 0, 0)], "UNAVAILABLE", id="GOAWAY below the call"),
    pytest.param(lambda s: [WindowUpdateFrame(1, 2**31 - 1)], "INTERNAL", id="window overflow of the stream"),
    pytest.param(lambda s: [s.headers(1, OK), s.headers(1, STATUS_OK)], "INTERNAL", id="trailers that do not end it"),
    pytest.param(lambda s: [s.headers(1, OK), s.headers(1, OK)], "INTERNAL", id="headers twice"),
    pytest.param(lambda s: [data(1, HI)], "INTERNAL", id="DATA before HEADERS"),
    pytest.param(lambda s: [s.headers(1, [(b":status", b"103")], end=True)], "INTERNAL", id="103 ends the stream"),
    pytest.param(lambda s: [s.headers(1, OK), s.headers(1, [(b":status", b"103")])], "INTERNAL", id="103 too late"),
    pytest.param(lambda s: [s.headers(1, [(b":status", b"101")])], "INTERNAL", id="101"),
    pytest.param(lambda s: [s.headers(1, [(b":status", b"103"), (b"A", b"")])], "INTERNAL", id="a malformed 103"),
    pytest.param(lambda s: with_length(s, b"seven"), "INTERNAL", id="content-length of letters"),
    pytest.param(lambda s: with_length(s, b"3"), "INTERNAL", id="content-length too small"),
    pytest.param(lambda s: with_length(s, b"9"), "INTERNAL", id="content-length too large"),
    pytest.param(lambda s: with_length(s, b"7"), "OK", id="content-length right"),
    pytest.param(
        lambda s: [raw(HEADERS, 1, b"\0\0\0\1\x10" + s.headers(1, [*OK, *STATUS_OK]).data, 0x25)],
        "OK",
        id="headers with a priority, of their own stream",
    ),
    pytest.param(lambda s: in_pieces(s.headers(1, [*OK, *STATUS_OK], end=True)), "OK", id="headers in many pieces"),
]


@pytest.mark.parametrize("answer, code", ANSWERS)
@pytest.mark.parametrize("chunk", [pytest.param(0, id="whole"), pytest.param(1, id="byte by byte")])
def test_an_answer_ends_its_call_and_no_other(answer, code: str, chunk: int) -> None:
    server = ByHand()
    server.open()
    other = server.open(end=True)
    wire = b"".join(each if isinstance(each, bytes) else each.serialize() for each in answer(server))
    for at in range(0, len(wire), chunk or len(wire)):
        server.send(wire[at : at + (chunk or len(wire))])
    assert end_of(server.events).code is StatusCode[code]
    assert server.goaways() == []
    if not of_kind(server.events, GoAwayReceived):
        server.send(server.headers(other, [*OK, *STATUS_OK], end=True))
        assert end_of(server.events, other).code is StatusCode.OK
    assert server.ours.calls == 0


@pytest.mark.parametrize(
    "answer, code",
    [
        pytest.param(lambda s: [s.headers(1, OK), data(1, message(b"hi", 2))], ErrorCodes.CANCEL, id="bad message"),
        pytest.param(lambda s: [s.headers(1, [(b":status", b"502")])], ErrorCodes.CANCEL, id="not gRPC"),
        pytest.param(lambda s: [s.headers(1, [*OK, (b"A", b"")])], ErrorCodes.PROTOCOL_ERROR, id="malformed headers"),
        pytest.param(
            lambda s: [s.headers(1, [*OK, *STATUS_OK], end=True)], ErrorCodes.NO_ERROR, id="status before our end"
        ),
    ],
)
def test_a_server_is_told_that_its_call_is_over(answer, code: int) -> None:
    server = ByHand()
    server.open()
    server.send(*answer(server))
    assert server.resets() == [(1, code)]
    assert server.ours.calls == 0 and server.ours._h2.streams[1].closed


def test_late_data_costs_no_answer_and_its_credit_comes_back() -> None:
    server = ByHand(stream_window=MIB, connection_window=MIB, max_connection_window=MIB)
    call = server.open()
    server.send(server.headers(call, OK))
    server.ours.reset(call)
    server.take()
    server.received = []
    for _ in range(64):  # all that the stream's window allows
        server.send(data(call, bytes(16_384)))
    assert server.resets() == [] and server.goaways() == []
    assert server.credit(0) > MIB * 3 // 4
    assert server.credit(call) == 0
    server.send(raw(DATA, call, b"\xff" + bytes(255), PADDED))  # and one byte more than all
    assert not server.ours.has_ended, "a little more is forgiven"


def test_padding_is_credited_too() -> None:
    server = ByHand(
        stream_window=65_535, connection_window=65_535, max_connection_window=65_535, max_stream_window=65_535
    )
    call = server.open()
    server.send(server.headers(call, OK))
    for _ in range(1_000):
        server.send(raw(DATA, call, b"\xff" + HI + bytes(255), PADDED))
        server.ours.message_taken(call)
    server.take()
    for stream_id in (0, call):
        assert server.credit(stream_id) > 1_000 * (1 + len(HI) + 255) - 65_535 // 2


def test_headers_that_come_after_our_reset_are_only_decoded() -> None:
    server = ByHand()
    call, other = server.open(), server.open(end=True)
    server.ours.reset(call)
    assert server.send(server.headers(call, [*OK, (b"x", b"indexed")])) == []
    assert server.send(server.headers(other, [*OK, (b"x", b"indexed"), *STATUS_OK], end=True)) == [
        CallEnded(other, StatusCode.OK, "", (("x", "indexed"),))
    ]
    server.send(server.headers(call, STATUS_OK, end=True))
    assert server.resets() == [(call, ErrorCodes.CANCEL)], "what was under way is ignored (RFC 9113 §5.1)"


def test_goaway_says_which_calls_were_not_seen_twice_if_it_must() -> None:
    server = ByHand()
    first, second, third = server.open(), server.open(), server.open()
    events = server.send(GoAwayFrame(0, second, 0))
    assert [(each.stream_id, each.unprocessed) for each in of_kind(events, CallEnded)] == [(third, True)]
    events = server.send(GoAwayFrame(0, first, 11, b"too_many_pings"))
    assert [(each.stream_id, each.unprocessed) for each in of_kind(events, CallEnded)] == [(second, True)]
    assert events[-1] == GoAwayReceived(11, first, b"too_many_pings")
    assert server.send(GoAwayFrame(0, 2**31 - 1, 0)) == [GoAwayReceived(0, 2**31 - 1, b"")]
    assert server.resets() == [], "to the server these streams may be idle, where a reset breaks the connection"
    assert server.send(server.headers(first, [*OK, *STATUS_OK], end=True)) == [CallEnded(first, StatusCode.OK)]


def test_a_limit_lowered_below_the_running_calls_ends_none_of_them() -> None:
    server = ByHand()
    calls = [server.open(end=True) for _ in range(3)]
    assert server.send(SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1})) == [SettingsReceived(1)]
    for call in calls:
        assert not server.ours.can_open
        server.send(server.headers(call, [*OK, *STATUS_OK], end=True))
    assert server.ours.can_open
    assert server.send(SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 0})) == [SettingsReceived(0)]
    assert not server.ours.can_open and server.ours.takes_calls


def test_a_window_lowered_below_zero_and_a_frame_size_that_changes() -> None:
    server = ByHand()
    call = server.open()
    server.ours.send_message(call, bytes(40_000))
    server.send(SettingsFrame(0, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10, SettingCodes.MAX_FRAME_SIZE: 20_000}))
    server.ours.send_message(call, bytes(100))
    server.take()
    assert server.ours.pending(call) == 105
    server.send(WindowUpdateFrame(call, 39_995 + 104))
    assert server.ours.pending(call) == 1
    assert server.send(SettingsFrame(0, settings={SettingCodes.INITIAL_WINDOW_SIZE: 11}))[-1] == SendBufferDrained(call)
    assert server.messages(call) == message(bytes(40_000)) + message(bytes(100))
