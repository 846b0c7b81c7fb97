"""A call as the channel deals with it: wait for a connection, run on it, perhaps on another, end once.

Floor 3, I/O: imports checks, methods, transport, protocol, errors and status.
Spec: gRPC PROTOCOL-HTTP2.md; doc/statuscodes.md; the A6 proposal for what may be made again.

:class:`CallBase` tells what happens by hooks, which run under the driver's lock.  ``Call`` in call.py waits on it, for
people and threads.  The exporter has its own, which never waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .checks import checked_timeout
from .copies import NoCopies
from .errors import LocalProtocolError, Metadata
from .methods import MethodBook
from .protocol.events import CallEnded, Event, HeadersReceived, MessageReceived, SendBufferDrained
from .protocol.framing import COMPRESSORS
from .protocol.metadata import check_path, encode_metadata, metadata_pairs
from .status import StatusCode
from .transport.driver import Driver, Timer

if TYPE_CHECKING:
    from .protocol.connection import Connection

__all__ = ["CallBase", "Caller", "Carrier", "as_bytes"]

RETRY_BUFFER = 256 * 1024  # bytes of messages kept so that a call which no server took can be made again
MAX_ATTEMPTS = 5  # for such a call
MAX_LENGTH = 2**32 - 1  # bytes of a message that its prefix can say


class Caller(Protocol):
    """What a call needs of its channel."""

    driver: Driver
    max_send_message_length: int | None
    methods: MethodBook

    def start_call(self, call: CallBase) -> None:
        """Give the call a connection, now or when there is one; under the driver's lock."""

    def forget_call(self, call: CallBase) -> None:
        """The call, which may still wait for a connection, is over; under the driver's lock."""

    def explain_waiting(self) -> str:
        """Why a call still has no connection, as half a sentence."""


class Carrier(Protocol):
    """What a call needs of the connection it runs on; under the driver's lock."""

    connection: Connection

    def open(self, call: CallBase) -> int:
        """Open the call's stream and return its id."""

    def reset(self, stream_id: int) -> None:
        """Give the call up, and tell the server."""

    def flush(self) -> None:
        """Write what the connection has to send."""

    def probe(self) -> None:
        """Ask the peer's HTTP/2 for a sign of life."""

    def lose(self, reason: str) -> None:
        """Give the connection up; every call on it ends as UNAVAILABLE."""

    unanswered_since: float | None
    """When a probe was sent that has had no answer yet."""

    @property
    def heard_at(self) -> float:
        """When the last bytes came, by the driver's clock."""


class CallBase(NoCopies):
    """A call's life: wait for a connection, run on it, perhaps be made again on another, end once.

    Args:
        path: ``/package.Service/Method``.
        metadata: the caller's own; keys in lower case.
        timeout: seconds until the call ends as DEADLINE_EXCEEDED, connecting included; None for no deadline.
        wait_for_ready: wait through failed connections instead of ending as UNAVAILABLE.
        compression: ``gzip``, ``deflate``, or None to send messages as they are.
        may_retry: make the call again when it is certain that no server's application saw it.
    Raises:
        ValueError, TypeError: the path, the metadata, the timeout or the compression cannot be sent.
    """

    def __init__(
        self,
        channel: Caller,
        path: str,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
        wait_for_ready: bool = False,
        compression: str | None = None,
        may_retry: bool = True,
    ) -> None:
        if compression not in (None, "identity", *COMPRESSORS):
            raise ValueError(f"compression {compression!r} is not one of {', '.join(COMPRESSORS)}")
        self.path = path
        self.metadata = metadata_pairs(metadata)
        self.timeout = checked_timeout(timeout)
        self.wait_for_ready = wait_for_ready
        self.encoding = compression or "identity"
        self.ended: CallEnded | None = None
        self.stream_id = 0
        self.session: Carrier | None = None
        self.left_with_connection = False
        """True when the call ended because its connection broke or goes away, and not for a reason of its own."""
        self._channel = channel
        self._driver = channel.driver
        self._may_retry = may_retry
        self._attempts = 0
        self._messages: list[bytes] = []  # sent by the caller, kept until they cannot be needed again
        self._kept = 0
        self._half_closed = False
        self._began = self._driver.clock()
        self._deadline = None if self.timeout is None else self._began + self.timeout
        self._timer: Timer | None = None
        check_path(path)
        encode_metadata(self.metadata)
        self._counts = channel.methods.of(path)

    # For the caller, under the driver's lock

    def start(self) -> None:
        """Ask the channel for a connection.  The deadline runs from the call's making."""
        self._counts.start()
        if self.ended is not None:
            return
        if self._deadline is not None:
            if self._deadline <= self._driver.clock():
                self._finish(CallEnded(0, StatusCode.DEADLINE_EXCEEDED, self._too_late()))
                return
            self._timer = self._driver.call_at(self._deadline, self._expire)
        self._channel.start_call(self)

    def send_message(self, payload: bytes, *, end: bool = False) -> None:
        """Send one message, or keep it until there is a connection.

        Args:
            payload: the serialized message, anything like bytes.
            end: half-close behind it.
        Raises:
            LocalProtocolError: the call is over, or half-closed.
            TypeError: the message is not bytes.
        """
        payload = as_bytes(payload)
        if self.ended is not None or self._half_closed:
            raise LocalProtocolError("the call is over" if self.ended else "the call is half-closed already")
        limit = self._channel.max_send_message_length
        limit = MAX_LENGTH if limit is None else min(limit, MAX_LENGTH)
        if len(payload) > limit:
            sentence = (
                f"a message of {len(payload)} bytes is larger than the limit of {limit} (max_send_message_length)"
            )
            self.end(StatusCode.RESOURCE_EXHAUSTED, sentence)
            return
        self._half_closed = end
        self._counts.sent(len(payload))
        if self.session is None or self._may_retry:
            self._keep(payload)
        if self.session is not None:
            self.session.connection.send_message(self.stream_id, payload, encoding=self.encoding, end=end)
            self.session.flush()

    def half_close(self) -> None:
        """Say that no more messages come from us.  Nothing happens if that is said, or the call over."""
        if self.ended is None and not self._half_closed:
            self._half_closed = True
            if self.session is not None:
                self.session.connection.half_close(self.stream_id)
                self.session.flush()

    def message_taken(self) -> None:
        """Let the server send more, since one of its messages has been taken (RFC 9113 §5.2)."""
        if self.session is not None and self.ended is None:
            self.session.connection.message_taken(self.stream_id)
            self.session.flush()

    def end(self, code: StatusCode, details: str) -> None:
        """End the call from our side with this status, and tell the server by RST_STREAM."""
        if self.ended is None:
            if self.session is not None:
                self.session.reset(self.stream_id)
            self._finish(CallEnded(self.stream_id, code, details))

    @property
    def is_half_closed(self) -> bool:
        """True once it was said that no more messages come from us (RFC 9113 §5.1, half-closed (local))."""
        return self._half_closed

    @property
    def pending(self) -> int:
        """Bytes of messages that the server's flow-control windows have not let out yet (RFC 9113 §5.2)."""
        if self.session is None:
            return sum(map(len, self._messages))
        return self.session.connection.pending(self.stream_id)

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, or None without one (PROTOCOL-HTTP2.md, "Requests", Timeout)."""
        return None if self._deadline is None else self._deadline - self._driver.clock()

    # For the channel, under the driver's lock

    def begin(self, session: Carrier) -> None:
        """Run on this connection: HEADERS, and what the caller has sent so far, in one write."""
        self._attempts += 1
        self.session = session
        try:
            self._begin(session)
        except LocalProtocolError as error:  # before a byte was made of it
            self.end(StatusCode.RESOURCE_EXHAUSTED, error.message)
            return
        except BaseException:  # Ctrl-C in the middle of it: HPACK's state is not what the server will take it for
            session.lose("a call was interrupted in the middle of a step")
            self.end(StatusCode.INTERNAL, "the call was interrupted while it was being sent")
            raise
        self.opened()

    def _begin(self, session: Carrier) -> None:
        self.stream_id = session.open(self)
        messages = self._messages
        if not self._may_retry:
            self._messages = []
        for index, payload in enumerate(messages):
            end = self._half_closed and index == len(messages) - 1
            session.connection.send_message(self.stream_id, payload, encoding=self.encoding, end=end)
        if self._half_closed and not messages:
            session.connection.half_close(self.stream_id)

    def handle(self, event: Event) -> None:
        """Take an event of the call's stream."""
        if self.ended is not None:
            return
        if isinstance(event, MessageReceived):
            self._stop_keeping()
            self._counts.received(len(event.payload))
            self.message_received(event.payload)
        elif isinstance(event, HeadersReceived):
            self._stop_keeping()
            self.headers_received(event.metadata)
        elif isinstance(event, SendBufferDrained):
            self.drained()
        elif isinstance(event, CallEnded):
            self._handle_end(event)

    def _handle_end(self, ended: CallEnded) -> None:
        if self.session is not None:
            self.left_with_connection = not self.session.connection.takes_calls
        self.session, self.stream_id = None, 0
        if ended.code is not StatusCode.OK and self.time_left is not None and self.time_left <= 0:
            # The server's clock for the same deadline rang, and we hear of it before our own does: as CANCEL from the
            # server itself, as anything from a proxy.
            self._finish(CallEnded(ended.stream_id, StatusCode.DEADLINE_EXCEEDED, self._too_late()))
        elif ended.unprocessed and self._may_retry and self._attempts < MAX_ATTEMPTS:
            self._channel.start_call(self)
        else:
            self._finish(self.judge(ended))

    def _finish(self, ended: CallEnded) -> None:
        self.ended = ended
        self._counts.end(ended.code, self._driver.clock() - self._began)
        self._messages = []
        if self._timer is not None:
            self._timer.cancel()
        self._channel.forget_call(self)
        self.call_ended(ended)

    def _expire(self) -> None:
        waiting = "" if self.session is not None else f"; {self._channel.explain_waiting()}"
        self.end(StatusCode.DEADLINE_EXCEEDED, self._too_late() + waiting)

    def _too_late(self) -> str:
        return f"{self.path} was not answered within {self.timeout:g} s"

    def _keep(self, payload: bytes) -> None:
        self._messages.append(payload)
        self._kept += len(payload)
        if self._kept > RETRY_BUFFER and self.session is not None:
            self._stop_keeping()

    def _stop_keeping(self) -> None:
        self._may_retry = False
        self._messages = []

    # Hooks, under the driver's lock

    def judge(self, ended: CallEnded) -> CallEnded:
        """What to make of the end that the server gave the call."""
        return ended

    def opened(self) -> None:
        """The call runs on a connection now."""

    def headers_received(self, metadata: Metadata) -> None:
        """The server's initial metadata came."""

    def message_received(self, payload: bytes) -> None:
        """A message came; :meth:`message_taken` lets the server send more."""

    def drained(self) -> None:
        """Every message is out."""

    def connection_leaves(self) -> None:
        """The server takes no new calls on the connection (GOAWAY); this one goes on, for a while."""

    def call_ended(self, ended: CallEnded) -> None:
        """The call is over; nothing follows."""


def as_bytes(message: object) -> bytes:
    """A message as bytes that nobody changes any more.

    Raises:
        TypeError: it is nothing like bytes.  (``bytes()`` alone would make five zeros of a 5.)
    """
    return message if type(message) is bytes else bytes(memoryview(message))  # type: ignore[arg-type]  # it raises
