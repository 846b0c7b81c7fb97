"""One call from the caller's side: send, receive, half-close, cancel, and a deadline that holds whatever happens.

Floor 3, I/O: imports callbase, protocol, errors and status.
Spec: gRPC PROTOCOL-HTTP2.md; the methods that a finished call has are grpcio's (grpc.Call, grpc.RpcContext).
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Iterator
from typing import Callable

from .callbase import CallBase, Caller, Carrier
from .checks import checked_timeout
from .errors import Metadata, RpcError
from .protocol.events import CallEnded
from .status import StatusCode

__all__ = ["Call", "CallBase", "Caller", "Carrier"]

HIGH_WATER = 256 * 1024  # bytes of unsent messages at which send() waits


class Call(CallBase):
    """A call for people: its methods wait, each no longer than the call's deadline.

    Made by :meth:`puremux.Channel.open`.  May be used from several threads.

    Args:
        one_response: the method answers with one message; any other number is an error of the server's.
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
        one_response: bool = False,
    ) -> None:
        super().__init__(
            channel,
            path,
            metadata=metadata,
            timeout=timeout,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        self._one_response = one_response
        self._changed = threading.Condition(self._driver.lock)
        self._received: deque[bytes] = deque()
        self._has_received = False
        self._initial_metadata: Metadata | None = None
        self._callbacks: list[Callable[[], None]] = []
        # How many threads wait for what: waking one for nothing costs as much as the rest of a short call.
        self._waiting_to_send = 0
        self._waiting_for_headers = 0

    def send(self, payload: bytes, *, end: bool = False, wait: bool = True) -> bool:
        """Send one message; unless it is the last, wait while too many bytes wait for the server (flow control).

        Args:
            payload: the serialized message.
            end: half-close behind it, which saves a frame.
            wait: False to return at once, however many bytes wait already.
        Returns:
            False when the server has ended the call with OK: it wants no more messages.
        Raises:
            RpcError: the call is over, with a status other than OK.
            LocalProtocolError: the call was half-closed before.
            TypeError: the payload is not bytes.
        Source: gRPC PROTOCOL-HTTP2.md, "Requests", Length-Prefixed-Message; RFC 9113 §5.2 for the wait.
        """
        with self._driver.lock:
            if self.ended is None or (self.ended.code is StatusCode.OK and self._half_closed):
                self.send_message(payload, end=end)
                if wait and not end and self.pending > HIGH_WATER:
                    self._wait_to_send()
            if self.ended is not None and self.ended.code is not StatusCode.OK:
                raise self._error(self.ended)
            return self.ended is None

    def _wait_to_send(self) -> None:
        self._waiting_to_send += 1
        try:
            self._wait(lambda: self.ended is not None or self.pending <= HIGH_WATER)
        finally:
            self._waiting_to_send -= 1

    def receive(self) -> bytes | None:
        """Wait for the next message; None when the server has sent its last one and the status is OK.

        Raises:
            RpcError: the call ended with another status.
        Source: gRPC PROTOCOL-HTTP2.md, "Responses".
        """
        with self._driver.lock:
            # The one response counts only with the status behind it.
            self._wait(lambda: self.ended is not None or bool(self._received and not self._one_response))
            failed = None if self.ended is None or self.ended.code is StatusCode.OK else self.ended
            if self._received and not (failed and self._one_response):
                payload = self._received.popleft()
                self.message_taken()
                return payload
            if failed:
                raise self._error(failed)
            return None

    def __iter__(self) -> Iterator[bytes]:
        """Receive until the server's last message.  Raises as :meth:`receive` (PROTOCOL-HTTP2.md, "Responses")."""
        while True:
            payload = self.receive()
            if payload is None:
                return
            yield payload

    def close_sending(self) -> None:
        """Half-close: no more messages come from us (RFC 9113 §5.1, half-closed (local))."""
        with self._driver.lock:
            self.half_close()

    # grpcio's words for a call (grpc.Call, grpc.RpcContext)

    def cancel(self) -> bool:
        """End the call as CANCELLED, and reset its stream with CANCEL (RFC 9113 §7); False when it was over."""
        with self._driver.lock:
            was_active = self.ended is None
            self.end(StatusCode.CANCELLED, "the call was cancelled on this side")
            return was_active

    def abandon(self) -> None:
        """Cancel soon, since nobody can ask for the answer any more.  Takes no lock: for the garbage collector."""
        if self.ended is None:
            details = "the call was cancelled, since nothing referred to it any more"
            self._driver.call_soon(functools.partial(self.end, StatusCode.CANCELLED, details))

    def is_active(self) -> bool:
        """True until the call is over (grpc.RpcContext)."""
        return self.ended is None

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, 0 when it is past, None without one (grpc.RpcContext)."""
        left = self.time_left
        return None if left is None else max(0.0, left)

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call ``callback()`` on the driver's thread at the end; False, and no call, after it (grpc.RpcContext)."""
        with self._driver.lock:
            if self.ended is None:
                self._callbacks.append(callback)
            return self.ended is None

    def initial_metadata(self) -> Metadata:
        """Wait for what comes before the messages; empty for trailers-only (PROTOCOL-HTTP2.md, Response-Headers)."""
        with self._driver.lock:
            self._waiting_for_headers += 1
            try:
                self._wait(lambda: self._initial_metadata is not None or self.ended is not None)
            finally:
                self._waiting_for_headers -= 1
            return self._initial_metadata or ()

    def trailing_metadata(self) -> Metadata:
        """Wait for the end, and return the metadata that came with the status (PROTOCOL-HTTP2.md, Trailers)."""
        return self.wait_for_end().trailing_metadata

    def code(self) -> StatusCode:
        """Wait for the end, and return the status code (gRPC doc/statuscodes.md)."""
        return self.wait_for_end().code

    def details(self) -> str:
        """Wait for the end, and return the status message (PROTOCOL-HTTP2.md, Status-Message)."""
        return self.wait_for_end().details

    def wait_until_over(self, timeout: float | None) -> bool:
        """Wait ``timeout`` seconds at the most, or None for ever; whether the call is over (as grpc.Future waits)."""
        seconds = checked_timeout(timeout)
        with self._driver.lock:
            return self._driver.wait_for(self._changed, lambda: self.ended is not None, seconds)

    def fail(self, code: StatusCode, details: str) -> None:
        """End the call for what the application made of it, even after OK (doc/statuscodes.md, by the library)."""
        with self._driver.lock:
            self.end(code, details)
            if self.ended is not None and self.ended.code is StatusCode.OK:
                self.ended = CallEnded(self.ended.stream_id, code, details)

    def wait_for_end(self) -> CallEnded:
        """Wait until the call is over, which its deadline bounds (PROTOCOL-HTTP2.md, Trailers)."""
        with self._driver.lock:
            while self.ended is None:  # bounded by the deadline, which ends the call
                self._wait(lambda: self.ended is not None)
            return self.ended

    def error(self) -> RpcError | None:
        """The call's end as an error; None while it runs, and for OK (gRPC doc/statuscodes.md)."""
        with self._driver.lock:
            return None if self.ended is None or self.ended.code is StatusCode.OK else self._error(self.ended)

    # Hooks

    def end(self, code: StatusCode, details: str) -> None:
        """End the call from our side.  What has come and was not read is dropped: a deadline waits for no reader."""
        if self.ended is None:
            self._received.clear()
        super().end(code, details)

    def judge(self, ended: CallEnded) -> CallEnded:
        """An answer of OK without its one message is none (gRPC doc/statuscodes.md, response cardinality)."""
        if self._one_response and ended.code is StatusCode.OK and not self._has_received:
            return CallEnded(ended.stream_id, StatusCode.UNIMPLEMENTED, "the server answered OK without a message")
        return ended

    def headers_received(self, metadata: Metadata) -> None:
        """Remember the initial metadata."""
        self._initial_metadata = metadata
        if self._waiting_for_headers:
            self._changed.notify_all()

    def message_received(self, payload: bytes) -> None:
        """Keep the message for a reader."""
        if self._one_response and self._has_received:
            self.end(StatusCode.UNIMPLEMENTED, "the server answered with more than the one message of the method")
            return
        self._received.append(payload)
        self._has_received = True
        if not self._one_response:
            self._changed.notify_all()

    def drained(self) -> None:
        """Let senders go on."""
        if self._waiting_to_send:
            self._changed.notify_all()

    def opened(self) -> None:
        """Let senders look again."""
        if self._waiting_to_send:
            self._changed.notify_all()

    def call_ended(self, ended: CallEnded) -> None:
        """Wake everybody, and call the callbacks without the lock."""
        self._changed.notify_all()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._driver.call_unlocked(callback)

    def _wait(self, predicate: Callable[[], bool]) -> None:
        # Ended by the deadline's timer; the margin covers a driver that has stopped.
        left = self.time_left
        if not self._driver.wait_for(self._changed, predicate, None if left is None else left + 1.0):
            self._expire()

    def _error(self, ended: CallEnded) -> RpcError:
        return RpcError(ended.code, ended.details, self._initial_metadata or (), ended.trailing_metadata)
