"""Times to ``Timestamp`` fields, quickly for the two ways in which OpenCensus hands them over.

Floor 4, exporter: imports fields and reading; no protobuf.
Spec: google/protobuf/timestamp.proto.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from . import reading
from .fields import CONTINUED, NANOS, SECONDS, VARINTS, Cache, delimited, number_field, timestamp_body
from .reading import Defects

__all__ = [
    "BELOW_MILLISECOND",
    "HIGH_NANOS",
    "LOW_NANOS",
    "MICROSECONDS",
    "MIDDLE_NANOS",
    "TO_MILLISECOND",
    "RepeatedTimestamps",
    "Timestamps",
]

CACHED_SECONDS = 64
CACHED_MILLISECONDS = 1024
TO_MILLISECOND, BELOW_MILLISECOND = slice(23), slice(23, None)  # the characters of a time; made once, not each time

# The fraction of a second as OpenCensus writes it, ".123456Z", in two halves; in units of 8 ns, of which a microsecond
# has a whole number.  Nanoseconds are thus known without their last three bits, which keeps LOW_NANOS short.
MILLISECONDS = {f".{number:03}": number * 125_000 for number in range(1000)}
MICROSECONDS = {f"{number:03}Z": number * 125 for number in range(1000)}

# The nanoseconds' varint in three parts: of `units & 0x7FF`, of `units >> 11 & 0x7F`, of `units >> 18`.
LOW_NANOS = [low + high for high in CONTINUED for low in CONTINUED[::8]]  # 14 bits, of which three are not known
MIDDLE_NANOS = CONTINUED
HIGH_NANOS = [VARINTS[high] for high in range(125_000_000 >> 18 | 1)]
FOUR_BYTE_NANOS = 1 << 18  # from so many units on, the nanoseconds' varint has four bytes
FIVE_BYTE_NANOS = 1 << 25


class Timestamps:
    """Writes times that are texts like ``2026-11-23T10:20:30.123456Z``, and slowly any others.

    Args:
        defects: is told what is no time.

    Attributes:
        milliseconds: of a time up to its milliseconds, ``2026-11-23T10:20:30.123``: what precedes the nanoseconds'
            varint in a Timestamp, its length first; the units of 8 ns; and the length of the whole.  A look-up raises
            KeyError, TypeError or ValueError where these do not tell the number of the varint's bytes, or are no time.
    """

    def __init__(self, defects: Defects) -> None:
        self._defects = defects
        self._heads = Cache(_heads, CACHED_SECONDS)
        self.milliseconds = Cache(self._millisecond, CACHED_MILLISECONDS)

    def _millisecond(self, text: str) -> tuple[bytes, int, int]:
        before_four, before_five = self._heads[text[:19]]
        units = MILLISECONDS[text[19:]]
        if units < FOUR_BYTE_NANOS or units < FIVE_BYTE_NANOS <= units + MICROSECONDS["999Z"]:
            raise ValueError("the varint may have four bytes, or another number")
        head = before_four if units < FIVE_BYTE_NANOS else before_five
        return head, units, 1 + head[0]

    def field(self, field_tag: bytes, value: Any, name: str) -> bytes:
        """A Timestamp field; nothing for None, and for what is no time.

        Args:
            name: the field's, for the sentence about what is no time.
        """
        try:
            head, units, _ = self.milliseconds[value[TO_MILLISECOND]]
            units += MICROSECONDS[value[BELOW_MILLISECOND]]
        except Exception:  # noqa: BLE001  no such text, or something that is none
            moment = reading.timestamp(value, self._defects, name)
            return b"" if moment is None else delimited(field_tag, timestamp_body(*moment))
        low, middle, high = LOW_NANOS[units & 0x7FF], MIDDLE_NANOS[units >> 11 & 0x7F], HIGH_NANOS[units >> 18]
        return b"".join((field_tag, head, low, middle, high))


class RepeatedTimestamps:
    """Writes times of which many in a row are one and the same object, as those of a metric's points are."""

    def __init__(self, timestamps: Timestamps) -> None:
        self._timestamps = timestamps
        self._last: Any = None
        self._written = b""

    def field(self, field_tag: bytes, value: Any, name: str) -> bytes:
        """A Timestamp field, as :meth:`Timestamps.field`; ``field_tag`` is always the same."""
        if value is self._last:
            return self._written
        written = self._timestamps.field(field_tag, value, name)
        if written and type(value) in (str, datetime):  # these cannot change
            self._last = None  # until both are of one time, whatever comes in between
            self._written = written
            self._last = value
        return written


def _heads(whole_seconds: str) -> tuple[bytes, bytes]:
    """What precedes the nanoseconds' varint in a Timestamp: its length, for four such bytes and for five, and the rest.

    Raises:
        ValueError: it is no time like 2026-11-23T10:20:30.
    """
    before = number_field(SECONDS, reading.whole_seconds(whole_seconds)) + NANOS
    return VARINTS[len(before) + 4] + before, VARINTS[len(before) + 5] + before
