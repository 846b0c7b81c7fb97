"""A small HTTP server for pages: threads in bounded number, requests in bounded time.

Floor 5, for the faces that show pages: imports logs and the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import socketserver
import threading
import time
import weakref
from typing import Any, Callable
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from .logs import CarefulLogger

__all__ = ["PageServer", "serve_wsgi"]

logger = CarefulLogger("puremux.page")

REQUESTS = 32  # served at one time, a thread each
TURN = 2.0  # seconds that whoever comes then waits for a thread before he is turned away
PATIENCE = 30.0  # seconds that a client may stand still
LONGEST = 120.0  # seconds for a request as a whole
CLOSING = 5.0  # seconds for requests that run to end
PAUSE = 0.5  # seconds without accepting when the process has no descriptor left
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
HIGHEST_PORT = 65_535
BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"


class PageServer:
    """A page that is being served; :meth:`close` ends that."""

    def __init__(self, server: _Server, path: str) -> None:
        self._server = server
        self._path = path
        self.host, self.port = server.server_address[:2]
        """The port is the one it got, if any free one was asked for."""
        self._closed = False
        self._thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="puremux page", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to look."""
        host = str(self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self._path}"

    def close(self) -> None:
        """Serve no more; requests that run have a few seconds to end.  A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():  # else this is a forked child, where nobody would hear of the end
            self._server.shutdown()
            self._thread.join(CLOSING)
        self._server.server_close()
        self._server.wait(CLOSING)


def serve_wsgi(app: Callable[..., Any], host: str, port: int, path: str = "/metrics") -> PageServer:
    """Serve a WSGI application on threads of its own.

    Args:
        port: 0 for any free one.
        path: where to look first; part of the page's URL.
    Raises:
        OSError: the address cannot be listened on; the message names it.
        ValueError: the port is none.
    """
    if not 0 <= port <= HIGHEST_PORT:  # getaddrinfo() would take another one for it
        raise ValueError(f"a port is a number from 0 to {HIGHEST_PORT}, not {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = _Server(family, address[:2])
    except OSError as error:
        raise OSError(error.errno, f"cannot serve a page on {host}:{port}: {error.strerror or error}") from error
    server.set_app(_guarded(app))
    return PageServer(server, path)


def _guarded(app: Callable[..., Any]) -> Callable[..., Any]:
    """The application; what it raises is logged, and answered with 500."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            return app(environ, start_response)
        except Exception as error:  # noqa: BLE001  whatever it is, the log is told
            logger.error("puremux: the page %r could not be made", environ.get("PATH_INFO"), error=error)
            start_response("500 Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"This page could not be made; the log says why.\n"]

    return serve


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        """Bound every wait for the client."""
        super().setup()
        self.connection.settimeout(PATIENCE)

    def log_message(self, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""

    def get_stderr(self) -> io.StringIO:
        """Where wsgiref would print a traceback when a client is too slow."""
        return io.StringIO()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, family: socket.AddressFamily, address: Any) -> None:
        self.address_family = family
        self._begin()
        super().__init__(address, _Handler)
        _SERVERS.add(self)

    def _begin(self) -> None:
        self._slots = threading.Semaphore(REQUESTS)
        self._running: dict[Any, float] = {}
        """When each request began."""

    def let_go(self) -> None:
        """In a forked child: hold neither the port, which is the parent's to serve, nor who asks it for a page."""
        for request in [self.socket, *self._running]:
            request.close()
        self._begin()

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, which can take long, as WSGIServer does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a client; without descriptors it stays where it is, and the loop would turn without a rest."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in EXHAUSTED:
                time.sleep(PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a request on a thread, if one is free."""
        if not self._slots.acquire(timeout=TURN):
            request.settimeout(1.0)
            request.sendall(BUSY)
            self.shutdown_request(request)
            return
        self._running[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads can be started
            self._ended(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._ended(request)

    def _ended(self, request: Any) -> None:
        self._running.pop(request, None)
        self._slots.release()

    def service_actions(self) -> None:
        """End requests that take too long: a client that sends a byte now and then stands never still."""
        before = time.monotonic() - LONGEST
        for request, began in list(self._running.items()):
            if began < before:
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or is too slow, is no news either."""

    def wait(self, timeout: float) -> None:
        """Wait until the requests that run have ended."""
        until = time.monotonic() + timeout
        for _ in range(REQUESTS):
            if not self._slots.acquire(timeout=max(0.0, until - time.monotonic())):
                return


_SERVERS: weakref.WeakSet[_Server] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for server in list(_SERVERS):
        server.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
