"""The server's end of one connection, played by hand: reads frames, keeps the books, sends any bytes.

Spec: RFC 9113 §3.4, §5.2, §6; gRPC PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Callable

import hpack

from . import wire
from .wire import Field, Frame

__all__ = ["Gone", "Peer"]


class Gone(Exception):
    """The client closed the connection, or the scenario is over."""


class Peer:
    """One accepted socket.

    Every frame that is read is also answered as a good server would (SETTINGS and PING acknowledged, credit given
    back), unless the attributes below say otherwise; what it says about calls is kept for the scenario to look at.

    Args:
        over: set when the client has had its call, and the scenario is to end.
        fault: told what the client did wrong.
        index: 0 for the first connection that the server took.
    """

    def __init__(
        self, sock: socket.socket, over: threading.Event, fault: Callable[[str], None], index: int = 0
    ) -> None:
        self.sock = sock
        self.over = over
        self.fault = fault
        self.index = index
        self.acknowledges = True
        """Whether SETTINGS and PING are acknowledged."""
        self.credits = True
        """Whether the client gets its flow-control credit back for DATA."""
        self.is_good = False
        """Whether the connection has become an echo server's, and may stay when the scenario is over."""
        self.was_closed = False
        """Whether the client closed the connection."""

        self.opened: deque[int] = deque()
        """Streams that the client opened and the scenario has not looked at."""
        self.whole: deque[int] = deque()
        """The same for streams that the client has half-closed."""
        self.calls: dict[int, list[Field]] = {}
        """Request headers of each stream."""
        self.bodies: defaultdict[int, bytearray] = defaultdict(bytearray)
        """DATA of each stream."""
        self.resets: dict[int, int] = {}
        """Error code of each stream that the client reset."""
        self.said: set[tuple[int, int]] = set()
        """Which (kind, flags) the client has sent."""
        self.goaway: bytes | None = None
        """Payload of the client's GOAWAY."""
        self.client_settings: dict[int, int] = {}
        self.settings_acknowledged = 0
        self.windows: dict[int, int] = {0: wire.DEFAULT_WINDOW}
        """Bytes that we may still send, by stream; 0 is the connection."""

        self.encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._block: tuple[int, int, bytearray] | None = None

    # Bytes

    def send(self, *pieces: bytes) -> None:
        """Send bytes, whatever they are."""
        try:
            self.sock.sendall(b"".join(pieces))
        except OSError as error:
            raise Gone from error

    def receive(self, size: int) -> bytes:
        """Exactly so many bytes."""
        taken = bytearray()
        while len(taken) < size:
            try:
                piece = self.sock.recv(size - len(taken))
            except OSError as error:
                self._note_close(error)
                raise Gone from error
            if not piece:
                self._note_close(None)
                raise Gone
            taken += piece
        return bytes(taken)

    def _note_close(self, error: OSError | None) -> None:
        if not self.over.is_set() and not isinstance(error, socket.timeout):
            self.was_closed = True

    def rest(self, seconds: float) -> None:
        """Do nothing for a while.

        Raises:
            Gone: the scenario is over.
        """
        if self.over.wait(seconds):
            raise Gone

    def drip(self, data: bytes, seconds: float) -> None:
        """Send one byte at a time, with a pause behind each."""
        for i in range(len(data)):
            self.send(data[i : i + 1])
            self.rest(seconds)

    def flood(self, chunk: bytes, *, reads: bool = False) -> None:
        """Send the same bytes until the client closes or the scenario is over.

        Args:
            reads: take what the client sends meanwhile; else its acknowledgements pile up.
        """
        while not self.over.is_set():
            self.send(chunk)
            if reads:
                self.discard()

    def discard(self) -> None:
        """Throw away what has come."""
        try:
            while self.sock.recv(65_536, socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            return
        except OSError as error:
            raise Gone from error

    def abort(self) -> None:
        """Close with a TCP RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # The beginning

    def greet(self, values: Mapping[int, int] = {}) -> None:
        """Take the client's preface and send ours."""
        preface = self.receive(len(wire.PREFACE))
        if preface != wire.PREFACE:
            self.fault(f"the client began with {preface!r}")
            raise Gone
        self.tell(values)

    def tell(self, values: Mapping[int, int]) -> None:
        """Send SETTINGS."""
        if wire.HEADER_TABLE_SIZE in values:
            self._decoder.max_allowed_table_size = max(values[wire.HEADER_TABLE_SIZE], wire.DEFAULT_TABLE_SIZE)
        self.send(wire.settings(values))

    def take_call(self, values: Mapping[int, int] = {}) -> int:
        """Greet, then wait for the first call's whole request; return its stream."""
        self.greet(values)
        return self.next_request()

    def next_call(self) -> int:
        """Wait for the next call's headers; return its stream."""
        while not self.opened:
            self.read_frame()
        return self.opened.popleft()

    def next_request(self) -> int:
        """Wait for the next call's whole request; return its stream."""
        while not self.whole:
            self.read_frame()
        stream_id = self.whole.popleft()
        if stream_id in self.opened:
            self.opened.remove(stream_id)
        return stream_id

    # Frames from the client

    def read_frame(self) -> Frame:
        """Read one frame and do what a good server does about it."""
        high, low, kind, flags, stream_id = struct.unpack(">BHBBI", self.receive(9))
        frame = Frame(kind, flags, stream_id & 0x7FFFFFFF, self.receive((high << 16) + low))
        self.said.add((kind, flags))
        react = _REACTIONS.get(kind)
        if react is not None:
            react(self, frame)
        return frame

    def read_until(self, done: Callable[[], bool]) -> None:
        """Read frames until something is true."""
        while not done():
            self.read_frame()

    def read_until_reset(self, stream_id: int) -> None:
        """Read frames until the client gives the stream up."""
        self.read_until(lambda: stream_id in self.resets)

    def read_body(self, stream_id: int, size: int) -> None:
        """Read frames until the stream has brought so many bytes of DATA."""
        self.read_until(lambda: len(self.bodies[stream_id]) >= size)

    def linger(self) -> None:
        """Read and be silent until the client closes or the scenario is over."""
        while True:
            self.read_frame()

    def _on_settings(self, frame: Frame) -> None:
        if frame.flags & wire.ACK:
            self.settings_acknowledged += 1
            return
        for identifier, value in struct.iter_unpack(">HI", frame.payload):
            if identifier == wire.INITIAL_WINDOW_SIZE:
                growth = value - self.initial_window
                for stream_id in self.calls:
                    self.windows[stream_id] += growth
            elif identifier == wire.HEADER_TABLE_SIZE:
                self.encoder.header_table_size = value
            self.client_settings[identifier] = value
        if self.acknowledges:
            self.send(wire.settings_ack())

    @property
    def initial_window(self) -> int:
        """What the client allows on a new stream."""
        return self.client_settings.get(wire.INITIAL_WINDOW_SIZE, wire.DEFAULT_WINDOW)

    def _on_ping(self, frame: Frame) -> None:
        if self.acknowledges and not frame.flags & wire.ACK:
            self.send(wire.ping(frame.payload, ack=True))

    def _on_headers(self, frame: Frame) -> None:
        fragment = _without_padding(frame)
        if frame.flags & wire.WITH_PRIORITY:
            fragment = fragment[5:]
        self._block = (frame.stream_id, frame.flags, bytearray(fragment))
        self._end_block(frame.flags)

    def _on_continuation(self, frame: Frame) -> None:
        if self._block is not None:
            self._block[2].extend(frame.payload)
            self._end_block(frame.flags)

    def _end_block(self, flags: int) -> None:
        if flags & wire.END_HEADERS and self._block is not None:
            stream_id, first_flags, fragments = self._block
            self._block = None
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(bytes(fragments), raw=True)]
            self.calls[stream_id] = fields
            self.windows[stream_id] = self.initial_window
            self.opened.append(stream_id)
            if first_flags & wire.END_STREAM:
                self.whole.append(stream_id)

    def _on_data(self, frame: Frame) -> None:
        self.bodies[frame.stream_id] += _without_padding(frame)
        if frame.flags & wire.END_STREAM:
            self.whole.append(frame.stream_id)
        if self.credits and frame.payload:
            back = wire.window_update(0, len(frame.payload))
            if not frame.flags & wire.END_STREAM:
                back += wire.window_update(frame.stream_id, len(frame.payload))
            self.send(back)

    def _on_window_update(self, frame: Frame) -> None:
        (increment,) = struct.unpack(">I", frame.payload)
        self.windows[frame.stream_id] = self.windows.get(frame.stream_id, 0) + increment

    def _on_reset(self, frame: Frame) -> None:
        (self.resets[frame.stream_id],) = struct.unpack(">I", frame.payload)

    def _on_goaway(self, frame: Frame) -> None:
        self.goaway = frame.payload

    # Answers

    def headers(self, stream_id: int, fields: Iterable[Field], *, end: bool = False) -> bytes:
        """HEADERS that use the dynamic table, as real servers' do."""
        return wire.header_frames(stream_id, self.encoder.encode(list(fields)), end=end)

    def begin(self, stream_id: int, *more: Field) -> None:
        """Send the answer's headers."""
        self.send(self.headers(stream_id, [*wire.ANSWER, *more]))

    def finish(self, stream_id: int, *more: Field, status: bytes = b"0") -> None:
        """Send the answer's trailers."""
        self.send(self.headers(stream_id, [(b"grpc-status", status), *more], end=True))

    def answer(self, stream_id: int, *payloads: bytes) -> None:
        """Send a whole good answer."""
        self.begin(stream_id)
        for payload in payloads:
            self.send_data(stream_id, wire.message(payload))
        self.finish(stream_id)

    def send_data(
        self, stream_id: int, payload: bytes, *, padding: int | None = None, step: int = wire.DEFAULT_FRAME_SIZE
    ) -> None:
        """Send DATA as fast as the client's windows allow, until it resets the stream.

        Args:
            padding: bytes of padding in each frame; None for frames without.
            step: bytes of payload in each frame, at the most.
        """
        extra = 0 if padding is None else padding + 1
        view = memoryview(payload)
        while view:
            size = min(len(view), step, wire.DEFAULT_FRAME_SIZE - extra)
            self.wait_for_window(stream_id, size + extra)
            if stream_id in self.resets:
                return
            self.send(wire.data(stream_id, bytes(view[:size]), padding=padding))
            self.windows[stream_id] -= size + extra
            self.windows[0] -= size + extra
            view = view[size:]

    def wait_for_window(self, stream_id: int, size: int) -> None:
        """Read until the client allows so many bytes, or has reset the stream."""
        self.read_until(lambda: stream_id in self.resets or min(self.windows[0], self.windows[stream_id]) >= size)

    # The good server

    def serve(self) -> None:
        """From here on, be a good echo server: each call gets its own messages back."""
        self.is_good = True
        while True:
            stream_id = self.next_request()
            if stream_id not in self.resets:
                self.begin(stream_id)
                self.send_data(stream_id, bytes(self.bodies.pop(stream_id, b"")))
            if stream_id not in self.resets:
                self.finish(stream_id)


def _without_padding(frame: Frame) -> bytes:
    if not frame.flags & wire.PADDED:
        return frame.payload
    return frame.payload[1 : len(frame.payload) - frame.payload[0]]


_REACTIONS: Mapping[int, Callable[[Peer, Frame], None]] = {
    wire.SETTINGS: Peer._on_settings,
    wire.PING: Peer._on_ping,
    wire.HEADERS: Peer._on_headers,
    wire.CONTINUATION: Peer._on_continuation,
    wire.DATA: Peer._on_data,
    wire.WINDOW_UPDATE: Peer._on_window_update,
    wire.RST_STREAM: Peer._on_reset,
    wire.GOAWAY: Peer._on_goaway,
}
