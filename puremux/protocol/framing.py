"""Length-prefixed gRPC messages: DATA bytes in, whole messages out, and back.

Floor 2, protocol: no I/O.  Imports status and errors only.
Spec: gRPC PROTOCOL-HTTP2.md, "Requests", Length-Prefixed-Message; gRPC doc/compression.md.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Callable

from ..errors import MessageError
from ..status import StatusCode

__all__ = ["ACCEPT_ENCODING", "COMPRESSORS", "MessageReader", "frame_message"]

PREFIX = struct.Struct(">BI")  # Compressed-Flag, Message-Length

WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Which wrapper zlib is to write, or expect.  gRPC's "deflate" is the zlib format (RFC 1950), as HTTP's is."""


def _compress(payload: bytes, wbits: int) -> bytes:
    deflater = zlib.compressobj(level=6, wbits=wbits)
    return deflater.compress(payload) + deflater.flush()


COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    encoding: functools.partial(_compress, wbits=wbits) for encoding, wbits in WBITS.items()
}

ACCEPT_ENCODING = ",".join(["identity", *COMPRESSORS])

MAX_UNREAD = 1024 * 1024  # bytes of unpacked messages that may wait for a reader, before the next one stays packed


def frame_message(payload: bytes, encoding: str = "identity") -> bytes:
    """Put the five-byte prefix before a message, compressing it first unless ``encoding`` is ``identity``.

    Args:
        payload: the serialized message; at most 2**32 - 1 bytes on the wire.
        encoding: ``identity``, ``gzip`` or ``deflate``.
    Raises:
        KeyError: the encoding is none of these.
    Source: gRPC PROTOCOL-HTTP2.md, Length-Prefixed-Message.
    """
    if encoding == "identity":
        return PREFIX.pack(0, len(payload)) + payload
    compressed = COMPRESSORS[encoding](payload)
    return PREFIX.pack(1, len(compressed)) + compressed


class MessageReader:
    """Cuts one call's DATA bytes into messages, wherever the frames begin and end.

    A thousand bytes can be a packed megabyte.  Flow control bounds only what comes packed; so where much is unread
    already, packed messages wait as they are until :meth:`message_taken`.

    Args:
        max_length: the largest message taken, in bytes, before and after decompression; None for no limit.
            It is checked on the prefix, before anything is kept.
        encoding: the peer's ``grpc-encoding``.
    Source: gRPC PROTOCOL-HTTP2.md, Length-Prefixed-Message; doc/compression.md.
    """

    def __init__(self, max_length: int | None, encoding: str = "identity") -> None:
        self._max_length = max_length
        self._encoding = encoding
        self._buffer = bytearray()
        self._needed = PREFIX.size
        self._compressed: bool | None = None  # known once the prefix is read
        self._unread: deque[int] = deque()  # the size of each message that was handed out and not taken
        self._unread_bytes = 0

    def receive_data(self, data: bytes) -> Iterator[bytes]:
        """Take the payload of one DATA frame; yield the messages that it completes.

        Raises:
            MessageError: a message is too long, has unknown flags, or cannot be decompressed.  Those before it have
                been yielded.
        """
        self._buffer += data
        return self._messages()

    def message_taken(self) -> Iterator[bytes]:
        """Note that the application took one message; yield those for which there is room now.

        Raises:
            MessageError: as :meth:`receive_data`.
        """
        if self._unread:
            self._unread_bytes -= self._unread.popleft()
        return self._messages()

    def _messages(self) -> Iterator[bytes]:
        start = 0
        try:
            while len(self._buffer) - start >= self._needed and not self._must_wait:
                if self._compressed is None:
                    self._read_prefix(start)
                    start += PREFIX.size
                else:
                    end = start + self._needed
                    # Released by hand, for PyPy and GraalPy do not count references.
                    with memoryview(self._buffer) as view, view[start:end] as part:
                        payload = bytes(part)
                    start = end
                    yield self._finish(payload)
        finally:
            del self._buffer[:start]

    @property
    def buffered(self) -> int:
        """Bytes that have come and are in no message yet."""
        return len(self._buffer) + (0 if self._compressed is None else PREFIX.size)

    @property
    def has_paused(self) -> bool:
        """True while a whole message waits for others to be taken."""
        return self._must_wait and len(self._buffer) >= self._needed

    @property
    def _must_wait(self) -> bool:
        # Not for the second message: who expects one waits for the end before he takes it.
        return bool(self._compressed) and len(self._unread) > 1 and self._unread_bytes >= MAX_UNREAD

    @property
    def is_between_messages(self) -> bool:
        """False while part of a message has arrived: ending there cuts it short."""
        return self._compressed is None and not self._buffer

    def _read_prefix(self, start: int) -> None:
        flags, length = PREFIX.unpack_from(self._buffer, start)
        if flags > 1:
            raise MessageError(StatusCode.INTERNAL, f"a message came with the unknown flags 0x{flags:02x}")
        self._check_length(length)
        if flags and self._encoding == "identity":
            raise MessageError(
                StatusCode.INTERNAL, "a message is flagged as compressed, but no grpc-encoding was announced"
            )
        if flags and self._encoding not in WBITS:
            raise MessageError(
                StatusCode.INTERNAL,
                f"a message is compressed with {self._encoding!r}; only {ACCEPT_ENCODING} can be read",
            )
        self._compressed, self._needed = bool(flags), length

    def _check_length(self, length: int) -> None:
        if self._max_length is not None and length > self._max_length:
            raise MessageError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"a message of {length} bytes is larger than the limit of {self._max_length}"
                " (max_receive_message_length)",
            )

    def _finish(self, payload: bytes) -> bytes:
        if self._compressed:
            payload = self._decompress(payload)
        self._compressed, self._needed = None, PREFIX.size
        self._unread.append(len(payload))
        self._unread_bytes += len(payload)
        return payload

    def _decompress(self, payload: bytes) -> bytes:
        inflater = zlib.decompressobj(WBITS[self._encoding])
        most = 0 if self._max_length is None else self._max_length + 1  # one byte more tells a bomb; 0: no limit
        try:
            data = inflater.decompress(payload, most)
        except zlib.error as error:
            raise MessageError(
                StatusCode.INTERNAL, f"a message cannot be decompressed as {self._encoding}: {error}"
            ) from None
        if self._max_length is not None and len(data) > self._max_length:
            raise MessageError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"a message grows beyond the limit of {self._max_length} bytes when decompressed"
                " (max_receive_message_length)",
            )
        if not inflater.eof:
            raise MessageError(StatusCode.INTERNAL, f"a message compressed with {self._encoding} is cut short")
        if inflater.unused_data:
            raise MessageError(
                StatusCode.INTERNAL, f"a message compressed with {self._encoding} has bytes behind its end"
            )
        return data
