"""A server for h2spec: our protocol core, which answers every request once it has ended, be it gRPC or not.

``python -m tests.interop.h2spec.server`` prints its port, and serves until its standard input ends.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time

import puremux.protocol.inbound
from puremux.errors import LocalProtocolError
from puremux.protocol.connection import Connection
from puremux.protocol.events import Event, HalfClosed
from puremux.protocol.metadata import HeaderList
from puremux.protocol.stream import ServerCall
from puremux.status import StatusCode


class AnyRequest(ServerCall):
    """A call of a client that does not know gRPC: its content-type is any, and its body holds no messages."""

    def receive_data(self, data: bytes) -> list[Event]:
        return []

    def _refusal_of(self, headers: HeaderList) -> HeaderList | None:
        return None


def serve(sock: socket.socket) -> None:
    """One connection, until it ends."""
    connection = Connection(client_side=False)
    connection.initiate()
    with sock, contextlib.suppress(OSError):
        while not connection.has_ended and (data := sock.recv(65_536)):
            for event in connection.receive_data(data, time.monotonic()):
                if isinstance(event, HalfClosed):
                    answer(connection, event.stream_id)
            while data := connection.data_to_send():
                sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65_536):  # what is unread when a socket is closed takes the GOAWAY with it
            pass


def answer(connection: Connection, stream_id: int) -> None:
    with contextlib.suppress(LocalProtocolError):  # the request has been reset in the same breath
        connection.send_headers(stream_id)
        connection.send_message(stream_id, b"hello")
        connection.send_trailers(stream_id, StatusCode.OK)


def accept(listener: socket.socket) -> None:
    while True:
        threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()


def main() -> None:
    """Serve until nobody wants it any more."""
    puremux.protocol.inbound.ServerCall = AnyRequest  # type: ignore[misc]  # h2spec cannot speak gRPC
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
