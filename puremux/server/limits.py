"""What clients may ask of a server, and under which names refusals are counted.

Floor 3, I/O: the standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["CALL_REASONS", "CONNECTION_REASONS", "ServerLimits"]

TOO_MANY_CONNECTIONS = "too_many_connections"
NO_TLS = "handshake_failed"
NO_GREETING = "no_greeting"
NOT_READING = "not_reading"
BROKE_PROTOCOL = "protocol_error"

CONNECTION_REASONS: Sequence[str] = (TOO_MANY_CONNECTIONS, NO_TLS, NO_GREETING, NOT_READING, BROKE_PROTOCOL)
"""Why a connection is ended by the server: there are too many; TLS did not come about; nothing was said in time;
what the server sent was not read for long; a rule of HTTP/2 was broken, or the connection flooded."""

UNKNOWN_METHOD = "unknown_method"
MESSAGE_TOO_LARGE = "message_too_large"
TOO_MUCH_PARTIAL = "too_many_partial_messages"

CALL_REASONS: Sequence[str] = (UNKNOWN_METHOD, MESSAGE_TOO_LARGE, TOO_MUCH_PARTIAL)
"""Why a call is ended before a handler has seen all of it."""


class ServerLimits(NamedTuple):
    """What clients may ask."""

    max_connections: int = 20_000
    """Clients connected at one time, those in their TLS handshake included; further ones get a GOAWAY."""

    max_streams: int = 100
    """Calls that a client may have running (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113 §6.5.2)."""

    max_message_bytes: int = 4 * 1024 * 1024
    """Bytes of a message, also after decompression; a larger one ends its call as RESOURCE_EXHAUSTED."""

    max_partial_bytes: int = 64 * 1024 * 1024
    """Bytes of messages that have not come whole, of all clients together.  The client that holds most of them has its
    calls ended as RESOURCE_EXHAUSTED first."""

    greeting_time: float = 10.0
    """Seconds that a client has for its TLS handshake, and again for its first frame."""

    reading_time: float = 30.0
    """Seconds after which a client that takes none of the bytes sent to it is given up."""
