"""The tunnel through an HTTP CONNECT proxy, against scripted ones; and dialling as a whole, which uses it."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any, Callable

import pytest

from puremux.errors import ConnectError, ProxyError, ResolveError, TlsError
from puremux.transport.address import parse_address
from puremux.transport.dial import dial
from puremux.transport.proxy import Proxy, proxy_for, tunnel
from puremux.transport.tls import client_context
from puremux.transport.wait import run_blocking

TARGET = parse_address("agent.example:55678")
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


def read_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        if not data:
            break
        head += data
    return head


class ScriptedProxy:
    """Reads a request, keeps it, sends the answer, and then what the server behind it says."""

    def __init__(self, answer: bytes, server: Callable[[socket.socket], None] | None = None) -> None:
        self._answer, self._server = answer, server
        self.requests: list[bytes] = []

    def __call__(self, sock: socket.socket) -> None:
        self.requests.append(read_head(sock))
        sock.sendall(self._answer)
        if self._server is not None:
            self._server(sock)


def dial_through(proxy: Proxy, until: float, tls: ssl.SSLContext | None = None) -> socket.socket:
    return run_blocking(dial(TARGET, tls=tls, proxy=proxy, until=until))


def proxy_at(server: Any, credentials: str = "") -> Proxy:
    proxy = proxy_for(TARGET, {}, f"http://{credentials}127.0.0.1:{server.port}")
    assert proxy is not None
    return proxy


@pytest.mark.parametrize(
    "credentials, request_head",
    [
        pytest.param(
            "",
            b"CONNECT agent.example:55678 HTTP/1.1\r\nHost: agent.example:55678\r\n\r\n",
            id="no password",
        ),
        pytest.param(
            "me:secret@",
            b"CONNECT agent.example:55678 HTTP/1.1\r\nHost: agent.example:55678\r\n"
            b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n",
            id="a password",
        ),
    ],
)
def test_the_request(credentials: str, request_head: bytes, serve: Callable[..., Any], soon: float) -> None:
    script = ScriptedProxy(OK)
    dial_through(proxy_at(serve(script), credentials), soon).close()
    assert script.requests == [request_head]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK, id="200"),
        pytest.param(b"HTTP/1.0 200\r\n\r\n", id="HTTP/1.0, no reason"),
        pytest.param(b"HTTP/1.1 204 Fine\r\nContent-Length: 5\r\nVia: x\r\n\r\n", id="204 with headers"),
        pytest.param(b"HTTP/1.1 200 OK\n\n", id="bare newlines"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 16_000 + b"\r\n\r\n", id="headers just within the bound"),
    ],
)
def test_not_one_byte_of_the_server_is_lost(answer: bytes, serve: Callable[..., Any], soon: float) -> None:
    """A server may speak first, and its bytes may come in one piece with the proxy's answer."""
    server = serve(ScriptedProxy(answer + b"SETTINGS"))
    with dial_through(proxy_at(server), soon) as sock:
        assert not sock.getblocking()
        sock.settimeout(10)
        assert sock.recv(100) == b"SETTINGS"


def test_an_answer_may_come_byte_by_byte(clock: Any) -> None:
    ours, proxy = socket.socketpair()
    with ours, proxy:
        ours.setblocking(False)
        step = tunnel(ours, TARGET, Proxy(parse_address("proxy")), clock.now + 5, clock)
        assert next(step).reading == (ours,)
        for byte in OK[:-1]:
            proxy.send(bytes([byte]))
            assert step.send(None).reading == (ours,)
        proxy.send(OK[-1:] + b"S")
        assert run_blocking(step, clock).recv(100) == b"S"


def test_tls_goes_through_the_tunnel(
    serve: Callable[..., Any], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, ca: Any, soon: float
) -> None:
    ca.issue_cert("agent.example").configure_cert(server_tls)

    def greet(sock: socket.socket) -> None:
        with server_tls.wrap_socket(sock, server_side=True) as tls:
            tls.send(b"hello")
            tls.recv(1)

    with dial_through(proxy_at(serve(ScriptedProxy(OK, greet))), soon, client_context(client_tls)) as sock:
        sock.settimeout(10)
        assert sock.recv(100) == b"hello"


@pytest.mark.parametrize(
    "answer, story",
    [
        pytest.param(b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered HTTP/1.1 403 Forbidden; check that", id="403"),
        pytest.param(b"HTTP/1.1 502 \x1b[31mBad\r\n\r\n", r" 502 \x1b[31mBad; check", id="control characters"),
        pytest.param(b"HTTP/1.1 407 Who?\r\n\r\n", "refused the user and the password; check those in", id="407"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", "something that is not HTTP/1.1; is it an HTTP proxy?", id="not HTTP/1"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "something that is not HTTP/1.1; is it an HTTP proxy?", id="SSH"),
        pytest.param(b"\r\n\r\n", "something that is not HTTP/1.1; is it an HTTP proxy?", id="an empty line"),
        pytest.param(b"", "closed the connection without an answer; is it an HTTP proxy?", id="nothing"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n", "closed the connection without an answer; is it an HTTP proxy?", id="half an answer"
        ),
        pytest.param(
            b"x" * 100_000,
            "answered with more than 16384 bytes of headers; is it an HTTP proxy?",
            id="an endless answer",
        ),
    ],
)
def test_why_there_is_no_tunnel(answer: bytes, story: str, serve: Callable[..., Any], soon: float) -> None:
    proxy = proxy_at(serve(ScriptedProxy(answer)), "me:secret@")
    with pytest.raises(ProxyError) as failed:
        dial_through(proxy, soon)
    assert failed.value.address == "agent.example:55678"
    assert str(failed.value).startswith(f"The proxy {proxy} on the way to agent.example:55678 ")
    assert story in str(failed.value) and "secret" not in str(failed.value)
    assert str(failed.value)[-2:] not in ("?.", "..")


def test_a_proxy_that_wants_a_password(serve: Callable[..., Any], soon: float) -> None:
    with pytest.raises(ProxyError, match='wants a user and a password; write them as "http://user:password@host:port"'):
        dial_through(proxy_at(serve(ScriptedProxy(b"HTTP/1.1 407 Who?\r\n\r\n"))), soon)


def test_a_proxy_that_says_nothing(serve: Callable[..., Any]) -> None:
    began = time.monotonic()
    server = serve(lambda sock: sock.recv(10_000) and sock.recv(1))
    with pytest.raises(ProxyError, match="on the way to agent.example:55678 did not answer in time."):
        dial_through(proxy_at(server), began + 0.1)
    assert 0.1 <= time.monotonic() - began < 1


def test_a_proxy_that_breaks_off() -> None:
    ours, proxy = socket.socketpair()
    ours.setblocking(False)
    proxy.close()
    with pytest.raises(ProxyError, match=r"broke the connection \(Broken pipe\)."):
        run_blocking(tunnel(ours, TARGET, Proxy(parse_address("proxy")), time.monotonic() + 10))
    assert ours.fileno() == -1


def test_a_proxy_that_breaks_off_when_it_was_asked() -> None:
    ours, proxy = socket.socketpair()
    ours.setblocking(False)
    step = tunnel(ours, TARGET, Proxy(parse_address("proxy")), time.monotonic() + 10)
    next(step)
    proxy.close()  # and has not read what it was asked
    with pytest.raises(ProxyError, match=r"broke the connection \(Connection reset by peer\)."):
        run_blocking(step)
    assert ours.fileno() == -1


def test_a_proxy_that_is_not_there(refused_port: int, soon: float) -> None:
    proxy = Proxy(parse_address(f"127.0.0.1:{refused_port}"))
    with pytest.raises(ProxyError) as failed:
        dial_through(proxy, soon)
    assert str(failed.value) == (
        f"The proxy on the way to agent.example:55678 cannot be reached: No connection to {proxy}: "
        "it refused; is the server running there?"
    )


def test_closed_early_it_closes_its_socket(clock: Any) -> None:
    ours, proxy = socket.socketpair()
    with proxy:
        ours.setblocking(False)
        step = tunnel(ours, TARGET, Proxy(parse_address("proxy")), clock.now + 5, clock)
        next(step)
        step.close()
    assert ours.fileno() == -1


# Dialling without a proxy


def test_dial_in_plaintext(serve: Callable[..., Any], soon: float) -> None:
    server = serve(lambda sock: sock.sendall(b"hello"))
    with run_blocking(dial(parse_address(f"localhost:{server.port}"), tls=None, until=soon)) as sock:
        sock.settimeout(10)
        assert sock.recv(100) == b"hello"


def greeting_server(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def greet(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as tls:
            tls.send(b"hello")
            tls.recv(1)

    return greet


@pytest.mark.parametrize(
    "host, server_name",
    [
        pytest.param("localhost", None, id="the host's name"),
        pytest.param("127.0.0.1", None, id="the IP address"),
        pytest.param("127.0.0.1", "localhost", id="another name on request"),
    ],
)
def test_dial_with_tls(
    host: str,
    server_name: str | None,
    serve: Callable[..., Any],
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    soon: float,
) -> None:
    address = parse_address(f"{host}:{serve(greeting_server(server_tls)).port}")
    step = dial(address, tls=client_context(client_tls), until=soon, server_name=server_name)
    with run_blocking(step) as sock:
        sock.settimeout(10)
        assert sock.recv(100) == b"hello"


def test_dial_verifies_the_name(
    serve: Callable[..., Any], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, soon: float
) -> None:
    address = parse_address(f"127.0.0.1:{serve(greeting_server(server_tls)).port}")
    step = dial(address, tls=client_context(client_tls), until=soon, server_name="agent.example")
    with pytest.raises(TlsError, match="is not for agent.example"):
        run_blocking(step)


def test_dial_names_the_address_as_it_was_written(refused_port: int, soon: float) -> None:
    with pytest.raises(ConnectError, match=f"^No connection to localhost:{refused_port}: "):
        run_blocking(dial(parse_address(f"localhost:{refused_port}"), tls=None, until=soon))


def test_dial_names_a_name_without_an_address(soon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ResolveError, match="^The host name agent.invalid in agent.invalid:443 cannot be resolved"):
        run_blocking(dial(parse_address("agent.invalid"), tls=None, until=soon))
