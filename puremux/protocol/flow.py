"""Flow control, both ways: bytes that wait for the peer's window, and credit that goes back for what was read.

Floor 2, protocol: no I/O.  Imports h2.
Spec: RFC 9113 §5.2 and §6.9.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from h2.connection import H2Connection

from .metadata import HeaderList

__all__ = ["Credit", "Outbox"]


@dataclass
class _Queue:
    """What one stream still has to send, in order: DATA, then perhaps trailers or the end."""

    chunks: deque[memoryview] = field(default_factory=deque)
    size: int = 0
    end_stream: bool = False
    trailers: HeaderList | None = None


class Outbox:
    """Messages on their way into DATA frames, as far as the peer's windows allow.

    Streams take turns, a frame each, so that a large message holds no other call up for longer than one frame.
    """

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._queues: dict[int, _Queue] = {}
        self.frames_sent = 0
        self.bytes_sent = 0

    def add(self, stream_id: int, data: bytes) -> None:
        """Queue the bytes of a framed message."""
        queue = self._queue(stream_id)
        queue.chunks.append(memoryview(data))
        queue.size += len(data)

    def end(self, stream_id: int, trailers: HeaderList | None = None) -> None:
        """Queue END_STREAM behind what is queued: on the last DATA frame, or on trailers."""
        queue = self._queue(stream_id)
        queue.end_stream, queue.trailers = True, trailers

    def drop(self, stream_id: int) -> None:
        """Forget what a stream that has ended would still have sent."""
        self._queues.pop(stream_id, None)

    def pending(self, stream_id: int) -> int:
        """Bytes of the stream that wait for a window."""
        queue = self._queues.get(stream_id)
        return queue.size if queue else 0

    def flush(self, room: int) -> list[tuple[int, bool]]:
        """Make the frames that the windows allow, about ``room`` bytes of them.

        Returns:
            (stream, whether it has sent its end) for each stream that is emptied.
        """
        until = self.bytes_sent + room
        emptied: list[tuple[int, bool]] = []
        turn = deque(self._queues)
        while turn and self.bytes_sent < until:
            stream_id = turn.popleft()
            queue = self._queues[stream_id]
            if self._send_frame(stream_id, queue):
                turn.append(stream_id)
            elif not queue.size:
                emptied.append((stream_id, queue.end_stream))
                del self._queues[stream_id]
        return emptied

    def _queue(self, stream_id: int) -> _Queue:
        queue = self._queues.get(stream_id)
        if queue is None:
            queue = self._queues[stream_id] = _Queue()
        return queue

    def _send_frame(self, stream_id: int, queue: _Queue) -> bool:
        """Send the stream's next frame; False when it has to wait, or has nothing more."""
        if not queue.chunks:
            self._send_end(stream_id, queue)
            return False
        chunk = queue.chunks[0]
        window = self._h2.local_flow_control_window(stream_id)
        size = min(len(chunk), window, self._h2.max_outbound_frame_size)
        if size <= 0 < len(chunk):
            return False
        if size == len(chunk):
            queue.chunks.popleft()
        else:
            queue.chunks[0] = chunk[size:]
        queue.size -= size
        is_last = queue.end_stream and queue.trailers is None and not queue.chunks
        self._h2.send_data(stream_id, chunk[:size], end_stream=is_last)
        self.frames_sent += 1
        self.bytes_sent += size
        return bool(queue.chunks) or queue.trailers is not None

    def _send_end(self, stream_id: int, queue: _Queue) -> None:
        if queue.trailers is not None:
            self._h2.send_headers(stream_id, queue.trailers, end_stream=True)
        elif queue.end_stream:
            self._h2.end_stream(stream_id)


class Credit:
    """Gives flow-control credit back for DATA that was read.

    While a message is incomplete its bytes are credited as they come, for only the rest of it can free them.  Once
    whole messages wait for a reader, credit waits with them: a peer cannot send faster than the application reads.
    """

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._unread: dict[int, int] = {}
        self._held: dict[int, int] = {}

    def received(self, stream_id: int, size: int, messages: int) -> None:
        """Note a DATA frame of ``size`` flow-controlled bytes that completed so many messages."""
        unread = self._unread.get(stream_id, 0) + messages
        if unread:
            self._unread[stream_id] = unread
            self._held[stream_id] = self._held.get(stream_id, 0) + size
        elif size:
            self._h2.acknowledge_received_data(size, stream_id)

    def taken(self, stream_id: int) -> None:
        """Note that the application took one message."""
        unread = self._unread.get(stream_id, 0) - 1
        if unread > 0:
            self._unread[stream_id] = unread
        else:
            self.release(stream_id)

    def release(self, stream_id: int) -> None:
        """Give back all that is held for a stream: everything is read, or its call has ended."""
        self._unread.pop(stream_id, None)
        size = self._held.pop(stream_id, 0)
        if size:
            self._h2.acknowledge_received_data(size, stream_id)
