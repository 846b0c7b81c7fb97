"""Where a channel connects to, and how it watches over a connection: words of session, subchannel and balancer.

Floor 3, I/O: imports checks, and a word of transport.
Spec: gRPC doc/keepalive.md.
"""

from __future__ import annotations

import socket
from typing import Callable, NamedTuple

from .checks import check_numbers
from .transport.wait import Step

__all__ = ["Health", "Keepalive", "Peer"]


class _Keepalive(NamedTuple):
    time: float
    timeout: float
    permit_without_calls: bool


class Keepalive(_Keepalive):
    """PINGs that tell a dead connection from a quiet one (doc/keepalive.md).  Servers punish too many of them.

    Args:
        time: seconds without a byte received before a PING is sent; doubled whenever a server says too_many_pings.
        timeout: seconds to wait for its acknowledgement.
        permit_without_calls: PINGs also while no call runs; many servers forbid it.
    Raises:
        TypeError, ValueError: ``time`` is no number from 1 second up, or ``timeout`` none above 0.
    """

    __slots__ = ()

    def __new__(cls, time: float = 300.0, timeout: float = 20.0, permit_without_calls: bool = False) -> Keepalive:
        """Check the times."""
        check_numbers("seconds", of="Keepalive", time=time, timeout=timeout)
        if time < 1:
            raise ValueError(f"Keepalive: time takes at least 1 second, not {time!r}")
        return super().__new__(cls, time, timeout, permit_without_calls)


class Health:
    """How a connection is watched.

    Args:
        ping_interval: seconds of silence, after which a PING asks whether the peer is there; None for never.
        ping_timeout: seconds that its answer may take.
        ping_without_calls: whether to ask while there is no call, too.
        idle_timeout: seconds without a call, after which the connection is closed; None for never.
    """

    def __init__(
        self,
        ping_interval: float | None = None,
        ping_timeout: float = 20.0,
        ping_without_calls: bool = False,
        idle_timeout: float | None = None,
    ) -> None:
        self.ping_interval, self.ping_timeout = ping_interval, ping_timeout
        self.ping_without_calls, self.idle_timeout = ping_without_calls, idle_timeout


class Peer(NamedTuple):
    """Where a subchannel connects to, and how it speaks there."""

    name: str
    """The address as the user wrote it; sentences use it."""

    dial: Callable[[float], Step[socket.socket]]
    """Makes the steps that connect, given the time until which they may take."""

    authority: str
    scheme: str
    user_agent: str
    max_receive_message_length: int | None
