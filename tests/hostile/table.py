"""What a scenario is, and the table of all of them.

A scenario says what the server does on a connection, what the client asks for, and what the client has to make of it:
which statuses will do, by when, and for how much memory, processor time and new connections.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from .peer import Peer

__all__ = ["MIB", "TABLE", "Scenario", "add", "answers", "scenario"]

MIB = 1024 * 1024

Play = Callable[[Peer], None]
Answer = Callable[[Peer, int], None]
F = TypeVar("F", bound=Callable[..., None])


@dataclass(frozen=True)
class Scenario:
    """One row: the server's part, the client's part, and the bounds.  Field by field with defaults that fit most."""

    name: str
    """Reads aloud after "a server that …" or as the name of what it sends."""

    play: Play
    """The server's part on one connection; when it returns, the connection is closed."""

    status: frozenset[str]
    """The statuses that the client's call may end with."""

    words: tuple[str, ...] = ()
    """What the details have to contain, in any case of letters; ``{target}`` is the server's address."""

    messages: tuple[bytes, ...] | None = None
    """The messages that the client has to get, when the call ends with OK; None for no matter."""

    trailing: int | None = None
    """How many pairs of trailing metadata the client has to get."""

    shape: str = "unary"
    """What the client calls: a function of ``runner.SHAPES``."""

    size: int = 11
    """Bytes of each message that the client sends."""

    timeout: float = 5.0
    """Seconds that the client gives the call."""

    slack: float = 1.0
    """Seconds beyond the timeout by which the call has to have ended."""

    wait_for_ready: bool = False
    """Whether the client waits through failures to connect."""

    rest: float = 0.0
    """Seconds that the client sits idle after the call, while memory and processor time are still measured."""

    hostile: int | None = None
    """Connections that get this treatment; None for all until the call is over.  The others are good."""

    keeps_connection: bool = False
    """The fault is one call's: the connection has to live on and carry the next call."""

    must_close: bool = False
    """The fault is the connection's: the client has to close it."""

    most_connections: int = 4
    """Hostile connections until the call is over."""

    calls: tuple[int, int] = (0, 4)
    """How often the server may see the call, at least and at most."""

    most_memory: int = 32 * MIB
    """Bytes by which the client may grow, at its peak."""

    most_cpu: float | None = 0.6
    """Seconds of processor time that the client may use until the call is over, ``rest`` included."""

    alone: bool = False
    """Whether the client gets a fresh process, so that its memory is measured sharply."""

    tls: str | None = None
    """What the server does for TLS on hostile connections: a name in ``certificates.Contexts``."""

    client_tls: bool = False
    """Whether the client uses TLS."""

    follow_up_size: int = 1_000
    """Bytes of the good call that follows."""

    options: tuple[tuple[str, Any], ...] = ()
    """More arguments for the client's channel."""


TABLE: list[Scenario] = []


def add(name: str, play: Play, status: str, **more: Any) -> None:
    """Put a scenario into the table; ``status`` holds one or more names, with spaces between."""
    if any(each.name == name for each in TABLE):
        raise ValueError(f"two scenarios are called {name!r}")
    TABLE.append(Scenario(name, play, frozenset(status.split()), **more))


def scenario(name: str, status: str, **more: Any) -> Callable[[F], F]:
    """Decorate a function that plays the server on one connection."""

    def decorate(play: F) -> F:
        add(name, play, status, **more)
        return play

    return decorate


def answers(name: str, status: str, **more: Any) -> Callable[[F], F]:
    """Decorate a function that answers the call on one stream: before it all is well, and after it too."""

    def decorate(answer: F) -> F:
        add(
            name, functools.partial(_play_answer, answer), status, **{"keeps_connection": True, "calls": (1, 1), **more}
        )
        return answer

    return decorate


def _play_answer(answer: Answer, peer: Peer) -> None:
    stream_id = peer.take_call()
    answer(peer, stream_id)
    peer.serve()
