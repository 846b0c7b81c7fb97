"""Connecting: the first endpoint to accept wins, each failure has its words, and no socket is left open."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from puremux.errors import ConnectError
from puremux.transport import dial
from puremux.transport.address import parse_address
from puremux.transport.dial import connect, dial_endpoints
from puremux.transport.resolve import Endpoint
from puremux.transport.wait import Step, Wait, run_blocking


def ipv4(port: int) -> Endpoint:
    return Endpoint(socket.AF_INET, ("127.0.0.1", port))


def echo(sock: socket.socket) -> None:
    while data := sock.recv(1000):
        sock.sendall(data)


def echoes(sock: socket.socket) -> bool:
    sock.settimeout(10)
    sock.sendall(b"ping")
    return sock.recv(4) == b"ping"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Every socket that connect() opens."""
    sockets: list[socket.socket] = []
    real = dial._new_socket

    def new_socket(family: int) -> socket.socket:
        sockets.append(real(family))
        return sockets[-1]

    monkeypatch.setattr(dial, "_new_socket", new_socket)
    return sockets


@pytest.mark.parametrize(
    "family, sockaddr",
    [
        pytest.param(socket.AF_INET, ("127.0.0.1", 0), id="IPv4"),
        pytest.param(socket.AF_INET6, ("::1", 0), id="IPv6"),
        pytest.param(socket.AF_UNIX, "agent.sock", id="unix"),
        pytest.param(socket.AF_UNIX, "\0puremux-test", id="unix, abstract"),
    ],
)
def test_connects_and_tunes(
    family: int, sockaddr: Any, serve: Callable[..., Any], soon: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = serve(echo, family, sockaddr)
    place = sockaddr if family == socket.AF_UNIX else server.sockaddr
    with run_blocking(connect([Endpoint(family, place)], "agent", soon)) as sock:
        assert not sock.getblocking() and not sock.get_inheritable()
        if family != socket.AF_UNIX:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert echoes(sock)


def test_a_failure_starts_the_next_attempt_at_once(
    serve: Callable[..., Any], refused_port: int, soon: float, opened: list[socket.socket]
) -> None:
    began = time.monotonic()
    with run_blocking(connect([ipv4(refused_port), ipv4(serve(echo).port)], "agent", soon)) as sock:
        assert echoes(sock)
    assert time.monotonic() - began < dial.ATTEMPT_DELAY
    assert [s.fileno() for s in opened] == [-1, -1]


def test_silence_starts_the_next_attempt_after_250_ms(
    serve: Callable[..., Any], black_hole: Any, clock: Any, opened: list[socket.socket]
) -> None:
    step = connect([Endpoint(socket.AF_INET, black_hole), ipv4(serve(echo).port)], "agent", clock.now + 5, clock)
    first = next(step)
    assert first.until == clock.now + 0.25 and first.writing == (opened[0],)
    clock.now += 0.25
    with run_blocking(step, clock) as sock:
        assert sock is opened[1] and echoes(sock)
    assert opened[0].fileno() == -1


def test_the_slow_one_may_still_win(
    serve: Callable[..., Any],
    black_hole: Any,
    clock: Any,
    opened: list[socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = dial._outcome
    slow_until = clock.now + 0.3
    monkeypatch.setattr(dial, "_outcome", lambda sock: real(sock) if clock.now >= slow_until else errno.EINPROGRESS)
    step = connect([ipv4(serve(echo).port), Endpoint(socket.AF_INET, black_hole)], "agent", clock.now + 5, clock)
    next(step)
    clock.now += 0.25
    assert len(step.send(None).writing) == 2
    clock.now += 0.05
    with run_blocking(step, clock) as sock:
        assert sock is opened[0] and echoes(sock)
    assert opened[1].fileno() == -1


def test_silence_everywhere_ends_in_time(black_hole: Any, opened: list[socket.socket]) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectError) as failed:
        run_blocking(connect([Endpoint(socket.AF_INET, black_hole)] * 2, "agent:1", began + 0.1))
    assert 0.1 <= time.monotonic() - began < 1
    assert str(failed.value) == (
        f"No connection to agent:1: 127.0.0.1:{black_hole[1]} did not answer in time; "
        "check the address, and the firewalls on the way."
    )
    assert {s.fileno() for s in opened} == {-1}


def test_refused_everywhere_says_so_of_each(refused_port: int, soon: float) -> None:
    endpoints = [ipv4(refused_port), Endpoint(socket.AF_INET6, ("::1", refused_port, 0, 0))]
    with pytest.raises(ConnectError) as failed:
        run_blocking(connect(endpoints, "localhost:1", soon))
    assert failed.value.address == "localhost:1"
    assert str(failed.value) == (
        f"No connection to localhost:1: 127.0.0.1:{refused_port} refused, [::1]:{refused_port} refused; "
        "is the server running there?"
    )


def test_no_unix_socket_there(soon: float, tmp_path: Path) -> None:
    path = str(tmp_path / "no.sock")
    with pytest.raises(ConnectError, match="no.sock: it does not exist; is the server running there?"):
        run_blocking(connect([Endpoint(socket.AF_UNIX, path)], f"unix:{path}", soon))


def test_unix_path_that_the_system_does_not_take(soon: float) -> None:
    with pytest.raises(ConnectError, match=r"failed \(Invalid argument\); check the address"):
        run_blocking(connect([Endpoint(socket.AF_UNIX, "x" * 1000)], "unix:xxx", soon))


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[Endpoint, socket.socket]]:
    """A unix socket whose queue is full, and its listener."""
    path = str(tmp_path / "busy.sock")
    queued = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        try:
            while True:
                queued.append(socket.socket(socket.AF_UNIX))
                queued[-1].setblocking(False)
                queued[-1].connect(path)
        except BlockingIOError:
            yield Endpoint(socket.AF_UNIX, path), listener
        finally:
            for sock in queued:
                sock.close()


def test_a_busy_unix_socket_is_tried_again(
    busy: tuple[Endpoint, socket.socket], soon: float, opened: list[socket.socket]
) -> None:
    endpoint, listener = busy
    step = connect([endpoint], str(endpoint), soon)
    wait = next(step)
    assert not wait.writing and wait.until - time.monotonic() <= dial.BUSY_DELAY
    listener.accept()[0].close()
    run_blocking(step).close()
    assert {s.fileno() for s in opened} == {-1}


def test_a_busy_unix_socket_ends_in_time(busy: tuple[Endpoint, socket.socket]) -> None:
    with pytest.raises(ConnectError, match="busy.sock did not answer in time"):
        run_blocking(connect([busy[0]], "unix:busy.sock", time.monotonic() + 0.1))


class FailingSocket:
    """Fails to connect with the given error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def connect_ex(self, sockaddr: Any) -> int:
        return self._code

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "code, story",
    [
        pytest.param(errno.ECONNREFUSED, "refused; is the server running there?", id="refused"),
        pytest.param(errno.ENETUNREACH, "is unreachable; check the network of this machine.", id="network unreachable"),
        pytest.param(errno.EHOSTUNREACH, "is unreachable; check the network of this machine.", id="host unreachable"),
        pytest.param(errno.EADDRNOTAVAIL, "is unreachable; check the network of this machine.", id="no IPv6 here"),
        pytest.param(errno.EACCES, "is forbidden to this process; check its permissions", id="permission"),
        pytest.param(errno.EPERM, "is forbidden to this process; check its permissions", id="firewall of this machine"),
        pytest.param(errno.EAGAIN, "failed (Resource temporarily unavailable); check", id="no local port"),
        pytest.param(errno.EIO, "failed (Input/output error); check the address.", id="any other"),
    ],
)
def test_failures_have_their_words(code: int, story: str, soon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "_new_socket", lambda family: FailingSocket(code))
    with pytest.raises(ConnectError) as failed:
        run_blocking(connect([ipv4(1)], "agent:1", soon))
    assert f"127.0.0.1:1 {story}" in str(failed.value)


def test_no_socket_to_be_had(soon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(family: int) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(dial, "_new_socket", no_socket)
    with pytest.raises(ConnectError, match="needs one more open file than allowed; raise the limit"):
        run_blocking(connect([ipv4(1)], "agent:1", soon))


def test_of_many_failures_four_are_told_and_the_rest_counted(soon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "_new_socket", lambda family: FailingSocket(errno.ENETUNREACH))
    with pytest.raises(ConnectError, match="127.0.0.1:4 is unreachable and 2 more; check the network"):
        run_blocking(connect([ipv4(port) for port in range(1, 7)], "agent:1", soon))


def test_the_advice_is_for_the_failure_nearest_to_success(refused_port: int, soon: float) -> None:
    unreachable = Endpoint(12345, ("::1", 1, 0, 0))  # a family that no kernel has
    with pytest.raises(ConnectError, match="is unreachable, .* refused; is the server running there?"):
        run_blocking(connect([unreachable, ipv4(refused_port)], "agent:1", soon))


def test_connecting_to_oneself_is_a_refusal(refused_port: int, soon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may pick the agent's own port for us; bound to it beforehand, it must."""

    def bound_socket(family: int) -> socket.socket:
        sock = socket.socket(family)
        sock.bind(("127.0.0.1", refused_port))
        sock.setblocking(False)
        return sock

    monkeypatch.setattr(dial, "_new_socket", bound_socket)
    with pytest.raises(ConnectError, match="refused; is the server running there?"):
        run_blocking(connect([ipv4(refused_port)], "agent:1", soon))


def test_closed_early_it_leaves_no_socket_open(black_hole: Any, clock: Any, opened: list[socket.socket]) -> None:
    step = connect([Endpoint(socket.AF_INET, black_hole)] * 2, "agent", clock.now + 5, clock)
    next(step)
    clock.now += 0.25
    step.send(None)
    assert len(opened) == 2
    step.close()
    assert [s.fileno() for s in opened] == [-1, -1]


def test_endpoints_can_be_dialled_by_themselves(serve: Callable[..., Any], soon: float) -> None:
    address = parse_address("agent:1")
    with run_blocking(dial_endpoints([ipv4(serve(echo).port)], address, tls=None, until=soon)) as sock:
        assert echoes(sock)


@pytest.mark.parametrize("says", [b"", b"hi"], ids=["nothing comes", "something comes"])
def test_a_step_on_its_own_goes_on_when_it_can_read_or_at_its_time(says: bytes) -> None:
    ours, theirs = socket.socketpair()
    until = time.monotonic() + (10.0 if says else 0.05)

    def wait() -> Step[float]:
        yield Wait(until, reading=(ours,))
        return time.monotonic()

    with ours, theirs:
        theirs.send(says)
        assert (run_blocking(wait()) >= until) is not bool(says)
