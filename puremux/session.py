"""One connection of a client, and the calls that run on it; it watches over its own health.

Floor 3, I/O: imports call, peer, transport, protocol and errors.  With it comes h2; subchannel imports it when it
connects.
Spec: gRPC doc/keepalive.md; RFC 9113 §6.5.3 (probes), §6.7 (PING).
"""

from __future__ import annotations

import socket
from typing import Protocol

from .call import CallBase
from .peer import Health, Peer
from .protocol.connection import Connection
from .protocol.events import ConnectionEnded, Event, PingAcknowledged, SettingsAcknowledged
from .protocol.framing import ACCEPT_ENCODING
from .protocol.metadata import request_headers
from .transport.driver import Driver, Timer
from .transport.link import Link
from .transport.stream import byte_stream
from .transport.tap import Tap

__all__ = ["Owner", "Session"]


class Owner(Protocol):
    """What a connection tells whoever opened it; under the driver's lock."""

    def handle(self, session: Session, event: Event) -> None:
        """Take an event that concerns the whole connection."""

    def call_gone(self, session: Session) -> None:
        """A call has left the connection."""

    def idle(self, session: Session) -> None:
        """No call has used the connection for its idle timeout."""


class Session:
    """One connection of a client and the calls that run on it.

    Every method is called under the driver's lock.
    """

    def __init__(self, driver: Driver, sock: socket.socket, peer: Peer, owner: Owner, tap: Tap | None) -> None:
        self.peer = peer
        self.connection = Connection(
            client_side=True, max_receive_message_length=peer.max_receive_message_length, peer=peer.name
        )
        self.calls: dict[int, CallBase] = {}
        self.unanswered_since: float | None = None
        """When the :meth:`probe` was sent that has had no answer yet."""
        self.used = False
        """True once a call was sent here, or answered: the peer is what we take it for, and is called again at once,
        as after every READY connection in gRPC."""
        self._probe = 0
        self._driver = driver
        self._owner = owner
        self._link = Link(driver, byte_stream(sock, peer.name), self.connection, self._handle, tap)
        self._quiet_since = driver.clock()
        self._health = Health()
        self._pinged_at: float | None = None
        self._next_look: Timer | None = None

    @property
    def heard_at(self) -> float:
        """When the last bytes came, by the driver's clock."""
        return self._link.heard_at

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

    def watch(self, health: Health) -> None:
        """Send keepalive PINGs and notice idleness from now on."""
        self._health = health
        self._look_later()

    def lose(self, reason: str) -> None:
        """Give the connection up because of what its owner knows."""
        self._link.lose(reason)

    def close(self) -> None:
        """Close politely: say GOAWAY, then close the socket."""
        self._stop()
        self.connection.go_away()
        self._link.flush()
        self._link.close()

    def abandon(self) -> None:
        """Drop the parent's connection in a forked child, without writing to it."""
        self._stop()
        self._link.abandon()
        for event in self.connection.lose("the process forked, and the connection stayed with the parent"):
            self._handle(event)

    # Inside

    def _handle(self, event: Event) -> None:
        stream_id = getattr(event, "stream_id", 0)
        if stream_id:
            self._handle_call(stream_id, event)
        elif isinstance(event, SettingsAcknowledged):
            if event.ordinal >= self._probe:
                self.unanswered_since = None
        elif isinstance(event, PingAcknowledged):
            self._pinged_at = None
        else:
            if isinstance(event, ConnectionEnded):
                self._stop()
            self._owner.handle(self, event)

    def _handle_call(self, stream_id: int, event: Event) -> None:
        call = self.calls.get(stream_id)
        if call is None:
            return
        self.used = self.used or not (self.connection.has_ended or getattr(event, "unprocessed", False))
        call.handle(event)
        if call.ended is not None or call.session is not self:  # the latter when it is to be made again
            if self.calls.get(stream_id) is call:
                del self.calls[stream_id]
            self._call_gone()

    def _call_gone(self) -> None:
        self._quiet_since = self._driver.clock()
        self._owner.call_gone(self)

    # Health

    def _look_later(self) -> None:
        """Look again when something could be due."""
        health = self._health
        waits = [each / 2 for each in (health.ping_interval, health.idle_timeout) if each]
        if self._pinged_at is not None:
            waits.append(health.ping_timeout)
        if waits:
            self._next_look = self._driver.call_later(min(waits), self._look)

    def _look(self) -> None:
        health, now = self._health, self._driver.clock()
        if health.idle_timeout and not self.calls and now - self._quiet_since >= health.idle_timeout:
            self._owner.idle(self)
            return
        if health.ping_interval:
            self._look_alive(health.ping_interval, now)
        self._look_later()

    def _look_alive(self, interval: float, now: float) -> None:
        if self._pinged_at is not None and self.heard_at > self._pinged_at:
            self._pinged_at = None
        if self._pinged_at is None:
            if now - self.heard_at >= interval and (self.calls or self._health.ping_without_calls):
                self._pinged_at = now
                self.connection.ping(b"puremux\0")
                self.flush()
        elif now - self._pinged_at >= self._health.ping_timeout:
            self.lose(f"the server did not answer a keepalive PING within {self._health.ping_timeout:g} s")

    def _stop(self) -> None:
        self._health = Health()
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
