"""A place to connect to: one connection at a time, made when needed, with back-off between attempts.

Floor 3, I/O: imports call, checks, peer, session, transport, protocol and errors; and h2's list of error codes.
Spec: gRPC doc/connection-backoff.md, doc/connectivity-semantics-and-api.md, doc/keepalive.md.
"""

from __future__ import annotations

import contextlib
import enum
import os
import socket
import sys
from typing import TYPE_CHECKING, Callable, NamedTuple

from h2.errors import ErrorCodes

from .call import CallBase
from .checks import check_numbers
from .errors import TransportError
from .peer import Health, Keepalive, Peer
from .protocol.events import ConnectionEnded, Event, GoAwayReceived, SettingsReceived
from .transport.driver import Driver, Timer
from .transport.tap import Tap
from .transport.task import Task
from .transport.wait import Step, Wait

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Backoff", "Connectivity", "Keepalive", "Peer", "Subchannel", "load_session"]


SESSION = f"{__package__}.session"
MAX_DEBUG = 256  # bytes of a GOAWAY's explanation that an error repeats; a server may send 16 KiB


class Connectivity(enum.Enum):
    """States of a channel (grpc.ChannelConnectivity; doc/connectivity-semantics-and-api.md)."""

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    TRANSIENT_FAILURE = "transient failure"
    SHUTDOWN = "shutdown"


def load_session() -> None:
    """Have loaded what a connection needs, which is loaded with the first attempt; what import raises comes out."""
    from . import session  # noqa: F401


class _Backoff(NamedTuple):
    initial: float
    multiplier: float
    jitter: float
    maximum: float


class Backoff(_Backoff):
    """How long to wait between attempts to connect (doc/connection-backoff.md, whose numbers are the defaults).

    Args:
        initial: seconds from the first failed attempt's beginning to the next one's.
        multiplier: how much longer each wait is than the one before it.
        jitter: each wait is longer or shorter by up to this share, lest ten thousand clients come back at once.
        maximum: seconds; no wait is longer, but for the jitter.
    Raises:
        TypeError, ValueError: one of them is no number above zero, or ``jitter`` none from 0 to 1.
    """

    __slots__ = ()

    def __new__(
        cls, initial: float = 1.0, multiplier: float = 1.6, jitter: float = 0.2, maximum: float = 120.0
    ) -> Backoff:
        """Check the numbers."""
        check_numbers("seconds", of="Backoff", initial=initial, maximum=maximum)
        check_numbers("times", of="Backoff", multiplier=multiplier)
        if jitter:
            check_numbers("parts", of="Backoff", jitter=jitter)
        if jitter > 1:
            raise ValueError(f"Backoff: jitter takes a share from 0 to 1, not {jitter!r}")
        return super().__new__(cls, initial, multiplier, jitter, maximum)

    def delay(self, failures: int) -> float:
        """Seconds from the beginning of the attempt that was the ``failures``-th failure in a row to the next."""
        delay = min(self.initial * self.multiplier ** min(failures - 1, 64), self.maximum)
        spread = int.from_bytes(os.urandom(4), "big") / 0xFFFFFFFF * 2 - 1  # -1 to 1; random takes longer to import
        return delay * (1 + spread * self.jitter)


class Subchannel:
    """Connects to one peer, and again when that breaks.

    Every method is called under the driver's lock.

    Args:
        changed: called when the state has changed.
        room: called when there may be room for another call.
        connect_timeout: seconds that an attempt may take, up to the server's SETTINGS.
    """

    def __init__(
        self,
        driver: Driver,
        peer: Peer,
        changed: Callable[[], None],
        *,
        backoff: Backoff,
        room: Callable[[], None] | None = None,
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
        self._room = room or changed
        self._backoff = backoff
        self._connect_timeout = connect_timeout
        self._keepalive = keepalive
        self._ping_interval = keepalive.time if keepalive else None
        self._idle_timeout = idle_timeout
        self._tap = tap
        self._failures = 0
        self._attempt_began = 0.0
        self._dialling: Task | None = None
        self._timer: Timer | None = None  # for the attempt, then for the wait after it
        self._draining: list[Session] = []

    def connect(self) -> None:
        """Begin an attempt, unless there is a connection, an attempt, or a wait under way."""
        if self.state is Connectivity.IDLE:
            self._attempt_began = self._driver.clock()
            until = self._attempt_began + self._connect_timeout
            self._set(Connectivity.CONNECTING)
            self._dialling = self._driver.run(self._dial(until), self._dialled)
            self._timer = self._driver.call_at(until + 1.0, self._took_too_long)

    def disconnect(self) -> None:
        """Give up an attempt that nobody needs any more."""
        if self.state is Connectivity.CONNECTING:
            self._abort()
            session, self.session = self.session, None
            if session is not None:
                session.close()
            self._set(Connectivity.IDLE)

    def retire(self) -> None:
        """Take no more calls, and close the connection when those that run are over; for good."""
        self._abort()
        self.state = Connectivity.SHUTDOWN
        session, self.session = self.session, None
        if session is not None:
            self._draining.append(session)
            self.call_gone(session)

    def close(self) -> None:
        """Close every connection; for good."""
        self._abort()
        self.state = Connectivity.SHUTDOWN
        for session in self._take_sessions():
            session.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        sessions = self._take_sessions()
        self._dialling = self._timer = None
        self.connections, self.error = 0, None
        if self.state is not Connectivity.SHUTDOWN:
            self.state = Connectivity.IDLE
        for session in sessions:
            session.abandon()

    @property
    def running(self) -> list[CallBase]:
        """The calls on its connections, the draining ones included."""
        sessions = [*self._draining, *filter(None, [self.session])]
        return [call for session in sessions for call in session.calls.values()]

    def _take_sessions(self) -> list[Session]:
        sessions = [*self._draining, *filter(None, [self.session])]
        self.session, self._draining = None, []
        return sessions

    # An attempt

    def _dial(self, until: float) -> Step[socket.socket]:
        if not hasattr(sys.modules.get(SESSION), "Session"):
            self._driver.call_unlocked(self._load)
            yield Wait(until)  # for it
            load_session()  # raises what it raised
        return (yield from self.peer.dial(until))

    def _load(self) -> None:
        # On the driver, since h2 takes as long to import as all that a start needs, and nobody shall wait for that; but
        # a fork, lest the child finds modules half loaded.
        with self._driver.loading, contextlib.suppress(Exception):
            load_session()
        self._driver.call_soon(self._loaded)

    def _loaded(self) -> None:
        if self._dialling is not None:
            self._dialling.resume()

    def _dialled(self, sock: socket.socket | None, error: BaseException | None) -> None:
        self._dialling = None
        if sock is None:
            if not isinstance(error, TransportError):
                error = TransportError(self.peer.name, f"Cannot connect to {self.peer.name}: {error!r}.")
            self._failed(error)
            return
        from .session import Session

        self.session = Session(self._driver, sock, self.peer, self, self._tap)
        self._stop_timer()
        self._timer = self._driver.call_at(self._attempt_began + self._connect_timeout, self._took_too_long)
        self.session.flush()

    def _took_too_long(self) -> None:
        self._timer = None
        if self.session is not None:
            self.session.lose(
                f"{self.peer.name} accepted the connection but sent no HTTP/2 SETTINGS within"
                f" {self._connect_timeout:g} s; check that a gRPC server listens there."
            )
        elif self._dialling is not None:
            self._abort()
            sentence = f"Cannot connect to {self.peer.name} within {self._connect_timeout:g} s."
            self._failed(TransportError(self.peer.name, sentence))

    def _failed(self, error: TransportError) -> None:
        """Wait, from the attempt's beginning, as long as the failures in a row ask for."""
        self._stop_timer()
        self.error = error
        self._failures += 1
        when = self._attempt_began + self._backoff.delay(self._failures)
        if self.state is Connectivity.READY and when <= self._driver.clock():
            self._set(Connectivity.IDLE)  # it lived for longer than the wait would have been
        else:
            self._timer = self._driver.call_at(when, self._waited)
            self._set(Connectivity.TRANSIENT_FAILURE)

    def _waited(self) -> None:
        # Not at once: calls that do not want to wait must see the failure, however short the wait was.
        self._timer = None
        self._driver.call_soon(self._wait_over)

    def _wait_over(self) -> None:
        if self.state is Connectivity.TRANSIENT_FAILURE and self._timer is None:
            self._set(Connectivity.IDLE)

    def _abort(self) -> None:
        self._stop_timer()
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None

    # A connection

    def handle(self, session: Session, event: Event) -> None:
        """Take an event that concerns the whole connection."""
        if isinstance(event, SettingsReceived):
            if session is self.session and self.state is Connectivity.CONNECTING:
                self._became_ready(session)
            else:
                self._room()
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
            self._room()

    def idle(self, session: Session) -> None:
        """Nobody has used the connection for long: close it, until somebody needs one."""
        if session is self.session:
            self.session = None
            session.close()
            self._set(Connectivity.IDLE)

    def _became_ready(self, session: Session) -> None:
        self._stop_timer()
        self.connections += 1
        keepalive = self._keepalive or Keepalive()
        session.watch(
            Health(self._ping_interval, keepalive.timeout, keepalive.permit_without_calls, self._idle_timeout)
        )
        self._set(Connectivity.READY)

    def _going_away(self, session: Session, event: GoAwayReceived) -> None:
        too_many_pings = event.error_code == ErrorCodes.ENHANCE_YOUR_CALM and event.debug_data == b"too_many_pings"
        if too_many_pings and self._ping_interval:
            self._ping_interval *= 2
        if session is not self.session:
            return
        debug_data = event.debug_data[:MAX_DEBUG].decode("utf-8", "replace")
        said = f" ({debug_data})" if debug_data else ""
        self.error = TransportError(self.peer.name, f"{self.peer.name}: the server sent GOAWAY{said}.")
        self._draining.append(session)
        for call in list(session.calls.values()):
            call.connection_leaves()
        self._leave(session)
        self.call_gone(session)

    def _connection_ended(self, session: Session, event: ConnectionEnded) -> None:
        if session in self._draining:
            self._draining.remove(session)
        elif session is self.session:
            reason = event.reason.rstrip(".")
            if self.state is Connectivity.CONNECTING and "; " not in reason:
                reason += " before it had sent HTTP/2's SETTINGS; check that a gRPC server listens there"
                reason += ", and pass insecure=False if it has TLS" if self.peer.scheme == "http" else ""
            self.error = TransportError(self.peer.name, f"{reason}.")
            self._leave(session)

    def _leave(self, session: Session) -> None:
        """A connection that proved useful may be replaced at once; one that did not, only after the back-off.

        Otherwise a server that sends GOAWAY behind its SETTINGS would be called again without end.
        """
        self.session = None
        self._stop_timer()
        if session.used:
            self._failures = 0
            self._set(Connectivity.IDLE)
        else:
            self._failed(self.error or TransportError(self.peer.name, f"{self.peer.name}: the connection ended."))

    # Small things

    def _set(self, state: Connectivity) -> None:
        if self.state is not state and self.state is not Connectivity.SHUTDOWN:
            self.state = state
            self._changed()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
