"""The way to an address: which proxy, what its name means, which of its endpoints accept.

Floor 5, probe: imports findings, sentences, transport and errors.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Union

from ..errors import AddressError, TransportError
from ..transport.address import Address, UnixSocket
from ..transport.dial import connect
from ..transport.proxy import PROXY_VARIABLES, Proxy, proxy_for, tunnel
from ..transport.resolve import Endpoint, resolve
from ..transport.wait import run_blocking
from .findings import Finding, failed, found, left_out
from .sentences import advise

__all__ = ["Way", "find_way", "milliseconds"]

MOST_ENDPOINTS = 8  # that are tried, all at once


def milliseconds(seconds: float) -> float:
    """Seconds as findings tell them."""
    return round(seconds * 1000, 2)


@dataclass(frozen=True)
class Way:
    """A way to the server that was found to be open; every connection of the probe takes it."""

    address: Address
    endpoint: Endpoint
    proxy: Proxy | None

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection.

        Raises:
            TransportError: it is open no more.
        """
        until = time.monotonic() + timeout
        target = self.proxy.address if self.proxy else self.address
        sock = run_blocking(connect([self.endpoint], str(target), until))
        if self.proxy is not None:
            sock = run_blocking(tunnel(sock, self.address, self.proxy, until))
        return sock


Step = Iterator[Union[Finding, Way]]


def find_way(address: Address, timeout: float) -> Step:
    """Look at each part of the way; the last thing yielded is the way, if there is one."""
    try:
        proxy = proxy_for(address, os.environ)
    except AddressError as error:
        yield failed("proxy", str(error).rstrip("."), "Correct the variable, or unset it.")
        return
    yield _proxy_finding(address, proxy)
    target = proxy.address if proxy else address
    began = time.monotonic()
    try:
        endpoints = run_blocking(resolve(target, began + timeout))
    except TransportError as error:
        yield failed("name", *advise(error.message))
        return
    yield _name_finding(target, endpoints, time.monotonic() - began)
    yield from _try_endpoints(address, target, proxy, endpoints, timeout)


def _proxy_finding(address: Address, proxy: Proxy | None) -> Finding:
    if proxy is not None:
        return found("proxy", f"the environment sends us through the HTTP CONNECT proxy {proxy}", proxy=str(proxy))
    named = next((name for name in PROXY_VARIABLES if os.environ.get(name)), None)
    if named is None:
        return left_out("proxy", "none is named in the environment")
    why = "the address is on this machine" if address.is_local else "no_proxy excepts the address"
    return left_out("proxy", f"the one in ${named} is not used: {why}")


def _name_finding(target: Address, endpoints: Sequence[Endpoint], seconds: float) -> Finding:
    places = [endpoint.sockaddr[0] for endpoint in endpoints if isinstance(endpoint.sockaddr, tuple)]
    if any(isinstance(place, UnixSocket) for place in target.places):
        return left_out("name", "a unix socket needs no look-up")
    if all(getattr(place, "ip", None) is not None for place in target.places):
        return left_out("name", "an IP address needs no look-up", addresses=places)
    took = milliseconds(seconds)
    return found("name", f"{target.host} is {', '.join(places)} ({took:g} ms)", addresses=places, milliseconds=took)


@dataclass(frozen=True)
class _Attempt:
    endpoint: Endpoint
    error: TransportError | None
    seconds: float

    def __str__(self) -> str:
        return f"{self.endpoint} {'accepts' if self.error is None else 'does not'} ({milliseconds(self.seconds):g} ms)"


def _try_endpoints(
    address: Address, target: Address, proxy: Proxy | None, endpoints: Sequence[Endpoint], timeout: float
) -> Step:
    tried = endpoints[:MOST_ENDPOINTS]
    with ThreadPoolExecutor(len(tried)) as pool:
        attempts = list(pool.map(lambda endpoint: _attempt(endpoint, target, timeout), tried))
    details = [_as_details(attempt) for attempt in attempts]
    open_ones = [attempt for attempt in attempts if attempt.error is None]
    step = "connection" if proxy is None else "proxy's connection"
    if not open_ones:
        yield failed(step, *_why_none(attempts), attempts=details)
        return
    yield found(step, "; ".join(map(str, attempts)), attempts=details)
    way = Way(address, open_ones[0].endpoint, proxy)
    if proxy is not None:
        began = time.monotonic()
        try:
            way.connect(timeout).close()
        except TransportError as error:
            yield failed("tunnel", *advise(error.message))
            return
        took = milliseconds(time.monotonic() - began)
        yield found("tunnel", f"the proxy connects us to {address} ({took:g} ms)", milliseconds=took)
    yield way


def _why_none(attempts: Sequence[_Attempt]) -> tuple[str, str]:
    """What to say where none accepts: every attempt's own sentence, and the advice for the first."""
    sentences = [advise(attempt.error.message) for attempt in attempts if attempt.error is not None]
    return "; ".join(dict.fromkeys(says for says, _ in sentences)), sentences[0][1]


def _attempt(endpoint: Endpoint, target: Address, timeout: float) -> _Attempt:
    began = time.monotonic()
    error: TransportError | None = None
    try:
        run_blocking(connect([endpoint], str(endpoint), began + timeout)).close()
    except TransportError as failure:
        error = failure
    return _Attempt(endpoint, error, time.monotonic() - began)


def _as_details(attempt: _Attempt) -> dict[str, object]:
    return {
        "endpoint": str(attempt.endpoint),
        "accepts": attempt.error is None,
        "milliseconds": milliseconds(attempt.seconds),
        "error": attempt.error.message if attempt.error is not None else None,
    }
