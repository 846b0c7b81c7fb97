"""Records as lines, for eyes: a title, and below it a line for each thing that the bytes say.

Floor 5, wire: imports parts, records and words.  The terminal's text and the page are made of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .parts import Layer, Part
from .records import Frame, HeaderBlock, Message, NotUnderstood, Preface, Record
from .words import count, printable

__all__ = ["Line", "detail_of", "headline", "lines_of", "table_of", "table_size"]


@dataclass(frozen=True)
class Line:
    """One thing that the bytes say."""

    depth: int
    """How many things it is inside of."""

    layer: Layer
    name: str
    value: str
    note: str
    leaves: tuple[Part, ...]
    """The parts whose bytes stand beside it."""

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return b"".join(leaf.data for leaf in self.leaves)

    @property
    def offset(self) -> str:
        """Where they lie; with a plus, in a decompressed message."""
        first = next((leaf for leaf in self.leaves if leaf.places), None)
        if first is None:
            return ""
        return f"{'+' if first.is_unpacked else ''}{first.places[0][0]:x}"


def headline(record: Record) -> str:
    """A record in one line."""
    if isinstance(record, Preface):
        return "connection preface"
    if isinstance(record, Frame):
        said = " ".join([record.name, *record.flag_names])
        return said + (f"  stream {record.stream_id}" if record.stream_id else "")
    if isinstance(record, HeaderBlock):
        plain = sum(len(name) + len(value) for name, value in record.headers)
        size = f"{count(len(record.headers), 'field')}, {record.size:,} bytes for {plain:,}"
        return f"{record.title} of stream {record.stream_id}: {size}"
    if isinstance(record, Message):
        name = record.type_name.rpartition(".")[2] or "message of unknown type"
        packed = f", {record.encoding} for {record.unpacked_length:,}" if record.encoding else ""
        return f"{name} on stream {record.stream_id}: {count(record.length, 'byte')}{packed}"
    of = f" of stream {record.stream_id}" if isinstance(record, NotUnderstood) and record.stream_id else ""
    return f"{count(record.size, 'byte')}{of} not understood"


def detail_of(record: Record) -> str:
    """What to know beside the title."""
    return record.summary if isinstance(record, Frame) else ""


def lines_of(record: Record, *, apart: bool = False) -> Iterator[Line]:
    """What the bytes of a record say, thing by thing.

    Args:
        record: what to tell.
        apart: the fields of a frame's head and of gRPC's prefix on lines of their own.
    """
    for part in record.parts:
        for each in part.parts if apart and part.name in APART else (part,):
            yield from _lines(each, 0)


APART = ("head", "prefix")


def _lines(part: Part, depth: int) -> Iterator[Line]:
    """A thing made of leaves is one line; things inside it follow, further to the right."""
    own, inner = _split(part.parts or (part,))
    yield Line(depth, part.layer, part.name, part.value, part.note, own)
    for each in inner:
        yield from _lines(each, depth + 1)


def _split(parts: Sequence[Part]) -> tuple[tuple[Part, ...], Sequence[Part]]:
    """The leaves that come first, and all that comes from the first larger part on."""
    first = next((index for index, part in enumerate(parts) if part.parts or part.layer is Layer.UNKNOWN), len(parts))
    if len(parts) == 1:
        first = 1
    return tuple(parts[:first]), parts[first:]


def table_of(block: HeaderBlock) -> list[tuple[int, str, str]]:
    """The dynamic table after a block: index, name and value of each entry."""
    table = block.table_after(len(block.steps) - 1)
    return [(index, printable(name), printable(value)) for index, (name, value) in enumerate(table, FIRST_DYNAMIC)]


def table_size(block: HeaderBlock) -> str:
    """How full the dynamic table is after a block."""
    entries, size = (block.steps[-1].entries, block.steps[-1].table_size) if block.steps else (0, 0)
    known = "entry" if entries == 1 else "entries"
    return f"{entries} {known}, {size:,} of {block.max_table_size:,} bytes"


FIRST_DYNAMIC = 62  # index; the static table has 61 entries (RFC 7541 §2.3.3)
