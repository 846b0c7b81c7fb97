"""A connected socket, plain or TLS, as one kind of byte stream that never blocks.

Floor 3, transport: imports errors and tls.

TLS differs from TCP in four ways that a selector loop must not trip over; they end here:

- reading may have to write first, and writing to read (``events`` says what to watch);
- decrypted bytes wait inside the socket where no selector sees them (``pending``);
- a write that would block must be repeated with the very same bytes (``send`` keeps them);
- one TLS object must not be read and written by two threads at once (a lock, held for one call).
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from typing import Union

from ..errors import TransportError
from .tls import explain_tls_failure

__all__ = ["ByteStream", "TlsByteStream", "byte_stream"]

# One write to OpenSSL: a few records in one call, and at most this much is kept when the socket is full.
TLS_WRITE_SIZE = 64 * 1024

DRAIN_SIZE = 64 * 1024

# Python ignores SIGPIPE, but a program that embeds the interpreter may not.
SEND_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0)

Bytes = Union[bytes, bytearray, memoryview]


def byte_stream(sock: socket.socket, address: str) -> ByteStream:
    """Take over a connected socket (as ``dial`` returns it, or accepted); it is made non-blocking.

    Args:
        sock: the socket, of which the stream is the owner from now on.
        address: how error messages name the other end.
    """
    if isinstance(sock, ssl.SSLSocket):
        return TlsByteStream(sock, address)
    return ByteStream(sock, address)


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
    ssl.SSLEOFError: "the other side has closed it",
    ssl.SSLZeroReturnError: "the other side has closed it",
}


# How OpenSSL 3 refuses to send where an alert of its own about the peer's sudden end is still stuck.
UNSENT_ALERT = frozenset({"BAD_LENGTH", "BAD_WRITE_RETRY"})


class TlsByteStream(ByteStream):
    """The same over TLS; the handshake is done already."""

    _sock: ssl.SSLSocket

    def __init__(self, sock: ssl.SSLSocket, address: str) -> None:
        super().__init__(sock, address)
        self._lock = threading.Lock()
        self._to_receive = selectors.EVENT_READ
        self._to_send = selectors.EVENT_WRITE
        self._unsent = b""  # a write that OpenSSL wants repeated, byte for byte

    @property
    def pending(self) -> int:
        """Bytes that are decrypted already: ``receive`` returns them although the selector reports nothing."""
        return self._sock.pending()

    def events(self, reading: bool, writing: bool) -> int:
        """What to watch for; TLS may have to write before it can receive, and to read before it can send."""
        return self._to_receive * reading | self._to_send * writing

    def receive(self, max_bytes: int) -> bytes | None:
        """Return some bytes, ``b""`` at the end of the stream, or None when no whole record has come yet.

        Raises:
            TransportError: the connection is lost.
            TlsError: a record is broken, or the peer refuses us by an alert (TLS 1.3 refuses client
                certificates only now, after the handshake).
        """
        with self._lock:
            try:
                data = self._sock.recv(max_bytes)
            except ssl.SSLWantReadError:
                self._to_receive = selectors.EVENT_READ
                return None
            except ssl.SSLWantWriteError:
                self._to_receive = selectors.EVENT_WRITE
                return None
            except OSError as error:
                raise self._lost(error) from error
        self._to_receive = selectors.EVENT_READ
        return data

    def send(self, data: Bytes) -> int:
        """Send as much of ``data`` as the socket takes now; return how many bytes that was, 0 when it is full.

        What was not taken must come first in the next ``send``, unchanged and not cut shorter: OpenSSL has
        begun to send it.

        Raises:
            TransportError: the connection is lost.
            TlsError: TLS refuses, by an alert for instance.
            ValueError: ``data`` is shorter than what has to be repeated.
        """
        sent = 0
        with self._lock, memoryview(data) as view:
            while sent < len(view):
                chunk = self._unsent or bytes(view[sent : sent + TLS_WRITE_SIZE])
                if len(chunk) > len(view) - sent:
                    raise ValueError(f"send() must repeat the {len(chunk)} bytes that it could not send before")
                if not self._write(chunk):
                    break
                sent += len(chunk)
        return sent

    def _write(self, chunk: bytes) -> bool:
        """Whether OpenSSL took the whole chunk (Python does not let it take a part)."""
        try:
            self._sock.send(chunk)
        except ssl.SSLWantWriteError:
            self._unsent, self._to_send = chunk, selectors.EVENT_WRITE
            return False
        except ssl.SSLWantReadError:
            self._unsent, self._to_send = chunk, selectors.EVENT_READ
            return False
        except OSError as error:
            raise self._lost(error) from error
        self._unsent, self._to_send = b"", selectors.EVENT_WRITE
        return True

    def send_eof(self) -> None:
        """Tell the peer that nothing more comes, by TLS's close_notify and TCP's FIN."""
        with self._lock:
            try:
                self._sock.recv(DRAIN_SIZE)  # OpenSSL takes it for an error to find data when it says goodbye
            except OSError:
                pass  # nothing has come
            try:
                self._sock.unwrap()
            except (OSError, ValueError):
                pass  # it is sent; the peer's own has not come yet, as usual, or the connection is gone
            super().send_eof()  # SSLSocket.shutdown() drops the TLS layer: drain() throws away what nobody decrypts

    def _lost(self, error: OSError) -> TransportError:
        if getattr(error, "reason", None) in UNSENT_ALERT:
            error = BrokenPipeError()
        if isinstance(error, ssl.SSLError) and type(error) not in LOST_BECAUSE:
            return explain_tls_failure(error, self.address, bool(self._sock.server_side))
        return super()._lost(error)
