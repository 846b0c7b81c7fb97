"""A channel that has nothing to do, or hears nothing: idle connections are closed, quiet ones are asked."""

from __future__ import annotations

import socket
import threading
from typing import Any

from h2.errors import ErrorCodes

from puremux.channel import Channel
from puremux.status import StatusCode
from puremux.subchannel import Connectivity, Keepalive
from tests.hostile import wire
from tests.hostile.peer import Peer

from .channels import LIMIT, Time, within
from .grpc_server import GrpcServer


def test_an_idle_connection_is_closed_and_made_again(stopped: Time, server: GrpcServer) -> None:
    with Channel(server.target, driver=stopped.driver, idle_timeout=10) as channel:
        echo = channel.unary_unary("/t/Echo")
        echo(b"")
        stopped.advance(5.0)
        echo(b"")
        stopped.advance(5.0)
        stopped.advance(4.9)
        assert channel.state is Connectivity.READY
        stopped.advance(5.0)
        assert channel.state is Connectivity.IDLE
        assert server.connections[0].closed.wait(LIMIT)
        assert echo(b"back") == b"back"


def test_a_connection_with_a_call_is_not_idle(stopped: Time, server: GrpcServer) -> None:
    with Channel(server.target, driver=stopped.driver, idle_timeout=10) as channel:
        call = channel.unary_unary("/t/Hold").future(b"")
        server.wait_for_call()
        for _ in range(10):
            stopped.advance(5.0)
        server.release.set()
        assert call.result() == b"held"


def test_a_quiet_connection_is_asked_for_a_sign_of_life(stopped: Time, server: GrpcServer) -> None:
    keepalive = Keepalive(time=10, timeout=5)
    with Channel(server.target, driver=stopped.driver, keepalive=keepalive) as channel:
        call = channel.unary_unary("/t/Hold").future(b"")
        call.initial_metadata()
        for _ in range(3):
            stopped.advance(5.0)
        assert within(lambda: server.connections[0].pings == 1)
        server.connections[0].mute = True
        for _ in range(5):
            stopped.advance(5.0)
        assert call.code() is StatusCode.UNAVAILABLE
        assert "keepalive PING within 5 s" in call.details()


def test_no_pings_are_sent_without_calls(stopped: Time, server: GrpcServer) -> None:
    with Channel(server.target, driver=stopped.driver, keepalive=Keepalive(time=10)) as channel:
        channel.unary_unary("/t/Echo")(b"")
        for _ in range(10):
            stopped.advance(5.0)
        channel.unary_unary("/t/Echo")(b"")
        assert server.connections[0].pings == 0


def test_pings_without_calls_are_sent_if_permitted(stopped: Time, server: GrpcServer) -> None:
    keepalive = Keepalive(time=10, permit_without_calls=True)
    with Channel(server.target, driver=stopped.driver, keepalive=keepalive) as channel:
        channel.unary_unary("/t/Echo")(b"")
        for _ in range(3):
            stopped.advance(5.0)
        assert within(lambda: server.connections[0].pings == 1)


def test_too_many_pings_doubles_the_interval(stopped: Time, server: GrpcServer) -> None:
    with Channel(server.target, driver=stopped.driver, keepalive=Keepalive(time=10)) as channel:
        channel.unary_unary("/t/Echo")(b"")
        server.connections[0].go_away("too_many_pings", ErrorCodes.ENHANCE_YOUR_CALM)
        assert within(lambda: channel.state is Connectivity.IDLE)
        call = channel.unary_unary("/t/Hold").future(b"")
        call.initial_metadata()
        for _ in range(3):
            stopped.advance(5.0)
        server.connections[1].step(lambda core: core.ping(b"hereiam!"))
        assert server.connections[1].pings == 0
        for _ in range(6):
            stopped.advance(5.0)
        assert within(lambda: server.connections[1].pings == 1)


def test_a_server_that_speaks_is_alive_though_it_acknowledges_no_ping(stopped: Time, serve: Any) -> None:
    may_begin, may_end = threading.Event(), threading.Event()

    def neglect_pings(sock: socket.socket) -> None:
        peer = Peer(sock, threading.Event(), lambda fault: None)
        stream_id = peer.take_call()
        peer.acknowledges = False
        peer.read_until(lambda: (wire.PING, 0) in peer.said)
        assert may_begin.wait(LIMIT)
        peer.begin(stream_id)
        assert may_end.wait(LIMIT)
        peer.send_data(stream_id, wire.message(b"alive"))
        peer.finish(stream_id)

    keepalive = Keepalive(time=10.0, timeout=5.0)
    target = f"127.0.0.1:{serve(neglect_pings).port}"
    with Channel(target, driver=stopped.driver, keepalive=keepalive) as channel:
        call = channel.unary_unary("/t/Any", None, None).future(b"")
        assert within(lambda: channel.state is Connectivity.READY)
        stopped.advance(10.1)
        stopped.advance(1.0)
        may_begin.set()
        call.initial_metadata()
        stopped.advance(4.5)
        may_end.set()
        assert call.result() == b"alive" and channel.connections == 1
