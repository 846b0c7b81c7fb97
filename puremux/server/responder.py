"""One call, as the code that serves it sees it.

Floor 3, I/O: imports methods, transport, protocol, errors and status.
Spec: gRPC PROTOCOL-HTTP2.md, "Responses".
"""

from __future__ import annotations

import contextlib
from typing import Callable, Protocol

from ..errors import LocalProtocolError, Metadata
from ..methods import CountedCall
from ..protocol.events import RequestReceived
from ..status import StatusCode
from ..transport.link import Link

__all__ = ["Handler", "Method", "Responder"]


class Handler(Protocol):
    """What a method does with one call.  It is called on the server's driver, under its lock, and must be quick."""

    def message(self, payload: bytes) -> None:
        """A message of the client's."""

    def half_closed(self) -> None:
        """The client has sent its last message."""

    def ended(self) -> None:
        """The call was cancelled, its client is gone, or the server ended it for a limit."""


class Responder:
    """The server's side of one call; nothing happens once the call is over."""

    def __init__(
        self,
        link: Link,
        request: RequestReceived,
        peer: str,
        finished: Callable[[int], None],
        counted: CountedCall,
    ) -> None:
        self.request = request
        self.peer = peer
        """The client's address, as ``host:port``; ``unix`` for one on a unix socket."""
        self.is_finished = False
        self._link = link
        self._stream_id = request.stream_id
        self._finished = finished
        self.counted = counted
        """The call as it is counted; whoever hears of messages and of the end without us tells it."""

    @property
    def pending(self) -> int:
        """Bytes of messages that wait for the client's windows."""
        return self._link.connection.pending(self._stream_id)

    def send(self, payload: bytes) -> None:
        """Send one message, and initial metadata before the first."""
        with contextlib.suppress(LocalProtocolError):
            connection = self._link.connection
            with contextlib.suppress(LocalProtocolError):  # sent before
                connection.send_headers(self._stream_id)
            connection.send_message(self._stream_id, payload)
            self.counted.sent(len(payload))
            self._link.flush()

    def finish(self, code: StatusCode = StatusCode.OK, details: str = "", metadata: Metadata = ()) -> None:
        """End the call with its status."""
        self.is_finished = True
        self.counted.end(code)
        with contextlib.suppress(LocalProtocolError):
            self._link.connection.send_trailers(self._stream_id, code, details, metadata)
            self._finished(self._stream_id)
            self._link.flush()


Method = Callable[[Responder], Handler]
"""What serves a path: called with each new call."""
