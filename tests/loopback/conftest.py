"""What loopback tests share: certificates, and servers of a few lines on ephemeral ports."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from puremux.channel import Channel
from tests.loopback.channels import Time
from tests.loopback.grpc_server import GrpcServer
from tests.shared.scripted_agent import NewAgent, ScriptedAgent

LIMIT = 10.0
"""Seconds after which a loopback test that hangs fails; none needs as many tenths."""

Handler = Callable[[socket.socket], None]


@pytest.fixture(scope="session")
def ca() -> Any:
    """The certificate authority that clients and servers of the tests trust."""
    return pytest.importorskip("trustme").CA()


@pytest.fixture(scope="session")
def strange_ca() -> Any:
    """One that nobody trusts."""
    return pytest.importorskip("trustme").CA()


@pytest.fixture
def server_tls(ca: Any) -> ssl.SSLContext:
    """A server for localhost that offers h2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture
def client_tls(ca: Any) -> ssl.SSLContext:
    """A client as a user would make one who has an authority of his own."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    return context


class Server:
    """Listens, and gives every connection to a handler on a thread of its own."""

    def __init__(self, handler: Handler, family: int, sockaddr: Any) -> None:
        self._handler = handler
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind(sockaddr)
        self._listener.listen()
        self.sockaddr = self._listener.getsockname()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self.sockaddr[1])

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._handle, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _handle(self, sock: socket.socket) -> None:
        sock.settimeout(LIMIT)
        with sock:
            try:
                self._handler(sock)
            except OSError:
                pass  # the client under test may break off whenever it likes

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept() up
        except OSError:
            pass
        self._listener.close()
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "a server of the test hangs"


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """``serve(handler, family=AF_INET, sockaddr=("127.0.0.1", 0))`` starts a server; it ends with the test."""
    servers: list[Server] = []

    def start(handler: Handler, family: int = socket.AF_INET, sockaddr: Any = ("127.0.0.1", 0)) -> Server:
        servers.append(Server(handler, family, sockaddr))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def refused_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """Where connection attempts get no answer at all: a listener whose queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        queued = []
        try:
            for _ in range(16):
                queued.append(socket.socket())
                queued[-1].settimeout(0.1)
                queued[-1].connect(listener.getsockname())
            pytest.skip("this kernel accepts without end")
        except OSError:  # socket.timeout is no TimeoutError on Python 3.9
            yield listener.getsockname()
        finally:
            for sock in queued:
                sock.close()


@pytest.fixture
def soon() -> float:
    """A bound that no step should need, in the time of the monotonic clock."""
    return time.monotonic() + LIMIT


class FakeClock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def new_agent() -> Iterator[NewAgent]:
    """``new_agent(address=..., **limits)`` starts an agent; it ends with the test."""
    agents: list[ScriptedAgent] = []

    def start(**options: Any) -> ScriptedAgent:
        agents.append(ScriptedAgent(**options))
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop()


@pytest.fixture
def agent(new_agent: NewAgent) -> ScriptedAgent:
    """An agent that confirms what it is sent, or does as the test tells it."""
    return new_agent()


# Channels and their server


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    """A gRPC server with the methods that tests call."""
    with GrpcServer() as server:
        yield server


@pytest.fixture
def channel(server: GrpcServer) -> Iterator[Channel]:
    """A channel to it."""
    with Channel(server.target) as channel:
        yield channel


@pytest.fixture
def stopped() -> Iterator[Time]:
    """A clock that stands still, and its driver."""
    stopped = Time()
    yield stopped
    stopped.driver.close()


# TLS


@pytest.fixture
def ends() -> Any:
    """Two connected sockets, the client's (non-blocking) and the server's (with a time-out)."""
    client, server = socket.socketpair()
    client.setblocking(False)
    server.settimeout(10)
    with client, server:
        yield client, server


class InBackground:
    """Runs a function that returns a socket on a thread; ``result()`` returns or raises what it did."""

    def __init__(self, function: Callable[..., ssl.SSLSocket], *args: Any) -> None:
        self._returned: ssl.SSLSocket | None = None
        self._raised: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., ssl.SSLSocket], args: Any) -> None:
        try:
            self._returned = function(*args)
        except Exception as error:
            self._raised = error

    def result(self) -> Any:
        self._thread.join(10)
        if self._raised:
            raise self._raised
        return self._returned

    def close(self) -> None:
        self._thread.join(10)
        if self._returned:
            self._returned.close()


@pytest.fixture
def in_background() -> Any:
    """Starts ``InBackground``; what it returns is closed with the test."""
    started: list[InBackground] = []

    def start(*args: Any) -> InBackground:
        started.append(InBackground(*args))
        return started[-1]

    yield start
    for background in started:
        background.close()


@pytest.fixture
def serve_tls(in_background: Any) -> Any:
    """A server that others wrote, the standard library's; it shakes hands and blocks."""

    def shake_hands(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        tls = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            tls.do_handshake()
        except OSError:
            tls.close()
            raise
        return tls

    return lambda *args: in_background(shake_hands, *args)


@pytest.fixture
def connect_tls(in_background: Any) -> Any:
    """A client that others wrote."""

    def shake_hands(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        sock.settimeout(10)
        return context.wrap_socket(sock, server_hostname="localhost")

    return lambda *args: in_background(shake_hands, *args)
