"""Protobuf's wire format, the writing half: tags, varints, lengths; and the bounded cache that encoders keep them in.

Floor 4, exporter: the standard library only.
Spec: protobuf, "Encoding" (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

import struct
from collections.abc import Hashable
from typing import Callable, TypeVar

__all__ = [
    "CONTINUED",
    "FIXED64",
    "LENGTH",
    "SMALL",
    "VARINT",
    "VARINTS",
    "Cache",
    "delimited",
    "double",
    "tag",
    "varint",
]

VARINT, FIXED64, LENGTH = 0, 1, 2
"""Wire types: a whole number, eight bytes, and a length followed by so many bytes."""

SMALL = 2048
"""Below it varints are read from a table."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


VARINTS = tuple(map(_varint, range(SMALL)))
CONTINUED = tuple(bytes([group | 0x80]) for group in range(128))
"""Seven bits that others follow."""


def varint(number: int) -> bytes:
    """Write a number from 0 to 2**64 - 1; a negative int64 is given as its two's complement."""
    if number < SMALL:
        return VARINTS[number]
    if number < SMALL << 7:
        return CONTINUED[number & 0x7F] + VARINTS[number >> 7]
    if number < SMALL << 14:
        return CONTINUED[number & 0x7F] + CONTINUED[number >> 7 & 0x7F] + VARINTS[number >> 14]
    return _varint(number)


def tag(number: int, wire_type: int) -> bytes:
    """What precedes each value of a field: its number in the ``.proto`` file, and a wire type."""
    return varint(number << 3 | wire_type)


def delimited(field_tag: bytes, body: bytes) -> bytes:
    """A field of the wire type ``LENGTH``."""
    size = len(body)
    return field_tag + (VARINTS[size] if size < SMALL else varint(size)) + body


double: Callable[[float], bytes] = struct.Struct("<d").pack
"""A number as ``FIXED64`` wants it."""


class Cache(dict[Key, Value]):
    """Remembers what ``make`` made of a key: ``cache[key]`` makes it the first time.

    When it is full it forgets everything, which costs less than to find out what is used rarely.

    Args:
        make: is called with the key; what it raises comes out of the look-up.
        size: entries held at the most.
        keep: says whether a result is to be held; None for always.
    """

    def __init__(self, make: Callable[[Key], Value], size: int, keep: Callable[[Key], bool] | None = None) -> None:
        super().__init__()
        self._make, self._size, self._keep = make, size, keep

    def __missing__(self, key: Key) -> Value:
        value = self._make(key)
        if self._keep is None or self._keep(key):
            if len(self) >= self._size:
                self.clear()
            self[key] = value
        return value
