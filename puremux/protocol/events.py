"""What a connection reports: each fact told once, complete when made.

Floor 1, words: the standard library and our own words only.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, Union

from ..errors import Metadata
from ..status import StatusCode

__all__ = [
    "CallEnded",
    "ConnectionEnded",
    "Event",
    "GoAwayReceived",
    "HalfClosed",
    "HeadersReceived",
    "MessageReceived",
    "PingAcknowledged",
    "RequestReceived",
    "SendBufferDrained",
    "SettingsAcknowledged",
    "SettingsReceived",
]

Kind = TypeVar("Kind", bound="type[Any]")


def distinct(kind: Kind) -> Kind:
    """Make a named tuple equal to its own kind only: other events may well hold the same numbers."""

    def is_equal(self: tuple[Any, ...], other: object) -> bool:
        return type(other) is kind and tuple.__eq__(self, other)

    def is_unequal(self: tuple[Any, ...], other: object) -> bool:
        return not is_equal(self, other)

    changed: Any = kind
    changed.__eq__, changed.__ne__, changed.__hash__ = is_equal, is_unequal, tuple.__hash__
    return kind


@distinct
class RequestReceived(NamedTuple):
    """A client opened a call (server's role only).

    Source: gRPC PROTOCOL-HTTP2.md, "Requests", Request-Headers.
    """

    stream_id: int
    """HTTP/2 stream of the call; odd, since the client opened it (RFC 9113 §5.1.1)."""

    path: str
    """``/package.Service/Method``."""

    metadata: Metadata
    """The client's own metadata, without what HTTP/2 and gRPC keep for themselves."""

    timeout: float | None
    """Seconds the client gives the call (``grpc-timeout``), or None for no deadline."""

    authority: str = ""
    """``:authority``: the host the client means to speak to."""


@distinct
class HeadersReceived(NamedTuple):
    """The server's initial metadata arrived; a trailers-only answer has none (client's role only).

    Source: gRPC PROTOCOL-HTTP2.md, "Responses", Response-Headers.
    """

    stream_id: int
    metadata: Metadata


@distinct
class MessageReceived(NamedTuple):
    """One whole gRPC message arrived; its bytes are not parsed yet.

    Source: gRPC PROTOCOL-HTTP2.md, "Requests", Length-Prefixed-Message.
    """

    stream_id: int

    payload: bytes
    """Message bytes without the five-byte prefix, already decompressed."""


@distinct
class HalfClosed(NamedTuple):
    """The client has sent its last message (server's role only; END_STREAM, RFC 9113 §5.1)."""

    stream_id: int


@distinct
class SendBufferDrained(NamedTuple):
    """Every message queued on the call has been put into frames: room for more (RFC 9113 §5.2).

    A server that has sent its status hears of the call for the last time by this.
    """

    stream_id: int


@distinct
class CallEnded(NamedTuple):
    """The call is over; nothing more is reported of its stream (gRPC PROTOCOL-HTTP2.md, "Responses", Trailers).

    A server hears it of calls that it has not ended itself: the client has reset the call, or broke it.
    """

    stream_id: int

    code: StatusCode

    details: str = ""
    """The server's ``grpc-message`` decoded, or our own sentence where no server said one."""

    trailing_metadata: Metadata = ()

    unprocessed: bool = False
    """True when the server's application certainly never saw the call, so that it may be made again elsewhere
    (REFUSED_STREAM, or above GOAWAY's last stream id: RFC 9113 §8.7)."""


@distinct
class SettingsReceived(NamedTuple):
    """The peer's SETTINGS arrived; the first ones make the connection ready for calls (RFC 9113 §6.5)."""

    max_concurrent_streams: int
    """How many calls the peer takes at once, 2**32 when it set no limit."""


@distinct
class SettingsAcknowledged(NamedTuple):
    """The peer has processed everything that we sent before our ``ordinal``-th SETTINGS frame (RFC 9113 §6.5.3)."""

    ordinal: int


@distinct
class PingAcknowledged(NamedTuple):
    """The peer answered our PING (RFC 9113 §6.7)."""

    opaque_data: bytes
    """The eight bytes that we had sent."""


@distinct
class GoAwayReceived(NamedTuple):
    """The peer takes no new calls on this connection; running ones go on (RFC 9113 §6.8)."""

    error_code: int

    last_stream_id: int
    """Calls above this stream id were never processed; each has been reported as ended and unprocessed."""

    debug_data: bytes


@distinct
class ConnectionEnded(NamedTuple):
    """The connection is over, and every call on it has been reported as ended (RFC 9113 §5.4.1, §9.1)."""

    error_code: int
    """HTTP/2 error code (RFC 9113 §7), 0 for an orderly end."""

    reason: str
    """One sentence, without the address, such as "the server closed the connection"."""


Event = Union[
    RequestReceived,
    HeadersReceived,
    MessageReceived,
    HalfClosed,
    SendBufferDrained,
    CallEnded,
    SettingsReceived,
    SettingsAcknowledged,
    PingAcknowledged,
    GoAwayReceived,
    ConnectionEnded,
]
