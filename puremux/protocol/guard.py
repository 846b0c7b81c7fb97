"""The limits against abuse: every frame is looked at before h2 sees it.

Floor 2, protocol: no I/O.  Imports errors, h2's error codes and hyperframe (which comes with h2).
Spec: RFC 9113 §3.4 (preface), §4.1 (frames), §5.5 (extensions), §6.8 (GOAWAY), §10.5 (denial of service).

h2 keeps the rules of HTTP/2.  The gate in front of it does what h2 leaves open:

- it knows a peer that does not speak HTTP/2 at all, and says what it speaks instead;
- it counts frames that cost work and carry nothing, and ends the connection when there are too many;
- it bounds a header block before it is collected;
- it keeps GOAWAY to itself, since h2 closes a connection at GOAWAY whose running calls must go on;
- it keeps DATA of calls that are over to itself, since h2 answers each such frame with another RST_STREAM;
- it drops PRIORITY and unknown frames, which HTTP/2 lets us ignore.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from h2.errors import ErrorCodes

from ..errors import RemoteProtocolError

__all__ = ["Budget", "FrameGate", "GoAway", "LateData", "Limits"]

HEADER_SIZE = 9
GREETING_SIZE = 64
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4

NAMES = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"),
    *("PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"),
)


class Limits(NamedTuple):
    """What a peer may ask of us before the connection is ended (RFC 9113 §10.5)."""

    max_frame_size: int = 16_384
    """Payload bytes of one frame; what our SETTINGS announce (RFC 9113 §6.5.2)."""

    max_header_list_size: int = 65_536
    """Bytes of one header list, uncompressed, 32 more counted for each field (RFC 9113 §10.5.1); more ends the call."""

    max_header_block_size: int = 262_144
    """Bytes of one header block as sent, over HEADERS and CONTINUATION frames; more ends the connection."""

    idle_frames: int = 1_000
    """Frames of no use to a call (PING, SETTINGS, empty DATA, ...) a peer may send in a row; large ones count more."""

    idle_frames_per_second: float = 50.0
    """How fast that allowance grows back; frames of use to a call give theirs back, and some more."""


class GoAway(NamedTuple):
    """A GOAWAY frame, taken out of the stream of bytes."""

    last_stream_id: int
    error_code: int
    debug_data: bytes


class LateData(NamedTuple):
    """A DATA frame of a call that is over; its bytes are dropped, but its peer must get their credit back."""

    stream_id: int

    size: int
    """Flow-controlled bytes, padding included."""


class Budget:
    """An allowance of work without use, which use and time give back.  Its unit is one small frame."""

    def __init__(self, limits: Limits) -> None:
        self._most = float(limits.idle_frames)
        self._per_second = limits.idle_frames_per_second
        self._left = self._most
        self._now: float | None = None

    def tick(self, now: float) -> None:
        """Grow with the time that went by; ``now`` is in seconds and may jump."""
        if self._now is not None and now > self._now:
            self.earn((now - self._now) * self._per_second)
        self._now = now

    def earn(self, amount: float) -> None:
        """Grow for what was of use."""
        self._left = min(self._most, self._left + amount)

    def spend(self, what: str, amount: float = 1.0) -> None:
        """Pay for a frame.

        Raises:
            RemoteProtocolError: nothing is left (ENHANCE_YOUR_CALM).
        """
        self._left -= amount
        if self._left < 0:
            raise RemoteProtocolError(
                f"the peer floods the connection with {what} frames", ErrorCodes.ENHANCE_YOUR_CALM
            )


class FrameGate:
    """Cuts received bytes at frame boundaries and lets through what h2 is to see.

    Every frame costs something of the budget; the connection earns it back for those that are of use to a call.

    Args:
        client_side: True when the peer is a server, which begins with SETTINGS; a client begins with the preface.
        is_over: whether a stream's call has ended, so that DATA on it is late.
        is_idle: whether nobody has opened a stream; None when that is not to be looked at.
    """

    def __init__(
        self,
        *,
        client_side: bool,
        limits: Limits,
        budget: Budget,
        is_over: Callable[[int], bool],
        is_idle: Callable[[int], bool] | None = None,
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._is_over = is_over
        self._is_idle = is_idle
        self._preface_left = b"" if client_side else PREFACE
        self._peer = "server" if client_side else "client"
        self._seen_settings = False
        self._greeting = b""  # how the peer began, to say what it speaks if it is not HTTP/2
        self._head = b""  # part of a frame's header, while the rest has not come
        self._left = 0  # payload bytes of the current frame that have not come
        self._keep = True  # whether the current frame goes to h2
        self._goaway: bytearray | None = None
        self._block_stream: int | None = None  # stream of the header block that is under way
        self._block_size = 0
        self.block_cost = 0.0
        """What the latest header block has cost."""

    def receive_data(self, data: bytes, now: float) -> Iterator[memoryview | bytes | GoAway | LateData]:
        """Yield, in order: bytes for h2, never across the end of a frame, and the frames that are kept from it.

        Raises:
            RemoteProtocolError: the peer does not speak HTTP/2, or asks too much.
        """
        self._budget.tick(now)
        view = memoryview(data)
        if self._preface_left:
            preface, view = self._take_preface(view)
            yield preface
        if not self._seen_settings:
            self._greeting += bytes(view[: GREETING_SIZE - len(self._greeting)])
        yield from self._cut(view)

    def _cut(self, view: memoryview) -> Iterator[memoryview | bytes | GoAway | LateData]:
        at = 0
        while at < len(view):
            start = at
            if not self._left:
                wanted = HEADER_SIZE - len(self._head)
                head = self._take_head(view[at : at + wanted])
                at += wanted
                if head is None:
                    return
                late = self._begin(head)
                if late is not None:
                    yield late
                if wanted < HEADER_SIZE and self._keep:
                    yield head  # a part of it came with other data, and is gone
                if wanted < HEADER_SIZE or not self._keep:
                    start = at
            size = min(self._left, len(view) - at)
            self._left -= size
            at += size
            if self._keep and at > start:
                yield view[start:at]
            elif self._goaway is not None:
                yield from self._collect_goaway(self._goaway, view[start:at])

    @property
    def has_preface(self) -> bool:
        """True once the peer is known to speak HTTP/2, as far as its preface tells; a server's has none."""
        return not self._preface_left

    def receive_eof(self) -> None:
        """Note that the peer closed the connection.

        Raises:
            RemoteProtocolError: it did so before its first frame was whole, having said something else.
        """
        if self._greeting and not self._seen_settings:
            self._refuse_greeting()

    def _take_preface(self, view: memoryview) -> tuple[memoryview, memoryview]:
        size = min(len(view), len(self._preface_left))
        if bytes(view[:size]) != self._preface_left[:size]:
            raise RemoteProtocolError(f"the client does not speak HTTP/2; it began with {bytes(view[:32])!r}")
        self._preface_left = self._preface_left[size:]
        return view[:size], view[size:]

    def _refuse_greeting(self) -> None:
        greeting = self._greeting
        if greeting[:5] == b"HTTP/":
            line = greeting.split(b"\r\n")[0].decode("latin-1")
            spoken = f"speaks HTTP/1, not HTTP/2: it answered {line!r}; check that this is its port for gRPC"
        elif greeting[:1] in (b"\x15", b"\x16") and greeting[1:2] == b"\x03":
            spoken = "speaks TLS where plaintext was expected; pass insecure=False, or a context of your own as tls="
        else:
            began = f"it began with {greeting[:HEADER_SIZE]!r} where a SETTINGS frame belongs"
            spoken = f"does not speak HTTP/2: {began}; check that a gRPC server listens there"
        raise RemoteProtocolError(f"the {self._peer} {spoken}")

    def _take_head(self, piece: memoryview) -> bytes | None:
        self._head += bytes(piece)
        if len(self._head) < HEADER_SIZE:
            return None
        head, self._head = self._head, b""
        return head

    def _begin(self, head: bytes) -> LateData | None:
        """Look at a frame's header: what is the frame, may it come now, is it for h2?"""
        length, kind, flags, stream_id = _parse(head)
        if not self._seen_settings:
            if kind != SETTINGS or flags & ACK or stream_id:
                self._refuse_greeting()
            self._seen_settings = True
        self._check_length(length, kind, flags, head)
        self._check_stream(kind, stream_id)
        self._check_block(length, kind, flags, stream_id)
        self._left = length
        if kind == DATA and self._is_over(stream_id):
            self._keep = False
            return LateData(stream_id, length)
        self._keep = kind <= CONTINUATION and kind not in (PRIORITY, GOAWAY)
        self._charge(length, kind)
        if kind == GOAWAY:
            if stream_id:
                raise RemoteProtocolError("a GOAWAY frame came on a stream (RFC 9113 §6.8)")
            self._goaway = bytearray()
        return None

    def _collect_goaway(self, frame: bytearray, piece: memoryview) -> Iterator[GoAway]:
        frame += piece
        if not self._left:
            self._goaway = None
            last_stream_id, error_code = struct.unpack_from(">II", frame)
            yield GoAway(last_stream_id & 0x7FFFFFFF, error_code, bytes(frame[8:]))

    def _check_length(self, length: int, kind: int, flags: int, head: bytes) -> None:
        if length > self._limits.max_frame_size:
            if head[:5] == b"HTTP/":  # as some servers do in the middle of a connection
                raise RemoteProtocolError(f"the {self._peer} went over to HTTP/1: it sent {head!r}")
            raise RemoteProtocolError(
                f"a frame of {length} bytes came; the limit is {self._limits.max_frame_size}",
                ErrorCodes.FRAME_SIZE_ERROR,
            )
        if kind == PRIORITY and length != 5:
            raise RemoteProtocolError("a PRIORITY frame is not 5 bytes long", ErrorCodes.FRAME_SIZE_ERROR)
        if kind == SETTINGS and flags & ACK and length:
            sentence = "an acknowledgement of SETTINGS has a payload (RFC 9113 §6.5)"
            raise RemoteProtocolError(sentence, ErrorCodes.FRAME_SIZE_ERROR)
        if kind == GOAWAY and length < 8:
            raise RemoteProtocolError("a GOAWAY frame is shorter than 8 bytes", ErrorCodes.FRAME_SIZE_ERROR)

    def _check_stream(self, kind: int, stream_id: int) -> None:
        """Only HEADERS open a stream (RFC 9113 §5.1, idle)."""
        if kind == PRIORITY and not stream_id:
            raise RemoteProtocolError("a PRIORITY frame came on stream 0 (RFC 9113 §6.3)")
        needs_stream = kind in (DATA, RST_STREAM, WINDOW_UPDATE) and stream_id
        if needs_stream and self._is_idle is not None and self._is_idle(stream_id):
            raise RemoteProtocolError(
                f"a {NAMES[kind]} frame came on stream {stream_id}, which nobody has opened (RFC 9113 §5.1)"
            )
        if kind == CONTINUATION and self._block_stream is None:
            raise RemoteProtocolError("a CONTINUATION frame came without a header block to go on with (RFC 9113 §6.10)")

    def _check_block(self, length: int, kind: int, flags: int, stream_id: int) -> None:
        """A header block is not interrupted (RFC 9113 §4.3) and does not grow without end."""
        if self._block_stream is not None:
            if kind != CONTINUATION or stream_id != self._block_stream:
                raise RemoteProtocolError("a header block is interrupted by another frame (RFC 9113 §4.3)")
        elif kind not in (HEADERS, PUSH_PROMISE):
            return
        else:
            self._block_stream, self._block_size, self.block_cost = stream_id, 0, 0.0
        self._block_size += length
        if self._block_size > self._limits.max_header_block_size:
            raise RemoteProtocolError(
                f"a header block is larger than {self._limits.max_header_block_size} bytes",
                ErrorCodes.ENHANCE_YOUR_CALM,
            )
        if flags & END_HEADERS:
            self._block_stream = None

    def _charge(self, length: int, kind: int) -> None:
        if kind == DATA:
            cost = 1.0
        elif kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
            cost = 1.0 + length / 512  # a byte can be a whole header field
            self.block_cost += cost
        elif kind == SETTINGS:
            cost = 1.0 + length / 60  # each of its values is work, and is kept
        else:
            cost = 1.0 + length / 1024
        self._budget.spend(NAMES[kind] if kind <= CONTINUATION else "unknown", cost)


def _parse(head: bytes) -> tuple[int, int, int, int]:
    high, low, kind, flags, stream_id = struct.unpack(">BHBBI", head)
    return (high << 16) + low, kind, flags, stream_id & 0x7FFFFFFF
