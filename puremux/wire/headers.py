"""HPACK, step by step: what each byte of a header block says, and what it does to the dynamic table.

Floor 5, wire: imports parts, records and words; hpack's table, integers and Huffman code.
Spec: RFC 7541.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpack import HPACKError
from hpack.hpack import decode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from .parts import Layer, Part, Stretch, not_understood
from .records import SIZE_UPDATE, Entry, Representation
from .words import count, explain_header, printable

__all__ = ["BlockReader"]

STATIC = HeaderTable.STATIC_TABLE_LENGTH  # 61 entries

MAX_TABLE = 128 * 1024
"""Bytes that a dynamic table may have here, whatever the peers allow each other."""

MAX_HEADERS = 1024 * 1024
"""Bytes that the fields of one block may have: entries of the table make much of few bytes."""

INDEXED = "indexed"
ADDED = "literal, added"
NOT_ADDED = "literal, not added"
NEVER = "literal, never to be added"
LITERALS = ((0x40, 6, ADDED), (0x10, 4, NEVER), (0x00, 4, NOT_ADDED))  # first bits, bits of the index (§6.2)


class BlockReader:
    """Reads the header blocks of one direction, in order.

    Args:
        max_table_size: bytes that the dynamic table may be given, as the other end's SETTINGS say; None if these are
            not known.
    """

    def __init__(self, max_table_size: int | None = None) -> None:
        self.max_table_size = max_table_size
        self.lost = ""
        """Why no further block can be read: one was not understood, and so the table is not known."""
        self._table = HeaderTable()
        self._size = 0

    @property
    def table(self) -> tuple[Entry, ...]:
        """The dynamic table, the newest entry first."""
        return tuple(self._table.dynamic_entries)

    @property
    def table_limit(self) -> int:
        """Bytes that the dynamic table may have now."""
        return self._table.maxsize

    def read(self, block: Stretch) -> Iterator[Representation | Part]:
        """Take a block; yield its steps, and last, if it breaks off, a part with what is not understood."""
        at = size = 0
        has_fields = False
        while at < len(block) and not self.lost:
            try:
                step = self._step(block, at, may_resize=not has_fields)
            except HPACKError as error:
                self.lost = _reason(error)
                break
            yield step
            at += step.part.size
            has_fields = has_fields or step.kind != SIZE_UPDATE
            size += len(step.name) + len(step.value)
            if size > MAX_HEADERS:
                self.lost = f"The fields of one block have more than {MAX_HEADERS:,} bytes."
        if at < len(block):
            yield not_understood(block, at, self.lost)

    def _step(self, block: Stretch, at: int, *, may_resize: bool) -> Representation:
        step = _Step(block, at)
        first = block.data[at]
        if first & 0x80:
            return self._indexed(step)
        if first & 0xE0 == 0x20:
            if not may_resize:
                raise HPACKError("A change of the table's size comes behind a field.")
            return self._size_update(step)
        bits, kind = next((bits, kind) for mark, bits, kind in LITERALS if first & mark == mark)
        return self._literal(step, bits, kind)

    def _indexed(self, step: _Step) -> Representation:
        """§6.1: both name and value are in a table."""
        index = step.integer(7, "index")
        name, value = self._table.get_by_index(index)
        return self._done(step, INDEXED, name, value, index, _entry(index))

    def _literal(self, step: _Step, bits: int, kind: str) -> Representation:
        """§6.2: the name may be in a table, the value is not."""
        index = step.integer(bits, "index of the name")
        if index:
            name, how = self._table.get_by_index(index)[0], [f"name from {_entry(index)}"]
        else:
            name, said = step.string("name")
            how = [f"name {said}"]
        value, said = step.string("value")
        how.append(f"value {said}")
        return self._done(step, kind, name, value, index, "; ".join(how))

    def _size_update(self, step: _Step) -> Representation:
        """§6.3: the table becomes larger or smaller."""
        size = step.integer(5, "size of the table")
        if size > (MAX_TABLE if self.max_table_size is None else min(self.max_table_size, MAX_TABLE)):
            raise HPACKError(f"The table is to have {size:,} bytes, more than was allowed.")
        before = self.table
        self._table.maxsize = size
        return self._told(step, SIZE_UPDATE, before, shown=count(size, "byte"))

    def _done(self, step: _Step, kind: str, name: bytes, value: bytes, index: int, how: str) -> Representation:
        name, value = bytes(name), bytes(value)
        before = self.table if kind is ADDED else ()
        if kind is ADDED:
            self._table.add(name, value)
        return self._told(step, kind, before, name, value, index, printable(value), how)

    def _told(
        self,
        step: _Step,
        kind: str,
        before: tuple[Entry, ...],
        name: bytes = b"",
        value: bytes = b"",
        index: int = 0,
        shown: str = "",
        how: str = "",
    ) -> Representation:
        entries = len(self._table.dynamic_entries)
        added = kind is ADDED and entries > 0  # one that is too large empties the table instead (§4.4)
        evicted = before[entries - added :]
        self._size += added * _size(name, value) - sum(_size(*entry) for entry in evicted)
        notes = [
            explain_header(name, value),
            kind,
            how,
            _saving(len(name) + len(value) - step.size) if kind != SIZE_UPDATE else "",
        ]
        if added:
            notes.append(f"now entry {STATIC + 1} of a table of {entries:,} with {self._size:,} bytes")
        if evicted:
            notes.append(f"drives {len(evicted):,} out")
        part = step.part(printable(name) or kind, shown, "; ".join(filter(None, notes)))
        return Representation(part, kind, name, value, index, added, len(evicted), entries, self._size)


class _Step:
    """One representation while it is read."""

    def __init__(self, block: Stretch, start: int) -> None:
        self._block = block
        self._start = self._at = start
        self._leaves: list[Part] = []

    def integer(self, bits: int, name: str) -> int:
        """§5.1: a number that begins in the last bits of a byte."""
        number, used = decode_integer(self._block.data[self._at : self._at + 32], bits)
        self._take(used, name, f"{number:,}")
        return number

    def string(self, name: str) -> tuple[bytes, str]:
        """§5.2: a string and how it is written."""
        is_huffman = self._at < len(self._block) and bool(self._block.data[self._at] & 0x80)
        length = self.integer(7, f"length of the {name}")
        raw = self._block.data[self._at : self._at + length]
        if len(raw) < length:
            raise HPACKError(f"The block ends in the middle of a {name}.")
        text = bytes(decode_huffman(raw)) if is_huffman else raw
        self._take(length, name, printable(text))
        return text, f"Huffman, {length:,} for {len(text):,}" if is_huffman else "plain"

    @property
    def size(self) -> int:
        """Bytes that were taken."""
        return self._at - self._start

    def part(self, name: str, value: str, note: str) -> Part:
        """All of it."""
        return Part(Layer.HPACK, name, value, note, parts=tuple(self._leaves))

    def _take(self, size: int, name: str, value: str) -> None:
        self._leaves.append(self._block.leaf(self._at, self._at + size, Layer.HPACK, name, value))
        self._at += size


def _size(name: bytes, value: bytes) -> int:
    """What an entry counts for (§4.1)."""
    return 32 + len(name) + len(value)


def _saving(size: int) -> str:
    return f"{size:,} saved" if size >= 0 else f"{-size:,} more than its text"


def _entry(index: int) -> str:
    return f"static entry {index}" if index <= STATIC else f"dynamic entry {index}"


def _reason(error: HPACKError) -> str:
    """The errors of hpack quote the whole block; the reader sees it."""
    text = str(error).partition(" from ")[0].partition(": <")[0].partition(": b'")[0]
    return f"HPACK: {printable(text, 200)}"
