"""A place to connect to: one connection at a time, made when needed, with back-off between attempts.

Floor 3, I/O: imports call, transport, protocol, errors and status.
Spec: gRPC doc/connection-backoff.md, doc/connectivity-semantics-and-api.md, doc/keepalive.md.
"""

from __future__ import annotations

import enum
import random
import socket
from dataclasses import dataclass
from typing import Callable

from h2.errors import ErrorCodes

from .call import CallBase
from .errors import TransportError
from .protocol.connection import Connection
from .protocol.events import ConnectionEnded, Event, GoAwayReceived, PingAcknowledged, SettingsAcknowledged, SettingsReceived
from .protocol.framing import ACCEPT_ENCODING
from .protocol.metadata import request_headers
from .transport.driver import Driver, Task, Timer
from .transport.link import Link, Tap
from .transport.stream import byte_stream
from .transport.wait import Step

__all__ = ["Backoff", "Connectivity", "Keepalive", "Peer", "Session", "Subchannel"]


class Connectivity(enum.Enum):
    """States of a channel (grpc.ChannelConnectivity; doc/connectivity-semantics-and-api.md)."""

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    TRANSIENT_FAILURE = "transient failure"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class Backoff:
    """How long to wait between attempts to connect (doc/connection-backoff.md, whose numbers are the defaults)."""

    initial: float = 1.0
    """Seconds from the first failed attempt's beginning to the next one's."""

    multiplier: float = 1.6
    jitter: float = 0.2
    """Each wait is longer or shorter by up to this share, so that ten thousand clients do not come back at once."""

    maximum: float = 120.0
    """Seconds; no wait is longer, but for the jitter."""

    def delay(self, failures: int) -> float:
        """Seconds from the beginning of the attempt that was the ``failures``-th failure in a row to the next."""
        delay = min(self.initial * self.multiplier ** min(failures - 1, 64), self.maximum)
        return delay * random.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(frozen=True)
class Keepalive:
    """PINGs that tell a dead connection from a quiet one (doc/keepalive.md).  Servers punish too many of them."""

    time: float = 300.0
    """Seconds without a byte received before a PING is sent; doubled whenever a server says too_many_pings."""

    timeout: float = 20.0
    """Seconds to wait for its acknowledgement."""

    permit_without_calls: bool = False

    def __post_init__(self) -> None:
        if self.time < 1 or self.timeout <= 0:
            raise ValueError("keepalive takes a time of at least 1 s and a timeout above 0 s")


@dataclass(frozen=True)
class Peer:
    """Where a subchannel connects to, and how it speaks there."""

    name: str
    """The address as the user wrote it; sentences use it."""

    dial: Callable[[float], Step[socket.socket]]
    """Makes the steps that connect, given the time until which they may take."""

    authority: str
    scheme: str
    user_agent: str
    max_receive_message_length: int | None


class Session:
    """One connection of a client and the calls that run on it."""

    def __init__(self, driver: Driver, sock: socket.socket, peer: Peer, owner: Subchannel, tap: Tap | None) -> None:
        self.peer = peer
        self.connection = Connection(
            client_side=True, max_receive_message_length=peer.max_receive_message_length, peer=peer.name
        )
        self.calls: dict[int, CallBase] = {}
        self.unanswered_since: float | None = None
        """When the :meth:`probe` was sent that has had no answer yet."""
        self.used = False
        """True once a call has got an answer here: the peer is what we take it for."""
        self._probe = 0
        self._driver = driver
        self._owner = owner
        self._link = Link(driver, byte_stream(sock, peer.name), self.connection, self._handle, tap)
        self.heard_at = driver.clock()
        self.quiet_since = driver.clock()

    def open(self, call: CallBase) -> int:
        """Open the call's stream."""
        headers = request_headers(
            call.path,
            authority=self.peer.authority,
            scheme=self.peer.scheme,
            metadata=call.metadata,
            timeout=call.time_left,
            encoding=call.encoding,
            accept_encoding=ACCEPT_ENCODING,
            user_agent=self.peer.user_agent,
        )
        stream_id = self.connection.open(headers)
        self.calls[stream_id] = call
        return stream_id

    def reset(self, stream_id: int) -> None:
        """Give one call up."""
        if self.calls.pop(stream_id, None) is not None:
            self.connection.reset(stream_id)
            self.flush()
            self._call_gone()

    def flush(self) -> None:
        """Write what there is to write."""
        self._link.flush()

    def probe(self) -> None:
        """Ask the peer's HTTP/2 for a sign of life, unless one is asked for already (RFC 9113 §6.5.3)."""
        if self.unanswered_since is None:
            self.unanswered_since = self._driver.clock()
            self._probe = self.connection.probe()
            self.flush()

    def ping(self) -> None:
        """Send a keepalive PING."""
        self.connection.ping(b"puremux\0")
        self.flush()

    def lose(self, reason: str) -> None:
        """Give the connection up because of what its owner knows."""
        for event in self.connection.lose(reason):
            self._handle(event)
        self._link.close()

    def close(self) -> None:
        """Close politely: say GOAWAY, then close the socket."""
        self.connection.go_away()
        self._link.flush()
        self._link.close()

    def abandon(self) -> None:
        """Drop the parent's connection in a forked child, without writing to it."""
        self._link.abandon()
        for event in self.connection.lose("the process forked, and the connection stayed with the parent"):
            self._handle(event)

    def _handle(self, event: Event) -> None:
        self.heard_at = self._driver.clock()
        stream_id = getattr(event, "stream_id", 0)
        if stream_id:
            call = self.calls.get(stream_id)
            if call is None:
                return
            self.used = self.used or not (self.connection.has_ended or getattr(event, "unprocessed", False))
            call.handle(event)
            if call.session is not self or call.ended is not None:
                if self.calls.get(stream_id) is call:
                    del self.calls[stream_id]
                self._call_gone()
        elif isinstance(event, SettingsAcknowledged):
            if event.ordinal >= self._probe:
                self.unanswered_since = None
        else:
            self._owner.handle(self, event)

    def _call_gone(self) -> None:
        self.quiet_since = self._driver.clock()
        self._owner.call_gone(self)


class Subchannel:
    """Connects to one peer, and again when that breaks.

    Args:
        changed: called under the driver's lock when the state has changed, or room for calls may have come.
        connect_timeout: seconds that an attempt may take, up to the server's SETTINGS.
    """

    def __init__(
        self,
        driver: Driver,
        peer: Peer,
        changed: Callable[[], None],
        *,
        backoff: Backoff,
        connect_timeout: float = 20.0,
        keepalive: Keepalive | None = None,
        idle_timeout: float | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.peer = peer
        self.state = Connectivity.IDLE
        self.error: TransportError | None = None
        """Why the last attempt failed, or the last connection ended."""
        self.session: Session | None = None
        self.connections = 0
        """How many connections became ready."""
        self._driver = driver
        self._changed = changed
        self._backoff = backoff
        self._connect_timeout = connect_timeout
        self._keepalive = keepalive
        self._ping_interval = keepalive.time if keepalive else 0.0
        self._ping_sent_at: float | None = None
        self._idle_timeout = idle_timeout
        self._tap = tap
        self._failures = 0
        self._attempt_began = 0.0
        self._dialling: Task | None = None
        self._timer: Timer | None = None  # for the attempt, then for the wait after it
        self._watchdog: Timer | None = None  # for keepalive and idleness
        self._draining: list[Session] = []

    def connect(self) -> None:
        """Begin an attempt, unless there is a connection, an attempt, or a wait under way."""
        if self.state is Connectivity.IDLE:
            self._attempt_began = self._driver.clock()
            until = self._attempt_began + self._connect_timeout
            self._set(Connectivity.CONNECTING)
            self._dialling = self._driver.run(self.peer.dial(until), self._dialled)
            self._timer = self._driver.call_at(until + 1.0, self._took_too_long)

    def close(self) -> None:
        """Close every connection; the state is SHUTDOWN for good."""
        self.state = Connectivity.SHUTDOWN
        self._stop_timers()
        if self._dialling is not None:
            self._dialling.cancel()
        sessions, self.session = [*self._draining, *filter(None, [self.session])], None
        for session in sessions:
            session.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.connections, self.error = 0, None
        sessions, self.session = [*self._draining, *filter(None, [self.session])], None
        self._draining, self._dialling, self._timer, self._watchdog = [], None, None, None
        if self.state is not Connectivity.SHUTDOWN:
            self.state = Connectivity.IDLE
        for session in sessions:
            session.abandon()

    # An attempt

    def _dialled(self, sock: socket.socket | None, error: BaseException | None) -> None:
        self._dialling = None
        if sock is None:
            if not isinstance(error, TransportError):
                error = TransportError(self.peer.name, f"Cannot connect to {self.peer.name}: {error!r}.")
            self._failed(error)
            return
        self.session = Session(self._driver, sock, self.peer, self, self._tap)
        self._stop_timers()
        self._timer = self._driver.call_at(self._attempt_began + self._connect_timeout, self._took_too_long)
        self.session.flush()

    def _took_too_long(self) -> None:
        self._timer = None
        sentence = (
            f"{self.peer.name} accepted the connection but sent no HTTP/2 SETTINGS within"
            f" {self._connect_timeout:g} s; check that a gRPC server listens there."
        )
        if self.session is not None:
            self.session.lose(sentence)
        elif self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
            sentence = f"Cannot connect to {self.peer.name} within {self._connect_timeout:g} s."
            self._failed(TransportError(self.peer.name, sentence))

    def _failed(self, error: TransportError) -> None:
        """Wait, from the attempt's beginning, as long as the failures in a row ask for."""
        self._stop_timers()
        self.error = error
        self._failures += 1
        when = self._attempt_began + self._backoff.delay(self._failures)
        self._timer = self._driver.call_at(when, self._waited)
        self._set(Connectivity.TRANSIENT_FAILURE)

    def _waited(self) -> None:
        self._timer = None
        self._set(Connectivity.IDLE)

    # A connection

    def handle(self, session: Session, event: Event) -> None:
        """Take an event that concerns the whole connection."""
        if isinstance(event, SettingsReceived):
            if session is self.session and self.state is Connectivity.CONNECTING:
                self._stop_timers()
                self.connections += 1
                self._watch()
                self._set(Connectivity.READY)
            else:
                self._changed()
        elif isinstance(event, PingAcknowledged):
            self._ping_sent_at = None
        elif isinstance(event, GoAwayReceived):
            self._going_away(session, event)
        elif isinstance(event, ConnectionEnded):
            self._connection_ended(session, event)

    def call_gone(self, session: Session) -> None:
        """A call has left the connection: there is room for another, or a draining connection is done."""
        if session in self._draining and not session.calls:
            self._draining.remove(session)
            self._driver.call_soon(session.close)
        elif session is self.session:
            self._changed()

    def _going_away(self, session: Session, event: GoAwayReceived) -> None:
        if event.error_code == ErrorCodes.ENHANCE_YOUR_CALM and event.debug_data == b"too_many_pings":
            self._ping_interval *= 2
        if session is not self.session:
            return
        said = f" ({event.debug_data.decode('utf-8', 'replace')})" if event.debug_data else ""
        self.error = TransportError(self.peer.name, f"{self.peer.name}: the server sent GOAWAY{said}.")
        self._draining.append(session)
        self._leave(session)
        self.call_gone(session)

    def _connection_ended(self, session: Session, event: ConnectionEnded) -> None:
        if session in self._draining:
            self._draining.remove(session)
        elif session is self.session:
            self.error = TransportError(self.peer.name, f"{event.reason[:1].upper()}{event.reason[1:].rstrip('.')}.")
            self._leave(session)

    def _leave(self, session: Session) -> None:
        """A connection that proved useful may be replaced at once; one that did not, only after the back-off.

        Otherwise a server that sends GOAWAY behind its SETTINGS would be called again without end.
        """
        self.session = None
        self._stop_timers()
        if session.used:
            self._failures = 0
            self._set(Connectivity.IDLE)
        else:
            self._failed(self.error or TransportError(self.peer.name, f"{self.peer.name}: the connection ended."))

    # Keepalive and idleness

    def _watch(self) -> None:
        """Look again when the next of the two could be due."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        waits = [each / 2 for each in (self._ping_interval, self._idle_timeout) if each]
        if self._ping_sent_at is not None and self._keepalive is not None:
            waits.append(self._keepalive.timeout)
        if waits:
            self._watchdog = self._driver.call_later(min(waits), self._look)

    def _look(self) -> None:
        session, now = self.session, self._driver.clock()
        if session is None:
            return
        if self._idle_timeout and not session.calls and now - session.quiet_since >= self._idle_timeout:
            self.session = None
            session.close()
            self._set(Connectivity.IDLE)
            return
        if self._keepalive is not None:
            self._look_alive(session, now, self._keepalive)
        self._watch()

    def _look_alive(self, session: Session, now: float, keepalive: Keepalive) -> None:
        if self._ping_sent_at is not None and session.heard_at > self._ping_sent_at:
            self._ping_sent_at = None
        if self._ping_sent_at is None:
            if now - session.heard_at >= self._ping_interval and (session.calls or keepalive.permit_without_calls):
                self._ping_sent_at = now
                session.ping()
        elif now - self._ping_sent_at >= keepalive.timeout:
            self._ping_sent_at = None
            session.lose(f"the server did not answer a keepalive PING within {keepalive.timeout:g} s")

    # Small things

    def _set(self, state: Connectivity) -> None:
        if self.state is not state and self.state is not Connectivity.SHUTDOWN:
            self.state = state
            self._changed()

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._watchdog):
            if timer is not None:
                timer.cancel()
        self._timer = self._watchdog = None
