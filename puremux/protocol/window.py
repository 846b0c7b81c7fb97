"""Flow control, the receiving side: credit for what was read, and windows that widen to fill a long pipe.

Floor 2, protocol: no I/O.  Imports http2 and hyperframe (which comes with h2).
Spec: RFC 9113 §5.2, §6.5.3 (acknowledgements come in order), §6.9.
"""

from __future__ import annotations

from collections import deque
from typing import Callable

from h2.settings import SettingCodes
from hyperframe.frame import WindowUpdateFrame

from .http2 import FIRST_WINDOW, Http2

__all__ = ["Growth", "Inflow"]

SMALL_GROUP = 1_024  # bytes of messages that are credited together, when all of them are read
GAIN = 1.1  # how much faster the peer must have become for a wider window to have paid


class _Stream:
    """What one stream has brought and is not credited for."""

    def __init__(self) -> None:
        self.waiting: deque[list[int]] = deque()
        """Messages that are unread, in groups as they came: how many, and the bytes that they were."""
        self.waiting_bytes = 0
        """The sum of these bytes."""
        self.buffered = 0
        """Bytes that came after those, in no message yet."""
        self.uncredited = 0
        """Bytes that came, and for which the peer has not got its credit."""
        self.is_open = True
        """False once the peer has ended the stream: it has no use for credit."""

    def wait(self, messages: int, size: int) -> None:
        """Let messages wait for a reader; small groups are noted as one, so the notes stay smaller than they are."""
        self.waiting_bytes += size
        if self.waiting and self.waiting[-1][1] < SMALL_GROUP:
            self.waiting[-1][0] += messages
            self.waiting[-1][1] += size
        else:
            self.waiting.append([messages, size])


class Growth:
    """Widens the windows as long as that lets more through.

    The peer can send no more than one window in a round trip, and a SETTINGS frame and its acknowledgement are one.  So
    when much comes, what arrives within one is measured: if that is more than half of a window, and comes faster than
    whatever was measured before, the window may be what holds the peer back, and is doubled.

    A peer that waits for credit sends its bursts right behind the acknowledgement of what went out with the credit.  So
    a first round trip finds the beginning of a burst, and the next one measures.  A peer that never acknowledges keeps
    the first windows.

    Args:
        send_settings: sends a SETTINGS frame with these values; returns the ordinal of its acknowledgement.
        stream_window: bytes to begin with, for one stream.
        connection_window: the same for all streams together.
        max_stream_window: bytes that a stream's window may grow to.
        max_connection_window: the same for all streams together.
    """

    def __init__(
        self,
        h2: Http2,
        send_settings: Callable[[dict[SettingCodes | int, int]], int],
        *,
        stream_window: int,
        connection_window: int,
        max_stream_window: int,
        max_connection_window: int,
    ) -> None:
        self.stream_window = stream_window
        self.connection_window = max(connection_window, FIRST_WINDOW)
        self._max_stream_window = max_stream_window
        self._max_connection_window = max_connection_window
        self._h2 = h2
        self._send_settings = send_settings
        self._unmeasured = 0  # bytes since the last measurement
        self._awaited: int | None = None  # the ordinal of the SETTINGS frame that is on its way
        self._is_aligned = False  # whether what comes next begins a burst
        self._measures = False
        self._began = 0.0
        self._arrived: dict[int, int] = {}  # bytes of each stream within the round trip
        self._best_rate = 0.0  # bytes a second

    def received(self, stream_id: int, size: int, now: float) -> None:
        """Note flow-controlled bytes of a running call."""
        self._unmeasured += size
        if self._awaited is None and self._is_aligned:
            self._is_aligned, self._measures = False, True
            self._began, self._arrived = now, {}
            self._awaited = self._send_settings({})
        elif self._awaited is None and self._unmeasured >= self.stream_window and self._may_grow:
            self._awaited = self._send_settings({})
        if self._measures:
            self._arrived[stream_id] = self._arrived.get(stream_id, 0) + size

    def acknowledged(self, ordinal: int, now: float) -> None:
        """Note that our SETTINGS frame of this ordinal has made its round trip."""
        if self._awaited is None or ordinal < self._awaited:
            return
        self._awaited = None
        self._is_aligned = not self._measures
        if self._measures:
            self._measures, self._unmeasured = False, 0
            self._judge(now - self._began)

    @property
    def _may_grow(self) -> bool:
        return self.stream_window < self._max_stream_window or self.connection_window < self._max_connection_window

    def _judge(self, seconds: float) -> None:
        total, largest = sum(self._arrived.values()), max(self._arrived.values(), default=0)
        rate = total / seconds if seconds > 0 else 0.0
        if rate < self._best_rate * GAIN or not rate:
            return
        if 2 * total > self.connection_window < self._max_connection_window:
            self._best_rate = rate
            wider = min(2 * self.connection_window, self._max_connection_window)
            self._h2.increment_flow_control_window(wider - self.connection_window)
            self.connection_window = wider
        if 2 * largest > self.stream_window < self._max_stream_window:
            self._best_rate = rate
            self.stream_window = min(2 * self.stream_window, self._max_stream_window)
            self._awaited = self._send_settings({SettingCodes.INITIAL_WINDOW_SIZE: self.stream_window})


class Inflow:
    """Gives flow-control credit back for DATA.

    The connection's credit goes back as DATA comes, so that a call which nobody reads holds up no other.  A stream's
    goes back as its messages are read: a peer cannot send faster than the application reads.  While a message is
    incomplete and none waits before it, its bytes are credited as they come, for only the rest of it can free them.

    Each credit is at least a quarter of the window, so that a peer is neither stopped nor flooded by small ones.
    """

    def __init__(self, h2: Http2, growth: Growth) -> None:
        self._h2 = h2
        self._growth = growth
        self._streams: dict[int, _Stream] = {}
        self._owed = 0  # of the connection
        self._owed_late = 0  # likewise, for DATA that h2 has not seen

    def received(
        self, stream_id: int, size: int, messages: int, *, buffered: int, end_stream: bool = False, now: float
    ) -> None:
        """Note a DATA frame of a running call.

        Args:
            size: its flow-controlled bytes; 0 when messages became readable by what came before.
            messages: how many messages it completed.
            buffered: bytes of the call that are in no message yet.
            end_stream: the peer sends no more.
        """
        stream = self._streams.setdefault(stream_id, _Stream())
        if size:
            self._owed += size
            self._credit_connection()
            self._growth.received(stream_id, size, now)
            stream.uncredited += size
        if messages:
            stream.wait(messages, stream.buffered + size - buffered)
        stream.buffered = buffered
        stream.is_open = stream.is_open and not end_stream
        self._credit_stream(stream_id, stream)

    def received_late(self, size: int) -> None:
        """Note a DATA frame that was not given to h2, since its call is over."""
        self._owed_late += size
        self._credit_connection()

    def taken(self, stream_id: int) -> None:
        """Note that the application took one message."""
        stream = self._streams.get(stream_id)
        if stream is None or not stream.waiting:
            return
        oldest = stream.waiting[0]
        oldest[0] -= 1
        if not oldest[0]:
            stream.waiting_bytes -= oldest[1]
            stream.waiting.popleft()
            self._credit_stream(stream_id, stream)

    def forget(self, stream_id: int) -> None:
        """Note that a stream's call has ended."""
        self._streams.pop(stream_id, None)

    def _credit_connection(self) -> None:
        if 4 * (self._owed + self._owed_late) < self._growth.connection_window:
            return
        if self._owed:
            self._h2.increment_flow_control_window(self._owed)
        if self._owed_late:  # h2 has not counted it as received, and must not count it as given back
            self._h2.send_frame(WindowUpdateFrame(0, window_increment=self._owed_late))
        self._owed = self._owed_late = 0

    def _credit_stream(self, stream_id: int, stream: _Stream) -> None:
        held = stream.waiting_bytes + stream.buffered if stream.waiting else 0
        owed = stream.uncredited - held
        if stream.is_open and owed > 0 and 4 * owed >= self._growth.stream_window:
            self._h2.increment_flow_control_window(owed, stream_id)
            stream.uncredited -= owed
