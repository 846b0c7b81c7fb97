"""The cases: each is what a user of grpcio's API does, and returns what he sees.

Run in a venv with grpcio.  Prints one line of JSON a case: its name, what it saw with grpcio, and with puremux.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

import puremux
from tests.interop.alike.server import serving

LIMIT = 15.0


@dataclass(frozen=True)
class Kit:
    """One of the two libraries."""

    open: Callable[..., Any]
    target: str
    rpc_error: type[Exception]
    timeout_error: type[Exception]
    cancelled_error: type[Exception]

    def channel(self) -> Any:
        return self.open(self.target)

    def seen(self, step: Callable[[], Any]) -> Any:
        """What comes of a step: its value, or what it raises."""
        try:
            return plain(step())
        except self.timeout_error:
            return "raises FutureTimeoutError"
        except self.cancelled_error:
            return "raises FutureCancelledError"
        except self.rpc_error as error:
            return f"raises RpcError {error.code().name}"  # type: ignore[attr-defined]  # grpc's has it at run time
        except Exception as error:
            return f"raises {type(error).__name__}"


def plain(value: Any) -> Any:
    """A value as both libraries have it."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if hasattr(value, "name"):
        return value.name
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value if isinstance(value, (str, int, float, type(None))) else type(value).__name__


def own(metadata: Any) -> Any:
    """Metadata without what a library adds."""
    return sorted(plain([tuple(pair) for pair in metadata or ()]))


# Unary calls


def unary(kit: Kit, channel: Any) -> Any:
    answer, call = channel.unary_unary("/t/Echo").with_call(b"hi", timeout=LIMIT)
    return plain([answer, call.code(), call.details(), own(call.initial_metadata()), own(call.trailing_metadata())])


def unary_by_position(kit: Kit, channel: Any) -> Any:
    method = channel.unary_unary("/t/Echo", None, None, True)
    return plain(method(b"hi", LIMIT, (("a", "b"),), None, True, None))


def unary_that_fails(kit: Kit, channel: Any) -> Any:
    try:
        channel.unary_unary("/t/Fail")(b"", timeout=LIMIT)
    except kit.rpc_error as error:
        return plain([error.code(), error.details(), own(error.initial_metadata()), own(error.trailing_metadata())])


def error_as_a_call(kit: Kit, channel: Any) -> Any:
    try:
        channel.unary_unary("/t/Fail")(b"", timeout=LIMIT)
    except kit.rpc_error as error:
        return plain([error.is_active(), error.time_remaining(), error.cancel(), error.add_callback(print)])


def application_raises(kit: Kit, channel: Any) -> Any:
    return kit.seen(lambda: channel.unary_unary("/t/Raise")(b"", timeout=LIMIT))


def no_such_method(kit: Kit, channel: Any) -> Any:
    return kit.seen(lambda: channel.unary_unary("/t/None")(b"", timeout=LIMIT))


def deadlines(kit: Kit, channel: Any) -> Any:
    hold = channel.unary_unary("/t/HoldOne")
    return [kit.seen(lambda: hold(b"", timeout=each)) for each in (0.05, 0, -1)]  # noqa: B023  # called at once


def endless_deadlines(kit: Kit, channel: Any) -> Any:
    echo = channel.unary_unary("/t/Echo")
    return [kit.seen(lambda: echo(b"", timeout=each)) for each in (float("inf"), 1e12)]  # noqa: B023  # called at once


def message_too_large(kit: Kit, channel: Any) -> Any:
    echo = channel.unary_unary("/t/Echo")
    return [kit.seen(lambda: len(echo(bytes(size), timeout=LIMIT))) for size in (4 << 20, (4 << 20) - 1)]  # noqa: B023


# Metadata


def metadata_both_ways(kit: Kit, channel: Any) -> Any:
    sent = [
        ("initial-a", "1"),
        ("initial-a", "2"),
        ("initial-list", "a,b, c"),
        ("initial-empty", ""),
        ("initial-bin", b"\0\xff"),
        ("initial-none-bin", b""),
        ("trailing-b", "3"),
        ("trailing-bin", bytes(range(256))),
    ]
    _, call = channel.unary_unary("/t/Echo").with_call(b"", timeout=LIMIT, metadata=sent)
    return [own(call.initial_metadata()), own(call.trailing_metadata())]


def metadata_fields(kit: Kit, channel: Any) -> Any:
    _, call = channel.unary_unary("/t/Echo").with_call(b"", timeout=LIMIT, metadata=[("initial-a", "1")])
    return [[each.key, each.value] for each in call.initial_metadata()]


def metadata_that_is_invalid(kit: Kit, channel: Any) -> Any:
    echo = channel.unary_unary("/t/Echo")
    wrong = [("Upper", "1")], [("a b", "1")], [("", "1")], [(":path", "1")], [("a", "\n")], [("a", "ü")]
    return [kit.seen(lambda: echo(b"", timeout=LIMIT, metadata=each)) for each in wrong]  # noqa: B023  # called at once


# Futures


def future(kit: Kit, channel: Any) -> Any:
    call = channel.unary_unary("/t/Echo").future(b"hi", timeout=LIMIT)
    steps = call.result, call.exception, call.traceback, call.done, call.running, call.cancelled, call.code, call.cancel
    return [kit.seen(step) for step in steps]


def future_that_fails(kit: Kit, channel: Any) -> Any:
    call = channel.unary_unary("/t/Fail").future(b"", timeout=LIMIT)
    error = call.exception()
    found = [isinstance(error, kit.rpc_error), error.code(), error.details(), call.traceback() is not None]
    return [plain(found), *(kit.seen(step) for step in (call.result, call.done, call.running, call.cancelled))]


def future_in_time(kit: Kit, channel: Any) -> Any:
    call = channel.unary_unary("/t/HoldOne").future(b"")
    early = [kit.seen(lambda: step(0.05)) for step in (call.result, call.exception, call.traceback)]  # noqa: B023
    state = [call.done(), call.running(), call.cancelled(), call.is_active()]
    return [early, state, call.cancel()]


def future_cancelled(kit: Kit, channel: Any) -> Any:
    call = channel.unary_unary("/t/HoldOne").future(b"")
    steps = call.cancel, call.result, call.exception, call.traceback, call.code, call.cancelled, call.done, call.running
    return [kit.seen(step) for step in steps]


def future_past_its_deadline(kit: Kit, channel: Any) -> Any:
    call = channel.unary_unary("/t/HoldOne").future(b"", timeout=0.05)
    return [kit.seen(step) for step in (call.result, call.code, call.cancelled, call.done)]


def done_callbacks(kit: Kit, channel: Any) -> Any:
    told: list[Any] = []
    done = threading.Event()
    call = channel.unary_unary("/t/Echo").future(b"hi", timeout=LIMIT)
    call.add_done_callback(lambda each: (told.append(each is call), done.set()))
    done.wait(LIMIT)
    call.add_done_callback(lambda each: told.append(each is call))
    return [told, call.add_callback(print)]


# Streams of answers


def stream(kit: Kit, channel: Any) -> Any:
    call = channel.unary_stream("/t/Count")(b"3", timeout=LIMIT)
    first = own(call.initial_metadata())
    messages = [kit.seen(lambda: next(call)) for _ in range(5)]
    return [first, messages, plain(call.code()), call.details(), own(call.trailing_metadata()), call.is_active()]


def stream_that_breaks(kit: Kit, channel: Any) -> Any:
    call = channel.unary_stream("/t/Break")(b"", timeout=LIMIT)
    return [kit.seen(lambda: next(call)) for _ in range(3)]


def stream_cancelled_elsewhere(kit: Kit, channel: Any) -> Any:
    call = channel.unary_stream("/t/Hold")(b"")
    first = own(call.initial_metadata())
    threading.Timer(0.1, call.cancel).start()
    return [first, kit.seen(lambda: next(call)), plain(call.code()), call.is_active(), call.cancelled()]


def stream_past_its_deadline(kit: Kit, channel: Any) -> Any:
    call = channel.unary_stream("/t/Hold")(b"", timeout=0.1)
    return [kit.seen(lambda: next(call)), plain(call.code()), call.time_remaining() == 0]


def time_that_remains(kit: Kit, channel: Any) -> Any:
    calls = [channel.unary_stream("/t/Hold")(b"", timeout=each) for each in (None, 5)]
    left = [call.time_remaining() for call in calls]
    return [left[0], 4 < left[1] <= 5, [call.cancel() for call in calls]]


def callback_of_a_stream(kit: Kit, channel: Any) -> Any:
    called = threading.Event()
    call = channel.unary_stream("/t/Hold")(b"")
    return [call.add_callback(called.set), call.cancel(), called.wait(LIMIT), call.add_callback(called.set)]


# Streams of requests


def requests(kit: Kit, channel: Any) -> Any:
    answer, call = channel.stream_unary("/t/Sum").with_call(iter([b"ab", b"", b"c"]), timeout=LIMIT)
    return plain([answer, call.code(), channel.stream_unary("/t/Sum").future(iter([b"ab"])).result(LIMIT)])


def answer_before_the_requests_end(kit: Kit, channel: Any) -> Any:
    never = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"one"
        never.wait(LIMIT)

    seen = kit.seen(lambda: channel.stream_unary("/t/Early")(slow(), timeout=LIMIT))
    never.set()
    return seen


def requests_that_raise(kit: Kit, channel: Any) -> Any:
    def broken() -> Iterator[bytes]:
        yield b"one"
        raise KeyError("mine")

    call = channel.stream_stream("/t/Chat")(broken(), timeout=LIMIT)
    return [kit.seen(lambda: channel.stream_unary("/t/Sum")(broken(), timeout=LIMIT)), plain(call.code())]


def requests_that_block(kit: Kit, channel: Any) -> Any:
    never = threading.Event()

    def blocked() -> Iterator[bytes]:
        never.wait(LIMIT)
        yield b""

    seen = kit.seen(lambda: channel.stream_unary("/t/Sum")(blocked(), timeout=0.1))
    never.set()
    return seen


def chat(kit: Kit, channel: Any) -> Any:
    turns = threading.Semaphore(0)

    def each_in_turn() -> Iterator[bytes]:
        for index in range(3):
            turns.acquire(timeout=LIMIT)
            yield b"%d" % index

    call = channel.stream_stream("/t/Chat")(each_in_turn(), timeout=LIMIT)
    answers = []
    for _ in range(3):
        turns.release()
        answers.append(kit.seen(lambda: next(call)))
    return [answers, kit.seen(lambda: next(call)), plain(call.code())]


# What the application gets wrong


def fail(_: Any) -> Any:
    raise KeyError("mine")


def serializers_that_fail(kit: Kit, channel: Any) -> Any:
    return [
        kit.seen(lambda: channel.unary_unary("/t/Echo", fail)(b"", timeout=LIMIT)),
        kit.seen(lambda: channel.unary_unary("/t/Echo", fail).future(b"", timeout=LIMIT).result()),
        kit.seen(lambda: list(channel.unary_stream("/t/Count", fail)(b"1", timeout=LIMIT))),
        kit.seen(lambda: channel.stream_unary("/t/Sum", fail)(iter([b""]), timeout=LIMIT)),
        kit.seen(lambda: list(channel.stream_stream("/t/Chat", fail)(iter([b""]), timeout=LIMIT))),
    ]


def deserializers_that_fail(kit: Kit, channel: Any) -> Any:
    return [
        kit.seen(lambda: channel.unary_unary("/t/Echo", None, fail)(b"", timeout=LIMIT)),
        kit.seen(lambda: channel.unary_unary("/t/Echo", None, fail).future(b"", timeout=LIMIT).result()),
        kit.seen(lambda: list(channel.unary_stream("/t/Count", None, fail)(b"1", timeout=LIMIT))),
        kit.seen(lambda: channel.stream_unary("/t/Sum", None, fail)(iter([b""]), timeout=LIMIT)),
        kit.seen(lambda: list(channel.stream_stream("/t/Chat", None, fail)(iter([b""]), timeout=LIMIT))),
    ]


# The channel


def nobody_listens(kit: Kit, channel: Any) -> Any:
    with kit.open("127.0.0.1:1") as other:
        echo = other.unary_unary("/t/Echo")
        return [
            kit.seen(lambda: echo(b"", timeout=LIMIT)),
            kit.seen(lambda: echo(b"", timeout=0.2, wait_for_ready=True)),
            kit.seen(lambda: list(other.unary_stream("/t/Count")(b"1", timeout=LIMIT))),
        ]


def closing_under_calls(kit: Kit, channel: Any) -> Any:
    with kit.channel() as other:
        future, answers = other.unary_unary("/t/HoldOne").future(b""), other.unary_stream("/t/Hold")(b"")
        answers.initial_metadata()
    return [plain(future.code()), kit.seen(lambda: next(answers)), future.cancelled()]


def calls_on_a_closed_channel(kit: Kit, channel: Any) -> Any:
    other = kit.channel()
    other.close()
    other.close()
    return [
        kit.seen(lambda: other.unary_unary("/t/Echo")(b"", timeout=LIMIT)),
        kit.seen(lambda: other.unary_stream("/t/Count")(b"1", timeout=LIMIT)),
        kit.seen(lambda: other.stream_stream("/t/Chat")(iter([b""]), timeout=LIMIT)),
    ]


def states(kit: Kit, channel: Any) -> Any:
    told: list[str] = []
    ready = threading.Event()

    def listen(state: Any) -> None:
        told.append(state.name)
        if state.name == "READY":
            ready.set()

    with kit.channel() as other:
        other.subscribe(listen, try_to_connect=True)
        ready.wait(LIMIT)
        other.unsubscribe(listen)
    return [told[0], told[-1]]  # grpcio polls, and may miss what is between them


def compression(kit: Kit, channel: Any) -> Any:
    echo = channel.unary_unary("/t/Echo")
    return [kit.seen(lambda: len(echo(bytes(10_000), timeout=LIMIT, compression=each))) for each in grpc.Compression]  # noqa: B023


CASES = [
    value
    for name, value in list(globals().items())
    if inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["kit", "channel"]
]


def main() -> None:
    """Run every case with both."""
    logging.disable(logging.CRITICAL)  # grpcio tells what the cases do on purpose
    with serving() as target:
        kits = [
            Kit(grpc.insecure_channel, target, grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError),
            Kit(
                puremux.Channel,
                target,
                puremux.RpcError,
                puremux.errors.FutureTimeoutError,
                puremux.errors.FutureCancelledError,
            ),
        ]
        for case in CASES:
            seen = []
            for kit in kits:
                with kit.channel() as channel:
                    seen.append(kit.seen(lambda: case(kit, channel)))  # noqa: B023  # called at once
            sys.stdout.write(json.dumps([case.__name__, *seen]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
