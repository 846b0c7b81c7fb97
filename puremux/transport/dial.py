"""From an address to a connected socket: resolve, connect, pass the proxy, shake hands.  Nothing in it blocks.

Floor 3, transport: imports errors, address, resolve, proxy, tls and wait.
Spec: RFC 8305 §5 (happy eyeballs).
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import ConnectError, ProxyError, TransportError
from .address import Address
from .proxy import Proxy, tunnel
from .resolve import Endpoint, resolve
from .wait import Clock, Step, Wait, run_blocking

if TYPE_CHECKING:
    import ssl

__all__ = ["Wait", "connect", "dial", "dial_endpoints", "run_blocking"]

ATTEMPT_DELAY = 0.25
"""Seconds between the starts of two attempts while none has succeeded (RFC 8305 §8)."""

BUSY_DELAY = 0.05
"""Seconds after which a unix socket whose queue was full is tried again; no selector tells when it has room."""


def dial(
    address: Address,
    *,
    tls: ssl.SSLContext | None,
    until: float,
    proxy: Proxy | None = None,
    server_name: str | None = None,
    clock: Clock = time.monotonic,
) -> Step[socket.socket]:
    """Make a connection to an address; the socket returned does not block.

    Args:
        address: where the server is.
        tls: a context from ``client_context``; None for plaintext.
        until: time of the clock at which to give up, whichever step is under way.
        proxy: from ``proxy_for``; None to connect directly.
        server_name: the name that the certificate must have, if not the address's host.
    Raises:
        TransportError: by its subclass the step that failed, by its message why and what to do.
    """
    if proxy is None:
        endpoints = yield from resolve(address, until, clock)
        return (
            yield from dial_endpoints(endpoints, address, tls=tls, until=until, server_name=server_name, clock=clock)
        )
    sock = yield from _connect_to_proxy(proxy, address, until, clock)
    sock = yield from tunnel(sock, address, proxy, until, clock)
    return (yield from _secured(sock, address, tls, server_name, until, clock))


def dial_endpoints(
    endpoints: Sequence[Endpoint],
    address: Address,
    *,
    tls: ssl.SSLContext | None,
    until: float,
    server_name: str | None = None,
    clock: Clock = time.monotonic,
) -> Step[socket.socket]:
    """Make a connection to one of the endpoints that ``resolve`` found for the address; else as ``dial``."""
    sock = yield from connect(endpoints, str(address), until, clock)
    return (yield from _secured(sock, address, tls, server_name, until, clock))


def _secured(
    sock: socket.socket,
    address: Address,
    tls: ssl.SSLContext | None,
    server_name: str | None,
    until: float,
    clock: Clock,
) -> Step[socket.socket]:
    if tls is None:
        return sock
    from .tls import handshake  # here, since most agents are asked without TLS, and ssl is large

    return (yield from handshake(sock, tls, server_name or address.host, str(address), until, clock))


def _connect_to_proxy(proxy: Proxy, address: Address, until: float, clock: Clock) -> Step[socket.socket]:
    try:
        endpoints = yield from resolve(proxy.address, until, clock)
        return (yield from connect(endpoints, str(proxy.address), until, clock))
    except TransportError as error:
        raise ProxyError(str(address), f"The proxy on the way to {address} cannot be reached: {error}") from error


def connect(
    endpoints: Sequence[Endpoint],
    address: str,
    until: float,
    clock: Clock = time.monotonic,
) -> Step[socket.socket]:
    """Connect to the first endpoint that accepts; the others get a start each 250 ms, or when one fails.

    Args:
        endpoints: at least one, in the order in which to try them.
        address: how error messages name the server.
        until: time of the clock at which to give up.
    Raises:
        ConnectError: none accepts; the message tells what each of them did.
    """
    race = _Race(endpoints, clock())
    try:
        while race.is_open:
            now = clock()
            race.start_attempts(now)
            if race.finish_attempts(now) or now >= until:
                break
            if race.is_open and race.next_start > now:
                yield Wait(min(until, race.next_start), writing=tuple(race.attempts))
        return race.result(address)
    finally:
        race.close()


class _Race:
    """Attempts to connect, of which one may win."""

    def __init__(self, endpoints: Sequence[Endpoint], now: float) -> None:
        self._waiting: deque[Endpoint] = deque(endpoints)
        self._failures: dict[Endpoint, int] = {}
        self._winner: socket.socket | None = None
        self._next_start = now
        self.attempts: dict[socket.socket, Endpoint] = {}
        """Sockets under way, each to be watched for writing."""

    @property
    def is_open(self) -> bool:
        """Whether there is anything left that may win."""
        return bool(self.attempts or self._waiting)

    @property
    def next_start(self) -> float:
        """Time of the clock at which the next attempt starts; endless when there is none."""
        return self._next_start if self._waiting else float("inf")

    def start_attempts(self, now: float) -> None:
        while self._waiting and now >= self._next_start:
            endpoint = self._waiting.popleft()
            self._next_start = now + ATTEMPT_DELAY
            self._start(endpoint, now)

    def _start(self, endpoint: Endpoint, now: float) -> None:
        try:
            sock = _new_socket(endpoint.family)
        except OSError as error:
            self._fail(endpoint, error.errno or errno.EINVAL, now)
            return
        try:
            code = sock.connect_ex(endpoint.sockaddr)
        except OSError as error:  # the sockaddr itself is refused, such as a path too long
            code = error.errno or errno.EINVAL
        if code == 0 or code in UNDER_WAY:
            self.attempts[sock] = endpoint
            return
        sock.close()
        if code == errno.EAGAIN and isinstance(endpoint.sockaddr, str):
            self._waiting.append(endpoint)
            self._next_start = now + BUSY_DELAY
        else:
            self._fail(endpoint, code, now)

    def finish_attempts(self, now: float) -> bool:
        """See how the attempts stand; return whether one of them has won."""
        for sock, endpoint in list(self.attempts.items()):
            code = _outcome(sock)
            if code == 0:
                del self.attempts[sock]
                self._winner = sock
                return True
            if code != errno.EINPROGRESS:
                del self.attempts[sock]
                sock.close()
                self._fail(endpoint, code, now)
        return False

    def _fail(self, endpoint: Endpoint, code: int, now: float) -> None:
        self._failures[endpoint] = code
        self._next_start = now  # RFC 8305 §5: a failure starts the next attempt at once

    def result(self, address: str) -> socket.socket:
        """The winner, whose owner is the caller now; without one, ConnectError."""
        if self._winner is None:
            unfinished = dict.fromkeys([*self.attempts.values(), *self._waiting], errno.ETIMEDOUT)
            raise ConnectError(address, _explain(address, {**self._failures, **unfinished}))
        _tune(self._winner)
        winner, self._winner = self._winner, None
        return winner

    def close(self) -> None:
        for sock in self.attempts:
            sock.close()
        if self._winner is not None:
            self._winner.close()


UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EINTR, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)})


def _new_socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def _outcome(sock: socket.socket) -> int:
    """How an attempt to connect stands: 0 for connected, EINPROGRESS, or the error it ended with."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        return code
    try:
        peer = sock.getpeername()
    except OSError as error:
        return errno.EINPROGRESS if error.errno == errno.ENOTCONN else error.errno or errno.EINVAL
    # On loopback a socket can connect to itself, where the agent's port is one that the system gives to clients
    # too (as 55678 is on Linux): it would talk to itself, and keep the agent from its port.
    if sock.family != getattr(socket, "AF_UNIX", None) and peer == sock.getsockname():
        return errno.ECONNREFUSED
    return 0


def _tune(sock: socket.socket) -> None:
    """Send at once, and let the kernel notice a peer that is gone (bounds in seconds; TCP_USER_TIMEOUT's in ms)."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, name):
            try:
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            except OSError:
                pass  # an option that the headers know and the kernel does not; only a refinement


IS_IT_RUNNING = "is the server running there?"
UNREACHABLE = ("is unreachable", "check the network of this machine.")
FORBIDDEN = ("is forbidden to this process", "check its permissions, or the firewall of this machine.")

FAILURES: Mapping[int, tuple[str, str]] = {  # what happened, and what to do; the first is nearest to success
    errno.ECONNREFUSED: ("refused", IS_IT_RUNNING),
    errno.ECONNRESET: ("reset the connection", IS_IT_RUNNING),
    errno.ENOENT: ("does not exist", IS_IT_RUNNING),
    errno.ETIMEDOUT: ("did not answer in time", "check the address, and the firewalls on the way."),
    errno.ENETUNREACH: UNREACHABLE,
    errno.EHOSTUNREACH: UNREACHABLE,
    errno.EADDRNOTAVAIL: UNREACHABLE,
    errno.EAFNOSUPPORT: UNREACHABLE,
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EMFILE: ("needs one more open file than allowed", "raise the limit (ulimit -n), or close some."),
}


def _explain(address: str, failures: Mapping[Endpoint, int]) -> str:
    """The sentence for a race without a winner; the advice is for the failure nearest to success."""
    stories: list[str] = []
    advice = "check the address."
    for code in FAILURES:
        if code in failures.values():
            _, advice = FAILURES[code]
            break
    for endpoint, code in failures.items():
        words, _ = FAILURES.get(code) or (f"failed ({os.strerror(code)})", "")
        stories.append(f"it {words}" if str(endpoint) == address else f"{endpoint} {words}")
    more = f" and {len(stories) - 4} more" if len(stories) > 4 else ""
    return f"No connection to {address}: {', '.join(stories[:4])}{more}; {advice}"
