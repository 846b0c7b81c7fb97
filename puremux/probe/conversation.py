"""One HTTP/2 connection for a few calls, one at a time, each with a bound; it remembers what came first.

Floor 5, probe: imports transport, protocol, errors and status.
Spec: RFC 9113 §6.5.3 (acknowledgements); gRPC PROTOCOL-HTTP2.md.

It is a channel with the lid off: a channel hides what a probe is after, which is how far each connection came.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Callable

from .._version import __version__
from ..protocol.connection import Connection
from ..protocol.events import (
    CallEnded,
    ConnectionEnded,
    Event,
    GoAwayReceived,
    MessageReceived,
    SettingsAcknowledged,
    SettingsReceived,
)
from ..protocol.metadata import request_headers
from ..transport.driver import Driver
from ..transport.link import Link
from ..transport.stream import byte_stream
from ..transport.tap import BytesPassed

__all__ = ["Answer", "Conversation"]

FIRST_BYTES = 4096  # that are kept of what the peer sent, to recognise other protocols by
LARGEST_ANSWER = 64 * 1024  # bytes; nobody is asked for more than a small one


@dataclass
class Answer:
    """What came of a call."""

    ended: CallEnded | None = None
    """None if it did not end in time."""

    messages: list[bytes] = field(default_factory=list)
    seconds: float = 0.0


class Conversation:
    """HTTP/2 on a connected socket, as a client; a context manager that closes it.

    Args:
        sock: plain or TLS; it belongs to the conversation.
        name: how sentences name the server.
        authority: for ``:authority``.
    """

    def __init__(self, sock: socket.socket, name: str, authority: str) -> None:
        self.first_bytes = b""
        """What the peer sent first."""
        self.ended: ConnectionEnded | None = None
        self.going_away: GoAwayReceived | None = None
        self._authority = authority
        self._scheme = "https" if hasattr(sock, "selected_alpn_protocol") else "http"
        self._has_settings = False
        self._acknowledged = 0
        self._answers: dict[int, Answer] = {}
        self._driver = Driver("puremux probe")
        self._changed = threading.Condition(self._driver.lock)
        with self._driver.lock:
            self._connection = Connection(client_side=True, max_receive_message_length=LARGEST_ANSWER)
            self._link = Link(self._driver, byte_stream(sock, name), self._connection, self._handle, self._tap)
            self._link.flush()
            self._driver.watch(self._link)

    # What a probe asks

    def wait_for_settings(self, timeout: float) -> bool:
        """Whether the peer's SETTINGS came within so many seconds, before the connection ended."""
        return self._wait(lambda: self._has_settings, timeout)

    @property
    def settings(self) -> dict[str, int]:
        """The peer's SETTINGS by their names."""
        with self._driver.lock:
            return self._connection.peer_settings

    def wait_for_acknowledgement(self, timeout: float) -> bool:
        """Whether the peer acknowledged our first SETTINGS within so many seconds."""
        return self._wait(lambda: self._acknowledged > 0, timeout)

    def measure(self, timeout: float) -> float | None:
        """Seconds from a SETTINGS frame to its acknowledgement; None if it did not come in time."""
        began = time.monotonic()
        with self._driver.lock:
            if self.ended is not None:
                return None
            ordinal = self._connection.probe()
            self._link.flush()
        acknowledged = self._wait(lambda: self._acknowledged >= ordinal, timeout)
        return time.monotonic() - began if acknowledged else None

    def call(self, path: str, request: bytes, timeout: float) -> Answer | None:
        """Make a call with one message, and give it up if it does not end in time; None if the server takes no call."""
        answer = Answer()
        began = time.monotonic()
        headers = request_headers(
            path, authority=self._authority, scheme=self._scheme, user_agent=f"puremux-probe/{__version__}"
        )
        with self._driver.lock:
            if not self._connection.can_open:
                return None
            stream_id = self._connection.open(headers)
            self._answers[stream_id] = answer
            self._connection.send_message(stream_id, request, end=True)
            self._link.flush()
        self._wait(lambda: answer.ended is not None, timeout)
        answer.seconds = time.monotonic() - began
        with self._driver.lock:
            del self._answers[stream_id]
            self._connection.reset(stream_id)
            self._link.flush()
        return answer

    def close(self) -> None:
        """Say GOAWAY and close."""
        with self._driver.lock:
            self._connection.go_away()
            self._link.flush()
            self._link.close()
        self._driver.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Under the driver's lock

    def _wait(self, is_true: Callable[[], bool], timeout: float) -> bool:
        with self._driver.lock:
            self._driver.wait_for(self._changed, lambda: is_true() or self.ended is not None, timeout)
            return is_true()

    def _tap(self, passed: BytesPassed) -> None:
        if passed.direction == "received":
            self.first_bytes = (self.first_bytes + passed.data)[:FIRST_BYTES]

    def _handle(self, event: Event) -> None:
        if isinstance(event, SettingsReceived):
            self._has_settings = True
        elif isinstance(event, SettingsAcknowledged):
            self._acknowledged = event.ordinal
        elif isinstance(event, GoAwayReceived):
            self.going_away = event
        elif isinstance(event, ConnectionEnded):
            self.ended = event
        else:
            self._handle_call(event)
        self._changed.notify_all()

    def _handle_call(self, event: Event) -> None:
        answer = self._answers.get(getattr(event, "stream_id", 0))
        if answer is not None and isinstance(event, MessageReceived):
            answer.messages.append(event.payload)
            self._connection.message_taken(event.stream_id)
        elif answer is not None and isinstance(event, CallEnded):
            answer.ended = event
