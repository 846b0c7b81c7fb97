"""Header blocks: joined from HEADERS or PUSH_PROMISE and the CONTINUATION frames behind it, and read in order.

Floor 5, wire: imports frames, payloads, headers, messages, parts, records and words.
Spec: RFC 9113 §4.3, §6.10: nothing may come between the frames of a block, and who misses one loses the header table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Union

from .frames import CONTINUATION, END_HEADERS, Head
from .headers import BlockReader
from .messages import PLACE, Unclear
from .parts import Part, Stretch
from .payloads import Payload
from .records import Entry, Representation
from .words import count

__all__ = ["BlockJoiner", "ReadBlock"]

UNKNOWN_TABLE = "the header table is not known"


@dataclass(frozen=True)
class ReadBlock:
    """A header block that was whole."""

    head: Head
    """Of the frame that began it."""

    stream_id: int
    """The stream that the headers are about."""

    parts: tuple[Part, ...]
    steps: tuple[Representation, ...]
    table_before: tuple[Entry, ...]
    max_table_size: int


@dataclass
class _OpenBlock:
    """A block that is not whole yet."""

    head: Head
    stream_id: int
    pieces: list[Stretch] = field(default_factory=list)
    cost: int = 0


Found = Union[ReadBlock, Unclear]


class BlockJoiner:
    """The header blocks of one direction.

    Args:
        most: bytes of the largest block that is joined.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._reader = BlockReader()
        self._open: _OpenBlock | None = None

    def allow_table_size(self, size: int) -> None:
        """The other end takes a header table of this size.  Nobody knows when that was in force: none is taken back."""
        self._reader.max_table_size = max(size, self._reader.max_table_size or 4_096)

    def lose(self, reason: str) -> None:
        """Something was missed: frames will be understood, headers will not."""
        self._reader.lost = self._reader.lost or f"{reason}: {UNKNOWN_TABLE}."

    def interrupt(self, head: Head) -> Iterator[Unclear]:
        """Any frame came; one that does not continue the open block breaks it."""
        block = self._open
        if block is not None and (head.kind != CONTINUATION or head.stream_id != block.head.stream_id):
            yield from self.give_up(f"A {head.name} frame came before the end of the header block")

    def take(self, head: Head, payload: Payload) -> Iterator[Found]:
        """A frame with a piece of a block came; yield the block if that is whole now."""
        piece = payload.carried
        if piece is None:
            yield from self.give_up("A frame of the header block is broken")
            self.lose("A header block before was broken")
            return
        if head.kind != CONTINUATION:
            self._open = _OpenBlock(head, payload.promised_id or head.stream_id)
        if self._open is None:
            self.lose("A CONTINUATION frame before continued nothing")
            yield from _unclear(piece, "No header block was open.", head.stream_id)
            return
        yield from self._add(self._open, piece)
        if head.flags & END_HEADERS and self._open is not None:
            yield self._read(self._open)

    def give_up(self, reason: str) -> Iterator[Unclear]:
        """Give up an open block, and with it the header table."""
        block, self._open = self._open, None
        if block is not None:
            self.lose(reason)
            yield from _unclear(Stretch.join(block.pieces), f"{reason}.", block.stream_id)

    def _add(self, block: _OpenBlock, piece: Stretch) -> Iterator[Unclear]:
        if len(piece):
            block.pieces.append(piece)
            block.cost += len(piece) + PLACE
        if block.cost > self._most:
            yield from self.give_up(f"The header block has more than {count(self._most, 'byte')}")

    def _read(self, block: _OpenBlock) -> ReadBlock:
        self._open = None
        before = self._reader.table
        found = list(self._reader.read(Stretch.join(block.pieces)))
        parts = (each.part if isinstance(each, Representation) else each for each in found)
        steps = (each for each in found if isinstance(each, Representation))
        limit = self._reader.table_limit
        return ReadBlock(block.head, block.stream_id, tuple(parts), tuple(steps), before, limit)


def _unclear(stretch: Stretch, reason: str, stream_id: int) -> Iterator[Unclear]:
    if len(stretch):
        yield Unclear(stretch, reason, stream_id)
