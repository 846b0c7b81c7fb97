"""Messages larger than a window, and packed ones: whole at the other end, and nobody holds up the others."""

from __future__ import annotations

import pytest
from hyperframe.frame import Frame, RstStreamFrame

from puremux.protocol.events import (
    CallEnded,
    ConnectionEnded,
    Event,
    HalfClosed,
    HeadersReceived,
    MessageReceived,
    SendBufferDrained,
)
from puremux.protocol.framing import frame_message
from puremux.status import StatusCode
from tests.unit.peers import MIB, OK, REQUEST, STATUS_OK, ByHand, Joined, data, end_of, joined, message, of_kind


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
