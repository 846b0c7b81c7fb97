"""A connected socket with TLS on it, as a byte stream that never blocks.

Floor 3, transport: imports errors, plain_stream and tls.  Imported when TLS is used: ``ssl`` takes a third of the
memory of all else that an exporter loads.

TLS differs from TCP in four ways that a selector loop must not trip over; they end here:

- reading may have to write first, and writing to read (``events`` says what to watch);
- decrypted bytes wait inside the socket where no selector sees them (``pending``);
- a write that would block must be repeated with the very same bytes (``send`` keeps them);
- one TLS object must not be read and written by two threads at once (a lock, held for one call).
"""

from __future__ import annotations

import selectors
import ssl
import threading

from ..errors import TransportError
from .plain_stream import DRAIN_SIZE, Bytes, ByteStream
from .tls import explain_tls_failure

__all__ = ["TlsByteStream"]

# One write to OpenSSL: a few records in one call, and at most this much is kept when the socket is full.
TLS_WRITE_SIZE = 64 * 1024

# How OpenSSL 3 refuses to send where an alert of its own about the peer's sudden end is still stuck.
UNSENT_ALERT = frozenset({"BAD_LENGTH", "BAD_WRITE_RETRY"})

CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # the other side has ended TLS, or TCP beneath it


class TlsByteStream(ByteStream):
    """The same over TLS; the handshake is done already."""

    _sock: ssl.SSLSocket

    def __init__(self, sock: ssl.SSLSocket, address: str) -> None:
        super().__init__(sock, address)
        self._lock = threading.RLock()  # a signal's handler may send in the middle of what it interrupts
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
        if type(error) in CLOSED:
            error = BrokenPipeError()
        if isinstance(error, ssl.SSLError):
            return explain_tls_failure(error, self.address, bool(self._sock.server_side))
        return super()._lost(error)
