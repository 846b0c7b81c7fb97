"""A well-behaved gRPC server for the tests of the client, on our own protocol core, which does as the test says.

A thread a connection, and one a call.  Its methods, for requests of plain bytes:

============  ==============================================================================
``/t/Echo``   answers each message with itself, as they come, and OK after the last
``/t/Count``  answers the request ``b"3"`` with ``b"0"``, ``b"1"``, ``b"2"``
``/t/Sum``    answers with the number of bytes of all messages
``/t/Hold``   sends its headers, then answers ``b"held"`` once ``server.release`` is set
``/t/Fail``   ends with the status that the request names, such as ``b"ABORTED"``
============  ==============================================================================
"""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from puremux.errors import LocalProtocolError
from puremux.protocol.connection import Connection
from puremux.protocol.events import CallEnded, Event, HalfClosed, MessageReceived, RequestReceived
from puremux.status import StatusCode

LIMIT = 20.0
PING = 6


class Gone(Exception):
    """The client has given the call up, or the connection is lost."""


class ServedCall:
    """One call, seen by its handler."""

    def __init__(self, connection: ServedConnection, request: RequestReceived) -> None:
        self.connection = connection
        self.request = request
        self.cancelled = threading.Event()
        self._messages: queue.Queue[bytes | None] = queue.Queue()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            message = self._messages.get(timeout=LIMIT)
            if self.cancelled.is_set():
                raise Gone
            if message is None:
                return
            self.connection.step(lambda core: core.message_taken(self.request.stream_id))
            yield message

    def take(self, event: Event) -> None:
        if isinstance(event, MessageReceived):
            self._messages.put(event.payload)
        else:
            if isinstance(event, CallEnded):
                self.cancelled.set()
            self._messages.put(None)

    def send_headers(self, metadata: Any = ()) -> None:
        self.connection.step(lambda core: core.send_headers(self.request.stream_id, metadata))

    def send(self, payload: bytes) -> None:
        self.connection.step(lambda core: core.send_message(self.request.stream_id, payload))

    def finish(self, code: StatusCode = StatusCode.OK, details: str = "", metadata: Any = ()) -> None:
        self.connection.step(lambda core: core.send_trailers(self.request.stream_id, code, details, metadata))


class ServedConnection:
    """One connection; its lock guards the protocol core and the order of the bytes written."""

    def __init__(self, server: GrpcServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.pings = 0
        """How many PINGs the client has sent."""
        self.mute = False
        """True to answer nothing any more, as a machine that has lost its power."""
        self.calls: dict[int, ServedCall] = {}
        self.closed = threading.Event()
        self._core = Connection(client_side=False, max_concurrent_streams=server.max_concurrent_streams)
        self._lock = threading.RLock()
        self._head = b""

    def step(self, move: Callable[[Connection], object]) -> None:
        """Let the core make one move, and write what follows from it."""
        with self._lock:
            try:
                move(self._core)
            except LocalProtocolError as error:
                raise Gone from error
            self._write()

    def go_away(self, debug: str = "", error_code: int = 0) -> None:
        self.step(lambda core: core.go_away(error_code, debug=debug))

    def kill(self) -> None:
        """End the connection by a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def run(self) -> None:
        try:
            self.step(Connection.initiate)
            while data := self.sock.recv(65536):
                self._receive(data)
        except OSError:
            pass
        finally:
            for call in list(self.calls.values()):
                call.take(CallEnded(0, StatusCode.CANCELLED))
            self.sock.close()
            self.closed.set()

    def _receive(self, data: bytes) -> None:
        if self.mute:
            return
        with self._lock:
            events = self._core.receive_data(data, time.monotonic())
            self._count_pings(data)
            self._write()
            for event in events + self._core.take_events():
                self._handle(event)
            if self._core.has_ended:
                raise ConnectionError

    def _write(self) -> None:
        while data := self._core.data_to_send():
            if not self.mute:
                self.sock.sendall(data)

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            call = self.calls[event.stream_id] = ServedCall(self, event)
            self.server.start_call(call)
        elif isinstance(event, (MessageReceived, HalfClosed, CallEnded)) and event.stream_id in self.calls:
            self.calls[event.stream_id].take(event)

    def _count_pings(self, data: bytes) -> None:
        data = self._head + data
        while len(data) >= 9:
            if data[:3] == b"PRI":
                data = data[24:]
                continue
            length, kind, flags = int.from_bytes(data[:3], "big"), data[3], data[4]
            if len(data) < 9 + length:
                break
            self.pings += kind == PING and not flags
            data = data[9 + length :]
        self._head = data


class GrpcServer:
    """Listens on an ephemeral port of 127.0.0.1, unless told where; leaving it as a context manager ends it."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
        max_concurrent_streams: int = 100,
    ) -> None:
        self.max_concurrent_streams = max_concurrent_streams
        self.release = threading.Event()
        self.connections: list[ServedConnection] = []
        self.requests: list[RequestReceived] = []
        self.arrived = threading.Semaphore(0)
        """Released once for each call that arrives."""
        self.handlers: dict[str, Callable[[ServedCall], None]] = dict(HANDLERS)
        self._tls = tls
        self._threads: list[threading.Thread] = []
        family, address = (
            (socket.AF_UNIX, path) if path else (socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))
        )
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listener.listen(64)
        self.host = host
        self.port = 0 if path else self._listener.getsockname()[1]
        self.target = f"unix:{path}" if path else f"{f'[{host}]' if ':' in host else host}:{self.port}"
        self._start(self._accept)

    def wait_for_call(self, count: int = 1) -> None:
        """Until so many more calls have arrived."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=LIMIT), "no call arrived"

    def start_call(self, call: ServedCall) -> None:
        self.requests.append(call.request)
        self._start(self._serve, call)
        self.arrived.release()

    def close(self, *, kill: bool = False) -> None:
        """Stop listening, and end every connection: by a reset if asked for."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in self.connections:
            (connection.kill if kill else connection.close)()
        self.release.set()
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(LIMIT)

    def __enter__(self) -> GrpcServer:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._run, sock)

    def _run(self, sock: socket.socket) -> None:
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        connection = ServedConnection(self, sock)
        self.connections.append(connection)
        connection.run()

    def _serve(self, call: ServedCall) -> None:
        try:
            handler = self.handlers.get(call.request.path)
            if handler is None:
                call.finish(StatusCode.UNIMPLEMENTED, "no such method")
            else:
                handler(call)
        except (Gone, OSError):
            pass


def _echo(call: ServedCall) -> None:
    call.send_headers([(key, value) for key, value in call.request.metadata if key.startswith("echo-")])
    for message in call:
        call.send(message)
    trailers = [(key, value) for key, value in call.request.metadata if key.startswith("trailer-")]
    call.finish(metadata=trailers)


def _count(call: ServedCall) -> None:
    (request,) = call
    call.send_headers()
    for index in range(int(request)):
        call.send(b"%d" % index)
    call.finish()


def _sum(call: ServedCall) -> None:
    total = sum(len(message) for message in call)
    call.send_headers()
    call.send(b"%d" % total)
    call.finish()


def _hold(call: ServedCall) -> None:
    call.send_headers()
    while not call.cancelled.is_set():
        if call.connection.server.release.wait(0.01):
            call.send(b"held")
            call.finish()
            return


def _fail(call: ServedCall) -> None:
    (request,) = call
    call.finish(StatusCode[request.decode()], "as asked for")


HANDLERS: dict[str, Callable[[ServedCall], None]] = {
    "/t/Echo": _echo,
    "/t/Count": _count,
    "/t/Sum": _sum,
    "/t/Hold": _hold,
    "/t/Fail": _fail,
}
