"""Protobuf's wire format, the writing half: tags, varints, lengths; and the bounded cache that encoders keep them in.

Floor 4, exporter: the standard library only.
Spec: protobuf, "Encoding" (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Mapping
from typing import Callable, Generic, TypeVar

__all__ = [
    "CONTINUED",
    "FIXED64",
    "LENGTH",
    "MASK64",
    "NANOS",
    "SECONDS",
    "SMALL",
    "SMALL_VARINTS",
    "USUAL",
    "VARINT",
    "VARINTS",
    "Cache",
    "delimited",
    "double",
    "map_field",
    "number_field",
    "string_field",
    "tag",
    "timestamp_body",
]

VARINT, FIXED64, LENGTH = 0, 1, 2
"""Wire types: a whole number, eight bytes, and a length followed by so many bytes."""

SMALL = 2048
"""Varints of the numbers below it are at hand."""

USUAL = 1 << 30
"""Nearly all whole numbers are below it; CPython compares these more quickly."""

MASK64 = 2**64 - 1

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Varints(dict[int, bytes]):
    """``varints[number]`` for any number from 0 to 2**64 - 1; the small ones are looked up, others are made."""

    def __missing__(self, number: int) -> bytes:
        return CONTINUED[number & 0x7F] + self[number >> 7]


CONTINUED = tuple(bytes([group | 0x80]) for group in range(128))
"""Seven bits of a varint that more bits follow."""

LAST = [bytes([group]) for group in range(128)]
"""Seven bits of a varint behind which there are no more."""

SMALL_VARINTS = [*LAST, *(low + high for high in LAST[1 : SMALL >> 7] for low in CONTINUED)]
"""Those of the numbers below ``SMALL``: a list is looked up in a third of the time."""

VARINTS = _Varints(enumerate(SMALL_VARINTS))
"""A number from 0 to 2**64 - 1 as a varint; a negative int64 is asked for as its two's complement."""


def tag(number: int, wire_type: int) -> bytes:
    """What precedes each value of a field: its number in the ``.proto`` file, and a wire type."""
    return VARINTS[number << 3 | wire_type]


def delimited(field_tag: bytes, body: bytes) -> bytes:
    """A field of the wire type ``LENGTH``."""
    return field_tag + VARINTS[len(body)] + body


def number_field(field_tag: bytes, number: int) -> bytes:
    """A field of a whole number, int64 or uint64; nothing for 0, as proto3 has it."""
    return field_tag + VARINTS[number & MASK64] if number else b""


def string_field(field_tag: bytes, value: str) -> bytes:
    """A field of a text; nothing for the empty one, as proto3 has it."""
    return delimited(field_tag, value.encode()) if value else b""


def map_field(field_tag: bytes, texts: Mapping[str, str]) -> bytes:
    """A field of the type ``map<string, string>``, sorted by key."""
    entries = (delimited(KEY, key.encode()) + delimited(VALUE, value.encode()) for key, value in sorted(texts.items()))
    return b"".join(delimited(field_tag, entry) for entry in entries)


def timestamp_body(seconds: int, nanos: int) -> bytes:
    """A serialized ``google.protobuf.Timestamp``."""
    return number_field(SECONDS, seconds) + number_field(NANOS, nanos)


double: Callable[[float], bytes] = struct.Struct("<d").pack
"""A number as ``FIXED64`` wants it."""

SECONDS = tag(1, VARINT)
NANOS = tag(2, VARINT)
"""The two fields of a ``google.protobuf.Timestamp``."""

KEY = tag(1, LENGTH)
VALUE = tag(2, LENGTH)
"""The two fields of an entry of a map; both are always written."""


class Cache(Generic[Key, Value]):
    """Remembers what ``make`` made of a key: ``cache[key]`` makes it the first time.

    When it is full it forgets everything, which costs less than to find out what is used rarely.

    Args:
        make: is called with the key; what it raises comes out of the look-up.
        size: entries held at the most.
        keep: says whether a result is to be held; None for always.
    """

    __slots__ = ("_keep", "_make", "_size", "known")

    def __init__(self, make: Callable[[Key], Value], size: int, keep: Callable[[Key], bool] | None = None) -> None:
        self.known: dict[Key, Value] = {}
        """What is held; always this dictionary.  Where every look-up counts, look here first, and ask the cache only
        for what is missing."""
        self._make, self._size, self._keep = make, size, keep

    def __getitem__(self, key: Key) -> Value:
        try:
            return self.known[key]
        except KeyError:
            pass
        value = self._make(key)
        if self._keep is None or self._keep(key):
            if len(self.known) >= self._size:
                self.known.clear()
            self.known[key] = value
        return value
