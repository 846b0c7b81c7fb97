"""Several targets, and names with several addresses: which connection a call goes to."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from puremux.balancer import LOOK_UP_TIME
from puremux.channel import Channel
from puremux.errors import RpcError
from puremux.status import StatusCode
from puremux.subchannel import Backoff, Connectivity

from .channels import LIMIT, States, Time, within
from .grpc_server import GrpcServer

SOON = Backoff(initial=0.02, jitter=0.0)

Names = dict[str, list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """A DNS of the test's own: the IPv4 addresses of each name; a name without any is unknown."""
    known: Names = {}
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host not in known:
            return ask(host, port, *rest, **more)
        if not known[host]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def servers_on_one_port(*hosts: str) -> list[GrpcServer]:
    first = GrpcServer(host=hosts[0])
    return [first, *(GrpcServer(host=each, port=first.port) for each in hosts[1:])]


def call(channel: Channel, count: int = 1) -> None:
    for _ in range(count):
        assert channel.unary_unary("/t/Echo")(b"hi", timeout=LIMIT, wait_for_ready=True) == b"hi"


def calls_of(servers: list[GrpcServer]) -> list[int]:
    return [len(each.requests) for each in servers]


def call_until(channel: Channel, condition: Callable[[], bool]) -> None:
    """Make calls until a condition comes true."""

    def once() -> bool:
        call(channel)
        return condition()

    assert within(once)


# pick_first


def test_the_first_target_that_connects_gets_every_call(refused_port: int) -> None:
    with GrpcServer() as good, GrpcServer() as other:
        with Channel([f"127.0.0.1:{refused_port}", good.target, other.target]) as channel:
            for _ in range(5):
                assert channel.unary_unary("/t/Echo")(b"hi", timeout=LIMIT) == b"hi"
        assert calls_of([good, other]) == [5, 0]
        assert not other.connections


def test_a_target_that_does_not_answer_costs_a_quarter_of_a_second(black_hole: tuple[str, int]) -> None:
    with GrpcServer() as good, Channel(["{}:{}".format(*black_hole), good.target]) as channel:
        began = time.monotonic()
        assert channel.unary_unary("/t/Echo")(b"hi", timeout=LIMIT) == b"hi"
        assert time.monotonic() - began < 5.0
        assert channel._balancer.subchannels[0].state is Connectivity.IDLE, "its attempt is given up"


def test_calls_go_to_the_next_target_when_the_first_is_gone() -> None:
    with GrpcServer() as first, GrpcServer() as second:
        with Channel([first.target, second.target]) as channel:
            states = States(channel)
            call(channel)
            states.until(Connectivity.READY)
            first.close()
            states.until(Connectivity.IDLE)
            call(channel)
        assert calls_of([first, second]) == [1, 1]


def test_calls_fail_when_every_target_has_failed(refused_port: int) -> None:
    targets = [f"127.0.0.1:{refused_port}", f"localhost:{refused_port}"]
    with Channel(targets) as channel, pytest.raises(RpcError) as caught:
        channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    assert caught.value.code() is StatusCode.UNAVAILABLE and "refused" in caught.value.details()


# round_robin


@pytest.mark.parametrize("form", ["a list of targets", "an ipv4: list", "a dns name"])
def test_calls_take_turns(form: str, names: Names) -> None:
    servers = servers_on_one_port("127.0.0.1", "127.0.0.2", "127.0.0.3")
    names["agent.test"] = [each.host for each in servers]
    target = {
        "a list of targets": [each.target for each in servers],
        "an ipv4: list": "ipv4:" + ",".join(each.target for each in servers),
        "a dns name": f"dns:///agent.test:{servers[0].port}",
    }[form]
    with Channel(target, policy="round_robin", insecure=True) as channel:
        call_until(
            channel, lambda: sum(each.state is Connectivity.READY for each in channel._balancer.subchannels) == 3
        )
        before = calls_of(servers)
        call(channel, 30)
        assert Counter(after - earlier for after, earlier in zip(calls_of(servers), before)) == {10: 3}
    for each in servers:
        each.close()


def test_a_server_that_is_gone_is_left_out_and_taken_in_again() -> None:
    with GrpcServer() as steady:
        moody = GrpcServer()
        with Channel([steady.target, moody.target], policy="round_robin", backoff=SOON) as channel:
            call_until(channel, lambda: bool(steady.requests and moody.requests))
            moody.close(kill=True)
            assert within(lambda: channel._balancer.subchannels[1].state is not Connectivity.READY)
            call(channel, 10)
            moody = GrpcServer(port=moody.port)
            call_until(channel, lambda: bool(moody.requests))
        moody.close()


def test_a_name_is_looked_up_again_when_its_server_has_moved(names: Names) -> None:
    old, new = servers_on_one_port("127.0.0.1", "127.0.0.2")
    names["agent.test"] = [old.host]
    target = f"agent.test:{old.port}"
    with Channel(target, policy="round_robin", insecure=True, backoff=SOON) as channel:
        states = States(channel)
        call(channel)
        states.until(Connectivity.READY)
        names["agent.test"] = [new.host]
        old.close(kill=True)
        while states.next() is Connectivity.READY:
            pass
        call(channel)
        assert calls_of([old, new]) == [1, 1]
        assert channel.connections == 2
    new.close()


def test_pick_first_looks_its_name_up_for_each_attempt(names: Names) -> None:
    old, new = servers_on_one_port("127.0.0.1", "127.0.0.2")
    names["agent.test"] = [old.host]
    with Channel(f"agent.test:{old.port}", insecure=True, backoff=SOON) as channel:
        states = States(channel)
        call(channel)
        states.until(Connectivity.READY)
        names["agent.test"] = [new.host]
        old.close(kill=True)
        while states.next() is Connectivity.READY:
            pass
        call(channel)
    assert calls_of([old, new]) == [1, 1]
    new.close()


def test_idle_connections_stay_closed_until_the_next_call() -> None:
    stopped = Time()
    servers = servers_on_one_port("127.0.0.1", "127.0.0.2")
    target = "ipv4:" + ",".join(each.target for each in servers)
    with Channel(target, policy="round_robin", driver=stopped.driver, idle_timeout=10, backoff=SOON) as channel:
        call_until(channel, lambda: all(each.requests for each in servers))
        for _ in range(4):
            stopped.advance(5.0)
        assert channel.state is Connectivity.IDLE
        assert all(each.connections[0].closed.wait(LIMIT) for each in servers)
        call_until(channel, lambda: channel.connections == 4)
    stopped.driver.close()
    for each in servers:
        each.close()


def test_calls_on_an_address_that_has_left_the_name_finish(names: Names) -> None:
    left, right = servers_on_one_port("127.0.0.1", "127.0.0.2")
    names["agent.test"] = [left.host, right.host]
    with Channel(f"agent.test:{left.port}", policy="round_robin", insecure=True, backoff=SOON) as channel:
        call_until(channel, lambda: bool(left.requests and right.requests))
        held = [channel.unary_unary("/t/Hold").future(b"", timeout=LIMIT) for _ in range(2)]
        assert all(each.initial_metadata() == () for each in held)
        names["agent.test"] = [right.host]
        right.connections[0].kill()
        assert within(lambda: any(each.done() for each in held)), "the loss is noticed"
        call_until(channel, lambda: len(channel._balancer.subchannels) == 1)
        left.release.set()
        codes = sorted(each.code() for each in held)
        assert codes == [StatusCode.OK, StatusCode.UNAVAILABLE]
        assert left.connections[0].closed.wait(LIMIT), "it is closed when its last call is over"
    left.close()
    right.close()


def test_look_ups_that_fail_are_as_far_apart_as_the_back_off_says(stopped: Time, names: Names) -> None:
    names["agent.test"] = []
    backoff = Backoff(initial=1.0, multiplier=2.0, jitter=0.0)
    target = "agent.test:1"
    with Channel(target, policy="round_robin", insecure=True, driver=stopped.driver, backoff=backoff) as channel:
        states = States(channel)
        call = channel.open("/t/Echo", wait_for_ready=True)
        states.until(Connectivity.TRANSIENT_FAILURE)
        for delay in (1.0, 2.0, 4.0):
            stopped.advance(delay - 0.01)
            assert states.is_quiet
            stopped.advance(0.02)
            states.until(Connectivity.TRANSIENT_FAILURE)
        assert call.is_active()


def test_a_look_up_has_its_time_and_no_more(stopped: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def getaddrinfo(*args: Any, **options: Any) -> Any:
        asked.set()
        may_answer.wait(LIMIT)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Channel("agent.test:1", policy="round_robin", insecure=True, driver=stopped.driver) as channel:
        states = States(channel, try_to_connect=True)
        states.until(Connectivity.CONNECTING)
        assert asked.wait(LIMIT)
        stopped.advance(LOOK_UP_TIME - 0.1)
        assert states.is_quiet
        stopped.advance(0.2)
        assert states.next() is Connectivity.TRANSIENT_FAILURE
        stopped.advance(10.0)
        states.until(Connectivity.IDLE)
        channel._balancer.connect()
        states.until(Connectivity.CONNECTING)
        stopped.settle()
        assert stopped.driver._watched, "the look-up"
        channel.close()
        stopped.settle()
        assert not stopped.driver._watched
    may_answer.set()


def test_closing_ends_calls_on_an_address_that_has_left_the_name(names: Names) -> None:
    left, right = servers_on_one_port("127.0.0.1", "127.0.0.2")
    names["agent.test"] = [left.host, right.host]
    with Channel(f"agent.test:{left.port}", policy="round_robin", insecure=True, backoff=SOON) as channel:
        call_until(channel, lambda: bool(left.requests and right.requests))
        held = [channel.unary_unary("/t/Hold").future(b"", timeout=LIMIT) for _ in range(2)]
        assert all(each.initial_metadata() == () for each in held)
        names["agent.test"] = [right.host]
        right.connections[0].kill()
        assert within(lambda: any(each.done() for each in held)), "the loss is noticed"
        call_until(channel, lambda: len(channel._balancer.subchannels) == 1)
        channel.close()
        assert sorted(each.code() for each in held) == [StatusCode.CANCELLED, StatusCode.UNAVAILABLE]
        assert left.connections[0].closed.wait(LIMIT)
    left.close()
    right.close()


@pytest.mark.parametrize("policy", ["pick_first", "round_robin"])
def test_a_name_that_nobody_knows_fails_calls_in_words_and_may_come_later(policy: str, names: Names) -> None:
    names["agent.test"] = []
    with GrpcServer() as server:
        target = f"agent.test:{server.port}"
        with Channel(target, policy=policy, insecure=True, backoff=SOON) as channel:
            with pytest.raises(RpcError) as caught:
                channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
            assert caught.value.code() is StatusCode.UNAVAILABLE and "agent.test" in caught.value.details()
            names["agent.test"] = ["127.0.0.1"]
            call(channel)


def test_round_robin_through_a_proxy_leaves_names_to_it(serve: Any) -> None:
    asked: list[bytes] = []

    def refuse(sock: socket.socket) -> None:
        asked.append(sock.recv(4096).split(b"\r\n")[0])
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    proxy = f"http://127.0.0.1:{serve(refuse).port}"
    channel = Channel("agent.invalid:1", policy="round_robin", proxy=proxy, insecure=True)
    with channel, pytest.raises(RpcError, match="403"):
        channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    assert asked[0] == b"CONNECT agent.invalid:1 HTTP/1.1"
