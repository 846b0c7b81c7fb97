"""The life of a channel's connections: states, back-off, GOAWAY, limits, the end."""

from __future__ import annotations

import math
import queue
import socket
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from h2.errors import ErrorCodes

from puremux.callbase import RETRY_BUFFER
from puremux.channel import Channel
from puremux.errors import AddressError, RpcError
from puremux.protocol.events import GoAwayReceived
from puremux.status import StatusCode
from puremux.subchannel import Backoff, Connectivity, Keepalive

from .channels import LIMIT, States, Time, within
from .grpc_server import GrpcServer, ServedCall

IDLE, CONNECTING, READY, FAILED, SHUTDOWN = Connectivity


def ended_with(call: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        call()
    return caught.value


# Addresses


def test_every_kind_of_address_is_connected_to(tmp_path: Path) -> None:
    for server in (GrpcServer(), GrpcServer(host="::1"), GrpcServer(path=str(tmp_path / "socket"))):
        with server, Channel(server.target) as channel:
            assert channel.unary_unary("/t/Echo")(b"hi", timeout=LIMIT) == b"hi"


def test_tls_is_verified_and_used(server_tls: Any, client_tls: Any) -> None:
    with GrpcServer(tls=server_tls) as server, Channel(f"localhost:{server.port}", tls=client_tls) as channel:
        assert channel.unary_unary("/t/Echo")(b"hi", timeout=LIMIT) == b"hi"


def test_a_server_without_trust_is_refused_in_words(server_tls: Any) -> None:
    with GrpcServer(tls=server_tls) as server, Channel(f"localhost:{server.port}", insecure=False) as channel:
        error = ended_with(lambda: channel.unary_unary("/t/Echo")(b"hi", timeout=LIMIT))
    assert error.code() is StatusCode.UNAVAILABLE and "certificate" in error.details()


def test_headers_say_who_asks_for_what(server: GrpcServer) -> None:
    with Channel(server.target, authority="virtual.example:1", metadata=[("team", "blue")]) as channel:
        channel.unary_unary("/t/Echo")(b"", timeout=LIMIT, metadata=[("trace-bin", b"\0\xff")])
    (request,) = server.requests
    assert request.authority == "virtual.example:1"
    assert ("team", "blue") in request.metadata and ("trace-bin", b"\0\xff") in request.metadata
    assert request.timeout is not None and LIMIT - 5 < request.timeout <= LIMIT


def test_an_authority_beyond_ascii_is_sent_as_the_dns_has_it(server: GrpcServer) -> None:
    with Channel(server.target, authority="bücher.example:1") as channel:
        channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    assert server.requests[0].authority == "xn--bcher-kva.example:1"


@pytest.mark.parametrize(
    "insecure, begins",
    [
        pytest.param(None, b"\x16\x03", id="TLS, since localhost is the proxy's machine"),
        pytest.param(True, b"PRI * HTTP/2.0", id="plaintext on purpose"),
    ],
)
def test_a_proxy_that_is_named_is_used_for_this_machine_too(serve: Any, insecure: bool | None, begins: bytes) -> None:
    seen: queue.Queue[bytes] = queue.Queue()

    def connect(sock: socket.socket) -> None:
        seen.put(sock.recv(4096))
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        seen.put(sock.recv(4096))

    with Channel("localhost:1", insecure=insecure, proxy=f"127.0.0.1:{serve(connect).port}") as channel:
        call = channel.open("/t/Echo", request=b"")
        assert seen.get(timeout=LIMIT).startswith(b"CONNECT localhost:1 ")
        assert seen.get(timeout=LIMIT).startswith(begins)
        assert call.code() is StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "options, problem",
    [
        pytest.param({"compression": "zip"}, "compression 'zip'", id="unknown compression"),
        pytest.param({"policy": "random"}, "policy 'random'", id="unknown policy"),
        pytest.param({"connect_timeout": 0}, "above zero", id="no time to connect"),
        pytest.param({"metadata": [("Key", "value")]}, "lower-case", id="metadata that cannot be sent"),
        pytest.param({"user_agent": "ä"}, "ASCII", id="user agent that cannot be sent"),
        pytest.param({"connect_timeout": "5"}, "connect_timeout", id="text for seconds"),
        pytest.param({"idle_timeout": math.nan}, "idle_timeout", id="an idle timeout that is no number"),
        pytest.param({"max_receive_message_length": -1}, "max_receive_message_length", id="grpcio's word for no limit"),
        pytest.param({"max_send_message_length": 0.5}, "max_send_message_length", id="half a byte"),
        pytest.param({"insecure": "no"}, "insecure", id="text for a flag"),
        pytest.param({"keepalive": 10}, "keepalive", id="a number for a keepalive"),
        pytest.param({"backoff": 10}, "backoff", id="a number for a backoff"),
        pytest.param({"tap": "file"}, "tap", id="a tap that cannot be called"),
        pytest.param({"proxy": 3128}, "proxy", id="a number for a proxy"),
        pytest.param({"authority": 1}, "authority", id="a number for an authority"),
        pytest.param({"authority": ""}, None, id="no authority is the address's own"),
    ],
)
def test_options_are_checked_when_given(options: dict[str, Any], problem: str | None) -> None:
    if problem is None:
        Channel("localhost:1", **options).close()
    else:
        with pytest.raises((TypeError, ValueError), match=problem):
            Channel("localhost:1", **options)


@pytest.mark.parametrize(
    "make, problem",
    [
        pytest.param(lambda: Keepalive(time=math.nan), "Keepalive: time", id="keepalive"),
        pytest.param(lambda: Keepalive(time=0.5), "Keepalive: time", id="keepalive too often"),
        pytest.param(lambda: Keepalive(timeout="20"), "Keepalive: timeout", id="keepalive timeout"),  # type: ignore[arg-type]
        pytest.param(lambda: Backoff(initial=-1), "Backoff: initial", id="backoff"),
        pytest.param(lambda: Backoff(multiplier=math.nan), "Backoff: multiplier", id="backoff multiplier"),
        pytest.param(lambda: Backoff(maximum=0), "Backoff: maximum", id="backoff maximum"),
        pytest.param(lambda: Backoff(jitter=2), "Backoff: jitter", id="backoff jitter"),
    ],
)
def test_what_would_make_a_channel_spin_is_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        make()


@pytest.mark.parametrize("target", ["", "host:port", "http://agent", [], None, 7, b"agent:1", [b"agent:1"]], ids=repr)
def test_targets_that_cannot_be_read_are_refused(target: Any) -> None:
    with pytest.raises((AddressError, TypeError, ValueError), match="address"):
        Channel(target)


# States and back-off


def test_states_are_told_in_order(server: GrpcServer) -> None:
    channel = Channel(server.target)
    states = States(channel)
    assert states.next() is IDLE
    channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    assert [states.next(), states.next()] == [CONNECTING, READY]
    server.connections[0].close()
    assert states.next() is IDLE
    channel.close()
    assert states.next() is SHUTDOWN and channel.state is SHUTDOWN
    assert states.is_quiet


def test_unsubscribed_callbacks_are_told_nothing(channel: Channel) -> None:
    told: list[Connectivity] = []
    channel.subscribe(told.append)
    channel.unsubscribe(told.append)
    channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    assert READY not in told


def test_a_channel_connects_without_a_call_if_asked_to(channel: Channel) -> None:
    States(channel, try_to_connect=True).until(READY)


def test_attempts_are_as_far_apart_as_the_back_off_says(stopped: Time, refused_port: int) -> None:
    backoff = Backoff(initial=1.0, multiplier=1.6, jitter=0.0, maximum=3.0)
    with Channel(f"127.0.0.1:{refused_port}", driver=stopped.driver, backoff=backoff) as channel:
        states = States(channel)
        call = channel.open("/t/Echo", wait_for_ready=True)
        states.until(FAILED)
        for delay in (1.0, 1.6, 2.56, 3.0, 3.0):
            stopped.advance(delay - 0.01)
            assert states.is_quiet
            stopped.advance(0.02)
            states.until(FAILED)
        assert call.is_active()


def test_back_off_is_spread_by_its_jitter_and_never_beyond_its_maximum() -> None:
    backoff = Backoff()
    assert {round(backoff.delay(1), 3) for _ in range(20)} != {1.0}
    assert all(0.8 <= backoff.delay(1) <= 1.2 for _ in range(100))
    assert all(96 <= backoff.delay(10_000) <= 144 for _ in range(100))


def test_calls_fail_at_once_while_nobody_answers(refused_port: int) -> None:
    with Channel(f"127.0.0.1:{refused_port}") as channel:
        error = ended_with(lambda: channel.unary_unary("/t/Echo")(b"", timeout=LIMIT))
        assert error.code() is StatusCode.UNAVAILABLE
        assert f"127.0.0.1:{refused_port}" in error.details() and "refused" in error.details()
        assert ended_with(lambda: channel.unary_unary("/t/Echo")(b"")).code() is StatusCode.UNAVAILABLE


def test_calls_that_want_to_wait_get_through_when_the_server_comes(refused_port: int) -> None:
    with Channel(f"127.0.0.1:{refused_port}", backoff=Backoff(initial=0.02)) as channel:
        states = States(channel)
        call = channel.unary_unary("/t/Echo").future(b"hi", timeout=LIMIT, wait_for_ready=True)
        states.until(FAILED)
        with GrpcServer(port=refused_port):
            assert call.result() == b"hi"


def test_the_deadline_bounds_waiting_for_a_connection(refused_port: int) -> None:
    with Channel(f"127.0.0.1:{refused_port}") as channel:
        error = ended_with(lambda: channel.unary_unary("/t/Echo")(b"", timeout=0.05, wait_for_ready=True))
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    assert "was not answered within 0.05 s" in error.details() and str(refused_port) in error.details()


def test_the_deadline_bounds_connecting(black_hole: tuple[str, int]) -> None:
    with Channel("{}:{}".format(*black_hole)) as channel:
        error = ended_with(lambda: channel.unary_unary("/t/Echo")(b"", timeout=0.05))
    assert error.code() is StatusCode.DEADLINE_EXCEEDED and "connected to" in error.details()


def test_a_connection_that_was_of_use_is_replaced_at_once(stopped: Time, server: GrpcServer) -> None:
    with Channel(server.target, driver=stopped.driver) as channel:
        states = States(channel)
        channel.unary_unary("/t/Echo")(b"")
        states.until(READY)
        server.connections[0].kill()
        states.until(IDLE)
        assert channel.unary_unary("/t/Echo")(b"again") == b"again"
        assert channel.connections == 2


def test_a_connection_that_was_of_no_use_is_replaced_after_the_back_off(stopped: Time, server: GrpcServer) -> None:
    with Channel(server.target, driver=stopped.driver, backoff=Backoff(jitter=0.0)) as channel:
        states = States(channel, try_to_connect=True)
        states.until(READY)
        server.connections[0].go_away("not you")
        states.until(FAILED)
        assert "not you" in ended_with(lambda: channel.unary_unary("/t/Echo")(b"")).details()
        stopped.advance(1.01)
        assert channel.unary_unary("/t/Echo")(b"") == b""


def test_a_connection_that_outlived_the_back_off_is_replaced_at_once(stopped: Time, server: GrpcServer) -> None:
    with Channel(server.target, driver=stopped.driver) as channel:
        states = States(channel, try_to_connect=True)
        states.until(READY)
        stopped.advance(10.0)
        server.connections[0].kill()
        assert states.next() is IDLE


def test_a_silent_server_is_given_up_after_the_connect_timeout(stopped: Time, serve: Any) -> None:
    silence = threading.Event()
    silent = serve(lambda sock: silence.wait(LIMIT))
    with Channel(f"127.0.0.1:{silent.port}", driver=stopped.driver, connect_timeout=5) as channel:
        call = channel.open("/t/Echo", request=b"")
        assert within(lambda: channel._balancer.subchannels[0].session)
        stopped.advance(5.1)
        assert call.code() is StatusCode.UNAVAILABLE and "no HTTP/2 SETTINGS within 5 s" in call.details()
    silence.set()


# GOAWAY, refusals and limits


def test_a_goaway_that_explains_at_length_is_repeated_in_short(server: GrpcServer, channel: Channel) -> None:
    assert channel.unary_unary("/t/Echo")(b"", timeout=LIMIT) is not None
    with channel.driver.lock:
        (subchannel,) = channel._balancer.subchannels
        assert subchannel.session is not None
        subchannel.handle(subchannel.session, GoAwayReceived(0, 1, b"no" * 8_192))
    assert channel.last_error is not None and "GOAWAY (nono" in channel.last_error and len(channel.last_error) < 400


def test_goaway_lets_running_calls_finish_and_sends_new_ones_elsewhere(server: GrpcServer, channel: Channel) -> None:
    running = channel.unary_unary("/t/Hold").future(b"", timeout=LIMIT)
    server.wait_for_call()
    server.connections[0].go_away("maintenance")
    assert within(lambda: channel.state is IDLE)
    assert channel.unary_unary("/t/Echo")(b"new", timeout=LIMIT) == b"new"
    assert len(server.connections) == 2 and not server.connections[0].closed.is_set()
    server.release.set()
    assert running.result() == b"held"
    assert server.connections[0].closed.wait(LIMIT), "a drained connection is closed"


def test_a_connection_without_calls_is_closed_at_goaway(server: GrpcServer, channel: Channel) -> None:
    assert channel.unary_unary("/t/Echo")(b"", timeout=LIMIT) == b""
    server.connections[0].go_away()
    assert server.connections[0].closed.wait(LIMIT)


def refuse(times: int) -> Any:
    """A handler that does not take the first calls."""
    left = threading.Semaphore(times)

    def handle(call: ServedCall) -> None:
        if left.acquire(blocking=False):
            call.connection.step(lambda core: core.reset(call.request.stream_id, ErrorCodes.REFUSED_STREAM))
        else:
            call.send_headers()
            for message in call:
                call.send(message)
            call.finish()

    return handle


def test_refused_calls_are_made_again(server: GrpcServer, channel: Channel) -> None:
    server.handlers["/t/Moody"] = refuse(2)
    assert channel.unary_unary("/t/Moody")(b"please", timeout=LIMIT) == b"please"
    assert list(channel.stream_stream("/t/Moody")(iter([b"a", b"b"]), timeout=LIMIT)) == [b"a", b"b"]
    assert len(server.requests) == 4


def test_a_call_that_is_made_again_says_all_that_it_had_said(server: GrpcServer, channel: Channel) -> None:
    has_spoken = threading.Event()
    attempts: list[list[bytes]] = []

    def refuse_once(call: ServedCall) -> None:
        if not attempts:
            attempts.append([])
            assert has_spoken.wait(LIMIT)
            call.connection.step(lambda core: core.reset(call.request.stream_id, ErrorCodes.REFUSED_STREAM))
            return
        attempts.append(list(call))
        call.send_headers()
        call.finish()

    server.handlers["/t/Moody"] = refuse_once
    call = channel.open("/t/Moody", timeout=LIMIT)
    call.send(b"before there is a connection, or not")
    assert within(lambda: attempts)
    call.send(b"and on it", end=True)
    has_spoken.set()
    assert call.code() is StatusCode.OK
    assert attempts[1] == [b"before there is a connection, or not", b"and on it"]


def test_what_is_too_much_to_be_said_again_is_not_kept(channel: Channel) -> None:
    call = channel.open("/t/Echo", timeout=LIMIT)
    call.send(bytes(RETRY_BUFFER // 2))
    assert within(lambda: call.session is not None)
    call.send(bytes(RETRY_BUFFER), end=True)
    assert not call._messages
    assert len(list(call)) == 2


def test_calls_above_the_last_id_of_a_goaway_are_made_again(server: GrpcServer, channel: Channel) -> None:
    def handle(call: ServedCall) -> None:
        if len(server.connections) == 1:
            call.connection.step(lambda core: core.go_away(last_stream_id=call.request.stream_id - 2))
        else:
            call.finish(StatusCode.OK)

    server.handlers["/t/Leave"] = handle
    earlier = channel.unary_unary("/t/Hold").future(b"", timeout=LIMIT)
    server.wait_for_call()
    assert list(channel.stream_stream("/t/Leave")([b"a"], timeout=LIMIT)) == []
    assert len(server.connections) == 2 and [each.path for each in server.requests].count("/t/Leave") == 2
    server.release.set()
    assert earlier.result() == b"held", "a call below it goes on where it is"


def test_calls_are_made_again_only_so_often(server: GrpcServer, channel: Channel) -> None:
    server.handlers["/t/Moody"] = refuse(1000)
    error = ended_with(lambda: channel.unary_unary("/t/Moody")(b"please", timeout=LIMIT))
    assert error.code() is StatusCode.UNAVAILABLE and "REFUSED_STREAM" in error.details()
    assert len(server.requests) == 5


def test_calls_wait_while_the_server_takes_no_more() -> None:
    with GrpcServer(max_concurrent_streams=2) as server, Channel(server.target) as channel:
        calls = [channel.unary_unary("/t/Hold").future(b"", timeout=LIMIT) for _ in range(7)]
        server.wait_for_call(2)
        error = ended_with(lambda: channel.unary_unary("/t/Echo")(b"", timeout=0.05))
        assert error.code() is StatusCode.DEADLINE_EXCEEDED and "MAX_CONCURRENT_STREAMS" in error.details()
        assert len(server.requests) == 2
        assert calls.pop().cancel()
        server.release.set()
        assert [each.result() for each in calls] == [b"held"] * 6
        assert len(server.connections) == 1


# The end


def test_closing_cancels_what_runs_drains_and_waits() -> None:
    with GrpcServer(max_concurrent_streams=1) as server:
        channel = Channel(server.target)
        draining = channel.unary_unary("/t/Hold").future(b"")
        server.wait_for_call()
        server.connections[0].go_away()
        assert within(lambda: channel.state is IDLE)
        running = channel.unary_unary("/t/Hold").future(b"")
        server.wait_for_call()
        waiting = channel.unary_unary("/t/Hold").future(b"")
        channel.close()
        assert [each.code() for each in (draining, running, waiting)] == [StatusCode.CANCELLED] * 3
        assert all(each.closed.wait(LIMIT) for each in server.connections)


def test_a_closed_channel_takes_no_calls(server: GrpcServer) -> None:
    channel = Channel(server.target)
    channel.close()
    assert ended_with(lambda: channel.unary_unary("/t/Echo")(b"")).code() is StatusCode.CANCELLED


def test_two_channels_can_share_a_driver(server: GrpcServer) -> None:
    first = Channel(server.target)
    second = Channel(server.target, driver=first.driver)
    assert first.unary_unary("/t/Echo")(b"1") + second.unary_unary("/t/Echo")(b"2") == b"12"
    second.close()
    assert first.unary_unary("/t/Echo")(b"3") == b"3"
    first.close()


def test_calls_are_counted_by_method(server: GrpcServer, channel: Channel) -> None:
    echo = channel.unary_unary("/t/Echo")
    for _ in range(3):
        echo(b"four", timeout=LIMIT)
    with pytest.raises(RpcError):
        channel.unary_unary("/t/Nothing")(b"", timeout=LIMIT)
    with pytest.raises(RpcError):
        channel.unary_unary("/t/Echo")(b"", timeout=0.0)
    views = {view.method: view for view in channel.methods.views()}
    assert dict(views["/t/Echo"].by_status) == {StatusCode.OK: 3, StatusCode.DEADLINE_EXCEEDED: 1}
    assert (views["/t/Echo"].received_messages, views["/t/Echo"].received_bytes) == (3, 12)
    assert dict(views["/t/Nothing"].by_status) == {StatusCode.UNIMPLEMENTED: 1}
    assert not any(view.running for view in views.values())
