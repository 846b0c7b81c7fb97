"""grpcio's server for the cases of ``client.py``; messages are plain bytes.

============  ==========================================================================================
``/t/Echo``   answers with the request; metadata ``initial-*`` comes back at first, ``trailing-*`` at last
``/t/Fail``   ABORTED, "as asked for ☃", with trailing metadata
``/t/Raise``  the application raises
``/t/Hold``   sends its metadata, then waits until the call is over
``/t/Count``  answers ``b"3"`` with ``b"0"``, ``b"1"``, ``b"2"``
``/t/Break``  one message, then DATA_LOSS
``/t/Chat``   answers each message with itself
``/t/Sum``    the number of bytes of all messages
``/t/Early``  answers without reading a message
============  ==========================================================================================
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc


def echo(request: bytes, context: Any) -> bytes:
    sent = context.invocation_metadata()
    context.send_initial_metadata([pair for pair in sent if pair[0].startswith("initial-")])
    context.set_trailing_metadata([pair for pair in sent if pair[0].startswith("trailing-")])
    return request


def fail(request: bytes, context: Any) -> None:
    context.set_trailing_metadata([("why", "x"), ("why-bin", b"\0\xff")])
    context.abort(grpc.StatusCode.ABORTED, "as asked for ☃")


def raise_error(request: bytes, context: Any) -> None:
    raise KeyError("the application's")


def hold(request: bytes, context: Any) -> Iterator[bytes]:
    over = threading.Event()
    context.add_callback(over.set)
    context.send_initial_metadata([("here", "it is")])
    over.wait(20)
    yield from ()


def hold_one(request: bytes, context: Any) -> bytes:
    list(hold(request, context))
    return b""


def count(request: bytes, context: Any) -> Iterator[bytes]:
    context.send_initial_metadata([("counting", "now")])
    context.set_trailing_metadata([("counted", "all")])
    for index in range(int(request)):
        yield b"%d" % index


def break_off(request: bytes, context: Any) -> Iterator[bytes]:
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")


def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    yield from requests


def add_up(requests: Iterator[bytes], context: Any) -> bytes:
    return b"%d" % sum(map(len, requests))


def early(requests: Iterator[bytes], context: Any) -> bytes:
    return b"enough"


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Raise": grpc.unary_unary_rpc_method_handler(raise_error),
    "Hold": grpc.unary_stream_rpc_method_handler(hold),
    "HoldOne": grpc.unary_unary_rpc_method_handler(hold_one),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Break": grpc.unary_stream_rpc_method_handler(break_off),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Sum": grpc.stream_unary_rpc_method_handler(add_up),
    "Early": grpc.stream_unary_rpc_method_handler(early),
}


@contextmanager
def serving() -> Iterator[str]:
    """A server at work; its address."""
    server = grpc.server(futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t", METHODS)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
