"""A client that writes what a test tells it to, frame by frame, and may leave everything unread."""

from __future__ import annotations

import socket
import struct
from types import TracebackType

import hpack

from tests.hostile import wire

__all__ = ["RawClient"]

LIMIT = 20.0


class RawClient:
    """A connection to a server.

    Args:
        greet: begin with the preface and SETTINGS, as every client does.
        receive_buffer: bytes that the system takes for us without our reading; None for its own choice.
    """

    def __init__(self, address: str, *, greet: bool = True, receive_buffer: int | None = None) -> None:
        host, _, port = address.rpartition(":")
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(LIMIT)
        self.sock.connect((host, int(port)))
        self._decoder = hpack.Decoder()
        if greet:
            self.sock.sendall(wire.PREFACE + wire.settings() + wire.window_update(0, wire.MAX_WINDOW - 65_535))

    def begin(self, stream_id: int, path: str) -> None:
        """Open a call."""
        self.sock.sendall(request(stream_id, path))

    def send(self, stream_id: int, payload: bytes, *, end: bool = False) -> None:
        """Send bytes of DATA, whatever the windows say."""
        pieces = [payload[at : at + 16_384] for at in range(0, len(payload), 16_384)] or [b""]
        frames = [wire.data(stream_id, piece, end=end and piece is pieces[-1]) for piece in pieces]
        self.sock.sendall(b"".join(frames))

    def frame(self) -> wire.Frame | None:
        """The next frame; None at the end of the connection."""
        try:
            head = self._exactly(9)
            high, low, kind, flags, stream_id = struct.unpack(">BHBBI", head)
            return wire.Frame(kind, flags, stream_id, self._exactly((high << 16) + low))
        except (EOFError, ConnectionError):
            return None

    def until(self, kind: int, flags: int = 0) -> wire.Frame:
        """The next frame of a kind, with these flags at least; headers that come meanwhile are read as well."""
        while True:
            frame = self.frame()
            assert frame is not None, f"the connection ended before a frame of kind {kind} came"
            if frame.kind == kind and frame.flags & flags == flags:
                return frame

    def status(self) -> tuple[str, str]:
        """The next call's status and its sentence."""
        while True:
            frame = self.until(wire.HEADERS)
            fields = dict(self._decoder.decode(frame.payload))
            if "grpc-status" in fields:
                return fields["grpc-status"], fields.get("grpc-message", "")

    def goaway(self) -> tuple[int, str]:
        """The code and the text of the next GOAWAY."""
        frame = self.until(wire.GOAWAY)
        return struct.unpack(">I", frame.payload[4:8])[0], frame.payload[8:].decode()

    def has_ended(self) -> bool:
        """Whether the other side has closed the connection, whatever it sent before."""
        while self.frame() is not None:
            pass
        return True

    def _exactly(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            piece = self.sock.recv(size - len(taken))
            if not piece:
                raise EOFError
            taken += piece
        return taken

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.sock.close()


def request(stream_id: int, path: str, *, end: bool = False) -> bytes:
    """HEADERS of a call."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"test"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]
    return wire.headers(stream_id, fields, end=end)
