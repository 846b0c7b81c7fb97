"""Our server's end against a client made by hand: what it may do, and what ends its call or the connection."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PushPromiseFrame, RstStreamFrame, SettingsFrame

from puremux.protocol.connection import Connection
from puremux.protocol.events import HalfClosed, MessageReceived, RequestReceived
from puremux.protocol.metadata import HeaderList, trailers
from puremux.status import StatusCode
from tests.unit.peers import HI, OK, PREFACE, REQUEST, STRICT, ByHand, connection_end, data, end_of, frames, of_kind


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
