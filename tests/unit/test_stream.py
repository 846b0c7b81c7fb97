"""One call: the tables of its states, and what every answer and every request becomes."""

from __future__ import annotations

import gzip

import pytest
from h2.errors import ErrorCodes

from puremux.errors import LocalProtocolError
from puremux.protocol.events import CallEnded, Event, HalfClosed, HeadersReceived, MessageReceived, RequestReceived
from puremux.protocol.framing import PREFIX
from puremux.protocol.metadata import HeaderList, request_headers
from puremux.protocol.stream import RECEIVING, SENDING, ClientCall, Receiving, Sending, ServerCall, Step
from puremux.status import StatusCode

HI = b"\0\0\0\0\2hi"
OK = [(b":status", b"200"), (b"content-type", b"application/grpc")]
REQUEST = request_headers("/p.S/M", authority="h:1", scheme="http")


def ended(events: list[Event]) -> CallEnded:
    event = events[-1]
    assert isinstance(event, CallEnded)
    return event


def without(headers: HeaderList, name: bytes, *instead: tuple[bytes, bytes]) -> HeaderList:
    """The headers, one of them taken out and others put in its place."""
    at = [each for each, _ in headers].index(name)
    return [*headers[:at], *instead, *headers[at + 1 :]]


# The tables


@pytest.mark.parametrize(
    "table, first, last", [(SENDING, Sending.IDLE, Sending.ENDED), (RECEIVING, Receiving.IDLE, Receiving.ENDED)]
)
def test_every_state_can_be_reached_and_left_for_the_end(table, first, last) -> None:
    reached = {first}
    for _ in table:
        reached |= {after for (before, _), after in table.items() if before in reached}
    assert reached == set(type(first))
    for state in reached - {last}:
        assert table[state, Step.STOP] is last


def test_nothing_follows_the_end() -> None:
    assert {step for (state, step) in SENDING if state is Sending.ENDED} == {Step.STOP}
    assert not [step for (state, step) in RECEIVING if state is Receiving.ENDED]


@pytest.mark.parametrize("state", Sending)
@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("make", [ClientCall, ServerCall])
def test_a_step_is_taken_as_the_table_has_it(make, step: Step, state: Sending) -> None:
    call = make(1, None)
    call.sending = state
    foreign = step is (Step.TRAILERS if make is ClientCall else Step.END)
    if (state, step) in SENDING and not foreign:
        call.send(step)
        assert call.sending is SENDING[state, step]
    else:
        with pytest.raises(LocalProtocolError, match=step.value):
            call.send(step)
        assert call.sending is state


# The client's end

ANSWERS = [
    pytest.param([*OK, (b"grpc-status", b"0")], "OK", "", id="trailers-only, OK"),
    pytest.param([*OK, (b"grpc-status", b"5"), (b"grpc-message", b"no%20x")], "NOT_FOUND", "no x", id="trailers-only"),
    pytest.param([*OK, (b"grpc-status", b"05")], "NOT_FOUND", "", id="a leading zero"),
    pytest.param([(b":status", b"200"), (b"grpc-status", b"5")], "NOT_FOUND", "", id="trailers-only, no content-type"),
    pytest.param([*OK], "UNKNOWN", "without a grpc-status", id="no grpc-status"),
    pytest.param([*OK, (b"grpc-status", b"17")], "UNKNOWN", "unknown grpc-status '17'", id="a status of the future"),
    pytest.param([*OK, (b"grpc-status", b"abc")], "UNKNOWN", "unknown grpc-status 'abc'", id="no number"),
    pytest.param([*OK, (b"grpc-status", b"")], "UNKNOWN", "unknown grpc-status ''", id="an empty grpc-status"),
    pytest.param([*OK, (b"grpc-status", b"-1")], "UNKNOWN", "unknown grpc-status '-1'", id="a negative status"),
    pytest.param([*OK, (b"grpc-status", b"x" * 999)], "UNKNOWN", "x" * 64 + "'", id="a status too long to show"),
    pytest.param([*OK, (b"grpc-status", b"0"), (b"grpc-status", b"5")], "UNKNOWN", "several values", id="two statuses"),
    pytest.param([*OK, (b"grpc-status", b"5"), (b"grpc-status", b"5")], "NOT_FOUND", "", id="a status said twice"),
    pytest.param([*OK, (b"grpc-status", b"2"), (b"grpc-message", b"%")], "UNKNOWN", "%", id="a message badly encoded"),
    pytest.param(
        [(b":status", b"503"), (b"grpc-status", b"8")], "RESOURCE_EXHAUSTED", "", id="grpc-status wins over HTTP"
    ),
    pytest.param([(b":status", b"503")], "UNAVAILABLE", "HTTP status 503, no content-type", id="HTTP 503"),
    pytest.param(
        [(b":status", b"404"), (b"content-type", b"text/html")], "UNIMPLEMENTED", "'text/html'", id="HTTP 404"
    ),
    pytest.param([(b":status", b"800")], "UNKNOWN", "HTTP status 800", id="HTTP 800"),
    pytest.param(without(OK, b"content-type"), "UNKNOWN", "no content-type", id="HTTP 200, no content-type"),
    pytest.param(
        without(OK, b"content-type", (b"content-type", b"application/grpc+json")),
        "UNKNOWN",
        "grpc+json",
        id="another format",
    ),
    pytest.param([*OK, (b"A", b"")], "INTERNAL", "is not allowed", id="a malformed name"),
    pytest.param([*OK, (b":status", b"200")], "INTERNAL", "out of place", id="two statuses of HTTP"),
    pytest.param([(b":path", b"/"), *OK], "INTERNAL", "out of place", id="a pseudo-header of requests"),
    pytest.param([(b":status", b"20"), *OK[1:]], "INTERNAL", "three digits", id="a short status of HTTP"),
    pytest.param(OK[1:], "INTERNAL", "three digits", id="no status of HTTP"),
    pytest.param(
        [*OK, (b"grpc-status", b"0"), (b"a-bin", b"!")], "INTERNAL", "not base64", id="metadata that is not base64"
    ),
    pytest.param(
        [*OK, *[(b"a", b"b" * 99)] * 999], "RESOURCE_EXHAUSTED", "65536 bytes of metadata", id="too much metadata"
    ),
]


@pytest.mark.parametrize("headers, code, said", ANSWERS)
def test_an_answer_of_headers_alone(headers: HeaderList, code: str, said: str) -> None:
    call = ClientCall(1, None)
    event = ended(call.receive_headers(headers, end_stream=True))
    assert event.code is StatusCode[code]
    assert said in event.details
    assert call.has_ended


@pytest.mark.parametrize(
    "headers, code, said", [each for each in ANSWERS if "HTTP" in str(each.id) and "wins" not in str(each.id)]
)
def test_an_answer_that_is_not_grpc_is_not_read_on(headers: HeaderList, code: str, said: str) -> None:
    call = ClientCall(1, None)
    assert ended(call.receive_headers(headers, end_stream=False)).code is StatusCode[code]
    assert call.reset_code in {ErrorCodes.CANCEL, ErrorCodes.PROTOCOL_ERROR}
    assert call.receive_data(b"<html>") == call.receive_end() == []


@pytest.mark.parametrize(
    "trailer, code, said",
    [
        pytest.param([(b"grpc-status", b"0")], "OK", "", id="OK"),
        pytest.param([(b"grpc-status", b"9"), (b"x", b"y")], "FAILED_PRECONDITION", "", id="with metadata"),
        pytest.param(
            [(b"grpc-message", b"error")], "UNKNOWN", "without a grpc-status", id="a message without a status"
        ),
        pytest.param([], "UNKNOWN", "without a grpc-status", id="empty"),
        pytest.param([(b":status", b"200"), (b"grpc-status", b"0")], "INTERNAL", "out of place", id="a pseudo-header"),
        pytest.param([(b"grpc-status", b"0"), (b"grpc-status", b"1")], "UNKNOWN", "several", id="two statuses"),
        pytest.param([(b"grpc-status", b"5"), (b"grpc-status-details-bin", b"!")], "NOT_FOUND", "", id="bad details"),
    ],
)
def test_the_status_in_trailers(trailer: HeaderList, code: str, said: str) -> None:
    call = ClientCall(1, None)
    first = call.receive_headers([*OK, (b"grpc-status", b"8"), (b"a", b"b")], end_stream=False)
    assert first == [HeadersReceived(1, (("a", "b"),))]
    assert call.receive_data(HI) == [MessageReceived(1, b"hi")]
    event = ended(call.receive_headers(trailer, end_stream=True))
    assert event.code is StatusCode[code]
    assert said in event.details
    assert event.trailing_metadata == ((("x", "y"),) if (b"x", b"y") in trailer else ())


def test_a_status_among_headers_counts_for_nothing_where_messages_follow() -> None:
    call = ClientCall(1, None)
    call.receive_headers([*OK, (b"grpc-status", b"0")], end_stream=False)
    call.receive_data(HI)
    assert ended(call.receive_end()).code is StatusCode.UNKNOWN


@pytest.mark.parametrize(
    "data, end, code",
    [
        pytest.param(HI[:6], [(b"grpc-status", b"0")], "INTERNAL", id="a message cut short by the status OK"),
        pytest.param(HI[:6], [(b"grpc-status", b"5")], "NOT_FOUND", id="a message cut short by an error"),
        pytest.param(HI[:2], [(b"grpc-status", b"0")], "INTERNAL", id="a prefix cut short"),
        pytest.param(HI[:6], [], "INTERNAL", id="trailers without status, within a message"),
        pytest.param(HI[:6], None, "INTERNAL", id="the stream's end, within a message"),
        pytest.param(HI, None, "UNKNOWN", id="the stream's end instead of trailers"),
    ],
)
def test_an_end_that_is_too_early(data: bytes, end: HeaderList | None, code: str) -> None:
    call = ClientCall(1, None)
    call.receive_headers(OK, end_stream=False)
    call.receive_data(data)
    events = call.receive_end() if end is None else call.receive_headers(end, end_stream=True)
    assert ended(events).code is StatusCode[code]


@pytest.mark.parametrize(
    "encoding, data, code",
    [
        pytest.param(b"gzip", PREFIX.pack(1, 22) + gzip.compress(b"hi"), "OK", id="gzip"),
        pytest.param(b"br", HI, "OK", id="an unknown encoding that is not used"),
        pytest.param(b"br", b"\1" + HI[1:], "INTERNAL", id="an unknown encoding"),
        pytest.param(b"identity", b"\1" + HI[1:], "INTERNAL", id="compressed by identity"),
        pytest.param(None, b"\1" + HI[1:], "INTERNAL", id="compressed without encoding"),
    ],
)
def test_compression(encoding: bytes | None, data: bytes, code: str) -> None:
    call = ClientCall(1, 100)
    call.receive_headers([*OK, *([(b"grpc-encoding", encoding)] if encoding else [])], end_stream=False)
    events = call.receive_data(data) + call.receive_headers([(b"grpc-status", b"0")], end_stream=True)
    assert ended(events).code is StatusCode[code]
    assert (MessageReceived(1, b"hi") in events) is (code == "OK")


def test_messages_before_one_that_cannot_be_read_are_told() -> None:
    call = ClientCall(1, 2)
    call.receive_headers(OK, end_stream=False)
    events = call.receive_data(HI + HI + b"\0\0\0\0\3")
    assert events[:2] == [MessageReceived(1, b"hi")] * 2
    assert ended(events).code is StatusCode.RESOURCE_EXHAUSTED
    assert call.reset_code == ErrorCodes.CANCEL


def test_messages_before_headers_end_the_call() -> None:
    assert ended(ClientCall(1, None).receive_data(HI)).code is StatusCode.INTERNAL


@pytest.mark.parametrize(
    "code, answered, status, unprocessed",
    [
        pytest.param(ErrorCodes.REFUSED_STREAM, False, "UNAVAILABLE", True, id="refused"),
        pytest.param(ErrorCodes.REFUSED_STREAM, True, "UNAVAILABLE", False, id="refused after an answer: not believed"),
        pytest.param(ErrorCodes.CANCEL, False, "CANCELLED", False, id="cancelled"),
        pytest.param(ErrorCodes.NO_ERROR, True, "INTERNAL", False, id="no error, but no status either"),
        pytest.param(0xBEEF, False, "INTERNAL", False, id="an unknown code"),
    ],
)
def test_a_reset(code: int, answered: bool, status: str, unprocessed: bool) -> None:
    call = ClientCall(1, None)
    if answered:
        call.receive_headers(OK, end_stream=False)
    event = ended(call.receive_reset(code))
    assert (event.code, event.unprocessed) == (StatusCode[status], unprocessed)
    assert "reset the stream with" in event.details


def test_after_its_end_a_call_tells_nothing() -> None:
    call = ClientCall(1, None)
    call.receive_reset(ErrorCodes.CANCEL)
    assert call.receive_headers(OK, end_stream=False) == call.receive_data(HI) == call.receive_end() == []
    assert call.receive_reset(0) == call.stop(StatusCode.OK, "") == call.receive_fault(3) == []


# The server's end


def test_a_request() -> None:
    headers = request_headers("/p.S/M", authority="h:1", scheme="http", metadata=[("a-bin", b"\0")], timeout=2.0)
    call = ServerCall(1, None)
    assert call.receive_headers(headers, end_stream=False) == [
        RequestReceived(1, "/p.S/M", (("a-bin", b"\0"),), 2.0, "h:1")
    ]
    assert call.receive_data(HI) == [MessageReceived(1, b"hi")]
    assert call.receive_end() == [HalfClosed(1)]
    assert call.receive_end() == []


@pytest.mark.parametrize("trailing", [pytest.param(True, id="with its headers"), pytest.param(False, id="by trailers")])
def test_a_request_without_messages(trailing: bool) -> None:
    call = ServerCall(1, None)
    events = call.receive_headers(REQUEST, end_stream=trailing)
    if not trailing:
        events += call.receive_headers([(b"x", b"y")], end_stream=True)
    assert [type(event) for event in events] == [RequestReceived, HalfClosed]


@pytest.mark.parametrize(
    "headers, answer",
    [
        pytest.param(without(REQUEST, b":method", (b":method", b"GET")), {b":status": b"405"}, id="GET"),
        pytest.param(
            without(REQUEST, b"content-type", (b"content-type", b"image/jpeg")), {b":status": b"415"}, id="a picture"
        ),
        pytest.param(without(REQUEST, b"content-type"), {b":status": b"415"}, id="no content-type"),
        pytest.param(
            [*REQUEST, (b"grpc-encoding", b"br")],
            {b":status": b"200", b"grpc-status": b"12", b"grpc-accept-encoding": b"identity,gzip,deflate"},
            id="an encoding that we cannot read",
        ),
        pytest.param([*REQUEST, (b"grpc-timeout", b"soon")], {b"grpc-status": b"13"}, id="a bad timeout"),
        pytest.param([*REQUEST, (b"a-bin", b"!")], {b"grpc-status": b"13"}, id="metadata that is not base64"),
        pytest.param([*REQUEST, *[(b"a", b"b" * 99)] * 999], {b"grpc-status": b"8"}, id="too much metadata"),
    ],
)
def test_a_request_that_is_refused_by_an_answer(headers: HeaderList, answer: dict[bytes, bytes]) -> None:
    call = ServerCall(1, None)
    assert call.receive_headers(headers, end_stream=False) == []
    assert call.has_ended
    assert call.answer is not None and answer.items() <= dict(call.answer).items()
    assert call.answer[0][0] == b":status"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(without(REQUEST, b":path"), id="no path"),
        pytest.param([*REQUEST, (b"A", b"")], id="a malformed name"),
        pytest.param([*REQUEST, (b":path", b"/")], id="two paths"),
        pytest.param([*REQUEST, (b"connection", b"close")], id="a field of HTTP/1"),
    ],
)
def test_a_malformed_request_is_reset(headers: HeaderList) -> None:
    call = ServerCall(1, None)
    assert call.receive_headers(headers, end_stream=True) == []
    assert (call.answer, call.reset_code) == (None, ErrorCodes.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "data, code, answered",
    [
        pytest.param(b"\0\0\0\1\0", "RESOURCE_EXHAUSTED", False, id="too long, nothing answered yet"),
        pytest.param(b"\0\0\0\1\0", "RESOURCE_EXHAUSTED", True, id="too long, answer under way"),
        pytest.param(b"\1" + HI[1:], "INTERNAL", False, id="compressed without encoding"),
        pytest.param(HI[:6], "INTERNAL", False, id="half-closed within a message"),
    ],
)
def test_a_client_s_broken_messages_are_answered_by_a_status(data: bytes, code: str, answered: bool) -> None:
    call = ServerCall(1, 100)
    call.receive_headers(REQUEST, end_stream=False)
    if answered:
        call.send(Step.HEADERS)
    event = ended(call.receive_data(data) + call.receive_end())
    assert event.code is StatusCode[code]
    assert call.answer is not None and (b"grpc-status", b"%d" % event.code) in call.answer
    assert ((b":status", b"200") in call.answer) is not answered


def test_once_the_status_is_on_its_way_no_message_is_read() -> None:
    call = ServerCall(1, 1)
    call.receive_headers(REQUEST, end_stream=False)
    call.send(Step.TRAILERS)
    assert call.receive_data(HI) == call.receive_end() == []
    assert ended(call.receive_reset(ErrorCodes.CANCEL)).code is StatusCode.CANCELLED


@pytest.mark.parametrize("make", [ClientCall, ServerCall])
def test_a_call_that_is_stopped_sends_nothing_more(make) -> None:
    call = make(1, None)
    assert call.stop(StatusCode.UNAVAILABLE, "gone") == [CallEnded(1, StatusCode.UNAVAILABLE, "gone")]
    assert call.sending is Sending.ENDED and call.stop(StatusCode.OK, "") == []
    with pytest.raises(LocalProtocolError):
        call.send(Step.MESSAGE)
