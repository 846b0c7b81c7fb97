"""The server: listens, hands calls to their methods, and keeps its clients within bounds.

Floor 3, I/O: imports the rest of ``server``, and methods, transport, protocol, errors and status.
Spec: gRPC PROTOCOL-HTTP2.md, the server's side; RFC 9113 §6.8 (GOAWAY), §10.5 (denial of service).

One driver thread serves every client.  A client that sends slowly, or reads nothing, costs the others nothing: no
socket blocks, a client whose bytes wait is not read from, and what has come of unfinished messages is bounded.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from h2.errors import ErrorCodes

from ..methods import MethodBook
from ..protocol.connection import Connection
from ..transport.driver import Driver
from ..transport.tls import accept_handshake
from .client import Client
from .limits import NO_TLS, TOO_MANY_CONNECTIONS, TOO_MUCH_PARTIAL, ServerLimits
from .listener import Listener, open_listener
from .responder import Method

__all__ = ["Server"]

STEP_TIME = 10.0  # seconds for the driver to do a step that another thread waits for
ASK_EVERY = 0.02  # seconds between two looks whether calls are still running, at the end
LOOK_EVERY = 0.25  # seconds between two looks for clients that read nothing, or send too much that they don't finish


class Server:
    """Serves methods on any number of addresses.

    Args:
        methods: what to call for each path, such as ``/package.Service/Method``.
        tls: a context of :func:`puremux.transport.tls.server_context`, or None for plaintext.
        limits: what clients may ask.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        driver: Driver | None = None,
        tls: ssl.SSLContext | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self.driver = driver or Driver("puremux server")
        self.limits = limits or ServerLimits()
        self.refused_connections: Counter[str] = Counter()
        """By the names in ``limits.CONNECTION_REASONS``."""
        self.refused_calls: Counter[str] = Counter()
        """By the names in ``limits.CALL_REASONS``."""
        self.calls = MethodBook("calls served")
        """What became of the clients' calls, by method."""
        self._methods = methods
        self._tls = tls
        self._listeners: list[Listener] = []
        self._clients: set[Client] = set()
        self._handshakes = 0
        self._received_bytes = 0  # of the clients that there are, when what is unfinished was last summed up
        self._draining = False
        self._closed = False
        self.driver.on_fork(self._after_fork)
        self._look()

    def listen(self, address: str, default_port: int = 443) -> str:
        """Listen on an address, port 0 for any free one; return the address with its port.

        Raises:
            AddressError: the address cannot be read.
            OSError: the address cannot be listened on; its message says why.
        """
        sock, found = open_listener(address, default_port)
        with self.driver.lock:
            self._listeners.append(Listener(self.driver, sock, self.accepted))
        return found

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def do(self, step: Callable[[], None]) -> None:
        """Run a step under the driver's lock: here if it is free, else by the driver, and wait for that.

        The driver of a busy server gives its lock away for moments only, which a thread that waits for it can miss
        for very long.  A driver that has not come to it within ten seconds does it later.
        """
        if self.driver.lock.acquire(blocking=False):
            try:
                step()
            finally:
                self.driver.lock.release()
            return
        done = threading.Event()

        def run() -> None:
            try:
                step()
            finally:
                done.set()

        self.driver.call_soon(run)
        done.wait(STEP_TIME)

    def drain(self) -> None:
        """Take no more clients and calls: close the listeners, and tell the clients by GOAWAY.  Does not wait."""
        self.do(self._drain)

    def wait(self, timeout: float) -> bool:
        """Wait until no call runs and every status is out; False if that takes longer than so many seconds."""
        idle = threading.Event()

        def look() -> None:
            if not any(each.is_busy for each in self._clients):
                idle.set()
            elif not self._closed:
                self.driver.call_later(ASK_EVERY, look)

        self.do(look)
        return idle.wait(timeout)

    def stop(self, grace: float = 0.0) -> None:
        """Drain, let running calls end within ``grace`` seconds, and close everything.  A second time does nothing."""
        if self._closed:
            return
        if grace > 0:
            self.drain()
            self.wait(grace)
        self.do(self._close)
        self.driver.close()

    def _after_fork(self) -> None:
        """In a forked child, whose parent serves on: let go of its sockets, without a word to anybody."""
        self._closed = self._draining = True
        for listener in self._listeners:
            listener.abandon()
        for client in self._clients:
            client.abandon()
        self._listeners, self._clients = [], set()

    # Under the driver's lock

    def _drain(self) -> None:
        self._draining = True
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        for client in list(self._clients):
            client.go_away()

    def _close(self) -> None:
        self._closed = self._draining = True
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        for client in list(self._clients):
            client.close()

    def accepted(self, sock: socket.socket, peer: str) -> None:
        """Serve a new client."""
        if self._closed:
            sock.close()
            return
        if len(self._clients) + self._handshakes >= self.limits.max_connections:
            self._turn_away(sock)
            return
        sock.setblocking(False)
        if self._tls is None:
            self._serve(sock, peer)
            return
        self._handshakes += 1
        until = self.driver.clock() + self.limits.greeting_time
        self.driver.run(accept_handshake(sock, self._tls, peer, until), lambda done, error: self._secured(done, peer))

    def _turn_away(self, sock: socket.socket) -> None:
        """Say why, as far as the client listens."""
        self.refused_connections[TOO_MANY_CONNECTIONS] += 1
        with sock, contextlib.suppress(OSError):
            if self._tls is None:
                sentence = f"this server has {self.limits.max_connections} connections, and takes no more"
                farewell = Connection(client_side=False)
                farewell.initiate()
                farewell.go_away(ErrorCodes.ENHANCE_YOUR_CALM, 0, sentence)
                sock.setblocking(False)
                sock.send(farewell.data_to_send())
                sock.shutdown(socket.SHUT_WR)

    def _secured(self, sock: ssl.SSLSocket | None, peer: str) -> None:
        self._handshakes -= 1
        if sock is None:  # the client has been told by TLS itself
            self.refused_connections[NO_TLS] += 1
        elif self._closed:
            sock.close()
        else:
            self._serve(sock, peer)

    def _serve(self, sock: socket.socket, peer: str) -> None:
        client = Client(self, sock, peer)
        self._clients.add(client)
        if self._draining:
            client.go_away()

    def _look(self) -> None:
        if not self._closed:
            self.driver.call_later(LOOK_EVERY, self._look)
            now, received = self.driver.clock(), 0
            for client in list(self._clients):
                client.check_reading(now)
                received += client.received_bytes
            if abs(received - self._received_bytes) * 8 >= self.limits.max_partial_bytes:  # else it can't be too much
                self._received_bytes = received
                self._weigh()

    def _weigh(self) -> None:
        """Keep what is held of unfinished messages in bounds, at the cost of the clients that hold most."""
        held = {client: client.partial_bytes for client in self._clients}
        too_much = sum(held.values()) - self.limits.max_partial_bytes
        if too_much <= 0:
            return
        sentence = f"this server holds {self.limits.max_partial_bytes} bytes of unfinished messages, and no more"
        for client in sorted(held, key=held.__getitem__, reverse=True):
            self.refused_calls[TOO_MUCH_PARTIAL] += client.end_calls(sentence)
            too_much -= held[client]
            if too_much <= 0:
                return

    # What its clients tell it

    def method(self, path: str) -> Method | None:
        """What serves a path."""
        return self._methods.get(path)

    def ended_connection(self, reason: str) -> None:
        """A connection is ended by the server."""
        self.refused_connections[reason] += 1

    def ended_call(self, reason: str) -> None:
        """A call is ended by the server, before a handler had all of it."""
        self.refused_calls[reason] += 1

    def gone(self, client: Client) -> None:
        """A client's connection is over."""
        self._clients.discard(client)
