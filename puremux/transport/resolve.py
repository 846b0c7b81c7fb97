"""From an address to the endpoints a socket can connect to, without blocking on the DNS.

Floor 3, transport: imports errors, address, look_up and wait.
Spec: RFC 8305 §4 (order of the endpoints); RFC 6761 §6.3 (localhost).
"""

from __future__ import annotations

import itertools
import socket
import time
from typing import Any, NamedTuple

from ..errors import ResolveError
from .address import Address, HostPort, UnixSocket
from .look_up import LookUp, look_up
from .wait import Clock, Step, Wait

__all__ = ["Endpoint", "resolve"]


class Endpoint(NamedTuple):
    """One thing that a socket can connect to; ``str()`` writes it as addresses are written."""

    family: int
    """``socket.AF_INET``, ``AF_INET6`` or ``AF_UNIX``."""

    sockaddr: Any
    """What ``socket.connect`` takes in that family."""

    def __str__(self) -> str:
        if isinstance(self.sockaddr, str):
            return str(UnixSocket(self.sockaddr))
        return str(HostPort(*self.sockaddr[:2]))


def resolve(address: Address, until: float, clock: Clock = time.monotonic) -> Step[list[Endpoint]]:
    """Find the endpoints of an address, at least one, in the order in which to try them.

    IP addresses, unix sockets and ``localhost`` need no look-up.  Other names are looked up by the operating
    system on a thread that lives as long as the look-up; when the time is up this step waits for it no more.

    Args:
        address: the address.
        until: time of the clock at which to give up.
    Raises:
        ResolveError: a name has no address, or the answer did not come in time.
    """
    endpoints: list[Endpoint] = []
    for place in address.places:
        if isinstance(place, UnixSocket):
            endpoints.append(_unix_endpoint(place, address))
        elif place.ip is not None:
            endpoints += _numeric(place, address)
        elif place.is_local:
            endpoints += _localhost(place)
        else:
            endpoints += yield from _look_up(place, address, until, clock)
    return _interleaved(endpoints)


def _unix_endpoint(place: UnixSocket, address: Address) -> Endpoint:
    if not hasattr(socket, "AF_UNIX"):
        raise ResolveError(str(address), f"{address} is a unix socket, and this platform has none; use host:port.")
    return Endpoint(socket.AF_UNIX, place.path)


def _numeric(place: HostPort, address: Address) -> list[Endpoint]:
    """Translate an IP address; the operating system does it with a zone, which it alone knows."""
    if "%" not in place.host:
        is_v4 = ":" not in place.host
        return [Endpoint(socket.AF_INET, (place.host, place.port)) if is_v4 else _v6(place.host, place.port)]
    try:
        return _endpoints(socket.getaddrinfo(place.host, place.port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST))
    except OSError as error:
        raise ResolveError(
            str(address),
            f"The IP address {place.host} means nothing on this machine ({error.strerror}); "
            "check the network interface after the %.",
        ) from error


def _localhost(place: HostPort) -> list[Endpoint]:
    """Loopback whatever the DNS says (RFC 6761 §6.3), since nothing but this makes plaintext safe there."""
    endpoints = [Endpoint(socket.AF_INET, ("127.0.0.1", place.port))]
    if socket.has_ipv6:
        endpoints.append(_v6("::1", place.port))
    return endpoints


def _v6(host: str, port: int) -> Endpoint:
    return Endpoint(socket.AF_INET6, (host, port, 0, 0))


def _look_up(place: HostPort, address: Address, until: float, clock: Clock) -> Step[list[Endpoint]]:
    try:
        asked = look_up(place, clock())
        waiter = asked.waiter()
    except OSError as error:  # no more files may be opened
        raise ResolveError(str(address), f"{address} cannot be looked up ({error.strerror}).") from error
    if waiter is not None:
        yield from _wait_for(asked, waiter, until, clock)
    answer = asked.answer
    if answer is None:
        raise ResolveError(
            str(address),
            f"The host name {place.host} in {address} was not resolved in time; check the DNS of this machine.",
        )
    if isinstance(answer, BaseException):
        reason = getattr(answer, "strerror", None) or str(answer)
        advice = ADVICE.get(getattr(answer, "errno", 0) or 0, "check the spelling of the name")
        raise ResolveError(
            str(address),
            f"The host name {place.host} in {address} cannot be resolved ({reason}); {advice}.",
        ) from answer
    return _endpoints(answer)


def _wait_for(asked: LookUp, waiter: socket.socket, until: float, clock: Clock) -> Step[None]:
    try:
        while asked.answer is None and clock() < until:
            yield Wait(until, reading=(waiter,))
    finally:
        waiter.close()


ADVICE: dict[int, str] = {
    socket.EAI_AGAIN: "check the network and the DNS of this machine",
    socket.EAI_FAIL: "check the network and the DNS of this machine",
}


def _endpoints(answers: list[Any]) -> list[Endpoint]:
    return [Endpoint(int(family), sockaddr) for family, _, _, _, sockaddr in answers]


def _interleaved(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Let the families take turns, the first one's first; each keeps its order (RFC 8305 §4)."""
    families: dict[int, list[Endpoint]] = {}
    for endpoint in dict.fromkeys(endpoints):
        families.setdefault(endpoint.family, []).append(endpoint)
    turns = itertools.zip_longest(*families.values())
    return [endpoint for turn in turns for endpoint in turn if endpoint is not None]
