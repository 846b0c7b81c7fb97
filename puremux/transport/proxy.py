"""HTTP CONNECT proxies: which one, if any, lies on the way to an address, and the tunnel through it.

Floor 3, transport: imports errors, address and wait.
Spec: RFC 9110 §9.3.6 (CONNECT), §11.7 (Proxy-Authorization); RFC 7617 (basic); gRPC doc/environment_variables.md.
"""

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ..errors import AddressError, ProxyError
from .address import Address, HostPort, parse_address
from .wait import Clock, Step, Wait

if TYPE_CHECKING:
    from .address import IpAddress

__all__ = ["Proxy", "proxy_for", "tunnel"]

PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "HTTPS_PROXY", "http_proxy")
"""Where a proxy is named; the first that is set and not empty counts.

HTTP_PROXY is not among them: in a CGI program it holds what a client wrote into a header named Proxy.
"""

NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
"""Where the hosts that need none are listed; the first that is set and not empty counts."""

MAX_ANSWER_SIZE = 16 * 1024
"""Bytes of status line and headers that a proxy may answer with."""


class Proxy(NamedTuple):
    """An HTTP CONNECT proxy; neither ``str()`` nor ``repr()`` shows the password."""

    address: Address
    """Where the proxy is."""

    authorization: str | None = None
    """The value of Proxy-Authorization, from the user and password in the URL."""

    def __repr__(self) -> str:
        return f"Proxy({self})"

    def __str__(self) -> str:
        return str(self.address)


def proxy_for(address: Address, environ: Mapping[str, str], explicit: str | None = None) -> Proxy | None:
    """Find the proxy on the way to an address; None to connect directly.

    The environment means the world outside: addresses of this machine are reached directly.  A caller means what he
    says; but unix sockets lie behind no proxy.

    Args:
        address: where the server is.
        environ: the environment, ``os.environ``.
        explicit: ``"http://user:password@host:port"`` to use this proxy whatever the environment says, ``""`` to
            use none; None to ask the environment.
    Raises:
        AddressError: the proxy's URL cannot be read.
    """
    if not isinstance(address.places[0], HostPort):
        return None
    if explicit is not None:
        return _parse_proxy(explicit, "proxy=") if explicit else None
    if address.is_local:
        return None
    for name in PROXY_VARIABLES:
        if environ.get(name):
            return None if _is_excepted(address, environ) else _parse_proxy(environ[name], f"${name}")
    return None


def _parse_proxy(url: str, source: str) -> Proxy:
    """Read a proxy's URL; the scheme may be missing.  Messages leave the password out."""
    scheme, rest = url.strip().split("://", 1) if "://" in url else ("http", url.strip())
    if scheme.lower() != "http":
        raise AddressError(
            f"The proxy in {source} has the scheme {scheme!r}; expected http://[user:password@]host:port."
        )
    credentials, at, host_port = rest.rpartition("@")
    try:
        address = parse_address(host_port.partition("/")[0], 80)
    except AddressError as error:
        raise AddressError(f"The proxy in {source} cannot be read: {error}") from error
    if not isinstance(address.places[0], HostPort):
        raise AddressError(f"The proxy in {source} is {address}; expected http://[user:password@]host:port.")
    if not at:
        return Proxy(address)
    from urllib.parse import unquote_to_bytes  # few programs need it

    user, _, password = credentials.partition(":")
    token = base64.b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password))
    return Proxy(address, "Basic " + token.decode("ascii"))


def _is_excepted(address: Address, environ: Mapping[str, str]) -> bool:
    listed = next((environ[name] for name in NO_PROXY_VARIABLES if environ.get(name)), "")
    place = address.places[0]
    return isinstance(place, HostPort) and any(_matches(item, place) for item in re.split(r"[\s,]+", listed) if item)


def _matches(item: str, place: HostPort) -> bool:
    """Whether an item of ``no_proxy`` means this place: ``*``, an IP address or network, a domain and all below it."""
    if item == "*":
        return True
    with_port = re.fullmatch(r"(\[.*\]|[^:]*):([0-9]{1,5})", item)  # an IPv6 address without brackets is no such thing
    name, port = with_port.groups() if with_port else (item, None)
    if port is not None and int(port) != place.port:
        return False
    if place.ip is not None:
        return _is_in(place.ip, name.strip("[]"))
    domain = name.lower().lstrip("*").strip(".")
    return bool(domain) and f".{place.ascii_host}".rstrip(".").endswith(f".{domain}")


def _is_in(ip: IpAddress, network: str) -> bool:
    from ipaddress import ip_network

    try:
        return ip in ip_network(network, strict=False)
    except ValueError:
        return False  # the item names a domain


def tunnel(
    sock: socket.socket,
    target: Address,
    proxy: Proxy,
    until: float,
    clock: Clock = time.monotonic,
) -> Step[socket.socket]:
    """Have the proxy connect us to the target; the socket belongs to this step, which closes it when it fails.

    Args:
        sock: connected to the proxy, non-blocking.
        target: where the server is; the proxy resolves its name.
        proxy: what the socket is connected to.
        until: time of the clock at which to give up.
    Raises:
        ProxyError: the proxy refuses, does not speak HTTP, or does not answer in time.
    """
    talk = _Talk(sock, target, proxy, until, clock)
    try:
        yield from talk.send(_request(target, proxy))
        talk.check((yield from talk.receive_head()))
    except BaseException:
        sock.close()
        raise
    return sock


def _request(target: Address, proxy: Proxy) -> bytes:
    lines = [f"CONNECT {target.authority} HTTP/1.1", f"Host: {target.authority}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


class _Talk:
    """One request to a proxy, and the head of its answer."""

    def __init__(self, sock: socket.socket, target: Address, proxy: Proxy, until: float, clock: Clock) -> None:
        self._sock, self._target, self._proxy, self._until, self._clock = sock, target, proxy, until, clock

    def send(self, request: bytes) -> Step[None]:
        while request:
            try:
                request = request[self._sock.send(request) :]
            except BlockingIOError:
                yield self._wait(Wait(self._until, writing=(self._sock,)))
            except OSError as error:
                self._fail(f"broke the connection ({error.strerror}); look into its log")

    def receive_head(self) -> Step[bytes]:
        """Read status line and headers, and not one byte more: what follows is the server's already."""
        head = b""
        while True:
            try:
                data = self._sock.recv(MAX_ANSWER_SIZE + 1 - len(head), socket.MSG_PEEK)
            except BlockingIOError:
                yield self._wait(Wait(self._until, reading=(self._sock,)))
                continue
            except OSError as error:
                self._fail(f"broke the connection ({error.strerror}); look into its log")
            if not data:
                self._fail("closed the connection without an answer; is it an HTTP proxy?")
            end = re.search(rb"\r?\n\r?\n", head + data)
            head += self._sock.recv((end.end() - len(head)) if end else len(data))
            if end:
                return head
            if len(head) > MAX_ANSWER_SIZE:
                self._fail(f"answered with more than {MAX_ANSWER_SIZE} bytes of headers; is it an HTTP proxy?")

    def check(self, head: bytes) -> None:
        """Any 2xx opens the tunnel (RFC 9110 §9.3.6)."""
        status_line = head.decode("latin-1").splitlines()[0][:80]
        match = re.match(r"HTTP/1\.[01] ([0-9]{3})( .*)?$", status_line)
        if match is None:
            self._fail("answered with something that is not HTTP/1.1; is it an HTTP proxy?")
        status = int(match[1])
        if status == 407:
            if self._proxy.authorization is None:
                self._fail('wants a user and a password; write them as "http://user:password@host:port"')
            self._fail("refused the user and the password; check those in its URL")
        if not 200 <= status < 300:
            self._fail(
                f"answered {ascii(status_line)[1:-1]}; check that it may connect there, or list the host in no_proxy"
            )

    def _wait(self, wait: Wait) -> Wait:
        if self._clock() >= self._until:
            self._fail("did not answer in time; check that it runs, and that it is an HTTP proxy")
        return wait

    def _fail(self, story: str) -> NoReturn:
        end = "" if story.endswith("?") else "."
        raise ProxyError(str(self._target), f"The proxy {self._proxy} on the way to {self._target} {story}{end}")
