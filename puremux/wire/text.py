"""Records as text, coloured where the terminal can.

Floor 5, wire: imports lines and records; rich only when it is there and the output is a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TextIO

from .lines import Line, detail_of, headline, lines_of, table_of, table_size
from .records import CLIENT, Connection, Frame, HeaderBlock, NotUnderstood, Preface, Record

__all__ = ["Printer"]

Segments = list[tuple[str, str]]
"""Pieces of a line, each with its style."""

ROW = 12  # bytes beside each other
MOST_ROWS = 8  # of one thing's bytes that are shown
MOST_LINES = 400  # of one record that are shown
MOST_LETTERS = 300  # of one value that are shown

STYLES = {
    "frame": "cyan",
    "hpack": "magenta",
    "grpc": "yellow",
    "message": "green",
    "body": "blue",
    "unknown": "bold red",
    "client": "bold bright_blue",
    "server": "bold bright_green",
    "title": "bold",
    "note": "dim",
    "": "",
}


class Printer:
    """Writes records to an output.

    Args:
        output: where to.
        plain: no colours, on a terminal either.
        full: all bytes and all lines of each record, however many.
    """

    def __init__(self, output: TextIO, *, plain: bool = False, full: bool = False) -> None:
        self._write = _writer(output, plain)
        self._full = full
        self._connection: Connection | None = None

    def show(self, record: Record) -> None:
        """Write a record."""
        if record.connection != self._connection:
            self._connection = record.connection
            said = f"connection {record.connection.number}: {record.connection.client} to {record.connection.server}"
            self._write([("\n" + said, "title")])
        for segments in _describe(record, self._full):
            self._write(segments)


class _Write(Protocol):
    def __call__(self, segments: Segments) -> None: ...


def _writer(output: TextIO, plain: bool) -> _Write:
    if not plain and output.isatty():
        try:
            return _coloured(output)
        except ImportError:
            pass  # rich is an extra: without colours the text is the same

    def write(segments: Segments) -> None:
        output.write("".join(text for text, _ in segments).rstrip() + "\n")
        output.flush()

    return write


def _coloured(output: TextIO) -> _Write:
    from rich.console import Console
    from rich.text import Text

    console: Any = Console(file=output, highlight=False)

    def write(segments: Segments) -> None:
        console.print(Text.assemble(*((text, STYLES[style]) for text, style in segments)), soft_wrap=True)

    return write


def _describe(record: Record, full: bool) -> Iterator[Segments]:
    yield _title(record)
    lines = [line for line in lines_of(record) if not _is_told_later(line)]
    for line in lines if full else lines[:MOST_LINES]:
        yield from _line(line, full)
    if not full and len(lines) > MOST_LINES:
        yield [(f"{'':24}… {len(lines) - MOST_LINES:,} more lines; --full shows them", "note")]
    if isinstance(record, HeaderBlock):
        yield from _table(record)


def _title(record: Record) -> Segments:
    is_top = isinstance(record, (Frame, Preface, NotUnderstood))
    arrow = "client ─▶" if record.sender == CLIENT else "◀─ server"
    if not is_top:
        return [(f"{'':21}", ""), (headline(record), "title")]
    detail = detail_of(record)
    return [
        (f"{record.time:11.6f} ", "note"),
        (f"{arrow} ", record.sender),
        (headline(record), "title"),
        (f"  {detail}" if detail else "", ""),
    ]


def _line(line: Line, full: bool) -> Iterator[Segments]:
    rows = _rows(line, full)
    first: Segments = rows[0] if rows else []
    used = sum(len(text) for text, _ in first)
    said = line.value if full or len(line.value) <= MOST_LETTERS else line.value[:MOST_LETTERS] + "…"
    indent = "  " * line.depth
    yield [
        (f"{line.offset:>12}  ", "note"),
        *first,
        (" " * (3 * ROW - used) + "  " + indent, ""),
        (line.name, line.layer.value),
        (f": {said}" if said else "", ""),
        (f"   {line.note}" if line.note else "", "note"),
    ]
    for row in rows[1:]:
        yield [(" " * 14, ""), *row]


def _is_told_later(line: Line) -> bool:
    return any(leaf.is_carried for leaf in line.leaves)


def _rows(line: Line, full: bool) -> list[Segments]:
    """The bytes in hexadecimal, each in the colour of its layer."""
    data = line.data
    shown = data if full else data[: ROW * MOST_ROWS]
    rows = [[(f"{shown[at : at + ROW].hex(' ')} ", line.layer.value)] for at in range(0, len(shown), ROW)]
    if len(shown) < len(data):
        rows.append([(f"… {len(data) - len(shown):,} more bytes", "note")])
    return rows


def _table(block: HeaderBlock) -> Iterable[Segments]:
    yield [(f"{'':14}{'':{3 * ROW}}  the dynamic table now: {table_size(block)}", "note")]
    for index, name, value in table_of(block):
        yield [(f"{'':14}{'':{3 * ROW}}    {index}  {name}: {value[:MOST_LETTERS]}", "note")]
