"""Protobuf, field by field: by name where the message's type is known, by number and a guess where it is not.

Floor 5, wire: imports parts and words; protobuf's descriptors.
Spec: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Callable, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .parts import Layer, Part, Stretch, not_understood
from .words import count, printable

__all__ = ["read_fields"]

MAX_DEPTH = 32
"""Messages within messages; protobuf's own limit is 100."""

MAX_FIELDS = 50_000
"""Of one message, those inside included, and those that were guessed and dropped again."""

VARINT, I64, LEN, SGROUP, EGROUP, I32 = range(6)
WIRE_TYPES = ("varint", "64 bits", "length-delimited", "start of a group", "end of a group", "32 bits")


def read_fields(message: Stretch, kind: Descriptor | None) -> tuple[Part, ...]:
    """Say what each byte of a message is.

    Args:
        message: its bytes.
        kind: its type; None if that is not known.
    """
    parts = tuple(_Reader(message).message(0, len(message), kind, 0))
    if kind is None and parts and parts[-1].layer is Layer.UNKNOWN:
        text = _text(message.data)
        if text is not None:  # nothing says that gRPC carries protobuf
            value = f'"{printable(text)}"'
            return (message.leaf(0, len(message), Layer.MESSAGE, "text", value, "no protobuf, as it seems"),)
    return parts


class _Broken(Exception):
    """The bytes are no protobuf from here on."""


class _Tag(NamedTuple):
    number: int
    wire_type: int
    end: int


class _Reader:
    """A message while it is read."""

    def __init__(self, message: Stretch) -> None:
        self._message = message
        self._data = message.data
        self._fields_left = MAX_FIELDS

    def message(self, at: int, end: int, kind: Descriptor | None, depth: int) -> Iterator[Part]:
        """Yield the fields from ``at`` to ``end``, and last, if it breaks off, what is not understood."""
        while at < end:
            try:
                part, at = self._field(at, end, kind, depth)
            except _Broken as broken:
                yield not_understood(self._message, at, str(broken), end)
                return
            yield part

    def _field(self, at: int, end: int, kind: Descriptor | None, depth: int) -> tuple[Part, int]:
        """Read one field; return it, and where the next one begins."""
        if self._fields_left <= 0:
            raise _Broken(f"More than {MAX_FIELDS:,} fields are not told.")
        self._fields_left -= 1
        tag = self._tag(at, end)
        field = kind.fields_by_number.get(tag.number) if kind is not None else None
        said = f"field {tag.number}, {WIRE_TYPES[tag.wire_type]}"
        head = self._message.leaf(at, tag.end, Layer.MESSAGE, "tag", said)
        if tag.wire_type == LEN:
            return self._delimited(head, tag, end, field, depth)
        if tag.wire_type == SGROUP:
            return self._group(head, tag, end, depth)
        return self._scalar(head, tag, end, field)

    def _tag(self, at: int, end: int) -> _Tag:
        key, after = self._varint(at, end)
        number, wire_type = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise _Broken(f"There is no field number {number}.")
        if wire_type > I32 or wire_type == EGROUP:
            raise _Broken("A group ends that has not begun." if wire_type == EGROUP else "There is no such wire type.")
        return _Tag(number, wire_type, after)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        number = shift = 0
        for index in range(at, min(end, at + 10)):
            byte = self._data[index]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number & 0xFFFF_FFFF_FFFF_FFFF, index + 1
            shift += 7
        raise _Broken("A number is cut short." if end < at + 10 else "A number has more than ten bytes.")

    def _scalar(self, head: Part, tag: _Tag, end: int, field: FieldDescriptor | None) -> tuple[Part, int]:
        if tag.wire_type == VARINT:
            after = self._varint(tag.end, end)[1]
        else:
            after = tag.end + (8 if tag.wire_type == I64 else 4)
            if after > end:
                raise _Broken("A number is cut short.")
        name, kind, note = _named(tag, field)
        value = self._say(tag.end, after, kind, tag.wire_type, field)
        return Part(Layer.MESSAGE, name, value, note, parts=(head, self._leaf(tag.end, after, "value", value))), after

    def _say(self, at: int, end: int, kind: int | None, wire_type: int, field: FieldDescriptor | None) -> str:
        scalar = SCALARS.get(kind or 0)
        if scalar is None or scalar.wire_type != wire_type:
            scalar = UNTYPED[wire_type]
        number = self._varint(at, end)[0] if wire_type == VARINT else int.from_bytes(self._data[at:end], "little")
        if field is not None and kind == FieldDescriptor.TYPE_ENUM and field.enum_type is not None:
            known = field.enum_type.values_by_number.get(_signed(number, 64))
            return f"{known.name} ({known.number})" if known is not None else f"{_signed(number, 64)}"
        return scalar.say(number)

    def _delimited(
        self, head: Part, tag: _Tag, end: int, field: FieldDescriptor | None, depth: int
    ) -> tuple[Part, int]:
        length, start = self._varint(tag.end, end)
        stop = start + length
        if stop > end:
            raise _Broken(f"Field {tag.number} has {count(length, 'byte')}; only {end - start:,} are there.")
        name, kind, note = _named(tag, field)
        nested = field.message_type if field is not None and kind == FieldDescriptor.TYPE_MESSAGE else None
        inner: Iterable[Part]
        if nested is not None:
            value, inner = nested.name, self._nested(start, stop, nested, depth)
        elif kind is None:
            inner, value, guess = self._guess(start, stop, depth)
            note = f"{note}; {guess}"
        else:
            value = self._say_bytes(start, stop, kind, field)
            inner = self._rest(start, stop, value)
        size = self._leaf(tag.end, start, "length", f"{length:,}")
        return Part(Layer.MESSAGE, name, value, note, parts=(head, size, *inner)), stop

    def _say_bytes(self, start: int, stop: int, kind: int, field: FieldDescriptor | None) -> str:
        data = self._data[start:stop]
        if kind == FieldDescriptor.TYPE_STRING:
            return f'"{printable(data)}"'
        if kind == FieldDescriptor.TYPE_BYTES:
            return _hex(data)
        return self._say_packed(start, stop, kind, field)

    def _say_packed(self, start: int, stop: int, kind: int, field: FieldDescriptor | None) -> str:
        """Numbers without a tag each."""
        scalar = SCALARS.get(kind)
        said: list[str] = []
        while scalar is not None and start < stop and len(said) < MOST_PACKED:
            after = self._varint(start, stop)[1] if scalar.wire_type == VARINT else start + scalar.size
            if after > stop:
                raise _Broken("A packed number is cut short.")
            said.append(self._say(start, after, kind, scalar.wire_type, field))
            start = after
        return ", ".join(said) + ", …" * (start < stop)

    def _nested(self, start: int, stop: int, kind: Descriptor | None, depth: int) -> Iterator[Part]:
        if depth >= MAX_DEPTH:
            reason = f"More than {MAX_DEPTH} messages in each other are not told."
            yield not_understood(self._message, start, reason, stop)
        else:
            yield from self.message(start, stop, kind, depth + 1)

    def _group(self, head: Part, tag: _Tag, end: int, depth: int) -> tuple[Part, int]:
        """Fields between two tags: proto2's old way, which nobody should use."""
        if depth >= MAX_DEPTH:
            raise _Broken(f"More than {MAX_DEPTH} groups in each other.")
        parts, at = [head], tag.end
        while True:
            key, after = self._varint(at, end)
            if key & 7 == EGROUP and key >> 3 == tag.number:
                parts.append(self._leaf(at, after, "tag", f"field {tag.number}, end of the group"))
                return Part(Layer.MESSAGE, f"field {tag.number}", "group", parts=tuple(parts)), after
            part, at = self._field(at, end, None, depth + 1)
            parts.append(part)

    def _guess(self, start: int, stop: int, depth: int) -> tuple[tuple[Part, ...], str, str]:
        """What a field of unknown type may be: text, or a message, or just bytes."""
        data = self._data[start:stop]
        text = _text(data)
        # A message that begins with field 1 begins with a line feed, and texts seldom do.
        if text is not None and not data.startswith(b"\n"):
            value = f'"{printable(text)}"'
            return tuple(self._rest(start, stop, value)), value, "text, as it seems"
        parts = self._guess_message(start, stop, depth)
        if parts is not None:
            return parts, "message", "a message, as it seems"
        value = _hex(data) if text is None else f'"{printable(text)}"'
        return tuple(self._rest(start, stop, value)), value, "bytes" if text is None else "text, as it seems"

    def _guess_message(self, start: int, stop: int, depth: int) -> tuple[Part, ...] | None:
        parts: list[Part] = []
        if depth >= MAX_DEPTH:
            return None
        try:
            while start < stop:
                part, start = self._field(start, stop, None, depth + 1)
                parts.append(part)
        except _Broken:
            return None
        return tuple(parts)

    def _rest(self, start: int, stop: int, value: str) -> Iterator[Part]:
        if start < stop:
            yield self._leaf(start, stop, "value", value)

    def _leaf(self, start: int, stop: int, name: str, value: str) -> Part:
        return self._message.leaf(start, stop, Layer.MESSAGE, name, value)


MOST_PACKED = 64  # numbers of a packed field that are told


def _named(tag: _Tag, field: FieldDescriptor | None) -> tuple[str, int | None, str]:
    """A field's name, its type, and what to note about it."""
    if field is None:
        return f"field {tag.number}", None, WIRE_TYPES[tag.wire_type]
    known = TYPE_NAMES.get(field.type, "message")
    wanted = SCALARS[field.type].wire_type if field.type in SCALARS else LEN
    if tag.wire_type not in (wanted, LEN):
        return field.name, None, f"field {tag.number}, {WIRE_TYPES[tag.wire_type]}, though it is a {known}"
    return field.name, field.type, f"field {tag.number}, {known}"


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def _zigzag(number: int) -> str:
    return f"{(number >> 1) ^ -(number & 1)}"


def _unpack(form: str, number: int) -> str:
    (value,) = struct.unpack("<" + form, struct.pack("<Q" if form in "dqQ" else "<I", number))
    return f"{value!r}"


class _Scalar(NamedTuple):
    name: str
    wire_type: int
    say: Callable[[int], str]

    @property
    def size(self) -> int:
        return 8 if self.wire_type == I64 else 4


F = FieldDescriptor
SCALARS: Mapping[int, _Scalar] = {
    F.TYPE_DOUBLE: _Scalar("double", I64, lambda number: _unpack("d", number)),
    F.TYPE_FLOAT: _Scalar("float", I32, lambda number: _unpack("f", number)),
    F.TYPE_INT64: _Scalar("int64", VARINT, lambda number: f"{_signed(number, 64)}"),
    F.TYPE_UINT64: _Scalar("uint64", VARINT, str),
    F.TYPE_INT32: _Scalar("int32", VARINT, lambda number: f"{_signed(number, 32)}"),
    F.TYPE_FIXED64: _Scalar("fixed64", I64, str),
    F.TYPE_FIXED32: _Scalar("fixed32", I32, str),
    F.TYPE_BOOL: _Scalar("bool", VARINT, lambda number: "true" if number else "false"),
    F.TYPE_UINT32: _Scalar("uint32", VARINT, lambda number: f"{number & 0xFFFF_FFFF}"),
    F.TYPE_ENUM: _Scalar("enum", VARINT, str),
    F.TYPE_SFIXED32: _Scalar("sfixed32", I32, lambda number: f"{_signed(number, 32)}"),
    F.TYPE_SFIXED64: _Scalar("sfixed64", I64, lambda number: f"{_signed(number, 64)}"),
    F.TYPE_SINT32: _Scalar("sint32", VARINT, _zigzag),
    F.TYPE_SINT64: _Scalar("sint64", VARINT, _zigzag),
}
UNTYPED: Mapping[int, _Scalar] = {
    VARINT: _Scalar("varint", VARINT, str),
    I64: _Scalar("64 bits", I64, lambda number: f"{number}, or {_unpack('d', number)}"),
    I32: _Scalar("32 bits", I32, lambda number: f"{number}, or {_unpack('f', number)}"),
}
TYPE_NAMES: Mapping[int, str] = {
    **{number: scalar.name for number, scalar in SCALARS.items()},
    F.TYPE_STRING: "string",
    F.TYPE_BYTES: "bytes",
    F.TYPE_MESSAGE: "message",
    F.TYPE_GROUP: "group",
}


def _text(data: bytes) -> str | None:
    """Bytes as text, if that is what they look like."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.translate(BLANKS).isprintable() else None


BLANKS = {ord(letter): " " for letter in "\n\t\r"}


def _hex(data: bytes) -> str:
    return data[:MOST_HEX].hex() + "…" * (len(data) > MOST_HEX)


MOST_HEX = 64  # bytes that are told
