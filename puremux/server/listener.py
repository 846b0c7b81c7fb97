"""Sockets that listen.

Floor 3, I/O: imports transport.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from pathlib import Path
from typing import Any, Callable

from ..transport.address import HostPort, UnixSocket, parse_address
from ..transport.driver import Driver

__all__ = ["Listener", "open_listener"]

AT_ONCE = 64  # clients accepted before the others have their turn
PAUSE = 0.5  # seconds without accepting when the process has no descriptor left
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 6))  # seconds, seconds, probes


class Listener:
    """A listening socket, watched by a driver.

    Args:
        accepted: called on the driver, under its lock, with each client's socket and address.
    """

    def __init__(self, driver: Driver, sock: socket.socket, accepted: Callable[[socket.socket, str], None]) -> None:
        self._driver = driver
        self._sock = sock
        self._accepted = accepted
        self._pausing = False
        driver.watch(self)

    def fileno(self) -> int:
        """The socket's descriptor; -1 once closed."""
        return self._sock.fileno()

    def events(self) -> int:
        """What the driver is to watch for."""
        return selectors.EVENT_READ if self._sock.fileno() >= 0 and not self._pausing else 0

    def ready(self) -> None:
        """Accept who waits.  On the driver."""
        for _ in range(AT_ONCE):
            try:
                sock, name = self._sock.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:  # still readable: the driver would turn without a rest
                    self._pause()
                return
            _prepare(sock)
            self._accepted(sock, str(HostPort(name[0], name[1])) if isinstance(name, tuple) else "unix")

    def close(self) -> None:
        """Listen no more."""
        self._driver.call_soon(self._close)

    def abandon(self) -> None:
        """Close our copy of the parent's socket.  In a forked child."""
        self._sock.close()

    def _close(self) -> None:
        self._driver.forget(self)
        self._sock.close()

    def _pause(self) -> None:
        self._pausing = True
        self._driver.watch(self)
        self._driver.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        self._pausing = False
        self._driver.watch(self)


def _prepare(sock: socket.socket) -> None:
    """Answer at once; and have the system find out that a client's machine is gone, since silence is no sign of it."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError:
        pass  # it has hung up already


def open_listener(address: str, default_port: int) -> tuple[socket.socket, str]:
    """A socket that listens on an address, port 0 for any free one; and the address with its port.

    Raises:
        AddressError: the address cannot be read.
        OSError: the address cannot be listened on; its message says why.
    """
    any_port = address.endswith(":0")  # no address to connect to, which is what parse_address() reads
    place = parse_address(address[:-2] if any_port else address, default_port).places[0]
    if any_port and isinstance(place, HostPort):
        place = place._replace(port=0)
    sock = _listening_socket(place)
    if isinstance(place, UnixSocket):
        return sock, address
    return sock, str(HostPort(place.host, sock.getsockname()[1]))


def _listening_socket(place: HostPort | UnixSocket) -> socket.socket:
    if isinstance(place, UnixSocket):
        return _bound(socket.socket(socket.AF_UNIX), _freed(place.path))
    try:
        info = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {place}: {error.strerror}") from error
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
    """A unix socket's path, without the socket that a server which is gone has left there; other files stay."""
    if not path.startswith("\0") and Path(path).is_socket():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)  # a server that has no time to accept would have us wait
            if sock.connect_ex(path) == errno.ECONNREFUSED:
                Path(path).unlink()
    return path
