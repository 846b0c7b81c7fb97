"""The four shapes of a method, where they must be as grpcio's: futures, iteration, errors of the application."""

from __future__ import annotations

import array
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from puremux.channel import Channel
from puremux.errors import FutureCancelledError, FutureTimeoutError, RpcError
from puremux.status import StatusCode

from .channels import LIMIT, within
from .grpc_server import GrpcServer, ServedCall

MIB = 1024 * 1024


# Futures


def test_a_future_that_is_cancelled_says_so_every_way(channel: Channel, server: GrpcServer) -> None:
    future = channel.unary_unary("/t/Hold").future(b"")
    server.wait_for_call()
    assert future.running() and not future.done() and not future.cancelled()
    assert future.cancel()
    for ask in (future.result, future.exception, future.traceback):
        with pytest.raises(FutureCancelledError):
            ask(LIMIT)
    assert future.cancelled() and future.done() and not future.running()
    assert future.code() is StatusCode.CANCELLED and not future.cancel()


def test_a_future_that_takes_too_long_goes_on(channel: Channel, server: GrpcServer) -> None:
    future = channel.unary_unary("/t/Hold").future(b"")
    with pytest.raises(FutureTimeoutError):
        future.result(timeout=0.02)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    server.release.set()
    assert future.result(LIMIT) == b"held" and future.result() == b"held"
    assert future.exception() is None and future.traceback() is None and not future.cancelled()


def test_the_answer_may_be_asked_for_while_it_is_made(channel: Channel) -> None:
    """By a signal's handler that comes in the middle of the deserializer, for instance."""
    asked: list[Any] = []

    def deserialize(payload: bytes) -> bytes:
        if not asked:
            asked.append(None)
            asked[0] = future.result(LIMIT)
        return payload.upper()

    future = channel.unary_unary("/t/Echo", response_deserializer=deserialize).future(b"hi")
    threading.Thread(target=future.result, daemon=True).start()
    assert within(lambda: asked == [b"HI"])
    assert future.result() == b"HI"


def test_a_future_that_fails_has_the_error(channel: Channel) -> None:
    future = channel.unary_unary("/t/Fail").future(b"ABORTED", timeout=LIMIT)
    error = future.exception()
    assert isinstance(error, RpcError) and error.code() is StatusCode.ABORTED
    assert future.traceback() is error.__traceback__ or future.traceback() is not None
    with pytest.raises(RpcError, match="ABORTED: as asked for"):
        future.result()


def test_done_callbacks_get_the_future_sooner_or_at_once(channel: Channel, server: GrpcServer) -> None:
    future = channel.unary_unary("/t/Hold").future(b"")
    told: list[Any] = []
    done = threading.Event()
    future.add_done_callback(lambda each: (told.append(each), done.set()))
    server.release.set()
    assert done.wait(LIMIT) and told == [future]
    future.add_done_callback(told.append)
    assert told == [future, future]


def test_an_error_in_a_callback_harms_nobody(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    future = channel.unary_unary("/t/Hold").future(b"")
    done = threading.Event()
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: done.set())
    future.cancel()
    assert done.wait(LIMIT)
    assert within(lambda: "ZeroDivisionError" in caplog.text), "logged without the driver's lock, a moment later"
    assert channel.unary_unary("/t/Echo")(b"fine", timeout=LIMIT) == b"fine"


def test_with_call_gives_the_answer_and_the_call(channel: Channel) -> None:
    metadata = [("echo-a", "1"), ("trailer-b", "2")]
    answer, call = channel.unary_unary("/t/Echo").with_call(b"hi", timeout=LIMIT, metadata=metadata)
    assert answer == b"hi" and call.code() is StatusCode.OK and call.details() == ""
    assert call.initial_metadata() == (("echo-a", "1"),) and call.trailing_metadata() == (("trailer-b", "2"),)
    answer, call = channel.stream_unary("/t/Sum").with_call(iter([b"a", b"bc"]), timeout=LIMIT)
    assert answer == b"3" and call.code() is StatusCode.OK


# Iteration


def test_iteration_ends_and_stays_ended(channel: Channel) -> None:
    answers = channel.unary_stream("/t/Count")(b"2", timeout=LIMIT)
    assert iter(answers) is answers
    assert [next(answers), answers.next()] == [b"0", b"1"]
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(answers)
    assert answers.code() is StatusCode.OK


def test_iteration_fails_and_stays_failed(channel: Channel, server: GrpcServer) -> None:
    def handle(call: ServedCall) -> None:
        call.send_headers()
        call.send(b"one")
        call.finish(StatusCode.DATA_LOSS, "the rest is gone")

    server.handlers["/t/Break"] = handle
    answers = channel.unary_stream("/t/Break")(b"", timeout=LIMIT)
    assert next(answers) == b"one"
    for _ in range(2):
        with pytest.raises(RpcError, match="the rest is gone"):
            next(answers)


def test_requests_are_asked_for_as_they_can_be_sent(channel: Channel) -> None:
    turns = threading.Semaphore(0)

    def requests() -> Iterator[bytes]:
        for index in range(3):
            assert turns.acquire(timeout=LIMIT)
            yield b"%d" % index

    answers = channel.stream_stream("/t/Echo")(requests(), timeout=LIMIT)
    for index in range(3):
        turns.release()
        assert next(answers) == b"%d" % index
    assert list(answers) == []


def test_a_short_list_of_large_requests_does_not_wait_for_the_server(channel: Channel) -> None:
    answers = channel.stream_stream("/t/Echo")([bytes(4 * MIB)] * 8, timeout=LIMIT)
    assert sum(map(len, answers)) == 32 * MIB


def test_an_iterator_is_left_alone_when_the_call_is_over(channel: Channel, server: GrpcServer) -> None:
    server.handlers["/t/Enough"] = lambda call: call.finish(StatusCode.OK)
    asked: list[int] = []

    def requests() -> Iterator[bytes]:
        while True:
            asked.append(1)
            yield bytes(100)

    assert list(channel.stream_stream("/t/Enough")(requests(), timeout=LIMIT)) == []
    assert within(lambda: not any(each.name == "puremux /t/Enough" for each in threading.enumerate()))


# Cardinality


def send_many(count: int) -> Any:
    def handle(call: ServedCall) -> None:
        for message in call:
            del message
        call.send_headers()
        for _ in range(count):
            call.send(b"x")
        call.finish()

    return handle


@pytest.mark.parametrize("count", [0, 2, 3])
@pytest.mark.parametrize("shape", ["unary_unary", "stream_unary"])
def test_one_answer_is_one(channel: Channel, server: GrpcServer, shape: str, count: int) -> None:
    server.handlers["/t/Many"] = send_many(count)
    request = b"" if shape == "unary_unary" else [b""]
    with pytest.raises(RpcError) as caught:
        getattr(channel, shape)("/t/Many")(request, timeout=LIMIT)
    assert caught.value.code() is StatusCode.UNIMPLEMENTED


def test_an_answer_before_a_failure_is_none(channel: Channel, server: GrpcServer) -> None:
    def handle(call: ServedCall) -> None:
        call.send_headers()
        call.send(b"half")
        call.finish(StatusCode.ABORTED, "changed my mind")

    server.handlers["/t/Waver"] = handle
    with pytest.raises(RpcError, match="changed my mind"):
        channel.unary_unary("/t/Waver")(b"", timeout=LIMIT)


# What the application does wrong


def fail(_: Any) -> Any:
    raise KeyError("mine")


def first_answer(method: Any, shape: str, message: Any = b"") -> Any:
    answer = method(message if shape.startswith("unary") else iter([message]), timeout=LIMIT)
    return next(answer)


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_an_error_of_the_serializer_is_an_internal_error(channel: Channel, shape: str) -> None:
    method = getattr(channel, shape)("/t/Echo", fail, None)
    with pytest.raises(RpcError) as caught:
        first_answer(method, shape)
    assert caught.value.code() is StatusCode.INTERNAL and "mine" in caught.value.details()


@pytest.mark.parametrize("convert", [fail, lambda _: None], ids=["raises", "returns None"])
@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_an_error_of_the_deserializer_is_an_internal_error(channel: Channel, shape: str, convert: Any) -> None:
    method = getattr(channel, shape)("/t/Echo", None, convert)
    with pytest.raises(RpcError) as caught:
        first_answer(method, shape)
    assert caught.value.code() is StatusCode.INTERNAL


def test_an_error_of_the_request_iterator_ends_the_call(channel: Channel, server: GrpcServer) -> None:
    def requests() -> Iterator[bytes]:
        yield b"one"
        server.wait_for_call()
        raise KeyError("mine")

    with pytest.raises(RpcError) as caught:
        channel.stream_unary("/t/Sum")(requests(), timeout=LIMIT)
    assert caught.value.code() is StatusCode.UNKNOWN and "mine" in caught.value.details()
    assert server.connections[0].calls[1].cancelled.wait(LIMIT)


def test_call_credentials_are_refused_in_words(channel: Channel) -> None:
    with pytest.raises(ValueError, match="metadata"):
        channel.unary_unary("/t/Echo")(b"", credentials=object())


# Calls that nobody holds


@pytest.mark.parametrize("shape", ["unary_stream", "future"])
def test_a_call_that_nobody_holds_any_more_is_cancelled(channel: Channel, server: GrpcServer, shape: str) -> None:
    if shape == "future":
        call: Any = channel.unary_unary("/t/Hold").future(b"")
    else:
        call = channel.unary_stream("/t/Hold")(b"")
    server.wait_for_call()
    del call
    gc.collect()
    assert server.connections[0].calls[1].cancelled.wait(LIMIT)


def test_a_call_with_a_callback_is_held_by_it(channel: Channel, server: GrpcServer) -> None:
    answers: list[bytes] = []
    done = threading.Event()
    future = channel.unary_unary("/t/Hold").future(b"")
    future.add_done_callback(lambda each: (answers.append(each.result()), done.set()))
    del future
    gc.collect()
    time.sleep(0.02)
    server.release.set()
    assert done.wait(LIMIT) and answers == [b"held"]


# grpcio's other words


def test_grpcio_words_for_compression_are_known(channel: Channel) -> None:
    for word in (0, 1, 2):  # grpc.Compression.NoCompression, Deflate, Gzip
        assert channel.unary_unary("/t/Echo")(b"a" * 1000, timeout=LIMIT, compression=word) == b"a" * 1000
        with Channel(channel.name, compression=word) as other:
            assert other.unary_unary("/t/Echo")(b"a" * 1000, timeout=LIMIT) == b"a" * 1000
    for word in (3, -1, "br", [2]):
        with pytest.raises(ValueError, match="compression"):
            channel.unary_unary("/t/Echo")(b"", compression=word)


def test_methods_take_grpcio_positions(channel: Channel) -> None:
    method = channel.unary_unary("/t/Echo", None, None, True)
    assert method(b"hi", LIMIT, (("a", "b"),), None, True, None) == b"hi"


def test_an_error_has_what_a_finished_call_of_grpcio_has(channel: Channel) -> None:
    with pytest.raises(RpcError) as caught:
        channel.unary_unary("/t/Fail")(b"ABORTED", timeout=LIMIT)
    error = caught.value
    assert "ABORTED" in error.debug_error_string() and not error.is_active() and error.time_remaining() is None
    assert not error.cancel() and not error.add_callback(lambda: None)


def test_received_metadata_has_keys_and_values(channel: Channel) -> None:
    _, call = channel.unary_unary("/t/Echo").with_call(b"", timeout=LIMIT, metadata=[("echo-a", "1")])
    assert [(each.key, each.value) for each in call.initial_metadata()] == [("echo-a", "1")]


# What is no message, and no iterable


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
@pytest.mark.parametrize("message", [5, "text", None, [1, 2]], ids=repr)
@pytest.mark.parametrize("serializer", [None, lambda message: message], ids=["without serializer", "by a serializer"])
def test_what_is_not_bytes_is_not_sent(
    channel: Channel, server: GrpcServer, shape: str, message: Any, serializer: Any
) -> None:
    echo = channel.unary_unary("/t/Echo")
    echo(b"", timeout=LIMIT)
    method = getattr(channel, shape)("/t/Echo", serializer)
    with pytest.raises(RpcError) as caught:
        first_answer(method, shape, message)
    assert caught.value.code() is StatusCode.INTERNAL and "serialize" in caught.value.details()
    assert echo(b"still", timeout=LIMIT) == b"still" and channel.connections == 1


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(bytearray, id="bytearray"),
        pytest.param(memoryview, id="memoryview"),
        pytest.param(lambda four: array.array("H", four), id="array of two"),
    ],
)
def test_what_is_like_bytes_is_sent(channel: Channel, kind: Any) -> None:
    assert channel.unary_unary("/t/Echo")(kind(b"four"), timeout=LIMIT) == b"four"


@pytest.mark.parametrize("shape", ["stream_unary", "stream_stream"])
def test_what_cannot_be_iterated_over_is_refused_before_there_is_a_call(
    channel: Channel, server: GrpcServer, shape: str
) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        getattr(channel, shape)("/t/Echo")(5)
    channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    assert len(server.requests) == 1


def test_an_iterator_that_ends_its_thread_ends_the_call(channel: Channel) -> None:
    def requests() -> Iterator[bytes]:
        yield b"one"
        raise SystemExit(3)

    answers = channel.stream_stream("/t/Hold")(requests(), timeout=LIMIT)
    with pytest.raises(RpcError) as caught:
        next(answers)
    assert caught.value.code() is StatusCode.UNKNOWN and "SystemExit" in caught.value.details()


def test_a_call_whose_thread_cannot_be_started_ends(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)

    start = threading.Thread.start

    def start_some(thread: threading.Thread) -> None:
        if thread.name == "puremux /t/Sum":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    with pytest.raises(RpcError) as caught:
        channel.stream_unary("/t/Sum")(iter([b""]))
    assert caught.value.code() is StatusCode.INTERNAL and "no thread could be started" in caught.value.details()
