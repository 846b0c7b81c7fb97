"""A connection in use: moves bytes between a byte stream and a protocol connection, and hands on what happens.

Floor 3, transport: imports driver, stream, tap, protocol and errors.
"""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from typing import Callable

from ..errors import TransportError
from ..protocol.connection import Connection
from ..protocol.events import Event
from .driver import Driver
from .stream import ByteStream
from .tap import ConnectionTap, Tap

__all__ = ["Link"]

READ_SIZE = 32 * 1024
SHORT_READ = 8 * 1024  # less than a TLS record may have
TURN = 0.005  # seconds of reading, after which the other connections, the timers and the callers have their turn


class Link:
    """One socket and the protocol connection that it carries.

    Every method is called under the driver's lock, and may be called from any thread, so that a caller's bytes leave
    at once if the socket takes them; what is left over is the driver's to send.

    Args:
        handle: gets each event, in order, under the lock.
        tap: sees the bytes as they are on the wire (inside TLS).
        waits_for_reader: read nothing while bytes of ours wait to be taken.  A server's defence against who never
            reads; a client must read, or two ends that wait for each other would wait for ever.
    """

    def __init__(
        self,
        driver: Driver,
        stream: ByteStream,
        connection: Connection,
        handle: Callable[[Event], None],
        tap: Tap | None = None,
        *,
        waits_for_reader: bool = False,
    ) -> None:
        self.connection = connection
        self.heard_at = driver.clock()
        """When the last bytes came, by the driver's clock."""
        self.taken_at = self.heard_at
        """When the socket last took bytes of ours."""
        self.received_bytes = 0
        """How many bytes have come."""
        self._driver = driver
        self._stream = stream
        self._handle = handle
        self._tap = None if tap is None else ConnectionTap(tap, stream.address, driver.clock)
        self._waits_for_reader = waits_for_reader
        self._unsent = memoryview(b"")
        self._closed = False
        self._is_broken = False  # nothing can be sent any more
        self._is_sending = self._send_again = False
        self._events: deque[Event] = deque()  # to be handled
        self._is_dispatching = False
        self._watched_events = 0
        connection.initiate()

    # Watched by the driver

    def fileno(self) -> int:
        """The socket's descriptor; -1 once closed."""
        return self._stream.fileno()

    def events(self) -> int:
        """What the driver is to watch for."""
        self._watched_events = 0 if self._closed else self._stream.events(self._may_read, bool(self._unsent))
        return self._watched_events

    def ready(self) -> None:
        """Read what has come, send what is left.  On the driver."""
        if not self._may_read:
            self.flush()
        if self._closed or not self._may_read:
            return
        try:
            self._receive()
        except TransportError as error:
            self.lose(error.message)
        else:
            self.flush()

    # For those who use the connection

    def flush(self) -> None:
        """Write what the protocol connection has to send, as far as the socket takes it."""
        try:
            while not self._closed and not self._is_broken and self._send_some():
                pass
        except TransportError as error:
            self._is_broken, self._unsent = True, memoryview(b"")  # what is left out makes nonsense of what follows
            # Not at once: the caller is in the middle of a step of his own.
            self._driver.call_soon(functools.partial(self._lose_unless_heard, error.message))
        except BaseException:  # Ctrl-C: some bytes may be lost, and frames behind them would mean something else
            self.lose("a write was interrupted")
            raise
        self._dispatch(self.connection.take_events())
        if self.connection.has_ended and not self._unsent:
            self.close()
        elif not self._closed and self._stream.events(self._may_read, bool(self._unsent)) != self._watched_events:
            self._driver.watch(self)

    def close(self) -> None:
        """Close the socket, without another word; the calls that are left end as UNAVAILABLE."""
        if not self._closed:
            self._closed = True
            if self._tap is not None:
                self._tap.passed("sent", b"")
            self._driver.call_soon(self._close_socket)
            self._dispatch(self.connection.lose("the connection was closed on this side"))

    def lose(self, reason: str) -> None:
        """Give the connection up, for a reason of one sentence; every call on it ends as UNAVAILABLE."""
        try:
            self._dispatch(self.connection.lose(reason))
        finally:
            self.close()

    def abandon(self) -> None:
        """Close our copy of a socket that belongs to the parent process.  In a forked child."""
        self._closed = True
        self._stream.close()

    @property
    def backlog(self) -> int:
        """Bytes made but not taken by the socket."""
        return len(self._unsent)

    # Inside

    @property
    def _may_read(self) -> bool:
        return not (self._waits_for_reader and self._unsent)

    def _receive(self) -> None:
        until = self._driver.clock() + TURN
        while True:
            data = self._stream.receive(READ_SIZE)
            if data is None:
                return
            if self._tap is not None:
                self._tap.passed("received", data)
            if not data:
                self._dispatch(self.connection.receive_eof())
                return
            self.heard_at = self._driver.clock()
            self.received_bytes += len(data)
            self._dispatch(self.connection.receive_data(data, self.heard_at))
            if self._closed or self.connection.has_ended:
                return
            if len(data) < SHORT_READ and not self._stream.pending:
                return  # that was probably all, and if it was not, the selector says so
            if self._driver.clock() >= until:
                self._driver.call_soon(self.ready)  # TLS may hold decrypted bytes that no selector reports
                return

    def _send_some(self) -> bool:
        """Whether another round may send more."""
        if self._is_sending:  # a signal's handler has come in the middle of it, and would send the same bytes again
            self._send_again = True
            return False
        self._is_sending = True
        try:
            return self._send_a_piece()
        finally:
            self._is_sending = False
            if self._send_again:
                self._send_again = False
                self._driver.call_soon(self.flush)

    def _send_a_piece(self) -> bool:
        if not self._unsent:
            self._unsent = memoryview(self.connection.data_to_send())
        if not self._unsent:
            return False
        sent = self._stream.send(self._unsent)
        if self._tap is not None and sent:
            self._tap.passed("sent", bytes(self._unsent[:sent]))
        if sent:
            self.taken_at = self._driver.clock()
        self._unsent = self._unsent[sent:]
        return not self._unsent

    def _lose_unless_heard(self, reason: str) -> None:
        """Nothing can be sent any more; but what the peer said before it closed may be the answer to a call."""
        if not self._closed:
            try:
                with contextlib.suppress(TransportError):
                    self._receive()
            finally:
                self.lose(reason)

    def _dispatch(self, events: list[Event]) -> None:
        """Have each event handled, in order; an error in the handling of one must not keep the others from who waits.

        A handler that flushes may bring up more of them: they are behind those that came before, whose handling is
        under way.
        """
        self._events += events
        if not self._is_dispatching:
            self._is_dispatching = True
            try:
                self._handle_each()
            finally:
                self._is_dispatching = False
                if self._events:  # Ctrl-C in the middle of it: the others are still to be told
                    self._driver.call_soon(functools.partial(self._dispatch, []))

    def _handle_each(self) -> None:
        failed: Exception | None = None
        while self._events:
            try:
                self._handle(self._events.popleft())
            except Exception as error:  # noqa: BLE001  not lost: it is raised below
                failed = error if failed is None else failed
        if failed is not None:
            raise failed

    def _close_socket(self) -> None:
        self._driver.forget(self)
        self._stream.close()
