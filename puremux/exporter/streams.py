"""One long-lived stream per service, and the proof that what went on it arrived.

Floor 4, exporter: imports batches, and call, protocol events and transport below.
Spec: opencensus-proto's agent services; the contract is in docs/explanation/delivery.md.

An agent answers nothing on an Export stream until the stream ends.  So a stream is *rotated* now and then: half-closed,
while the next message opens the next stream.  When its trailers bring status 0, the application behind the agent has
read it all, and the batches on it are forgotten.  Whatever else ends a stream gives its batches back, to be sent again.
Between rotations a SETTINGS frame, which must be acknowledged in order, tells whether the transport is alive.
"""

from __future__ import annotations

from typing import Callable, Protocol

from ..call import CallBase, Carrier
from ..channel import Channel
from ..protocol.events import CallEnded
from ..status import StatusCode
from ..subchannel import Backoff
from ..transport.driver import Timer
from .batches import Batch, Ledger

__all__ = ["Pace", "Service"]

HIGH_WATER = 512 * 1024  # bytes waiting for the agent's windows at which no more is put on a stream
AFTER_A_BREAK = 0.25  # seconds to the first rotation: an agent that breaks off each second must not get it all again
PUSHBACK = "retry-after-ms"  # what an agent without room says: that is no fault of a batch
REFUSALS = 3  # of one batch, others having been confirmed in between, after which it is given up


class Pace:
    """When streams are rotated, and how long an agent may take to answer.

    Rotating more often costs the opening of more streams, more rarely leaves more to be sent twice after a break.

    Args:
        rotate_after: seconds after its first batch at which a stream is half-closed, for its status to prove arrival.
        rotate_bytes: bytes of messages on a stream at which it is half-closed before that.
        confirm_within: seconds that a half-closed stream may take to end; then the connection is given up.
        probe_after: seconds between two probes of the connection (an empty SETTINGS frame, RFC 9113 §6.5.3).
        probe_within: seconds that a probe's acknowledgement may take; then the connection is given up.
    """

    def __init__(
        self,
        rotate_after: float = 1.0,
        rotate_bytes: int = 1024 * 1024,
        confirm_within: float = 10.0,
        probe_after: float = 1.0,
        probe_within: float = 5.0,
    ) -> None:
        self.rotate_after = rotate_after
        self.rotate_bytes = rotate_bytes
        self.confirm_within = confirm_within
        self.probe_after = probe_after
        self.probe_within = probe_within


class Owner(Protocol):
    """What a service tells its exporter."""

    def complain(self, kind: str, sentence: str) -> None:
        """Say what went wrong, now and then."""

    def settled(self) -> None:
        """Something was confirmed or given up."""


class _ExportStream(CallBase):
    """One Export call of a service."""

    def __init__(self, service: Service, channel: Channel) -> None:
        super().__init__(
            channel,
            service.path,
            metadata=channel.metadata,
            wait_for_ready=True,
            compression=service.compression,
            may_retry=False,
        )
        self.batches: list[Batch] = []
        self.bytes = 0
        self.identity = b""  # Node and Resource in force on the stream
        self.began = 0.0  # when the first batch went on it
        self.closing_since: float | None = None
        self._service = service

    def put(self, batch: Batch, identity: bytes) -> None:
        """Send a batch, with Node and Resource in front where they are not what the agent remembers."""
        if identity != self.identity:
            self.identity = identity
            payload = identity + batch.payload
        else:
            payload = batch.payload
        if not self.batches:
            self.began = self._driver.clock()
        self.batches.append(batch)
        self.bytes += len(payload)
        self.send_message(payload)

    def opened(self) -> None:
        self._service.pump_soon()

    def drained(self) -> None:
        self._service.pump_soon()

    def call_ended(self, ended: CallEnded) -> None:
        self._service.stream_ended(self, ended)


class Service:
    """Sends one kind of batches by its service's Export stream.  Everything here runs under the driver's lock.

    Args:
        path: of the Export method.
        identity: writes Node and Resource as they stand in a request.
    """

    def __init__(
        self,
        channel: Channel,
        path: str,
        ledger: Ledger,
        identity: Callable[[], bytes],
        owner: Owner,
        pace: Pace,
        backoff: Backoff,
        compression: str | None,
    ) -> None:
        self.path = path
        self.ledger = ledger
        self.compression = compression
        self._channel = channel
        self._driver = channel.driver
        self._identity = identity
        self._owner = owner
        self._pace = pace
        self._backoff = backoff
        self._stream: _ExportStream | None = None
        self._closing: list[_ExportStream] = []
        self._failures = 0  # streams in a row that ended with a bad status
        self._rhythm = pace.rotate_after  # seconds between rotations at present
        self._suspects = 0  # batches that were on such a stream: each gets one by itself
        self._retry: Timer | None = None
        self._rotation: Timer | None = None
        self._pump_pending = False
        self._draining = False
        self._closed = False

    @property
    def is_settled(self) -> bool:
        """True when the agent has had everything."""
        return self.ledger.is_settled

    @property
    def session(self) -> Carrier | None:
        """The connection that owes a proof."""
        for stream in [*self._closing, *filter(None, [self._stream])]:
            if stream.session is not None and stream.batches:
                return stream.session
        return None

    @property
    def is_unproven(self) -> bool:
        """True while batches are on a stream whose end has not come."""
        return self.ledger.unconfirmed > 0

    def submit(self, batch: Batch) -> None:
        """Send a batch as soon as it can be."""
        self.ledger.add(batch)
        self.pump()

    def pump_soon(self) -> None:
        """Go on when the connection's current step is done."""
        if not self._pump_pending:
            self._pump_pending = True
            self._driver.call_soon(self.pump)

    def pump(self) -> None:
        """Put on the stream what it takes."""
        self._pump_pending = False
        while not self._closed and self.ledger.waiting and self.ledger.may_send and self._retry is None:
            stream = self._stream or self._open()
            if stream is None or stream.session is None or stream.pending > HIGH_WATER:
                return
            batch = self.ledger.waiting.popleft()
            self.ledger.send(batch)
            stream.put(batch, self._identity() if batch.identity is None else batch.identity)
            self._schedule_rotation(stream)
        if self._draining and not self.ledger.waiting and not self._closing:
            self._draining = False
            self.rotate()

    def drain(self) -> None:
        """Have everything proven as soon as it can be: rotate as soon as nothing waits."""
        self._draining = True
        self.pump()

    def rotate(self) -> None:
        """Half-close the stream: the agent's status for it will prove that everything on it arrived."""
        stream = self._stream
        if stream is not None and stream.batches and stream.session is not None:
            self._stream = None
            self._closing.append(stream)
            stream.closing_since = self._driver.clock()
            stream.half_close()

    def leave_soon(self) -> None:
        """Rotate, if the stream still lives: its connection takes no new calls and is about to end."""
        self._driver.call_soon(self.rotate)

    def check(self, now: float) -> str | None:
        """Why the connection should be given up, if the agent owes us a proof for too long."""
        for stream in self._closing:
            if stream.closing_since is not None and now - stream.closing_since > self._pace.confirm_within:
                return f"the agent did not end a half-closed stream within {self._pace.confirm_within:g} s"
        return None

    def close(self) -> None:
        """Send nothing more, and take nothing back: what is not confirmed has been counted as given up."""
        self._closed = True

    def abandon(self) -> None:
        """Begin anew in a forked child."""
        for timer in (self._retry, self._rotation):
            if timer is not None:
                timer.cancel()
        self._stream, self._closing, self._retry, self._rotation = None, [], None, None
        self._rhythm = self._pace.rotate_after
        self._failures, self._suspects = 0, 0
        self._pump_pending = self._draining = False
        self.ledger.forget()

    # Streams

    def _open(self) -> _ExportStream | None:
        if self._closing and self._suspects:
            return None
        self._stream = _ExportStream(self, self._channel)
        self._stream.start()
        return self._stream

    def _schedule_rotation(self, stream: _ExportStream) -> None:
        if self._suspects or stream.bytes >= self._pace.rotate_bytes:
            if not self._closing:
                self.rotate()
        elif self._rotation is None:
            self._rotation = self._driver.call_later(self._rhythm, self._rotation_due)

    def _rotation_due(self) -> None:
        self._rotation = None
        if not self._closing:
            self.rotate()

    def stream_ended(self, stream: _ExportStream, ended: CallEnded) -> None:
        """Forget what is proven; take the rest back."""
        was_closing = stream in self._closing
        if self._closed or not (was_closing or stream is self._stream):
            return  # what it carried has been counted, or is the parent's, in a forked child
        if stream is self._stream:
            self._stream = None
        if was_closing:
            self._closing.remove(stream)
        if was_closing and ended.code is StatusCode.OK:
            self._failures, self._suspects = 0, max(0, self._suspects - 1)
            self._rhythm = min(self._pace.rotate_after, 2 * self._rhythm)
            self.ledger.confirm(stream.batches)
        else:
            self._take_back(stream, ended)
        self._owner.settled()
        self._rotate_if_due()
        self.pump_soon()

    def _rotate_if_due(self) -> None:
        stream = self._stream
        if stream is not None and stream.batches and not self._closing:
            age = self._driver.clock() - stream.began
            if stream.bytes >= self._pace.rotate_bytes or age >= self._rhythm:
                self.rotate()

    def _take_back(self, stream: _ExportStream, ended: CallEnded) -> None:
        self.ledger.give_back(stream.batches)
        if stream.left_with_connection:
            self._hurry()
            return  # again at once, on the next connection
        self._failures += 1
        # One by one, as long as any is under suspicion: of what goes together, all is sent again when one is refused.
        self._suspects = max(self._suspects, len(stream.batches))
        is_busy = any(key == PUSHBACK for key, _ in ended.trailing_metadata)
        if len(stream.batches) == 1 and not is_busy:
            self._set_aside(stream.batches[0])
        sentence = f"{self._channel.name} ended {self.path} with {ended.code.name}: {ended.details}"
        self._owner.complain("the agent refuses", sentence)
        # The first failure after a success may be one batch's own fault: the others need not wait for it.
        delay = self._backoff.delay(self._failures - 1) if self._failures > 1 or is_busy else 0.0
        self._retry = self._driver.call_later(delay, self._try_again)

    def _hurry(self) -> None:
        """Have what is sent again proven soon; as long as that goes well, the next rotations take their time."""
        self._rhythm = min(self._pace.rotate_after, AFTER_A_BREAK)
        if self._rotation is not None:
            self._rotation.cancel()
            self._rotation = None

    def _set_aside(self, batch: Batch) -> None:
        """Let the others go first; a batch that is refused again and again, while others are not, is given up."""
        ledger = self.ledger
        ledger.waiting.remove(batch)
        if ledger.confirmed != batch.confirmed_then:
            batch.confirmed_then = ledger.confirmed
            batch.refusals += 1
        if batch.refusals > REFUSALS:
            ledger.drop(batch, "refused by the agent")
        else:
            ledger.waiting.append(batch)

    def _try_again(self) -> None:
        self._retry = None
        self.pump()
