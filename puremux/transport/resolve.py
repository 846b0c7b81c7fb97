"""From an address to the endpoints a socket can connect to, without blocking on the DNS.

Floor 3, transport: imports errors, address, threads and wait.
Spec: RFC 8305 §4 (order of the endpoints); RFC 6761 §6.3 (localhost).
"""

from __future__ import annotations

import itertools
import socket
import time
from typing import Any, NamedTuple

from ..errors import ResolveError
from .address import Address, HostPort, UnixSocket
from .threads import start_thread
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
    system on a thread that lives as long as the look-up; when the time is up nobody waits for it any more.

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
    """Translate an IP address; the operating system does it, since it alone knows the zones of IPv6."""
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
        endpoints.append(Endpoint(socket.AF_INET6, ("::1", place.port, 0, 0)))
    return endpoints


def _look_up(place: HostPort, address: Address, until: float, clock: Clock) -> Step[list[Endpoint]]:
    try:
        look_up = _LookUp(place)
    except OSError as error:  # no more files may be opened
        raise ResolveError(str(address), f"{address} cannot be looked up ({error.strerror}).") from error
    try:
        look_up.start()
        while not look_up.is_done:
            if clock() >= until:
                raise ResolveError(
                    str(address),
                    f"The host name {place.host} in {address} was not resolved in time; check the DNS of this machine.",
                )
            yield Wait(until, reading=(look_up.done,))
    finally:
        look_up.done.close()
    answer = look_up.answer
    if isinstance(answer, Exception):
        reason = getattr(answer, "strerror", None) or str(answer)
        advice = ADVICE.get(getattr(answer, "errno", 0) or 0, "check the spelling of the name")
        raise ResolveError(
            str(address),
            f"The host name {place.host} in {address} cannot be resolved ({reason}); {advice}.",
        ) from answer
    return _endpoints(answer)


ADVICE: dict[int, str] = {
    socket.EAI_AGAIN: "check the network and the DNS of this machine",
    socket.EAI_FAIL: "check the network and the DNS of this machine",
}


class _LookUp:
    """One ``getaddrinfo`` on a thread of its own, which makes ``done`` readable when there is an answer."""

    def __init__(self, place: HostPort) -> None:
        self._place = place
        self.answer: Any = None  # then getaddrinfo's list, or the exception it raised
        self.done, self._signal = socket.socketpair()
        self.done.setblocking(False)

    @property
    def is_done(self) -> bool:
        return self.answer is not None

    def start(self) -> None:
        """Start on a daemon thread; where those are not allowed on another; at the interpreter's end on this one."""
        if start_thread(self._run, "puremux-resolve") is None:
            self._run()

    def _run(self) -> None:
        try:
            self.answer = socket.getaddrinfo(self._place.ascii_host, self._place.port, 0, socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001  # whatever it is, the waiting step has to hear of it
            self.answer = error
        finally:
            self._tell()

    def _tell(self) -> None:
        try:  # closing alone would not do: a forked child may hold this end open as well
            self._signal.send(b"\0")
        except OSError:
            pass  # nobody waits any more
        self._signal.close()


def _endpoints(answers: list[Any]) -> list[Endpoint]:
    return [Endpoint(int(family), sockaddr) for family, _, _, _, sockaddr in answers]


def _interleaved(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Let the families take turns, the first one's first; each keeps its order (RFC 8305 §4)."""
    families: dict[int, list[Endpoint]] = {}
    for endpoint in dict.fromkeys(endpoints):
        families.setdefault(endpoint.family, []).append(endpoint)
    turns = itertools.zip_longest(*families.values())
    return [endpoint for turn in turns for endpoint in turn if endpoint is not None]
