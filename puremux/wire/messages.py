"""gRPC messages: cut out of DATA wherever frames begin and end, unpacked, and told field by field.

Floor 5, wire: imports fields, parts and words, and the protocol's words for compression.
Spec: gRPC PROTOCOL-HTTP2.md, Length-Prefixed-Message; doc/compression.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

from google.protobuf.descriptor import Descriptor

from ..protocol.framing import WBITS
from .fields import read_fields
from .parts import Layer, Part, Stretch, not_understood
from .words import count, printable

__all__ = ["CutMessage", "MessageCutter", "Unclear", "Unpacked", "message_parts"]

PREFIX = 5
"""Bytes before each message."""


@dataclass(frozen=True)
class CutMessage:
    """A message as it was sent."""

    prefix: Stretch
    payload: Stretch

    @property
    def is_compressed(self) -> bool:
        """Whether its first byte says so."""
        return self.prefix.data[0] == 1


@dataclass(frozen=True)
class Unclear:
    """Bytes that are in no message, and in no header block, that can be told."""

    stretch: Stretch
    reason: str
    stream_id: int = 0


Found = Union[CutMessage, Unclear]


class MessageCutter:
    """Finds the messages in the DATA of one direction of one stream, as it comes.

    Args:
        most: bytes of the largest message that is put together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[Stretch] = []
        self._prefix: Stretch | None = None
        self._missing = PREFIX  # bytes until prefix or message are whole
        self._skipping = 0  # bytes that are still to come of a message that is not kept
        self._reason = ""
        self.held = 0
        """Bytes that are kept until their message is whole, and what it costs to remember where they lie."""

    def receive(self, data: Stretch) -> Iterator[Found]:
        """Take the bytes of a DATA frame; yield what can be told now."""
        at = 0
        while at < len(data):
            size = min(self._skipping or self._missing, len(data) - at)
            piece = data.cut(at, at + size)
            at += size
            if self._skipping:
                self._skipping -= size
                yield Unclear(piece, self._reason)
            else:
                yield from self._keep(piece)

    def end(self, reason: str) -> Iterator[Unclear]:
        """Give up what is kept of a message, and pass over what may still come of it."""
        kept = Stretch.join(self._pieces if self._prefix is None else [self._prefix, *self._pieces])
        missing = NEVER_ENDING if self._prefix is None else self._missing
        if len(kept):
            self._skip(missing, reason)
            yield Unclear(kept, reason)

    def lose(self, reason: str) -> Iterator[Unclear]:
        """Some bytes were missed, and so nobody knows where the next message begins."""
        yield from self.end(reason)
        self._skip(NEVER_ENDING, reason)

    def _keep(self, piece: Stretch) -> Iterator[Found]:
        self._pieces.append(piece)
        self.held += len(piece) + PLACE
        self._missing -= len(piece)
        if self._missing == 0 and self._prefix is None:
            yield from self._read_prefix(Stretch.join(self._pieces))
        if self._missing == 0 and self._prefix is not None:
            yield CutMessage(self._prefix, Stretch.join(self._pieces))
            self._begin()

    def _read_prefix(self, prefix: Stretch) -> Iterator[Found]:
        flags, length = prefix.data[0], int.from_bytes(prefix.data[1:], "big")
        if flags > 1:
            reason = f"A message begins with the flags 0x{flags:02x}; gRPC knows 0x00 and 0x01."
            yield Unclear(prefix, reason)
            self._skip(NEVER_ENDING, reason)
        elif length > self._most:
            reason = f"A message of {count(length, 'byte')}; at most {self._most:,} are put together."
            yield Unclear(prefix, reason)
            self._skip(length, reason)
        else:
            self._prefix, self._pieces, self._missing = prefix, [], length

    def _begin(self) -> None:
        self._prefix, self._pieces, self._missing, self.held = None, [], PREFIX, 0

    def _skip(self, size: int, reason: str) -> None:
        self._begin()
        self._skipping, self._reason = size, reason


PLACE = 128  # bytes that it costs to remember where a piece lies

NEVER_ENDING = 1 << 62  # bytes to pass over where nobody knows where the next message begins


class Unpacked:
    """What a message holds, decompressed if need be.

    Args:
        message: as it was sent.
        encoding: the ``grpc-encoding`` of its direction.
        most: bytes that it may grow to.
    """

    def __init__(self, message: CutMessage, encoding: str, most: int) -> None:
        self.encoding = encoding if message.is_compressed else ""
        """How it is compressed; empty if it is not."""
        self.reason = ""
        """Why it could not be decompressed."""
        self.payload = message.payload
        if message.is_compressed:
            data = self._decompress(message.payload.data, most)
            self.payload = Stretch(data, ((0, len(data)),), is_unpacked=True)

    def _decompress(self, data: bytes, most: int) -> bytes:
        if self.encoding not in WBITS:
            self.reason = f"It is compressed with {printable(self.encoding) or 'something unsaid'}, which is not read."
            return b""
        inflater = zlib.decompressobj(WBITS[self.encoding])
        try:
            unpacked = inflater.decompress(data, most + 1)
        except zlib.error as error:
            self.reason = f"It cannot be decompressed: {error}."
            return b""
        if len(unpacked) > most:
            self.reason = f"It grows beyond {count(most, 'byte')} when it is decompressed."
        elif not inflater.eof:
            self.reason = "It is cut short: the compressed data does not end."
        elif inflater.unused_data:
            self.reason = "There is something behind the end of the compressed data."
        return unpacked[:most]


def message_parts(message: CutMessage, unpacked: Unpacked, kind: Descriptor | None) -> tuple[Part, ...]:
    """Say what each byte of a message is: its prefix, and its fields."""
    leaf = message.prefix.leaf
    length = int.from_bytes(message.prefix.data[1:], "big")
    flag = leaf(0, 1, Layer.GRPC, "compressed", "yes" if message.is_compressed else "no")
    prefix = (flag, leaf(1, PREFIX, Layer.GRPC, "length", f"{length:,}"))
    said = count(length, "byte") + (f", compressed with {printable(unpacked.encoding)}" if unpacked.encoding else "")
    parts = [Part(Layer.GRPC, "prefix", said, parts=prefix)]
    if message.is_compressed:
        parts.append(_packed(message.payload, unpacked))
    return (*parts, *read_fields(unpacked.payload, kind))


def _packed(payload: Stretch, unpacked: Unpacked) -> Part:
    """The bytes as they were sent."""
    if unpacked.reason:
        return not_understood(payload, 0, unpacked.reason)
    note = f"{count(len(payload), 'byte')} for {len(unpacked.payload):,}"
    return payload.leaf(0, len(payload), Layer.GRPC, "compressed message", unpacked.encoding, note)
