"""gRPC's standard interop cases, made with stubs of protoc's gRPC plugin on a puremux.Channel.

A program for the venv with grpcio, whose stubs import it: ``cases.py STUBS TARGET [CA]`` runs every case and prints a
line of JSON for each: its name, and null or what went wrong.  Source: gRPC doc/interop-test-descriptions.md, without
the cases that need Google's credentials or a server that tells compressed messages apart.
"""

from __future__ import annotations

import json
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

sys.path.insert(0, sys.argv[1])

import testing_pb2 as messages
import testing_pb2_grpc as services

import puremux
from puremux import Channel, RpcError, StatusCode

TIMEOUT = 20.0
SENT, RECEIVED = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")
AT_ONCE = 100


def empty_unary(channel: Channel) -> None:
    assert stub(channel).EmptyCall(messages.Empty(), timeout=TIMEOUT) == messages.Empty()


def large_unary(channel: Channel, compression: str | None = None) -> None:
    answer = stub(channel).UnaryCall(simple(314159, 271828), timeout=TIMEOUT, compression=compression)
    assert len(answer.payload.body) == 314159


def client_streaming(channel: Channel) -> None:
    requests = (messages.StreamingInputCallRequest(payload=payload(size)) for size in SENT)
    assert stub(channel).StreamingInputCall(requests, timeout=TIMEOUT).aggregated_payload_size == sum(SENT)


def server_streaming(channel: Channel) -> None:
    answers = stub(channel).StreamingOutputCall(streaming(*RECEIVED), timeout=TIMEOUT)
    assert [len(each.payload.body) for each in answers] == list(RECEIVED)
    assert answers.code() is StatusCode.OK


def ping_pong(channel: Channel) -> None:
    pinger = Pinger(list(zip(RECEIVED, SENT)))
    pinger.answers = stub(channel).FullDuplexCall(pinger.requests(), timeout=TIMEOUT)
    for size in RECEIVED:
        assert len(next(pinger.answers).payload.body) == size
        pinger.turn.release()
    assert list(pinger.answers) == []


def empty_stream(channel: Channel) -> None:
    answers = stub(channel).FullDuplexCall(iter(()), timeout=TIMEOUT)
    assert list(answers) == []
    assert answers.code() is StatusCode.OK


def cancel_after_begin(channel: Channel) -> None:
    waiting = Pinger([])
    call = stub(channel).StreamingInputCall.future(waiting.requests_never(), timeout=TIMEOUT)
    assert call.cancel()
    waiting.turn.release()
    assert call.cancelled() and call.code() is StatusCode.CANCELLED


def cancel_after_first_response(channel: Channel) -> None:
    pinger = Pinger([(RECEIVED[0], SENT[0])])
    answers = stub(channel).FullDuplexCall(pinger.requests(), timeout=TIMEOUT)
    assert len(next(answers).payload.body) == RECEIVED[0]
    answers.cancel()
    pinger.turn.release()
    assert ended_with(lambda: next(answers)).code() is StatusCode.CANCELLED


def timeout_on_sleeping_server(channel: Channel) -> None:
    pinger = Pinger([(RECEIVED[0], SENT[0])])
    answers = stub(channel).FullDuplexCall(pinger.requests(), timeout=0.001)
    assert ended_with(lambda: list(answers)).code() is StatusCode.DEADLINE_EXCEEDED
    pinger.turn.release()


def status_code_and_message(channel: Channel) -> None:
    expect_status(channel, "test status message")


def special_status_message(channel: Channel) -> None:
    expect_status(channel, SPECIAL)


def unimplemented_method(channel: Channel) -> None:
    error = ended_with(lambda: stub(channel).UnimplementedCall(messages.Empty(), timeout=TIMEOUT))
    assert error.code() is StatusCode.UNIMPLEMENTED


def unimplemented_service(channel: Channel) -> None:
    service = services.UnimplementedServiceStub(channel)
    error = ended_with(lambda: service.UnimplementedCall(messages.Empty(), timeout=TIMEOUT))
    assert error.code() is StatusCode.UNIMPLEMENTED


def custom_metadata(channel: Channel) -> None:
    metadata = (INITIAL, TRAILING)
    _, call = stub(channel).UnaryCall.with_call(simple(1, 1), timeout=TIMEOUT, metadata=metadata)
    assert INITIAL in call.initial_metadata() and TRAILING in call.trailing_metadata()
    answers = stub(channel).FullDuplexCall(iter([streaming(1)]), timeout=TIMEOUT, metadata=metadata)
    assert len(list(answers)) == 1
    assert INITIAL in answers.initial_metadata() and TRAILING in answers.trailing_metadata()


def concurrent_large_unary(channel: Channel) -> None:
    """Of our own: a hundred calls at once share a connection."""
    calls = [stub(channel).UnaryCall.future(simple(31415, 27182), timeout=TIMEOUT) for _ in range(AT_ONCE)]
    assert [len(each.result().payload.body) for each in calls] == [31415] * AT_ONCE


def large_stream(channel: Channel) -> None:
    """Of our own: many windows' worth of bytes, in both directions on one call."""
    requests = (streaming(100_000, body=100_000) for _ in range(100))
    answers = stub(channel).FullDuplexCall(requests, timeout=TIMEOUT)
    assert sum(len(each.payload.body) for each in answers) == 100 * 100_000


def gzip_unary(channel: Channel) -> None:
    """Of our own: a server that has gzip answers; one that lacks it says so, and the connection lives on."""
    compressed(channel, "gzip")


def deflate_unary(channel: Channel) -> None:
    """Of our own, as gzip_unary."""
    compressed(channel, "deflate")


CASES: tuple[Callable[[Channel], None], ...] = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    custom_metadata,
    concurrent_large_unary,
    large_stream,
    gzip_unary,
    deflate_unary,
)


class Pinger:
    """Sends a request whenever it is its turn: the first at once, the others each after a release."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        from threading import Semaphore

        self.turn = Semaphore(1 if sizes else 0)
        self.answers: Any = None
        self._sizes = sizes

    def requests(self) -> Iterator[Any]:
        for response, body in self._sizes:
            self.turn.acquire(timeout=TIMEOUT)
            yield streaming(response, body=body)
        self.turn.acquire(timeout=TIMEOUT)

    def requests_never(self) -> Iterator[Any]:
        self.turn.acquire(timeout=TIMEOUT)
        yield from ()


def stub(channel: Channel) -> Any:
    return services.TestServiceStub(channel)


def payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))


def simple(response: int, body: int) -> Any:
    return messages.SimpleRequest(response_size=response, payload=payload(body))


def streaming(*sizes: int, body: int = 0) -> Any:
    parameters = [messages.ResponseParameters(size=each) for each in sizes]
    return messages.StreamingOutputCallRequest(response_parameters=parameters, payload=payload(body))


def expect_status(channel: Channel, message: str) -> None:
    status = messages.EchoStatus(code=2, message=message)
    error = ended_with(lambda: stub(channel).UnaryCall(messages.SimpleRequest(response_status=status), timeout=TIMEOUT))
    assert (error.code(), error.details()) == (StatusCode.UNKNOWN, message)
    request = messages.StreamingOutputCallRequest(response_status=status)
    error = ended_with(lambda: list(stub(channel).FullDuplexCall(iter([request]), timeout=TIMEOUT)))
    assert (error.code(), error.details()) == (StatusCode.UNKNOWN, message)


def compressed(channel: Channel, encoding: str) -> None:
    try:
        large_unary(channel, encoding)
    except RpcError as error:
        assert error.code() is StatusCode.UNIMPLEMENTED and encoding in error.details()
    large_unary(channel)


def ended_with(call: Callable[[], object]) -> RpcError:
    try:
        call()
    except RpcError as error:
        return error
    raise AssertionError("the call ended with OK")


def main() -> None:
    tls = ssl.create_default_context(cafile=sys.argv[3]) if len(sys.argv) > 3 else None
    options: dict[str, Any] = {"tls": tls, "insecure": tls is None, "proxy": ""}
    with puremux.Channel(sys.argv[2], **options) as channel:
        for case in CASES:
            fault = None
            try:
                case(channel)
            except Exception:
                fault = traceback.format_exc()
            print(json.dumps([case.__name__, fault]), flush=True)  # noqa: T201  # a program


if __name__ == "__main__":
    main()
