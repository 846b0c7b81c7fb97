"""A gRPC server on the sans-I/O core: listens, and hands calls to handlers.

Floor 5, agent: imports transport, protocol, errors and status; knows nothing of OpenCensus.
Spec: gRPC PROTOCOL-HTTP2.md, the server's side; RFC 9113.

One driver thread serves every client.  A handler is called on it, under its lock, and must be quick.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Protocol

from ..errors import LocalProtocolError, Metadata
from ..protocol.connection import Connection
from ..protocol.events import CallEnded, ConnectionEnded, Event, HalfClosed, MessageReceived, RequestReceived
from ..status import StatusCode
from ..transport.address import HostPort, UnixSocket, parse_address
from ..transport.driver import Driver
from ..transport.link import Link
from ..transport.stream import byte_stream
from ..transport.tls import accept_handshake

__all__ = ["Handler", "Responder", "Server"]

HANDSHAKE_TIME = 10.0  # seconds for a client's TLS handshake, and for its first frame


class Handler(Protocol):
    """What a method does with one call."""

    def message(self, payload: bytes) -> None:
        """A message of the client's."""

    def half_closed(self) -> None:
        """The client has sent its last message."""

    def ended(self) -> None:
        """The client cancelled the call, or is gone."""


class Responder:
    """The server's side of one call; nothing happens once the call is over."""

    def __init__(self, link: Link, request: RequestReceived, peer: str, finished: Callable[[int], None]) -> None:
        self.request = request
        self.peer = peer
        """The client's address, as ``host:port``."""
        self.is_finished = False
        self._link = link
        self._stream_id = request.stream_id
        self._finished = finished

    def send(self, payload: bytes) -> None:
        """Send one message, and initial metadata before the first."""
        with contextlib.suppress(LocalProtocolError):
            connection = self._link.connection
            with contextlib.suppress(LocalProtocolError):  # sent before
                connection.send_headers(self._stream_id)
            connection.send_message(self._stream_id, payload)
            self._link.flush()

    def finish(self, code: StatusCode = StatusCode.OK, details: str = "", metadata: Metadata = ()) -> None:
        """End the call with its status."""
        self.is_finished = True
        with contextlib.suppress(LocalProtocolError):
            self._link.connection.send_trailers(self._stream_id, code, details, metadata)
            self._finished(self._stream_id)
            self._link.flush()


Method = Callable[[Responder], Handler]


class Server:
    """Serves methods on any number of addresses.

    Args:
        methods: what to call for each path, such as ``/package.Service/Method``.
        tls: a context of :func:`puremux.transport.tls.server_context`, or None for plaintext.
        max_receive_message_length: bytes; a larger message ends its call as RESOURCE_EXHAUSTED.
        max_connections: further clients are closed at once, and counted in ``refused_connections``.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        driver: Driver | None = None,
        tls: ssl.SSLContext | None = None,
        max_receive_message_length: int | None = 4 * 1024 * 1024,
        max_connections: int = 20_000,
    ) -> None:
        self.driver = driver or Driver("puremux agent")
        self.refused_connections = 0
        self._methods = methods
        self._tls = tls
        self._max_length = max_receive_message_length
        self._max_connections = max_connections
        self._listeners: list[_Listener] = []
        self._clients: set[_Client] = set()
        self._changed = threading.Condition(self.driver.lock)

    def listen(self, address: str, default_port: int = 443) -> str:
        """Listen on an address, port 0 for any free one; return the address with its port.

        Raises:
            AddressError: the address cannot be read.
            OSError: the address cannot be listened on; its message says why.
        """
        any_port = address.endswith(":0")  # no address to connect to, which is what parse_address() reads
        place = parse_address(address[:-2] if any_port else address, default_port).places[0]
        if any_port and isinstance(place, HostPort):
            place = replace(place, port=0)
        sock = _listening_socket(place)
        listener = _Listener(self, sock)
        with self.driver.lock:
            self._listeners.append(listener)
        self.driver.watch(listener)
        if isinstance(place, UnixSocket):
            return address
        return str(HostPort(place.host, sock.getsockname()[1]))

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def stop(self, grace: float = 0.0) -> None:
        """Take no more clients and calls; let running calls end within ``grace`` seconds; close everything."""
        with self.driver.lock:
            for listener in self._listeners:
                listener.close()
            self._listeners = []
            if grace > 0:
                for client in list(self._clients):
                    client.go_away()
                self.driver.wait_for(self._changed, lambda: not any(each.is_busy for each in self._clients), grace)
            for client in list(self._clients):
                client.close()
        self.driver.close()

    # Under the driver's lock

    def accepted(self, sock: socket.socket, peer: str) -> None:
        """Serve a new client."""
        if len(self._clients) >= self._max_connections:
            self.refused_connections += 1
            sock.close()
            return
        sock.setblocking(False)
        if self._tls is None:
            self._serve(sock, peer)
            return
        until = self.driver.clock() + HANDSHAKE_TIME
        self.driver.run(accept_handshake(sock, self._tls, peer, until), lambda done, error: self._secured(done, peer))

    def _secured(self, sock: ssl.SSLSocket | None, peer: str) -> None:
        if sock is not None:  # a client that fails the handshake has been told by TLS itself
            self._serve(sock, peer)

    def _serve(self, sock: socket.socket, peer: str) -> None:
        self._clients.add(_Client(self, sock, peer))

    def method(self, path: str) -> Method | None:
        """What serves a path."""
        return self._methods.get(path)

    def new_connection(self, peer: str) -> Connection:
        """The protocol for one client."""
        return Connection(client_side=False, max_receive_message_length=self._max_length, peer=peer)

    def gone(self, client: _Client) -> None:
        """A client's connection ended."""
        self._clients.discard(client)
        self._changed.notify_all()

    def call_gone(self) -> None:
        """One of the calls ended."""
        self._changed.notify_all()


class _Listener:
    """A listening socket."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def events(self) -> int:
        return selectors.EVENT_READ if self._sock.fileno() >= 0 else 0

    def ready(self) -> None:
        for _ in range(64):
            try:
                sock, name = self._sock.accept()
            except OSError:  # nobody waits any more, or this process has no descriptor left for them
                return
            self._server.accepted(sock, f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix")

    def close(self) -> None:
        self._server.driver.call_soon(self._close)

    def _close(self) -> None:
        self._server.driver.forget(self)
        self._sock.close()


class _Client:
    """One client's connection and its calls."""

    def __init__(self, server: Server, sock: socket.socket, peer: str) -> None:
        self.calls: dict[int, Handler] = {}
        self._server = server
        self._peer = peer
        self._link = Link(server.driver, byte_stream(sock, peer), server.new_connection(peer), self._handle)
        self._link.flush()
        server.driver.call_later(HANDSHAKE_TIME, self._check_greeting)

    @property
    def is_busy(self) -> bool:
        """True while a call runs, or its status is not out."""
        return self._link.connection.calls > 0 or self._link.backlog > 0

    def go_away(self) -> None:
        """Take no more calls from this client."""
        self._link.connection.go_away()
        self._link.flush()

    def close(self) -> None:
        self._link.close()

    def _check_greeting(self) -> None:
        if not self._link.connection.is_ready:
            self._link.close()

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event)
        elif isinstance(event, MessageReceived):
            handler = self.calls.get(event.stream_id)
            if handler is not None:
                handler.message(event.payload)
            self._link.connection.message_taken(event.stream_id)
        elif isinstance(event, HalfClosed):
            handler = self.calls.get(event.stream_id)
            if handler is not None:
                handler.half_closed()
        elif isinstance(event, CallEnded):
            handler = self.calls.get(event.stream_id)
            if handler is not None:
                handler.ended()
            self._finished(event.stream_id)
        elif isinstance(event, ConnectionEnded):
            self._server.gone(self)

    def _begin(self, request: RequestReceived) -> None:
        responder = Responder(self._link, request, self._peer, self._finished)
        method = self._server.method(request.path)
        if method is None:
            responder.finish(StatusCode.UNIMPLEMENTED, f"no method {request.path} here")
        else:
            handler = method(responder)
            if not responder.is_finished:
                self.calls[request.stream_id] = handler

    def _finished(self, stream_id: int) -> None:
        self.calls.pop(stream_id, None)
        self._server.call_gone()


def _listening_socket(place: HostPort | UnixSocket) -> socket.socket:
    if isinstance(place, UnixSocket):
        return _bound(socket.socket(socket.AF_UNIX), _freed(place.path))
    info = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(info[0], info[1])
    if os.name == "posix":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # restart on the port of connections just closed
    return _bound(sock, info[4])


def _bound(sock: socket.socket, where: Any) -> socket.socket:
    try:
        sock.bind(where)
        sock.listen(1024)
    except OSError as error:
        sock.close()
        name = where if isinstance(where, str) else f"{where[0]}:{where[1]}"
        raise OSError(error.errno, f"cannot listen on {name}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def _freed(path: str) -> str:
    """A unix socket's path, without the file that a server which is gone has left there."""
    if not path.startswith("\0") and Path(path).exists():
        with socket.socket(socket.AF_UNIX) as sock:
            if sock.connect_ex(path) == errno.ECONNREFUSED:
                Path(path).unlink()
    return path
