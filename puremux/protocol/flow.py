"""Flow control, the sending side: bytes that wait for the peer's windows, and take turns.

Floor 2, protocol: no I/O.  Imports metadata and h2.
Spec: RFC 9113 §5.2 and §6.9.
"""

from __future__ import annotations

from collections import deque

from h2.connection import H2Connection

from .metadata import HeaderList

__all__ = ["Outbox"]

MAX_FRAME = 65_536  # bytes; a peer may allow 16 MiB, but while one stream sends a frame the others wait


class _Queue:
    """What one stream still has to send, in order: DATA, then perhaps trailers or the end."""

    def __init__(self) -> None:
        self.chunks: deque[memoryview] = deque()
        self.size = 0
        self.end_stream = False
        self.trailers: HeaderList | None = None
        self.has_turn = False

    def add(self, data: bytes) -> None:
        self.chunks.append(memoryview(data))
        self.size += len(data)

    def take(self, size: int) -> bytes | memoryview:
        """Take the next ``size`` bytes; small messages that have waited leave together."""
        self.size -= size
        taken: list[memoryview] = []
        while size:
            chunk = self.chunks.popleft()
            if len(chunk) > size:
                self.chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            taken.append(chunk)
            size -= len(chunk)
        return taken[0] if len(taken) == 1 else b"".join(taken)


class Outbox:
    """Messages on their way into DATA frames, as far as the peer's windows allow.

    Streams take turns, a frame each, so that a large message holds no other call up for longer than one frame.  A
    stream that the windows stop loses its turn until one of them opens: what is stopped costs nothing.
    """

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._queues: dict[int, _Queue] = {}
        self._turns: deque[int] = deque()  # streams that may have something to send now
        self._stopped: dict[int, None] = {}  # streams that a window has stopped; who waits longest is first
        self.frames_sent = 0
        self.bytes_sent = 0

    def add(self, stream_id: int, data: bytes) -> None:
        """Queue the bytes of a framed message."""
        self._queue(stream_id).add(data)

    def end(self, stream_id: int, trailers: HeaderList | None = None) -> None:
        """Queue END_STREAM behind what is queued: on the last DATA frame, or on trailers."""
        queue = self._queue(stream_id)
        queue.end_stream, queue.trailers = True, trailers

    def drop(self, stream_id: int) -> None:
        """Forget what a stream that has ended would still have sent."""
        self._queues.pop(stream_id, None)
        self._stopped.pop(stream_id, None)

    def pending(self, stream_id: int) -> int:
        """Bytes of the stream that wait for a window."""
        queue = self._queues.get(stream_id)
        return queue.size if queue else 0

    def window_opened(self, stream_id: int) -> None:
        """The peer takes more on this stream; 0 means perhaps on every stream."""
        for each in [stream_id] if stream_id else list(self._stopped):
            if each in self._stopped:
                self._give_turn(each, self._queues[each])

    def flush(self, room: int) -> list[tuple[int, bool]]:
        """Make the frames that the windows allow, about ``room`` bytes of them.

        Returns:
            (stream, whether it has sent its end) for each stream that is emptied.
        """
        until = self.bytes_sent + room
        emptied: list[tuple[int, bool]] = []
        while self._turns and self.bytes_sent < until:
            stream_id = self._turns.popleft()
            queue = self._queues.get(stream_id)
            if queue is None:
                continue
            queue.has_turn = False
            if self._send_frame(stream_id, queue):
                self._give_turn(stream_id, queue)
            elif queue.size:
                self._stopped[stream_id] = None
            else:
                emptied.append((stream_id, queue.end_stream))
                del self._queues[stream_id]
        return emptied

    def _queue(self, stream_id: int) -> _Queue:
        queue = self._queues.get(stream_id)
        if queue is None:
            queue = self._queues[stream_id] = _Queue()
        self._give_turn(stream_id, queue)
        return queue

    def _give_turn(self, stream_id: int, queue: _Queue) -> None:
        if not queue.has_turn:
            queue.has_turn = True
            self._turns.append(stream_id)
            self._stopped.pop(stream_id, None)

    def _send_frame(self, stream_id: int, queue: _Queue) -> bool:
        """Send the stream's next frame; False when it has to wait, or has nothing more."""
        if not queue.size:
            self._send_end(stream_id, queue)
            return False
        window = self._h2.local_flow_control_window(stream_id)
        size = min(queue.size, window, self._h2.max_outbound_frame_size, MAX_FRAME)
        if size <= 0:
            return False
        data = queue.take(size)
        is_last = queue.end_stream and queue.trailers is None and not queue.size
        self._h2.send_data(stream_id, data, end_stream=is_last)
        self.frames_sent += 1
        self.bytes_sent += size
        return queue.size > 0 or queue.trailers is not None

    def _send_end(self, stream_id: int, queue: _Queue) -> None:
        if queue.trailers is not None:
            self._h2.send_headers(stream_id, queue.trailers, end_stream=True)
        elif queue.end_stream:
            self._h2.end_stream(stream_id)
