"""A connected socket as a byte stream that never blocks.

Floor 3, transport: imports errors.
"""

from __future__ import annotations

import selectors
import socket
from typing import Union

from ..errors import TransportError

__all__ = ["ByteStream"]

DRAIN_SIZE = 64 * 1024

# Python ignores SIGPIPE, but a program that embeds the interpreter may not.
SEND_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0)

Bytes = Union[bytes, bytearray, memoryview]


class ByteStream:
    """Bytes to and from a connected socket.

    A user of it watches ``fileno()`` for ``events(...)``; whatever is reported, it calls ``receive`` until that
    returns None (or ``b""``), and ``send`` while there is something left to send.
    """

    def __init__(self, sock: socket.socket, address: str) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.address = address
        """How error messages name the other end."""

    def fileno(self) -> int:
        """The file descriptor to watch; -1 once closed."""
        return self._sock.fileno()

    @property
    def pending(self) -> int:
        """Bytes that ``receive`` can return although the selector reports nothing; always 0 without TLS."""
        return 0

    def events(self, reading: bool, writing: bool) -> int:
        """What to watch for: ``selectors.EVENT_READ | selectors.EVENT_WRITE``, or 0 for nothing.

        Args:
            reading: whether the caller wants to receive.
            writing: whether the caller has something to send.
        """
        return selectors.EVENT_READ * reading | selectors.EVENT_WRITE * writing

    def receive(self, max_bytes: int) -> bytes | None:
        """Return some bytes, ``b""`` at the end of the stream, or None when nothing has come yet.

        Raises:
            TransportError: the connection is lost.
        """
        try:
            return self._sock.recv(max_bytes)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._lost(error) from error

    def send(self, data: Bytes) -> int:
        """Send as much of ``data`` as the socket takes now; return how many bytes that was, 0 when it is full.

        What was not taken must come first in the next ``send``, unchanged and not cut shorter.

        Raises:
            TransportError: the connection is lost.
        """
        try:
            return self._sock.send(data, SEND_FLAGS)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error) from error

    def send_eof(self) -> None:
        """Tell the peer that nothing more comes.  Does nothing on a lost connection; nothing may be sent after it.

        Closing at once while bytes are unread makes TCP throw away what the peer has not read yet.  The polite end
        is ``send_eof``, then ``drain`` whenever there is something to read, until it is True (or long enough), then
        ``close``.
        """
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the connection is gone, and so is the one to be told

    def drain(self) -> bool:
        """After ``send_eof``: throw away what has come; return whether the peer has ended too, or is lost."""
        try:
            return not self._sock.recv(DRAIN_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close the socket; sends nothing (so it is safe in a forked child), and may be called twice."""
        self._sock.close()

    def _lost(self, error: OSError) -> TransportError:
        reason = LOST_BECAUSE.get(type(error)) or error.strerror or str(error) or type(error).__name__
        return TransportError(self.address, f"The connection to {self.address} was lost: {reason}.")


LOST_BECAUSE = {
    BrokenPipeError: "the other side has closed it",
    ConnectionResetError: "the other side has reset it",
    ConnectionAbortedError: "it was aborted on this machine",
    TimeoutError: "the other side no longer answers",
    socket.timeout: "the other side no longer answers",
}
