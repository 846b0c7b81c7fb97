"""Resolving: literals at once, names on a thread, in time or not at all.  No DNS is asked: getaddrinfo is scripted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from puremux.errors import ResolveError
from puremux.transport.address import parse_address
from puremux.transport.look_up import HUNG, MOST, _after_fork_in_child
from puremux.transport.resolve import Endpoint, resolve
from puremux.transport.wait import run_blocking
from tests.shared.waiting import eventually

V4, V6 = socket.AF_INET, socket.AF_INET6


def found(text: str, until: float) -> list[str]:
    return [str(endpoint) for endpoint in run_blocking(resolve(parse_address(text, 80), until))]


def answer(*sockaddrs: tuple[Any, ...]) -> list[Any]:
    return [(V4 if len(a) == 2 else V6, socket.SOCK_STREAM, 6, "", a) for a in sockaddrs]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Have ``getaddrinfo`` do what the test says."""
    return lambda getaddrinfo: monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "text, endpoints",
    [
        pytest.param("127.0.0.1", [Endpoint(V4, ("127.0.0.1", 80))], id="IPv4"),
        pytest.param("[::1]:81", [Endpoint(V6, ("::1", 81, 0, 0))], id="IPv6"),
        pytest.param(
            "ipv4:127.0.0.1:1,127.0.0.2:2,127.0.0.1:1",
            [Endpoint(V4, ("127.0.0.1", 1)), Endpoint(V4, ("127.0.0.2", 2))],
            id="a list, each once",
        ),
        pytest.param("unix:/run/a.sock", [Endpoint(socket.AF_UNIX, "/run/a.sock")], id="unix"),
        pytest.param("unix-abstract:a", [Endpoint(socket.AF_UNIX, "\0a")], id="unix, abstract"),
    ],
)
def test_literals_are_resolved_without_waiting(text: str, endpoints: list[Endpoint], soon: float) -> None:
    with pytest.raises(StopIteration) as stopped:
        next(resolve(parse_address(text, 80), soon))
    assert stopped.value.value == endpoints


@pytest.mark.parametrize("text", ["localhost", "agent.localhost.", "LOCALHOST"])
def test_localhost_is_loopback_and_nobody_is_asked(text: str, soon: float, script: Callable[..., None]) -> None:
    script(lambda *args: pytest.fail("localhost was looked up"))
    assert found(text, soon) == ["127.0.0.1:80", "[::1]:80"]


@pytest.mark.skipif(not hasattr(socket, "if_nametoindex"), reason="not on PyPy")
def test_the_zone_of_an_ipv6_address_becomes_a_number(soon: float) -> None:
    (endpoint,) = run_blocking(resolve(parse_address("[fe80::1%lo]:80"), soon))
    assert endpoint.sockaddr[1:] == (80, 0, socket.if_nametoindex("lo"))


def test_a_zone_that_is_not_there(soon: float) -> None:
    with pytest.raises(
        ResolveError, match="fe80::1%nothing means nothing on this machine .*; check the network interface"
    ):
        found("[fe80::1%nothing]:80", soon)


def test_names_are_looked_up_and_the_families_take_turns(soon: float, script: Callable[..., None]) -> None:
    asked = []

    def getaddrinfo(*args: Any) -> list[Any]:
        asked.append((threading.current_thread().name, args))
        a, b = ("2001:db8::1", 80, 0, 0), ("2001:db8::2", 80, 0, 0)
        return answer(a, b, b, ("192.0.2.1", 80), ("192.0.2.2", 80), ("192.0.2.3", 80))

    script(getaddrinfo)
    assert found("bücher.example", soon) == [
        "[2001:db8::1]:80",
        "192.0.2.1:80",
        "[2001:db8::2]:80",
        "192.0.2.2:80",
        "192.0.2.3:80",
    ]
    assert asked == [("puremux-resolve", ("xn--bcher-kva.example", 80, 0, socket.SOCK_STREAM))]


@pytest.mark.parametrize(
    "error, story",
    [
        pytest.param(
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "cannot be resolved (Name or service not known); check the spelling of the name.",
            id="no such name",
        ),
        pytest.param(
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "cannot be resolved (Temporary failure in name resolution); check the network and the DNS of this machine.",
            id="no DNS",
        ),
        pytest.param(UnicodeError("label too long"), "(label too long); check the spelling", id="a name too long"),
        pytest.param(MemoryError("no memory"), "(no memory); check", id="any other error"),
    ],
)
def test_why_a_name_is_not_resolved(error: Exception, story: str, soon: float, script: Callable[..., None]) -> None:
    def getaddrinfo(*args: Any) -> list[Any]:
        raise error

    script(getaddrinfo)
    with pytest.raises(ResolveError) as failed:
        found("agent.example", soon)
    assert str(failed.value).startswith("The host name agent.example in agent.example:80 ")
    assert story in str(failed.value)


def test_a_dns_that_does_not_answer_is_not_waited_for(script: Callable[..., None]) -> None:
    give_up = threading.Event()
    script(lambda *args: give_up.wait(10) and answer(("192.0.2.1", 80)))
    began = time.monotonic()
    try:
        with pytest.raises(ResolveError, match="agent.example:80 was not resolved in time; check the DNS"):
            found("agent.example", began + 0.1)
        assert 0.1 <= time.monotonic() - began < 1
    finally:
        give_up.set()
        join_look_ups()


def test_closed_early_it_leaves_nothing_open(soon: float, script: Callable[..., None]) -> None:
    give_up = threading.Event()
    script(lambda *args: give_up.wait(10) and answer(("192.0.2.1", 80)))
    step = resolve(parse_address("agent.example"), soon)
    (done,) = next(step).reading
    step.close()
    assert done.fileno() == -1
    give_up.set()
    join_look_ups()


@pytest.fixture
def hanging(script: Callable[..., None]) -> Iterator[list[str]]:
    """Who was looked up, by a DNS that answers at the end of the test at the earliest."""
    asked: list[str] = []
    give_up = threading.Event()

    def getaddrinfo(host: str, *args: Any) -> list[Any]:
        asked.append(host)
        give_up.wait(10)
        return answer(("192.0.2.1", 80))

    script(getaddrinfo)
    yield asked
    give_up.set()
    join_look_ups()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def begun(host: str, now: float) -> Any:
    """A step that waits for its look-up."""
    step = resolve(parse_address(host, 80), now + 5, lambda: now)
    next(step)
    return step


def test_a_dns_that_hangs_costs_one_thread_a_name_and_nothing_for_each_attempt(hanging: list[str]) -> None:
    begun("agent.example", 0.0).close()
    threads, descriptors = threading.active_count(), open_descriptors()
    for attempt in range(20):
        begun("agent.example", float(attempt)).close()
    assert (threading.active_count(), open_descriptors()) == (threads, descriptors)
    begun("other.example", 20.0).close()
    eventually(lambda: hanging == ["agent.example", "other.example"], 10)


def test_a_look_up_that_hung_for_long_gets_a_successor_and_there_are_few_of_them(hanging: list[str]) -> None:
    for number in range(100):
        begun("agent.example", number * HUNG / 2).close()
    eventually(lambda: hanging == ["agent.example"] * MOST, 10)


def test_all_who_wait_for_a_name_have_the_answer(soon: float, script: Callable[..., None]) -> None:
    answered = threading.Event()
    script(lambda *args: answered.wait(10) and answer(("192.0.2.1", 80)))
    steps = [resolve(parse_address("agent.example", 80), soon) for _ in range(3)]
    waits = [next(step) for step in steps]
    assert len({wait.reading[0].fileno() for wait in waits}) == 3, "a selector takes each but once"
    answered.set()
    assert [run_blocking(step) for step in steps] == [[Endpoint(V4, ("192.0.2.1", 80))]] * 3
    assert all(wait.reading[0].fileno() == -1 for wait in waits)


def test_a_forked_child_looks_up_anew(hanging: list[str]) -> None:
    begun("agent.example", 0.0).close()
    descriptors = open_descriptors()
    _after_fork_in_child()
    assert open_descriptors() == descriptors - 2
    begun("agent.example", 0.0).close()
    eventually(lambda: hanging == ["agent.example"] * 2, 10)


def join_look_ups() -> None:
    for thread in threading.enumerate():
        if thread.name == "puremux-resolve":
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "refused, thread",
    [
        pytest.param({True}, "puremux-resolve", id="no daemon threads, as in a subinterpreter"),
        pytest.param({True, False}, "MainThread", id="no threads, as at the interpreter's end"),
    ],
)
def test_where_threads_cannot_be_started(
    refused: set[bool], thread: str, soon: float, script: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real_start = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.daemon in refused:
            raise RuntimeError("can't start new thread")
        real_start(self)

    def getaddrinfo(*args: Any) -> list[Any]:
        asked.append(threading.current_thread().name)
        return answer(("192.0.2.1", 80))

    script(getaddrinfo)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert found("agent.example", soon) == ["192.0.2.1:80"]
    assert asked == [thread]


def test_no_more_files_may_be_opened(soon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def socketpair() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", socketpair)
    with pytest.raises(ResolveError, match=r"agent.example:80 cannot be looked up \(Too many open files\)"):
        found("agent.example", soon)


def test_a_platform_without_unix_sockets(soon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(ResolveError, match="unix:/run/a is a unix socket, and this platform has none; use host:port"):
        found("unix:/run/a", soon)
