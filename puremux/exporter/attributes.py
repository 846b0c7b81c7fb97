"""Attributes to wire bytes without message objects: those of spans, of annotations and of links.

Floor 4, exporter: imports fields, limits, reading and sentences; no protobuf.
Spec: opencensus-proto, trace/v1/trace.proto, messages Span.Attributes and AttributeValue; protobuf, "Encoding", Maps.

A program's spans have few sets of keys, and few values for most keys: each set is sorted once, and each entry of a key
and a text or a small number is written once.  What is kept is bounded by the number of entries.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable

from . import reading
from .fields import (
    CONTINUED,
    FIXED64,
    LENGTH,
    MASK64,
    SMALL,
    USUAL,
    VARINT,
    VARINTS,
    Cache,
    delimited,
    double,
    number_field,
    tag,
)
from .limits import SpanLimits
from .reading import INT32, INT64, LOST, Defects
from .sentences import left_out

__all__ = ["LONGEST_CACHED", "AttributeEncoder"]

# message Span.Attributes, its map's entries, and AttributeValue
ATTRIBUTE_MAP = tag(1, LENGTH)
DROPPED_ATTRIBUTES_COUNT = tag(2, VARINT)
ENTRY_KEY = tag(1, LENGTH)
ENTRY_VALUE = tag(2, LENGTH)
STRING_VALUE = tag(1, LENGTH)
INT_VALUE = tag(2, VARINT)
BOOL_VALUE = tag(3, VARINT)
DOUBLE_VALUE = tag(4, FIXED64)

TRUE_ENTRY_VALUE = delimited(ENTRY_VALUE, BOOL_VALUE + VARINTS[1])
FALSE_ENTRY_VALUE = delimited(ENTRY_VALUE, BOOL_VALUE + VARINTS[0])
DOUBLE_ENTRY_VALUE = ENTRY_VALUE + VARINTS[9] + DOUBLE_VALUE

CACHED_ENTRIES = 4096
CACHED_SETS = 256  # of keys
LARGEST_CACHED_SET = 32
LONGEST_CACHED = 128  # characters; with 4 bytes each, a full cache of entries stays below 5 MB

KEYS = dict.keys  # OrderedDict's own takes longer


class AttributeEncoder:
    """Writes sets of attributes; a span's encoder has one.

    Args:
        limits: how many attributes are sent, and how much of a text.
        defects: is told whatever could not be sent as it was.
        text: writes a text as a TruncatableString with its length before it.
    """

    def __init__(self, limits: SpanLimits, defects: Defects, text: Callable[[str], bytes]) -> None:
        self._limits = limits
        self._defects = defects
        self.text = text
        self._sets = Cache(self._sorted, CACHED_SETS, _is_small_set)
        self._keys: dict[str, _Entries] = {}
        self._held = 0

    def body(self, attributes: Any) -> bytes:
        """The body of an Attributes message; empty when there are no attributes."""
        if attributes is None:
            return b""
        if getattr(attributes, "dropped", False):
            return self._unusual(attributes)
        try:
            return self.usual(getattr(attributes, "_dict", attributes))  # opencensus's BoundedDict adds calls
        except Exception:  # noqa: BLE001  whatever is unusual about them, the other way can deal with it
            return self._unusual(attributes)

    def usual(self, values: Any) -> bytes:
        """The same for a dictionary all of which can be sent as it is.

        Raises:
            Exception: of any kind, when it is none; nothing is noted then.
        """
        given = type(values)
        if given is not OrderedDict and given is not dict:  # reading these runs no code of the application's
            raise TypeError("not a plain dictionary")
        if len(values) == 1:  # as annotations have: no order to look up
            for key, value in values.items():
                entries = self._keys.get(key)
                if entries is not None and type(value) is str:
                    return entries.known.get(value) or entries.learned(value)
        keys = tuple(KEYS(values))
        written: list[bytes] = []
        for key, known, entries in self._sets.known.get(keys) or self._sets[keys]:
            value = values[key]
            kind = type(value)
            try:
                if kind is str or (kind is int and 0 <= value < SMALL):
                    written.append(known[value])
                elif kind is bool:
                    written.append(entries.true if value else entries.false)
                elif kind is int and 0 <= value < USUAL:
                    number = CONTINUED[value & 0x7F] + VARINTS[value >> 7]
                    written.append(entries.heads[len(number)] + number)
                else:
                    written.append(entries.seldom[kind](value))
            except KeyError:  # a new text or small number, or of a type that seldom does not have
                written.append(entries.learned(value))
        return b"".join(written)

    def _sorted(self, keys: tuple[Any, ...]) -> list[tuple[str, dict[Any, bytes], _Entries]]:
        """In the order in which protobuf writes a map deterministically; of each key, also what its entries know."""
        if len(keys) > self._limits.max_attributes:
            raise ValueError("too many")
        entries = [(key, self._entries_of(key)) for key in sorted(keys)]
        return [(key, of_key.known, of_key) for key, of_key in entries]

    def _entries_of(self, key: Any) -> _Entries:
        entries = self._keys.get(key)
        if entries is None:
            if type(key) is not str or self._cut(key) != key:
                raise ValueError("not a key that can be sent as it is")
            entries = _Entries(self, key)
            if len(key) <= LONGEST_CACHED:
                self.make_room()
                self._keys[key] = entries
        return entries

    def make_room(self) -> None:
        """Note that one thing more is kept.  When it is too much, forget everything: that costs less than to choose."""
        self._held += 1
        if self._held > CACHED_ENTRIES:
            for entries in self._keys.values():
                entries.known.clear()
            self._keys.clear()
            self._sets.known.clear()
            self._held = 1

    def _unusual(self, given: Any) -> bytes:
        """The same for attributes some of which cannot be sent, or not as they are."""
        items, dropped = reading.newest_items(reading.attribute_map(given), self._limits.max_attributes)
        values: dict[str, bytes] = {}
        for key, value in items:
            try:
                values[self._cut(key)] = self._value(reading.attribute_value(value, self._defects, key))
            except Exception as error:  # noqa: BLE001  an application's objects may raise anything
                dropped += 1
                self._defects.note(LOST, left_out("attribute", key, error))
        entries = [delimited(ATTRIBUTE_MAP, delimited(ENTRY_KEY, key.encode()) + values[key]) for key in sorted(values)]
        return b"".join(entries) + number_field(DROPPED_ATTRIBUTES_COUNT, min(dropped, INT32[1]))

    def _value(self, value: Any) -> bytes:
        """An attribute's value as that of its map's entry."""
        if type(value) is str:
            return delimited(ENTRY_VALUE, STRING_VALUE + self.text(value))
        if type(value) is bool:
            return TRUE_ENTRY_VALUE if value else FALSE_ENTRY_VALUE
        if type(value) is int:
            return delimited(ENTRY_VALUE, INT_VALUE + VARINTS[value & MASK64])
        return DOUBLE_ENTRY_VALUE + double(value)

    def _cut(self, value: object) -> str:
        return reading.cut(value, self._limits.max_string_bytes)[0]


class _Entries:
    """The map's entries of one key.

    Args:
        encoder: whose texts they have, and who bounds how much all entries hold.
        key: of each of them.
    """

    __slots__ = ("_encoder", "_key", "false", "heads", "known", "seldom", "true")

    def __init__(self, encoder: AttributeEncoder, key: str) -> None:
        self._encoder = encoder
        self._key = delimited(ENTRY_KEY, key.encode())
        self.known: dict[Any, bytes] = {}
        """Those of the texts and the small numbers that have been :meth:`learned`; always this dictionary."""
        self.true = self._whole(TRUE_ENTRY_VALUE)
        self.false = self._whole(FALSE_ENTRY_VALUE)
        self.heads = [
            self._whole(ENTRY_VALUE + VARINTS[length + 1] + INT_VALUE + bytes(length))[: -length or None]
            for length in range(11)
        ]
        """What precedes the varint of a number, by its length."""
        self.seldom: dict[type, Callable[[Any], bytes]] = {int: self._number, float: self._double}
        """What writes the others, which are seldom the same again; nothing of these is kept."""

    def learned(self, value: Any) -> bytes:
        """The entry of a text or a small number that is met for the first time.

        Raises:
            ValueError: it is something else, which cannot be sent as it is.
        """
        if type(value) is int:
            entry = self._number(value)
        elif type(value) is str:
            entry = self._whole(delimited(ENTRY_VALUE, STRING_VALUE + self._encoder.text(value)))
        else:
            raise ValueError("no value that can be sent as it is")
        if type(value) is int or len(value) <= LONGEST_CACHED:
            self._encoder.make_room()
            self.known[value] = entry
        return entry

    def _number(self, value: int) -> bytes:
        if not INT64[0] <= value <= INT64[1]:
            raise ValueError("no int64")
        number = VARINTS[value & MASK64]
        return self.heads[len(number)] + number

    def _double(self, value: float) -> bytes:
        return self._whole(DOUBLE_ENTRY_VALUE + double(value))

    def _whole(self, value: bytes) -> bytes:
        return delimited(ATTRIBUTE_MAP, self._key + value)


def _is_small_set(keys: tuple[Any, ...]) -> bool:
    return len(keys) <= LARGEST_CACHED_SET and all(len(key) <= LONGEST_CACHED for key in keys)
