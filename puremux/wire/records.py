"""What the decoder tells: a record for each frame, each header block, each message, and what is not understood.

Floor 5, wire: imports parts.

All records of one direction together say what each byte of it means: the leaves of their parts, but for those that are
``is_carried`` or ``is_unpacked``, lie side by side without a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .parts import Part

__all__ = [
    "CLIENT",
    "SERVER",
    "SIZE_UPDATE",
    "Connection",
    "Frame",
    "HeaderBlock",
    "Message",
    "NotUnderstood",
    "Piece",
    "Preface",
    "Record",
    "Representation",
    "leaves",
]

CLIENT, SERVER = "client", "server"

SIZE_UPDATE = "table size update"
Entry = tuple[bytes, bytes]


@dataclass(frozen=True)
class Connection:
    """One connection of those that were seen."""

    number: int
    client: str = CLIENT
    """The address of the end that opened it, or a word for it."""

    server: str = SERVER


@dataclass(frozen=True)
class Piece:
    """Some bytes that one end of a connection sent, as a recording or a capture has them."""

    connection: Connection
    time: float
    """Seconds since the recording began."""

    sender: str
    """``"client"`` or ``"server"``."""

    data: bytes
    """None at all, and no ``gap``: the sender has ended its direction."""

    gap: str = ""
    """Bytes are missing before this piece; why."""


@dataclass(frozen=True)
class Record:
    """Something that one end said."""

    connection: Connection
    time: float
    """When its last byte came, in seconds since the recording began."""

    sender: str
    parts: tuple[Part, ...]

    @property
    def start(self) -> int:
        """Where its first byte lies in what the sender sent."""
        return self.parts[0].start

    @property
    def size(self) -> int:
        """How many bytes it has on the wire."""
        return sum(len(leaf.data) for part in self.parts for leaf in part.leaves() if not leaf.is_unpacked)


@dataclass(frozen=True)
class Preface(Record):
    """The client's first 24 bytes (RFC 9113 §3.4)."""


@dataclass(frozen=True)
class Frame(Record):
    """A frame (RFC 9113 §4.1)."""

    stream_id: int
    kind: int
    name: str
    """Of its kind."""

    flags: int
    flag_names: tuple[str, ...]
    length: int
    """Of the payload, as the head says."""

    summary: str
    """What matters most in it."""


@dataclass(frozen=True)
class Representation:
    """One step of HPACK: a header field, or a change of the table's size (RFC 7541 §6)."""

    part: Part
    kind: str
    """Of representation, in the words of RFC 7541."""

    name: bytes = b""
    value: bytes = b""
    index: int = 0
    """The entry that gave name and value, or the name; 0 for none.  1 to 61 are the static table's."""

    added: bool = False
    """It became the dynamic table's first entry, 62."""

    evicted: int = 0
    """How many entries it drove out at the other end."""

    entries: int = 0
    """In the dynamic table after this step."""

    table_size: int = 0
    """Bytes that these count for, 32 more each than they have (RFC 7541 §4.1)."""

    @property
    def saved(self) -> int:
        """How many bytes less it took than its name and value have."""
        return len(self.name) + len(self.value) - self.part.size


@dataclass(frozen=True)
class HeaderBlock(Record):
    """All headers of a HEADERS or PUSH_PROMISE frame and the CONTINUATION frames behind it."""

    stream_id: int
    title: str
    """What the headers are: ``"request"``, ``"response"``, ``"trailers"``, ..."""

    steps: tuple[Representation, ...]
    table_before: tuple[Entry, ...]
    """The dynamic table when the block began, the newest entry first."""

    max_table_size: int
    """Bytes that the table may have after the block."""

    def table_after(self, step: int) -> tuple[Entry, ...]:
        """The dynamic table after a step, the newest entry first: entry 62, 63, and so on."""
        table = self.table_before
        for each in self.steps[: step + 1]:
            table = (((each.name, each.value), *table) if each.added else table)[: each.entries]
        return table

    @property
    def headers(self) -> tuple[Entry, ...]:
        """Names and values."""
        return tuple((step.name, step.value) for step in self.steps if step.kind != SIZE_UPDATE)


@dataclass(frozen=True)
class Message(Record):
    """A gRPC message with its prefix, put together from DATA frames."""

    stream_id: int
    path: str
    """The method's; empty if it is not known."""

    type_name: str
    """Of the message; empty if it is not known."""

    encoding: str
    """How it is compressed; empty if it is not."""

    length: int
    """Of the message, in bytes, as its prefix says."""

    unpacked_length: int
    """In bytes, after decompression."""


@dataclass(frozen=True)
class NotUnderstood(Record):
    """Bytes that no other record tells of; the note of their part says why."""

    stream_id: int = 0


def leaves(records: Iterable[Record]) -> Iterator[Part]:
    """The leaves that lie side by side on the wire; those of one direction, if the records are."""
    for record in records:
        for part in record.parts:
            for leaf in part.leaves():
                if not leaf.is_carried and not leaf.is_unpacked and leaf.data:
                    yield leaf
