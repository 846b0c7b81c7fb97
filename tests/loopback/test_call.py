"""A call of bytes: deadlines that hold whatever happens, flow control, cancellation, limits, metadata."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sized
from typing import Any

import pytest

from puremux.call import Call
from puremux.channel import Channel
from puremux.errors import LocalProtocolError, RpcError
from puremux.status import StatusCode

from .channels import LIMIT, within
from .grpc_server import GrpcServer, ServedCall

MIB = 1024 * 1024


def stall(call: ServedCall) -> None:
    """Read nothing, answer nothing, until the client gives up."""
    assert call.cancelled.wait(LIMIT)


def send_for_ever(call: Call, message: bytes) -> None:
    while True:
        call.send(message)


# Deadlines


@pytest.mark.parametrize("timeout", [0, -1, -1e9])
def test_a_deadline_in_the_past_ends_the_call_before_it_begins(
    channel: Channel, server: GrpcServer, timeout: float
) -> None:
    channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    call = channel.open("/t/Echo", request=b"", timeout=timeout)
    assert call.code() is StatusCode.DEADLINE_EXCEEDED
    assert len(server.requests) == 1, "nothing was sent"


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400, 10**10], ids=str)
def test_endless_deadlines(channel: Channel, server: GrpcServer, timeout: float) -> None:
    assert channel.unary_unary("/t/Echo")(b"hi", timeout=timeout) == b"hi"
    sent = server.requests[-1].timeout
    assert sent is None if timeout in (math.inf, 10**400) else sent == 99_999_999 * 3600.0 or sent >= 10**9
    with pytest.raises(RpcError, match="within 0.05 s"):
        channel.unary_unary("/t/Hold")(b"", timeout=0.05)


def test_the_deadline_ends_a_call_that_is_not_answered(channel: Channel, server: GrpcServer) -> None:
    call = channel.open("/t/Hold", request=b"", timeout=0.5)
    assert call.code() is StatusCode.DEADLINE_EXCEEDED
    assert within(lambda: len(server.connections[0].calls) == 1)
    assert server.connections[0].calls[1].cancelled.wait(LIMIT), "the server is told"


def test_the_deadline_bounds_flow_control(channel: Channel, server: GrpcServer) -> None:
    server.handlers["/t/Stall"] = stall
    call = channel.open("/t/Stall", timeout=0.2)
    began = time.monotonic()
    with pytest.raises(RpcError) as caught:
        send_for_ever(call, bytes(MIB))
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < LIMIT / 2


def test_time_remaining_counts_down_to_zero(channel: Channel) -> None:
    assert channel.open("/t/Hold", request=b"").time_remaining() is None
    call = channel.open("/t/Hold", request=b"", timeout=5)
    left = call.time_remaining()
    assert left is not None and 0 < left <= 5
    call = channel.open("/t/Hold", request=b"", timeout=0.01)
    assert call.code() is StatusCode.DEADLINE_EXCEEDED and call.time_remaining() == 0.0


# Sending and receiving


def test_messages_go_both_ways_in_order(channel: Channel) -> None:
    call = channel.open("/t/Echo", timeout=LIMIT)
    for index in range(100):
        call.send(b"%d" % index)
        assert call.receive() == b"%d" % index
    call.close_sending()
    assert call.receive() is None and call.receive() is None
    assert call.code() is StatusCode.OK and list(call) == []


def test_empty_messages_are_messages(channel: Channel) -> None:
    call = channel.open("/t/Echo", timeout=LIMIT)
    call.send(b"")
    call.send(b"", end=True)
    assert list(call) == [b"", b""]


def test_a_half_closed_call_takes_no_message(channel: Channel) -> None:
    call = channel.open("/t/Echo", timeout=LIMIT)
    call.close_sending()
    call.close_sending()
    with pytest.raises(LocalProtocolError, match="half-closed"):
        call.send(b"")
    assert list(call) == []
    with pytest.raises(LocalProtocolError, match="over"):
        call.send(b"")


def test_many_windows_of_bytes_pass_each_other(channel: Channel) -> None:
    call = channel.open("/t/Echo", timeout=LIMIT)
    sender = threading.Thread(target=lambda: [call.send(bytes(MIB)) for _ in range(20)] and call.close_sending())
    sender.start()
    assert sum(map(len, call)) == 20 * MIB
    sender.join()


def stands_still(passed: Sized, channel: Channel) -> bool:
    """Whether no more has passed, while calls that go the same way and back have been answered one after the other."""
    before = len(passed)
    for _ in range(50):
        assert channel.unary_unary("/t/Echo")(b"", timeout=LIMIT) == b""
    return len(passed) == before


def test_a_sender_waits_for_a_server_that_does_not_read(channel: Channel, server: GrpcServer) -> None:
    may_read = threading.Event()

    def handle(call: ServedCall) -> None:
        call.send_headers()
        may_read.wait(LIMIT)
        call.send(b"%d" % sum(map(len, call)))
        call.finish()

    server.handlers["/t/Slow"] = handle
    call = channel.open("/t/Slow", timeout=LIMIT)
    sent = []
    sender = threading.Thread(target=lambda: [sent.append(call.send(bytes(MIB))) for _ in range(30)])
    sender.start()
    assert within(lambda: stands_still(sent, channel))
    assert sender.is_alive() and len(sent) < 20, "what the server does not read is not buffered without end"
    may_read.set()
    sender.join(LIMIT)
    call.close_sending()
    assert list(call) == [b"%d" % (30 * MIB)]


def test_a_server_waits_for_a_client_that_does_not_read(channel: Channel, server: GrpcServer) -> None:
    sent = []

    def handle(call: ServedCall) -> None:
        call.send_headers()
        for _ in range(100):
            call.send(bytes(MIB))
            sent.append(1)
        call.finish()

    server.handlers["/t/Flood"] = handle
    call = channel.open("/t/Flood", request=b"", timeout=LIMIT)
    assert call.receive() == bytes(MIB)
    assert within(lambda: len(sent) == 100)
    assert within(lambda: stands_still(call._received, channel))
    assert len(call._received) < 40, "the client's window bounds what it keeps"
    assert sum(1 for _ in call) == 99


def test_senders_learn_that_the_call_has_ended(channel: Channel, server: GrpcServer) -> None:
    server.handlers["/t/Refuse"] = lambda call: call.finish(StatusCode.PERMISSION_DENIED, "not you")
    call = channel.open("/t/Refuse", timeout=LIMIT)
    with pytest.raises(RpcError, match="not you"):
        send_for_ever(call, bytes(1000))


def test_a_sender_whose_call_the_server_has_ended_well_is_told_without_an_error(
    channel: Channel, server: GrpcServer
) -> None:
    server.handlers["/t/Enough"] = lambda call: call.finish(StatusCode.OK)
    call = channel.open("/t/Enough", timeout=LIMIT)
    while call.send(bytes(1000)):
        pass
    assert call.code() is StatusCode.OK and not call.send(b"", end=True)


@pytest.mark.parametrize("compression", ["gzip", "deflate", "identity", None])
def test_messages_can_be_compressed(server: GrpcServer, compression: str | None) -> None:
    with Channel(server.target, compression=compression) as channel:
        assert channel.unary_unary("/t/Echo")(b"a" * 100_000, timeout=LIMIT) == b"a" * 100_000
        assert channel.unary_unary("/t/Echo")(b"b", timeout=LIMIT, compression="identity") == b"b"


# Limits


def test_a_message_larger_than_the_receive_limit_ends_the_call(server: GrpcServer) -> None:
    with Channel(server.target, max_receive_message_length=1000) as channel:
        assert len(channel.unary_unary("/t/Echo")(bytes(1000), timeout=LIMIT)) == 1000
        call = channel.open("/t/Echo", request=bytes(1001), timeout=LIMIT)
        assert call.code() is StatusCode.RESOURCE_EXHAUSTED and "1001" in call.details()
        assert channel.unary_unary("/t/Echo")(b"still", timeout=LIMIT) == b"still"
        assert channel.connections == 1


def test_four_mebibytes_are_received_unless_said_otherwise(channel: Channel) -> None:
    assert len(channel.unary_unary("/t/Echo")(bytes(4 * MIB), timeout=LIMIT)) == 4 * MIB
    assert channel.open("/t/Echo", request=bytes(4 * MIB + 1)).code() is StatusCode.RESOURCE_EXHAUSTED


def test_more_metadata_than_the_server_takes_is_not_sent(channel: Channel, server: GrpcServer) -> None:
    echo = channel.unary_unary("/t/Echo")
    assert echo(b"", timeout=LIMIT, metadata=[("a", "x" * 60_000)]) == b""
    with pytest.raises(RpcError, match="the server takes 65536") as caught:
        echo(b"", timeout=LIMIT, metadata=[("a", "x" * 70_000)])
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert echo(b"still", timeout=LIMIT) == b"still"
    assert len(server.requests) == 2 and channel.connections == 1


def test_a_message_larger_than_the_send_limit_is_not_sent(server: GrpcServer) -> None:
    with Channel(server.target, max_send_message_length=10) as channel:
        call = channel.open("/t/Echo", request=bytes(11), timeout=LIMIT)
        assert call.code() is StatusCode.RESOURCE_EXHAUSTED and "max_send_message_length" in call.details()
        assert channel.unary_unary("/t/Echo")(bytes(10), timeout=LIMIT) == bytes(10)
        assert len(server.requests) == 1


# The end


def test_cancelling_tells_the_server(channel: Channel, server: GrpcServer) -> None:
    call = channel.open("/t/Hold", request=b"")
    server.wait_for_call()
    assert call.cancel() and not call.cancel()
    assert call.code() is StatusCode.CANCELLED and not call.is_active()
    assert server.connections[0].calls[1].cancelled.wait(LIMIT)
    with pytest.raises(RpcError):
        call.receive()


def test_a_waiting_receiver_learns_of_a_cancellation(channel: Channel) -> None:
    call = channel.open("/t/Hold", request=b"")
    call.initial_metadata()
    threading.Timer(0.02, call.cancel).start()
    with pytest.raises(RpcError) as caught:
        call.receive()
    assert caught.value.code() is StatusCode.CANCELLED


@pytest.mark.parametrize("code", [each for each in StatusCode if each is not StatusCode.OK], ids=lambda code: code.name)
def test_every_status_arrives(channel: Channel, code: StatusCode) -> None:
    call = channel.open("/t/Fail", request=code.name.encode(), timeout=LIMIT)
    with pytest.raises(RpcError) as caught:
        call.receive()
    assert caught.value.code() is code and caught.value.details() == "as asked for"
    assert call.code() is code and call.details() == "as asked for"


def test_metadata_arrives_with_headers_and_trailers(channel: Channel) -> None:
    metadata = [("echo-text", "a, b"), ("echo-bin", b"\0\xff"), ("trailer-text", "c"), ("trailer-bin", b"")]
    call = channel.open("/t/Echo", metadata=metadata, timeout=LIMIT)
    call.close_sending()
    assert call.initial_metadata() == (("echo-text", "a, b"), ("echo-bin", b"\0\xff"))
    assert call.trailing_metadata() == (("trailer-text", "c"), ("trailer-bin", b""))


def test_the_error_carries_metadata_and_the_servers_explanation(channel: Channel, server: GrpcServer) -> None:
    # google.rpc.Status{code: 5, details: [Any{type_url: "t/x", value: "v"}]}
    details = b"\x08\x05\x1a\x08\x0a\x03t/x\x12\x01v"
    trailers = [("grpc-status-details-bin", details), ("why", "x")]

    def handle(call: ServedCall) -> None:
        call.send_headers([("when", "now")])
        call.finish(StatusCode.NOT_FOUND, "no", trailers)

    server.handlers["/t/Explain"] = handle
    with pytest.raises(RpcError) as caught:
        channel.unary_unary("/t/Explain")(b"", timeout=LIMIT)
    error = caught.value
    assert error.initial_metadata() == (("when", "now"),)
    assert ("why", "x") in error.trailing_metadata()
    assert [tuple(each) for each in error.status_details()] == [("t/x", b"v")]


@pytest.mark.parametrize("details", [b"\xff", b"\x1a\x7f", b"\x1a\x02\x0a\x7f", b"\x0b"], ids=repr)
def test_explanations_that_cannot_be_read_are_none(details: bytes) -> None:
    assert RpcError(StatusCode.INTERNAL, "", (), [("grpc-status-details-bin", details)]).status_details() == ()


def test_callbacks_run_once_without_the_lock(channel: Channel, server: GrpcServer) -> None:
    call = channel.open("/t/Hold", request=b"")
    taken: list[bool] = []
    told = threading.Event()

    def take_lock() -> None:
        with channel.driver.lock:
            taken.append(True)

    def callback() -> None:
        other = threading.Thread(target=take_lock)
        other.start()
        other.join(LIMIT)
        told.set()

    assert call.add_callback(callback)
    server.release.set()
    assert told.wait(LIMIT) and taken == [True]
    assert call.code() is StatusCode.OK
    assert not call.add_callback(callback)


def test_a_callback_may_make_calls_itself(channel: Channel) -> None:
    answers: list[Any] = []
    done = threading.Event()

    def callback() -> None:
        answers.append(channel.unary_unary("/t/Echo")(b"from the driver", timeout=LIMIT))
        done.set()

    call = channel.open("/t/Hold", request=b"")
    call.add_callback(callback)
    call.cancel()
    assert done.wait(LIMIT) and answers == [b"from the driver"]


@pytest.mark.parametrize(
    "arguments, problem",
    [
        pytest.param({"path": "t/Echo"}, "/package.Service/Method", id="path without slash"),
        pytest.param({"metadata": [("grpc-x", "1")]}, "reserved", id="reserved key"),
        pytest.param({"metadata": [("Upper", "1")]}, "lower-case", id="upper-case key"),
        pytest.param({"metadata": [("a", "\n")]}, "printable", id="value with a line break"),
        pytest.param({"compression": "br"}, "'br'", id="unknown compression"),
        pytest.param({"timeout": math.nan}, "NaN", id="a timeout that is no number"),
        pytest.param({"metadata": {"a": "b"}}, "pairs", id="a mapping for metadata"),
        pytest.param({"metadata": [("a", "b", "c")]}, "pairs", id="three of a pair"),
        pytest.param({"metadata": 5}, "metadata takes pairs of key and value, not int", id="a number for metadata"),
        pytest.param({"path": b"/t/Echo"}, "/package.Service/Method", id="bytes for a path"),
        pytest.param({"path": None}, "/package.Service/Method", id="no path"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(channel: Channel, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        channel.open(**{"path": "/t/Echo", **arguments})


def test_an_interrupted_step_ends_the_connection_and_not_the_channel(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = channel.unary_unary("/t/Echo")
    echo(b"", timeout=LIMIT)
    connection = type(channel._balancer.subchannels[0].session.connection)  # type: ignore[union-attr]
    with monkeypatch.context() as patched:
        patched.setattr(connection, "send_message", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            echo(b"", timeout=LIMIT)
    assert echo(b"again", timeout=LIMIT, wait_for_ready=True) == b"again"
    assert channel.connections == 2
