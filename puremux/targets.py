"""From an address, and what the caller says about connecting, to a target: proxy or not, TLS or not, which names.

Floor 3, I/O: imports balancer, checks, errors, logs, peer and transport.
The rules are told in docs/howto/tls.md and docs/howto/proxy.md.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from .balancer import Target
from .checks import check_flags, check_kinds, check_whole_numbers
from .errors import AddressError
from .logs import CarefulLogger
from .peer import Peer
from .transport.address import Address, host_in
from .transport.dial import dial, dial_endpoints
from .transport.proxy import Proxy, proxy_for
from .transport.resolve import resolve
from .transport.wait import Clock

if TYPE_CHECKING:
    import ssl

__all__ = ["TargetOptions"]

logger = CarefulLogger("puremux")


class TargetOptions:
    """How to connect, as the channel's caller said it.

    Args:
        tls, insecure, authority, proxy: as :class:`puremux.Channel` takes them.
        user_agent: as it is sent.
        max_receive_message_length: bytes; None for no limit.
        clock: tells the time in seconds.
    Raises:
        TypeError, ValueError: one is not of its kind.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        insecure: bool | None,
        authority: str | None,
        user_agent: str,
        max_receive_message_length: int | None,
        proxy: str | None,
        clock: Clock,
    ) -> None:
        check_flags(insecure=insecure)
        check_kinds(str, authority=authority, proxy=proxy)
        if not user_agent.isascii() or not user_agent.isprintable():
            raise ValueError(f"user_agent {user_agent!r} is not printable ASCII")
        check_whole_numbers(0, or_none=True, max_receive_message_length=max_receive_message_length)
        self.tls, self.insecure, self.authority, self.user_agent = tls, insecure, authority, user_agent
        self.max_receive_message_length, self.proxy, self.clock = max_receive_message_length, proxy, clock

    def target(self, address: Address) -> Target:
        """What an address means with these options.

        Raises:
            AddressError: the address of the caller's proxy cannot be read.
            ValueError: the options contradict each other.
        """
        route = self._route(address)
        is_local = address.is_local and route is None  # what a proxy calls localhost is another machine
        plaintext = self.insecure if self.insecure is not None else self.tls is None and is_local
        if plaintext and self.tls is not None:
            raise ValueError("insecure=True means plaintext, which leaves no use for tls=")
        context = None if plaintext else _client_context(self.tls)
        server_name = host_in(self.authority) if self.authority else None
        peer = Peer(
            name=str(address),
            dial=lambda until: dial(
                address, tls=context, proxy=route, until=until, server_name=server_name, clock=self.clock
            ),
            authority=self.authority.encode("idna").decode("ascii") if self.authority else address.authority,
            scheme="http" if plaintext else "https",
            user_agent=self.user_agent,
            max_receive_message_length=self.max_receive_message_length,
        )
        return Target(
            peer,
            resolve=None if route else functools.partial(resolve, address, clock=self.clock),
            dial=lambda endpoint, until: dial_endpoints(
                [endpoint], address, tls=context, until=until, server_name=server_name, clock=self.clock
            ),
        )

    def _route(self, address: Address) -> Proxy | None:
        """The proxy on the way.  A program does not fail for what its environment says, as none of grpcio's does."""
        try:
            return proxy_for(address, os.environ, self.proxy)
        except AddressError as error:
            if self.proxy is not None:
                raise
            logger.warning("puremux: %s  %s is reached without a proxy.", error, address)
            return None


def _client_context(tls: ssl.SSLContext | None) -> ssl.SSLContext:
    from .transport.tls import client_context  # here, since most agents are asked without TLS, and ssl is large

    return client_context(tls)
