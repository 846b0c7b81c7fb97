"""Two ends joined in memory: each fact is told once, and nothing leaks."""

from __future__ import annotations

import pytest

from puremux.errors import LocalProtocolError
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
from puremux.protocol.metadata import request_headers
from puremux.status import StatusCode
from tests.unit.peers import MIB, REQUEST, STRICT, Joined, end_of, joined, of_kind


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
    pair.client.send_message(second, bytes(2 * MIB))
    assert of_kind(server, RequestReceived) != []
    pair.server.go_away(0, first, "maintenance")
    client, _ = pair.exchange()
    assert end_of(client, second).unprocessed
    assert client[-1] == GoAwayReceived(0, first, b"maintenance")
    assert second not in pair.client._outbox._queues and second not in pair.client._inflow._streams
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
