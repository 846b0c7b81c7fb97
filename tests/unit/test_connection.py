"""Two ends joined in memory, and one end against a peer made by hand: each fact is told once, and nothing leaks."""

from __future__ import annotations

import struct

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from puremux.errors import LocalProtocolError
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
from puremux.protocol.framing import frame_message
from puremux.protocol.guard import Limits
from puremux.protocol.metadata import HeaderList, request_headers, trailers
from puremux.status import StatusCode
from tests.unit.peers import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OK,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    STATUS_OK,
    WINDOW_UPDATE,
    ByHand,
    Joined,
    data,
    frames,
    message,
    raw,
)

HI = message(b"hi")
STRICT = Limits(idle_frames=100, idle_frames_per_second=0)
MIB = 1024 * 1024


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


# Two ends joined


def test_the_greeting() -> None:
    client, server = Joined(server={"max_concurrent_streams": 7}).exchange()
    assert client == [SettingsReceived(7), SettingsAcknowledged(1)]
    assert server == [SettingsReceived(2**32), SettingsAcknowledged(1)]


@pytest.mark.parametrize(
    "chunk", [pytest.param(0, id="whole"), pytest.param(1, id="byte by byte"), pytest.param(7, id="7")]
)
def test_a_whole_call(chunk: int) -> None:
    pair = joined()
    headers = request_headers("/p.S/M", authority="h:1", scheme="http", metadata=[("k-bin", b"\0\xff")], timeout=1.5)
    call = pair.client.open(headers)
    pair.client.send_message(call, b"ping")
    pair.client.send_message(call, b"", end=True)
    _, server = pair.exchange(chunk)
    assert server == [
        RequestReceived(1, "/p.S/M", (("k-bin", b"\0\xff"),), 1.5, "h:1"),
        MessageReceived(1, b"ping"),
        MessageReceived(1, b""),
        HalfClosed(1),
    ]
    pair.server.send_headers(call, [("a", "b")])
    pair.server.send_message(call, b"pong")
    pair.server.send_trailers(call, StatusCode.OK, "fine", [("c", "d"), ("c", "e")])
    client, server = pair.exchange(chunk)
    assert client == [
        HeadersReceived(1, (("a", "b"),)),
        MessageReceived(1, b"pong"),
        CallEnded(1, StatusCode.OK, "fine", (("c", "d"), ("c", "e"))),
    ]
    assert server == [SendBufferDrained(1), SendBufferDrained(1)]
    assert pair.client.calls == pair.server.calls == 0


def test_trailers_only() -> None:
    pair = joined()
    call = pair.client.open(REQUEST)
    pair.client.half_close(call)
    pair.exchange()
    pair.server.send_trailers(call, StatusCode.NOT_FOUND, "no ☃", [("grpc-status-details-bin", b"\1")])
    client, _ = pair.exchange()
    assert client == [CallEnded(1, StatusCode.NOT_FOUND, "no ☃", (("grpc-status-details-bin", b"\1"),))]


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_compression_both_ways(encoding: str) -> None:
    pair = joined()
    call = pair.client.open(request_headers("/p.S/M", authority="h", scheme="http", encoding=encoding))
    pair.client.send_message(call, b"a" * 1000, encoding=encoding)
    pair.client.send_message(call, b"plain", end=True)
    _, server = pair.exchange()
    pair.server.send_headers(call, encoding=encoding)
    pair.server.send_message(call, b"b" * 1000, encoding=encoding)
    client, _ = pair.exchange()
    assert [each.payload for each in of_kind(server, MessageReceived)] == [b"a" * 1000, b"plain"]
    assert [each.payload for each in of_kind(client, MessageReceived)] == [b"b" * 1000]


def test_a_large_message_passes_small_windows_whole() -> None:
    pair = joined(server={"stream_window": 1_000, "max_stream_window": 1_000})
    call = pair.client.open(REQUEST)
    payload = bytes(range(256)) * 1_000
    assert pair.client.send_message(call, payload, end=True) > 250_000
    client, server = pair.exchange()
    assert of_kind(server, MessageReceived, HalfClosed) == [MessageReceived(call, payload), HalfClosed(call)]
    assert of_kind(client, SendBufferDrained) == [SendBufferDrained(call)]


def test_a_small_window_that_the_client_has_not_heard_of_is_no_fault_of_its() -> None:
    pair = Joined(server={"stream_window": 100, "max_stream_window": 100})
    call = pair.client.open(REQUEST)
    pair.client.send_message(call, bytes(60_000), end=True)  # the window that all begin with allows it
    _, server = pair.exchange()
    assert of_kind(server, MessageReceived, ConnectionEnded) == [MessageReceived(call, bytes(60_000))]
    second = pair.client.open(REQUEST)
    assert pair.client.send_message(second, bytes(60_000)) == 60_005 - 100


def test_a_peer_that_does_not_read_stops_the_sender() -> None:
    pair = joined(server={"stream_window": 10_000, "max_stream_window": 10_000})
    call = pair.client.open(REQUEST)
    for _ in range(100):
        pair.client.send_message(call, bytes(1_000))
    unread = len(of_kind(pair.exchange()[1], MessageReceived))
    assert unread == 9
    for taken in range(100):
        assert taken < unread <= taken + 10
        pair.server.message_taken(call)
        unread += len(of_kind(pair.exchange()[1], MessageReceived))
    assert unread == 100
    assert pair.client.pending(call) == 0


def test_calls_that_nobody_reads_hold_up_no_other() -> None:
    pair = joined(client={"stream_window": 100_000, "connection_window": 65_535, "max_connection_window": 65_535})
    calls = [pair.client.open(REQUEST) for _ in range(11)]
    pair.exchange()
    for call in calls:
        pair.server.send_headers(call)
        pair.server.send_message(call, bytes(90_000))
        pair.server.send_message(call, bytes(90_000))
    client, _ = pair.exchange()
    assert len(of_kind(client, MessageReceived)) == 11, "the second message of each waits for the first to be read"
    pair.client.message_taken(calls[-1])
    client, _ = pair.exchange()
    assert [each.stream_id for each in of_kind(client, MessageReceived)] == [calls[-1]]


def test_a_window_that_grows_fills_a_long_pipe() -> None:
    """Each round trip takes 0.1 s, and as much as the window allows comes in it."""
    pair = joined(client={"stream_window": 20_000, "connection_window": 65_535, "max_stream_window": MIB})
    call = pair.client.open(REQUEST)
    pair.exchange()
    pair.server.send_headers(call)
    sent = received = 0
    for _ in range(40):
        while pair.server.pending(call) < 2 * MIB:
            pair.server.send_message(call, bytes(100_000))
            sent += 1
        wire, back = b"", b""
        while piece := pair.server.data_to_send():
            wire += piece
        pair.now += 0.1
        for event in pair.client.receive_data(wire, pair.now) if wire else []:
            if isinstance(event, MessageReceived):
                assert event.payload == bytes(100_000)
                received += 1
                pair.client.message_taken(call)
        while piece := pair.client.data_to_send():
            back += piece
        if back:
            pair.server.receive_data(back, pair.now)
    assert sent - received < 40
    assert received > 100, "with the first window it would be 40 times 20,000 bytes, eight messages"


def test_no_more_calls_than_the_server_takes() -> None:
    pair = joined(server={"max_concurrent_streams": 2})
    first, _ = pair.client.open(REQUEST), pair.client.open(REQUEST)
    assert not pair.client.can_open
    assert pair.client.takes_calls
    with pytest.raises(LocalProtocolError, match="takes no more calls"):
        pair.client.open(REQUEST)
    pair.client.reset(first)
    assert pair.client.can_open


def test_calls_beyond_the_limit_are_refused_and_the_others_live() -> None:
    pair = Joined(server={"max_concurrent_streams": 2})
    calls = [pair.client.open(REQUEST) for _ in range(3)]  # before the server's SETTINGS have come
    client, server = pair.exchange()
    assert len(of_kind(server, RequestReceived)) == 2
    assert end_of(client, calls[2]).unprocessed
    pair.server.send_trailers(calls[0], StatusCode.OK)
    assert end_of(pair.exchange()[0], calls[0]).code is StatusCode.OK


@pytest.mark.parametrize(
    "headers, code, said",
    [
        pytest.param([(b"content-type", b"application/json")], "UNKNOWN", "HTTP status 415", id="JSON"),
        pytest.param(
            [(b"content-type", b"application/grpc"), (b"grpc-encoding", b"br")], "UNIMPLEMENTED", "'br'", id="br"
        ),
        pytest.param(
            [(b"content-type", b"application/grpc"), (b"grpc-timeout", b"1")], "INTERNAL", "'1'", id="timeout"
        ),
        pytest.param(
            [(b"content-type", b"application/grpc"), (b"A", b"")], "INTERNAL", "PROTOCOL_ERROR", id="malformed"
        ),
    ],
)
@pytest.mark.parametrize("end", [pytest.param(True, id="half-closed"), pytest.param(False, id="still sending")])
def test_a_request_that_the_server_refuses(headers, code: str, said: str, end: bool) -> None:
    pair = joined()
    call = pair.client.open([*REQUEST[:5], *headers])
    if end:
        pair.client.half_close(call)
    client, server = pair.exchange()
    assert server == []
    assert end_of(client).code is StatusCode[code]
    assert said in end_of(client).details
    assert pair.client.open(REQUEST) == 3
    assert of_kind(pair.exchange()[1], RequestReceived) != []


def test_a_message_too_long_for_the_server_is_answered_by_a_status() -> None:
    pair = joined(server={"max_receive_message_length": 100})
    call = pair.client.open(REQUEST)
    pair.client.send_message(call, bytes(100))
    pair.client.send_message(call, bytes(101))
    pair.client.send_message(call, bytes(100), end=True)
    client, server = pair.exchange()
    assert len(of_kind(server, MessageReceived)) == 1
    assert end_of(server).code is end_of(client).code is StatusCode.RESOURCE_EXHAUSTED
    assert "max_receive_message_length" in end_of(client).details


def test_a_status_that_comes_while_a_large_upload_waits() -> None:
    pair = joined(server={"stream_window": 1_000})
    call = pair.client.open(REQUEST)
    pair.client.send_message(call, bytes(MIB), end=True)
    seen: tuple[list[Event], list[Event]] = ([], [])
    pair.to_server(seen)
    pair.server.send_trailers(call, StatusCode.UNAUTHENTICATED, "who are you?")
    client, server = pair.exchange()
    assert end_of(client).code is StatusCode.UNAUTHENTICATED
    assert of_kind(server, CallEnded) == []
    assert pair.client.pending(call) == pair.client.calls == pair.server.calls == 0
    assert all(stream.closed for end in (pair.client, pair.server) for stream in end._h2.streams.values())


def test_a_client_that_resets_while_the_status_waits_for_its_window() -> None:
    pair = joined(client={"stream_window": 10})
    call = pair.client.open(REQUEST)
    pair.exchange()
    pair.server.send_headers(call)
    pair.server.send_message(call, bytes(100))
    pair.server.send_trailers(call, StatusCode.OK)
    pair.to_client(([], []))
    pair.client.reset(call)
    client, server = pair.exchange()
    assert of_kind(client, CallEnded, MessageReceived) == []
    assert server[-1] == CallEnded(call, StatusCode.CANCELLED, "the peer reset the stream with CANCEL")
    assert pair.server.calls == 0


def test_a_probe_is_acknowledged_in_its_order() -> None:
    pair = joined()
    assert (pair.client.probe(), pair.client.probe()) == (2, 3)
    assert pair.exchange()[0] == [SettingsAcknowledged(2), SettingsAcknowledged(3)]


def test_a_ping() -> None:
    pair = joined()
    pair.server.ping(b"12345678")
    assert pair.exchange() == ([], [PingAcknowledged(b"12345678")])


def test_going_away_in_two_steps() -> None:
    pair = joined()
    first = pair.client.open(REQUEST)
    pair.exchange()
    pair.server.go_away(0, 2**31 - 1)
    second = pair.client.open(REQUEST)  # crosses the GOAWAY
    client, server = pair.exchange()
    assert client == [GoAwayReceived(0, 2**31 - 1, b"")]
    assert not pair.client.takes_calls
    assert of_kind(server, RequestReceived) != []
    pair.server.go_away(0, first, "maintenance")
    client, _ = pair.exchange()
    assert end_of(client, second).unprocessed
    assert client[-1] == GoAwayReceived(0, first, b"maintenance")
    pair.server.send_trailers(first, StatusCode.OK)
    assert end_of(pair.exchange()[0], first).code is StatusCode.OK


def test_a_server_that_goes_away_refuses_what_comes_later() -> None:
    pair = joined()
    first = pair.client.open(REQUEST)
    pair.exchange()
    pair.server.go_away()
    second = pair.client.open(REQUEST)
    client, server = pair.exchange()
    assert of_kind(server, RequestReceived) == []
    assert end_of(client, second).unprocessed
    assert pair.client.calls == 1
    assert first


@pytest.mark.parametrize(
    "end, code, reason",
    [
        pytest.param(lambda each: each.receive_eof(), 0, "the server closed the connection", id="end of bytes"),
        pytest.param(lambda each: each.lose("the cable is out"), 10, "the cable is out", id="lost"),
    ],
)
def test_the_end_of_the_connection_ends_every_call_once(end, code: int, reason: str) -> None:
    pair = joined(client={"peer": "h:1"})
    calls = [pair.client.open(REQUEST) for _ in range(3)]
    pair.client.half_close(calls[0])
    events = end(pair.client)
    assert events[0] == SendBufferDrained(calls[0]), "what our own step has caused comes first"
    sentence = f"h:1: {reason}"
    assert events[1:] == [
        *(CallEnded(call, StatusCode.UNAVAILABLE, sentence) for call in calls),
        ConnectionEnded(code, sentence),
    ]
    assert end(pair.client) == pair.client.receive_data(b"x", 0.0) == pair.client.take_events() == []
    assert pair.client.has_ended and not pair.client.is_ready and not pair.client.can_open


def test_after_the_end_every_step_is_harmless_or_refused() -> None:
    pair = joined()
    call = pair.client.open(REQUEST)
    pair.exchange()
    pair.server.send_headers(call)
    pair.server.send_message(call, bytes(MIB))
    pair.exchange()
    pair.client.lose("gone")
    pair.client.message_taken(call)
    pair.client.reset(call)
    pair.client.ping(b"12345678")
    pair.client.probe()
    pair.client.go_away()
    assert pair.client.pending(call) == 0
    for step in (
        lambda: pair.client.open(REQUEST),
        lambda: pair.client.send_message(call, b""),
        lambda: pair.client.half_close(call),
    ):
        with pytest.raises(LocalProtocolError):
            step()


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(lambda pair, call: pair.client.send_headers(call), id="a client sends no initial metadata"),
        pytest.param(lambda pair, call: pair.client.send_trailers(call, StatusCode.OK), id="a client sends no status"),
        pytest.param(lambda pair, call: pair.server.half_close(call), id="a server does not half-close"),
        pytest.param(lambda pair, call: pair.server.send_message(call, b""), id="messages come behind headers"),
        pytest.param(lambda pair, call: pair.client.send_message(99, b""), id="no such call"),
        pytest.param(lambda pair, call: [pair.client.half_close(call), pair.client.half_close(call)], id="twice"),
        pytest.param(lambda pair, call: [pair.client.half_close(call), pair.client.send_message(call, b"")], id="late"),
    ],
)
def test_steps_that_are_not_allowed(step) -> None:
    pair = joined()
    call = pair.client.open(REQUEST)
    pair.exchange()
    with pytest.raises(LocalProtocolError):
        step(pair, call)
    pair.client.reset(call)
    pair.exchange()


def test_a_call_that_is_reset_reports_nothing_more() -> None:
    pair = joined()
    call = pair.client.open(REQUEST)
    pair.client.send_message(call, b"hi")
    pair.client.reset(call)
    pair.client.reset(call)
    assert pair.exchange() == (
        [],
        [
            RequestReceived(1, "/p.S/M", (), None, "h:1"),
            MessageReceived(1, b"hi"),
            CallEnded(1, StatusCode.CANCELLED, "the peer reset the stream with CANCEL"),
        ],
    )


def test_no_more_is_framed_ahead_than_a_socket_takes() -> None:
    pair = joined(server={"stream_window": 8 * MIB, "connection_window": 8 * MIB})
    call = pair.client.open(REQUEST)
    pair.client.send_message(call, bytes(4 * MIB))
    first = pair.client.data_to_send()
    assert len(first) < 300_000
    assert pair.client.pending(call) > 3 * MIB
    sizes = []
    while piece := pair.client.data_to_send():
        sizes.append(len(piece))
    assert max(sizes) < 300_000
    assert pair.client.take_events() == [SendBufferDrained(call)]


def test_stream_ids_can_be_used_up() -> None:
    pair = joined()
    pair.client._h2.highest_outbound_stream_id = 2**31 - 5
    assert pair.client.open(REQUEST) == 2**31 - 3
    assert pair.client.takes_calls
    last = pair.client.open(REQUEST)
    assert last == 2**31 - 1
    assert not pair.client.takes_calls and not pair.client.can_open
    pair.exchange()
    pair.server.send_trailers(last, StatusCode.OK)
    assert end_of(pair.exchange()[0], last).code is StatusCode.OK


def test_hundreds_of_calls_leave_nothing_behind() -> None:
    pair = joined(client={"limits": STRICT}, server={"limits": STRICT})
    for _ in range(300):
        call = pair.client.open(REQUEST)
        pair.client.send_message(call, b"x", end=True)
        pair.exchange()
        pair.server.message_taken(call)
        pair.server.send_headers(call)
        pair.server.send_message(call, b"y")
        pair.server.send_trailers(call, StatusCode.OK)
        pair.exchange()
        pair.client.message_taken(call)
    for end in (pair.client, pair.server):
        assert len(end._h2.streams) <= 128
        assert not end._inflow._streams and not end._outbox._queues and not end._calls
        assert end._budget._left > 90


# A server made by hand


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
    assert event == ConnectionEnded(
        1, "h:1: the server speaks HTTP/1, not HTTP/2: it answered 'HTTP/1.1 400 Bad Request'"
    )
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


# Packed messages that nobody reads

ZEROS = bytes(500_000)
GZIP = [*OK, (b"grpc-encoding", b"gzip")]


def packed_answer(server: ByHand, count: int, end: list[bytes | Frame]) -> list[Event]:
    """So many messages of 500,000 bytes, each a few hundred when packed, and the end of the answer."""
    return server.send(server.headers(1, GZIP), *[data(1, frame_message(ZEROS, "gzip"))] * count, *end)


def test_packed_messages_are_unpacked_as_they_are_read() -> None:
    server = ByHand()
    server.open()
    events = packed_answer(server, 200, [server.headers(1, [*STATUS_OK, (b"x", b"y")], end=True)])
    assert [type(event) for event in events] == [HeadersReceived, *[MessageReceived] * 3]
    assert server.ours.calls == 1 and server.ours._h2.streams[1].closed
    for _ in range(196):
        server.ours.message_taken(1)
        assert server.ours.take_events() == [MessageReceived(1, ZEROS)]
    server.ours.message_taken(1)
    assert server.ours.take_events() == [MessageReceived(1, ZEROS), CallEnded(1, StatusCode.OK, "", (("x", "y"),))]
    server.ours.message_taken(1)
    assert server.ours.take_events() == []


def test_the_status_comes_behind_the_last_message() -> None:
    server = ByHand()
    server.open()
    packed_answer(server, 5, [server.headers(1, [*STATUS_OK, (b"x", b"y")], end=True)])
    told = []
    for _ in range(5):
        server.ours.message_taken(1)
        told += server.ours.take_events()
    assert told == [MessageReceived(1, ZEROS)] * 2 + [CallEnded(1, StatusCode.OK, "", (("x", "y"),))]
    assert server.ours.calls == 0


@pytest.mark.parametrize(
    "end, code",
    [
        pytest.param(lambda s: [data(1, b"", end=True)], "UNKNOWN", id="no status"),
        pytest.param(lambda s: [s.headers(1, [(b"grpc-status", b"5")], end=True)], "NOT_FOUND", id="an error"),
        pytest.param(lambda s: [data(1, b"\1\0\0\0\2x", end=True)], "INTERNAL", id="cut short"),
        pytest.param(lambda s: [data(1, message(b"no gzip", 1), end=True)], "INTERNAL", id="not gzip"),
        pytest.param(
            lambda s: [s.headers(1, STATUS_OK, end=True), RstStreamFrame(1, 0)], "OK", id="reset behind the status"
        ),
    ],
)
def test_an_end_that_had_to_wait_is_what_it_was(end, code: str) -> None:
    server = ByHand()
    server.open()
    told = packed_answer(server, 6, end(server))
    assert of_kind(told, CallEnded) == []
    for _ in range(6):
        server.ours.message_taken(1)
        told += server.ours.take_events()
    assert len(of_kind(told, MessageReceived)) == 6
    assert end_of(told).code is StatusCode[code]


def test_sending_on_a_call_that_has_its_answer_goes_nowhere() -> None:
    server = ByHand()
    call = server.open()
    server.ours.send_message(call, bytes(100_000))
    packed_answer(server, 6, [server.headers(1, STATUS_OK, end=True)])
    server.received = []
    assert server.resets() == [] and server.ours.pending(call) == 0
    assert server.ours.send_message(call, b"x") == 0
    server.ours.half_close(call)
    assert server.take() == []
    server.ours.reset(call)
    assert server.ours.calls == 0
    assert server.take() == []


def test_a_connection_that_breaks_drops_what_nobody_has_read() -> None:
    server = ByHand()
    server.open()
    packed_answer(server, 6, [server.headers(1, STATUS_OK, end=True)])
    assert end_of(server.ours.lose("cut")).code is StatusCode.UNAVAILABLE
    server.ours.message_taken(1)
    assert server.ours.take_events() == []


def test_packed_messages_hold_up_no_other_call_and_their_sender_stops() -> None:
    pair = joined(client={"stream_window": 65_535, "max_stream_window": 65_535})
    slow, other = pair.client.open(REQUEST), pair.client.open(REQUEST)
    pair.exchange()
    pair.server.send_headers(slow, (), "gzip")
    for _ in range(500):
        pair.server.send_message(slow, ZEROS, encoding="gzip")
    client, _ = pair.exchange()
    assert len(of_kind(client, MessageReceived)) == 3
    assert pair.server.pending(slow) > 100_000
    pair.server.send_trailers(other, StatusCode.OK)
    assert end_of(pair.exchange()[0], other).code is StatusCode.OK
    read = 3
    for taken in range(500):
        assert taken < read <= taken + 3
        pair.client.message_taken(slow)
        read += len(of_kind(pair.exchange()[0], MessageReceived))
    assert pair.server.pending(slow) == 0


# A client made by hand


def test_a_client_that_opens_and_resets_calls_for_ever_is_ended() -> None:
    client = ByHand(client_side=False)
    opened = 0
    for stream_id in range(1, 20_001, 2):
        if client.ours.has_ended:
            break
        opened += len(
            of_kind(client.send(client.headers(stream_id, REQUEST), RstStreamFrame(stream_id, 8)), RequestReceived)
        )
    assert connection_end(client.events).error_code == ErrorCodes.ENHANCE_YOUR_CALM
    assert opened < 1_000


def test_a_client_that_is_answered_may_go_on_for_ever() -> None:
    client = ByHand(client_side=False, limits=STRICT)
    for stream_id in range(1, 801, 2):
        client.send(client.headers(stream_id, REQUEST, end=True))
        client.ours.send_trailers(stream_id, StatusCode.OK)
    assert not client.ours.has_ended


@pytest.mark.parametrize(
    "wire, code",
    [
        pytest.param(lambda c: [c.headers(2, REQUEST)], 1, id="an even stream"),
        pytest.param(lambda c: [c.headers(5, REQUEST), c.headers(3, REQUEST)], 1, id="a stream id too low"),
        pytest.param(lambda c: [PushPromiseFrame(1, 2, b"", flags=["END_HEADERS"])], 1, id="PUSH_PROMISE"),
        pytest.param(lambda c: [SettingsFrame(0, settings={SettingCodes.ENABLE_PUSH: 2})], 1, id="illegal settings"),
    ],
)
def test_a_client_that_breaks_http2(wire, code: int) -> None:
    client = ByHand(client_side=False)
    client.send(*wire(client))
    assert connection_end(client.events).error_code == code
    assert client.goaways() == [code]


@pytest.mark.parametrize("size", [0, 5, len(PREFACE) - 1])
def test_a_server_says_nothing_before_it_knows_its_client(size: int) -> None:
    server = Connection(client_side=False)
    server.initiate()
    if size:
        server.receive_data(PREFACE[:size], 0.0)
    assert server.data_to_send() == b""
    server.receive_data(PREFACE[size:], 0.0)
    assert isinstance(frames(server.data_to_send())[0], SettingsFrame)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PRI", b"OPTIONS"])
def test_a_client_that_speaks_http1_gets_an_answer_it_can_read(method: bytes) -> None:
    server = Connection(client_side=False)
    server.initiate()
    events = server.receive_data(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 0.0)
    assert "does not speak HTTP/2" in connection_end(events).reason
    answer = server.data_to_send()
    assert answer.startswith(b"HTTP/1.1 400 ") and b"gRPC" in answer and server.data_to_send() == b""


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01\x00\x05hello", b"INVALID CONNECTION PREFACE\r\n\r\n"])
def test_a_client_that_speaks_something_else_gets_goaway(greeting: bytes) -> None:
    server = Connection(client_side=False)
    server.initiate()
    server.receive_data(greeting, 0.0)
    assert [type(each) for each in frames(server.data_to_send())][-1] is GoAwayFrame


def without(name: bytes, *more: tuple[bytes, bytes]) -> HeaderList:
    return [*(each for each in REQUEST if each[0] != name), *more]


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(lambda c: [c.headers(1, [(b":status", b"100")])], id="an informational request"),
        pytest.param(lambda c: [c.headers(1, without(b":method"))], id="no :method"),
        pytest.param(lambda c: [c.headers(1, without(b":scheme"))], id="no :scheme"),
        pytest.param(lambda c: [c.headers(1, without(b":path"))], id="no :path"),
        pytest.param(lambda c: [c.headers(1, [(b":path", b""), *without(b":path")])], id="an empty :path"),
        pytest.param(lambda c: [c.headers(1, without(b"te", (b"te", b"gzip")))], id="te: gzip"),
        pytest.param(lambda c: [c.headers(1, [*REQUEST, (b"content-length", b"x")])], id="content-length of letters"),
        pytest.param(
            lambda c: [c.headers(1, [*REQUEST, (b"content-length", b"3")]), data(1, HI)], id="content-length too small"
        ),
        pytest.param(
            lambda c: [c.headers(1, [*REQUEST, (b"content-length", b"9")]), data(1, HI, end=True)],
            id="content-length too large",
        ),
        pytest.param(lambda c: [c.headers(1, REQUEST), c.headers(1, [(b"a", b"b")])], id="trailers that do not end"),
        pytest.param(
            lambda c: [c.headers(1, REQUEST), c.headers(1, [(b":path", b"/")], end=True)], id="a :path in trailers"
        ),
    ],
)
def test_a_malformed_request_resets_its_stream_and_no_other(wire) -> None:
    client = ByHand(client_side=False)
    client.send(*wire(client))
    assert client.resets() == [(1, ErrorCodes.PROTOCOL_ERROR)] and client.goaways() == []
    if of_kind(client.events, RequestReceived):
        assert end_of(client.events).code is StatusCode.INTERNAL
    assert of_kind(client.send(client.headers(3, REQUEST)), RequestReceived)
    assert client.ours.calls == 1


def test_trailers_of_a_client_are_ignored() -> None:
    client = ByHand(client_side=False)
    events = client.send(client.headers(1, REQUEST), data(1, HI), client.headers(1, [(b"a", b"b")], end=True))
    assert events[1:] == [MessageReceived(1, b"hi"), HalfClosed(1)]


def test_data_on_a_stream_that_both_ends_have_ended_is_answered_by_its_code() -> None:
    client = ByHand(client_side=False)
    client.send(client.headers(1, REQUEST, end=True))
    client.ours.send_trailers(1, StatusCode.OK)
    client.send(data(1, HI))
    assert client.resets() == [(1, ErrorCodes.STREAM_CLOSED)]


@pytest.mark.parametrize("late", ["DATA", "HEADERS"])
def test_frames_of_a_client_behind_its_end_reset_the_call(late: str) -> None:
    client = ByHand(client_side=False)
    client.send(client.headers(1, REQUEST, end=True))
    events = client.send(data(1, HI) if late == "DATA" else client.headers(1, REQUEST, end=True))
    assert end_of(events).code is StatusCode.INTERNAL
    assert "STREAM_CLOSED" in end_of(events).details
    assert client.resets() == [(1, ErrorCodes.STREAM_CLOSED)]
    assert client.send(client.headers(3, REQUEST, end=True)) != []


def test_a_server_s_answers_to_nonsense_are_few() -> None:
    client = ByHand(client_side=False, limits=STRICT)
    for stream_id in range(1, 2_001, 2):
        client.send(client.headers(stream_id, [*REQUEST[:3], (b"content-type", b"text/plain")]))
    assert client.ours.has_ended
    assert len(client.resets()) <= 100


def test_trailers_of_a_status_hold_what_was_given() -> None:
    client = ByHand(client_side=False)
    client.send(client.headers(1, REQUEST, end=True))
    client.ours.send_trailers(1, StatusCode.ABORTED, "a\nb", [("k", "v")])
    (frame,) = [each for each in client.take() if isinstance(each, HeadersFrame)]
    assert client.decode(frame) == [*OK, *trailers(10, "a\nb", [("k", "v")])]


def test_a_half_close_is_a_data_frame_of_its_own() -> None:
    """Real agents never answer a request whose HEADERS end the stream."""
    server = ByHand()
    server.open(end=True)
    headers, end = [each for each in server.received if each.stream_id == 1]
    assert isinstance(headers, HeadersFrame) and "END_STREAM" not in headers.flags
    assert isinstance(end, DataFrame) and end.data == b"" and "END_STREAM" in end.flags
