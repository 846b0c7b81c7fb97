"""One long-lived stream per service, and the proof that what went on it arrived.

Floor 4, exporter: imports batches, and call, protocol events and transport below.
Spec: opencensus-proto's agent services; the contract is in docs/explanation/delivery.md.

An agent answers nothing on an Export stream until the stream ends.  So a stream is *rotated* now and then: half-closed,
while the next message opens the next stream.  When its trailers bring status 0, the application behind the agent has
read it all, and the batches on it are forgotten.  Whatever else ends a stream gives its batches back, to be sent again.
Between rotations a SETTINGS frame, which must be acknowledged in order, tells whether the transport is alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Protocol

from ..call import CallBase, Carrier
from ..channel import Channel
from ..checks import check_numbers
from ..protocol.events import CallEnded
from ..status import StatusCode
from ..subchannel import Backoff
from ..transport.driver import Timer
from .batches import Batch, Ledger

__all__ = ["Pace", "Service"]

HIGH_WATER = 512 * 1024  # bytes waiting for the agent's windows at which no more is put on a stream
AFTER_A_BREAK = 0.05  # seconds to the first rotation: an agent that breaks off each second must not get it all again
PUSHBACK = "retry-after-ms"  # what an agent without room says: that is no fault of a batch
REFUSALS = 3  # of one batch, others having been confirmed in between, after which it is given up
BREAKS = 3  # of connections in a row, nothing having been confirmed, after which what was on them becomes suspect

CREDENTIALS = "; check the credentials in headers="
ADVICE: Mapping[StatusCode, str] = {  # behind the agent's own words
    StatusCode.UNIMPLEMENTED: "; no OpenCensus agent listens there: check the port, or give it its opencensus receiver",
    StatusCode.UNAUTHENTICATED: CREDENTIALS,
    StatusCode.PERMISSION_DENIED: CREDENTIALS,
}


class Pace:
    """When streams are rotated, and how long an agent may take to answer.

    Rotating more often costs the opening of more streams, more rarely leaves more to be sent twice after a break.

    Args:
        rotate_after: seconds after its first batch at which a stream is half-closed, for its status to prove arrival.
        rotate_bytes: bytes of messages on a stream at which it is half-closed before that.
        confirm_within: seconds that a half-closed stream may take to end; then the connection is given up.
        probe_after: seconds between two probes of the connection (an empty SETTINGS frame, RFC 9113 §6.5.3).
        probe_within: seconds that a probe's acknowledgement may take; then the connection is given up.
    Raises:
        TypeError, ValueError: one of them is no number above zero.
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
        check_numbers("bytes", of="Pace", rotate_bytes=rotate_bytes)
        check_numbers("seconds", of="Pace", rotate_after=rotate_after, confirm_within=confirm_within)
        check_numbers("seconds", of="Pace", probe_after=probe_after, probe_within=probe_within)


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
        self.asked_at = self._driver.clock()  # when a connection was asked for
        self.moved_at = 0.0  # when the stream was half-closed, or the agent's windows let more of it out after that
        self.left = 0  # bytes that had to wait for these windows at that time
        self.is_out = False  # True once all of it, the end included, is on its way
        self.carrier: Carrier | None = None  # the connection, known after its end too
        self._service = service

    @property
    def is_suspect(self) -> bool:
        """True when it carries a batch that is to travel by itself."""
        return any(batch.is_suspect for batch in self.batches)

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

    def finish(self) -> None:
        """Half-close, so that the agent's status tells whether it had everything."""
        self.moved_at, self.left = self._driver.clock(), self.pending
        self.half_close()

    def has_moved(self, now: float) -> float:
        """When the agent last took something of what is left, or the end."""
        if self.pending < self.left:
            self.moved_at, self.left = now, self.pending
        return self.moved_at

    def opened(self) -> None:
        self.carrier = self.session
        self._service.pump_soon()

    def drained(self) -> None:
        self.is_out = self.is_half_closed
        self._service.pump_soon()

    def connection_leaves(self) -> None:
        self._service.leave(self)

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
        self._breaks = 0  # connections in a row that broke, and nothing was confirmed in between
        self._broken: Carrier | None = None  # the last of them
        self._retry: Timer | None = None
        self._rotation: Timer | None = None
        self._pump_pending = False
        self._draining = False
        self._closed = False

    @property
    def sessions(self) -> list[Carrier]:
        """The connections that owe a proof."""
        streams = [*self._closing, *filter(None, [self._stream])]
        return list(dict.fromkeys(each.session for each in streams if each.session is not None and each.batches))

    def lacks_room(self, now: float) -> bool:
        """True when a stream waits for longer than it takes to open one: the agent allows no more of them."""
        stream = self._stream
        return stream is not None and stream.session is None and now - stream.asked_at > self._pace.probe_after

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
        """Put on streams what they take; a suspect batch gets one that nothing else runs beside."""
        self._pump_pending = False
        while self._may_send():
            if self.ledger.waiting[0].is_suspect and self._stream is not None and self._stream.batches:
                self.rotate()
                return
            stream = self._stream or self._open()
            if stream.session is None or stream.pending > HIGH_WATER:
                break
            self._put(stream)
        self._rotate_when_due()
        if self._draining and not self.ledger.waiting and not self._closing:
            self._draining = False
            self.rotate()

    def _may_send(self) -> bool:
        ledger = self.ledger
        if self._closed or not ledger.waiting or not ledger.may_send or self._retry is not None:
            return False
        return not self._closing or not (ledger.waiting[0].is_suspect or any(each.is_suspect for each in self._closing))

    def _put(self, stream: _ExportStream) -> None:
        batch = self.ledger.waiting[0]
        identity = self._identity() if batch.identity is None else batch.identity
        self.ledger.send(self.ledger.waiting.popleft())
        stream.put(batch, identity)
        self._rotate_when_due()

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
            stream.finish()

    def leave(self, stream: _ExportStream) -> None:
        """Its connection takes no new calls and is about to end: have the stream ended before that."""
        self._driver.call_soon(lambda: self._leave(stream))

    def _leave(self, stream: _ExportStream) -> None:
        if stream is not self._stream:
            return
        if stream.batches:
            self.rotate()
        else:
            self._stream = None
            stream.end(StatusCode.CANCELLED, "it was not used yet")
        self.pump_soon()

    def look_after(self, now: float) -> None:
        """Probe the connections that owe a proof, and give up those that owe it for too long."""
        for session in self.sessions:
            reason = self._why_lost(session, now)
            if reason is None:
                session.probe()
            else:
                sentence = f"{self._channel.name}: {reason}"
                self._owner.complain("the agent is silent", f"{sentence}; connecting again.")
                session.lose(sentence)

    def _why_lost(self, session: Carrier, now: float) -> str | None:
        pace = self._pace
        unanswered = session.unanswered_since
        if unanswered is not None and now - max(unanswered, session.heard_at) > pace.probe_within:
            return f"the agent acknowledged no SETTINGS within {pace.probe_within:g} s"
        for stream in self._closing:
            if stream.session is session and now - stream.has_moved(now) > pace.confirm_within:
                return f"the agent did not end a half-closed stream within {pace.confirm_within:g} s"
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
        self._failures, self._breaks, self._broken = 0, 0, None
        self._pump_pending = self._draining = False
        self.ledger.forget()

    # Streams

    def _open(self) -> _ExportStream:
        stream = self._stream = _ExportStream(self, self._channel)
        stream.start()
        return stream

    def _rotate_when_due(self) -> None:
        """Rotate if the stream is long or old enough, one at a time; else look again when it will be."""
        stream = self._stream
        if stream is None or not stream.batches or self._closing:
            return  # looked at again at the end of what is closing
        due = stream.began + self._rhythm
        if stream.is_suspect or stream.bytes >= self._pace.rotate_bytes or self._driver.clock() >= due:
            self.rotate()
        elif self._rotation is None:
            self._rotation = self._driver.call_at(due, self._rotation_due)

    def _rotation_due(self) -> None:
        self._rotation = None
        self._rotate_when_due()

    def stream_ended(self, stream: _ExportStream, ended: CallEnded) -> None:
        """Forget what is proven; take the rest back."""
        was_closing = stream in self._closing
        if self._closed or not (was_closing or stream is self._stream):
            return  # what it carried has been counted, or is the parent's, in a forked child
        if stream is self._stream:
            self._stream = None
        if was_closing:
            self._closing.remove(stream)
        if was_closing and ended.code is StatusCode.OK and stream.is_out:
            self._failures, self._breaks, self._broken = 0, 0, None
            self._rhythm = min(self._pace.rotate_after, 2 * self._rhythm)
            self.ledger.confirm(stream.batches)
        else:
            self._take_back(stream, ended)
        self._owner.settled()
        self.pump_soon()  # and no step on another stream before that: it may have ended with this one, and not know yet

    def _take_back(self, stream: _ExportStream, ended: CallEnded) -> None:
        self.ledger.give_back(stream.batches)
        if not stream.left_with_connection:
            self._failures += 1
            is_busy = any(key == PUSHBACK for key, _ in ended.trailing_metadata)
            self._suspect(stream.batches, is_busy=is_busy)
            sentence = (
                f"{self._channel.name} ended {self.path} with {ended.code.name}: {ended.details or 'no reason given'}"
            )
            sentence += ADVICE.get(ended.code, "")
            self._owner.complain("the agent refuses", sentence)
            self._wait_after(self._failures + is_busy)
        elif stream.batches:
            self._breaks += stream.carrier is not self._broken  # two streams may have been on it
            self._broken = stream.carrier
            if self._breaks >= BREAKS or stream.is_suspect:
                self._suspect(stream.batches)
            self._hurry()
            self._wait_after(self._breaks)

    def _wait_after(self, failures: int) -> None:
        """Not at all after the first: it may be one batch's own fault, or the agent's restart."""
        if failures > 1 and self._retry is None:
            self._retry = self._driver.call_later(self._backoff.delay(failures - 1), self._try_again)

    def _hurry(self) -> None:
        """Have what is sent again proven soon; as long as that goes well, the next rotations take their time."""
        self._rhythm = min(self._pace.rotate_after, AFTER_A_BREAK)
        if self._rotation is not None:
            self._rotation.cancel()
            self._rotation = None

    def _suspect(self, batches: list[Batch], *, is_busy: bool = False) -> None:
        """One of them may be why the stream was refused: each is to travel by itself, or, if it did, in two halves."""
        was_alone = len(batches) == 1
        for batch in batches:
            batch.is_suspect = True
        if was_alone and not is_busy and batches[0] in self.ledger.outstanding:
            self._set_aside(batches[0])

    def _set_aside(self, batch: Batch) -> None:
        """Let the others go first; one item that is refused again and again, while others are not, is given up."""
        ledger = self.ledger
        ledger.waiting.remove(batch)
        if ledger.divide(batch):
            return
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
