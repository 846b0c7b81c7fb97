"""Records as one page: a sequence diagram, and for each frame what its bytes say.

Floor 5, wire: imports lines, parts, records and words; jinja2, which is an extra.

The page needs nothing from elsewhere, and runs no script but its own: what peers sent is escaped, and the page's
Content-Security-Policy would stop it even if it were not.
"""

from __future__ import annotations

import base64
import bisect
import hashlib
import importlib.resources
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from .lines import Line, detail_of, headline, lines_of, table_of, table_size
from .parts import Layer
from .records import Connection, Frame, HeaderBlock, Message, NotUnderstood, Preface, Record
from .words import count, printable

__all__ = ["PageWriter"]

MOST_ARROWS = 2_000  # that a page shows
MOST_LINES = 300  # of one record that are shown
MOST_BYTES = 4_096  # of one frame that are shown
MOST_LETTERS = 300  # of one value that are shown
ROW = 16  # bytes beside each other

PAUSE = 0.02  # seconds without a frame that are worth a mark on the axis

EXPLAINED = {
    Layer.FRAME: "HTTP/2 frames",
    Layer.HPACK: "compressed headers (HPACK)",
    Layer.GRPC: "gRPC's prefix",
    Layer.MESSAGE: "protobuf fields",
    Layer.BODY: "other bodies",
    Layer.UNKNOWN: "not understood",
}


@dataclass(frozen=True)
class Cell:
    """Bytes of one thing in a row of the dump."""

    key: str
    """What the bytes are part of: a line has the same."""

    layer: str
    data: bytes

    @property
    def hex(self) -> str:
        """As numbers."""
        return self.data.hex(" ")

    @property
    def text(self) -> str:
        """As letters."""
        return "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in self.data)


@dataclass(frozen=True)
class Row:
    """Up to 16 bytes."""

    offset: int
    cells: tuple[Cell, ...]


@dataclass
class Section:
    """A record, among those that belong to an arrow."""

    record: Record
    lines: list[tuple[str, Line]]
    """Each with its key."""

    left_out: int

    @property
    def title(self) -> str:
        """Its heading."""
        return headline(self.record)

    @property
    def table(self) -> list[tuple[int, str, str]]:
        """The header table after it."""
        return table_of(self.record) if isinstance(self.record, HeaderBlock) else []

    @property
    def table_size(self) -> str:
        """How full that is."""
        return table_size(self.record) if isinstance(self.record, HeaderBlock) else ""

    @property
    def unpacked(self) -> list[Row]:
        """A decompressed message's bytes."""
        leaves = [(key, leaf) for key, line in self.lines for leaf in line.leaves if leaf.is_unpacked]
        runs = [(*leaf.places[0], key, leaf.layer.value, leaf.data) for key, leaf in leaves if leaf.places]
        return list(_rows(runs, 0, min(max((run[1] for run in runs), default=0), MOST_BYTES)))


@dataclass
class Arrow:
    """A frame, on its way from one end to the other, and what is told with it."""

    record: Record
    number: int
    sections: list[Section]
    pause: float = 0.0
    """Seconds since the frame before."""

    rows: list[Row] = field(default_factory=list)
    left_out: int = 0

    @property
    def kind(self) -> str:
        """What the frame is, in a word."""
        if isinstance(self.record, Frame):
            return self.record.name
        return "preface" if isinstance(self.record, Preface) else "not understood"

    @property
    def flags(self) -> str:
        """The flags that are set."""
        return " ".join(self.record.flag_names) if isinstance(self.record, Frame) else ""

    @property
    def stream_id(self) -> int:
        """The stream; 0 for the connection."""
        return self.record.stream_id if isinstance(self.record, Frame) else 0

    @property
    def is_understood(self) -> bool:
        """Whether every byte is."""
        return not any(line.layer is Layer.UNKNOWN for section in self.sections for _, line in section.lines)

    @property
    def gist(self) -> str:
        """What matters most in it."""
        said = [_gist(section.record) for section in self.sections[1:]]
        return "; ".join(filter(None, [detail_of(self.record), *said]))[:MOST_LETTERS]


def _gist(record: Record) -> str:
    if isinstance(record, HeaderBlock):
        known = dict(record.headers)
        names = (b":method", b":path", b":status", b"grpc-status", b"grpc-message")
        said = [printable(known[name], 100) for name in names[:2] if name in known]
        said += [f"{name.decode().lstrip(':')} {printable(known[name], 100)}" for name in names[2:] if name in known]
        return " ".join(said) if said else record.title
    if isinstance(record, Message):
        name = record.type_name.rpartition(".")[2] or "message"
        return f"{name}, {count(record.length, 'byte')}"
    return headline(record)


@dataclass
class Diagram:
    """One connection."""

    connection: Connection
    arrows: list[Arrow] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many of the arrows are frames."""
        return sum(isinstance(arrow.record, Frame) for arrow in self.arrows)


class PageWriter:
    """Gathers records, and writes them as a page.

    Args:
        path: the file.
        full: all frames and all their bytes, however many.
    Raises:
        ModuleNotFoundError: jinja2 is not installed.
    """

    def __init__(self, path: Path, *, full: bool = False) -> None:
        self._path = path
        self._most = None if full else MOST_ARROWS
        self._most_lines = None if full else MOST_LINES
        self._most_bytes = None if full else MOST_BYTES
        self._diagrams: dict[int, Diagram] = {}
        self._latest: dict[tuple[int, str], Arrow] = {}
        self._runs: dict[tuple[int, str], list[Run]] = {}
        self._arrows = 0
        self._left_out = 0

    def add(self, record: Record) -> None:
        """Take the next record."""
        way = record.connection.number, record.sender
        latest = self._latest.get(way)
        if latest is None or _is_new(record, latest):
            latest = self._new_arrow(record)
            self._latest[way] = latest
        if self._most is not None and latest.number > self._most:
            return
        self._runs.setdefault(way, []).extend(self._add_section(latest, record))

    def write(self) -> None:
        """Write the page, readable by its owner only, as sessions are: it tells what TLS was to hide.

        Raises:
            OSError: the file cannot be written.
        """
        for diagram in self._diagrams.values():
            for arrow in diagram.arrows:
                self._dump(arrow)
        script = _file("page.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string(_file("page.html"))
        page = template.generate(
            diagrams=list(self._diagrams.values()),
            left_out=self._left_out,
            layers=[(layer.value, said) for layer, said in EXPLAINED.items()],
            style=_file("page.css"),
            script=script,
            script_digest=digest,
            most_letters=MOST_LETTERS,
            least_pause=PAUSE,
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(self._path, flags, 0o600), "w", encoding="utf-8", newline="\n") as file:
            file.writelines(page)

    def _new_arrow(self, record: Record) -> Arrow:
        self._arrows += 1
        arrow = Arrow(record, self._arrows, [])
        if self._most is not None and self._arrows > self._most:
            self._left_out += 1
            return arrow
        diagram = self._diagrams.setdefault(record.connection.number, Diagram(record.connection))
        if diagram.arrows:
            arrow.pause = max(record.time - diagram.arrows[-1].record.time, 0.0)
        diagram.arrows.append(arrow)
        return arrow

    def _add_section(self, arrow: Arrow, record: Record) -> Iterator[Run]:
        """Add a record's lines to an arrow; yield where the bytes of each lie."""
        lines = list(lines_of(record, apart=True))
        keyed = [(f"{arrow.number}.{len(arrow.sections)}.{index}", line) for index, line in enumerate(lines)]
        shown = [each for each in keyed[: self._most_lines] if not any(leaf.is_carried for leaf in each[1].leaves)]
        arrow.sections.append(Section(record, shown, max(len(keyed) - (self._most_lines or len(keyed)), 0)))
        for key, line in keyed:
            for leaf in line.leaves:
                if not leaf.is_carried and not leaf.is_unpacked:
                    at = 0
                    for start, end in leaf.places:
                        yield start, end, key, leaf.layer.value, leaf.data[at : at + end - start]
                        at += end - start

    def _dump(self, arrow: Arrow) -> None:
        runs = self._runs.get((arrow.record.connection.number, arrow.record.sender), [])
        runs.sort()
        start, size = arrow.record.start, sum(leaf.size for part in arrow.record.parts for leaf in part.leaves())
        shown = size if self._most_bytes is None else min(size, self._most_bytes)
        arrow.rows = list(_rows(runs, start, start + shown))
        arrow.left_out = size - shown


Run = tuple[int, int, str, str, bytes]
"""From where to where, the line's key, the layer, and the bytes."""


def _is_new(record: Record, latest: Arrow) -> bool:
    """Whether a record is an arrow by itself: header blocks and messages belong to the frame that ends them."""
    if isinstance(record, NotUnderstood):
        return record.start >= latest.record.start + _extent(latest.record)
    return isinstance(record, (Frame, Preface))


def _extent(record: Record) -> int:
    return sum(part.size for part in record.parts)


def _rows(runs: list[Run], start: int, end: int) -> Iterator[Row]:
    """Bytes from one place to another, in rows, and these cut where the meaning changes."""
    first = max(bisect.bisect_right(runs, (start, 1 << 62)) - 1, 0)
    cells: list[Cell] = []
    begin = at = start
    for low, high, key, layer, data in runs[first:]:
        if low >= end:
            break
        while at < min(high, end) and low <= at:
            stop = min(high, end, begin + ROW)
            cells.append(Cell(key, layer, data[at - low : stop - low]))
            at = stop
            if at == begin + ROW:
                yield Row(begin, tuple(cells))
                begin, cells = at, []
    if cells:
        yield Row(begin, tuple(cells))


def _file(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
