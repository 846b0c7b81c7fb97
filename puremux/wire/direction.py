"""One direction of a connection, decoded: frames, the header blocks in them, and the messages in these streams.

Floor 5, wire: imports calls, frames, payloads, blocks, messages, methods, parts, records and words.
Spec: RFC 9113 §3.4, §4, §5.1; RFC 7541; gRPC PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import dataclasses
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable

from .blocks import BlockJoiner, ReadBlock
from .calls import Calls, title_of
from .frames import (
    CONTINUATION,
    DATA,
    END_STREAM,
    HEAD,
    HEADERS,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    Cut,
    FrameCutter,
    Head,
)
from .messages import CutMessage, MessageCutter, Unclear, Unpacked, message_parts
from .methods import Methods
from .parts import Layer, Part, Stretch, not_understood
from .payloads import HEADER_TABLE_SIZE, Payload, read_payload
from .records import CLIENT, Connection, Frame, HeaderBlock, Message, NotUnderstood, Preface, Record
from .words import count, printable

__all__ = ["Bounds", "Direction"]

KIB, MIB = 1024, 1024 * 1024

BLOCKS = (HEADERS, PUSH_PROMISE, CONTINUATION)  # kinds of frames that carry a piece of a header block


@dataclass(frozen=True)
class Bounds:
    """How much a decoder keeps of each direction; what is larger is not understood, and says so."""

    frame: int = MIB
    """Bytes of a payload; peers use 16 KiB unless they have agreed on more."""

    block: int = 256 * KIB
    """Bytes of a header block."""

    message: int = 16 * MIB
    """Bytes of a message, as it was sent."""

    unpacked: int = 16 * MIB
    """Bytes of a message, decompressed."""

    held: int = 32 * MIB
    """Bytes of messages that are not whole yet, all streams together."""

    streams: int = 1_000
    """Streams with messages on the way."""

    calls: int = 4_096
    """Calls whose method is remembered."""


class Direction:
    """What one end of a connection says.

    Args:
        sender: ``"client"`` or ``"server"``.
        calls: shared with the other direction.
    """

    def __init__(self, connection: Connection, sender: str, calls: Calls, methods: Methods, bounds: Bounds) -> None:
        self.on_table_size: Callable[[int], None] = lambda size: None
        """Told what this end allows the other one's header table."""
        self.has_ended = False
        self._connection = connection
        self._sender = sender
        self._calls = calls
        self._methods = methods
        self._bounds = bounds
        self._time = 0.0
        self._beginning = b""
        self._received = 0
        self._cutter: FrameCutter | None = None  # once the beginning was understood
        self._lost = ""
        self._blocks = BlockJoiner(bounds.block)
        self._messages: OrderedDict[int, MessageCutter] = OrderedDict()
        self._held = 0

    def allow_table_size(self, size: int) -> None:
        """The other end takes a header table of this size."""
        self._blocks.allow_table_size(size)

    def receive(self, data: bytes, time: float) -> Iterator[Record]:
        """Take bytes; yield what can be told now."""
        self._time = time
        start, self._received = self._received, self._received + len(data)
        if self._lost:
            yield self._unclear(Stretch.at(start, data), self._lost)
        elif self._cutter is not None:
            yield from self._take(self._cutter.receive(data))
        else:
            self._beginning += data
            yield from self._begin()

    def lose(self, reason: str, time: float) -> Iterator[Record]:
        """Nothing can be understood from here on."""
        self._time = time
        yield from self._give_up(reason)
        self._lost = self._lost or f"{reason}: what comes next can't be understood."

    def end(self, reason: str, time: float | None = None) -> Iterator[Record]:
        """Nothing more comes: tell of what is not whole."""
        self._time = self._time if time is None else time
        self.has_ended = True
        yield from self._give_up(reason)

    def _give_up(self, reason: str) -> Iterator[Record]:
        beginning, self._beginning = self._beginning, b""
        if beginning and self._cutter is None and not self._lost:
            yield self._unclear(Stretch.at(0, beginning), f"{reason} before it is clear what it is.")
        if self._cutter is not None:
            rest = self._cutter.rest()
            if len(rest):
                yield self._unclear(rest, f"{reason} in the middle of a frame.")
        yield from self._unclear_all(self._blocks.give_up(f"{reason} in the middle of a header block"))
        for stream_id in list(self._messages):
            yield from self._end_messages(stream_id, f"{reason} in the middle of a message.")

    # The beginning

    def _begin(self) -> Iterator[Record]:
        """§3.4: a client begins with 24 bytes, and both begin with SETTINGS."""
        data = self._beginning
        if self._sender == CLIENT and PREFACE.startswith(data[: len(PREFACE)]):
            if len(data) >= len(PREFACE):
                preface = Stretch.at(0, PREFACE).leaf(0, len(PREFACE), Layer.FRAME, "preface", printable(PREFACE))
                yield Preface(self._connection, self._time, self._sender, (preface,))
                yield from self._begin_frames(len(PREFACE))
        elif len(data) >= HEAD:
            head = Head.read(Stretch.at(0, data[:HEAD]))
            if not head.is_plausible:
                self._lost, self._beginning = _what_it_is(data), b""
                yield self._unclear(Stretch.at(0, data), self._lost)
                return
            if self._sender == CLIENT or head.kind != SETTINGS or head.flags:
                self._blocks.lose("The connection's beginning was not recorded")
            yield from self._begin_frames(0)

    def _begin_frames(self, start: int) -> Iterator[Record]:
        rest, self._beginning = self._beginning[start:], b""
        self._cutter = FrameCutter(self._bounds.frame, start)
        yield from self._take(self._cutter.receive(rest))

    # Frames

    def _take(self, cuts: Iterator[Cut]) -> Iterator[Record]:
        for head, payload in cuts:
            if head is None:
                if payload is not None:
                    yield self._unclear(payload, f"It belongs to a frame of more than {self._bounds.frame:,} bytes.")
            elif payload is None:
                yield self._frame(head, Payload(summary=f"more than {count(self._bounds.frame, 'byte')}, not told"))
                yield from self._miss(head)
            else:
                yield from self._explain(head, payload)

    def _explain(self, head: Head, stretch: Stretch) -> Iterator[Record]:
        payload = read_payload(head, stretch)
        if head.kind == DATA and not self._calls[head.stream_id].is_grpc(self._sender):
            payload.parts = [_as_body(part) for part in payload.parts]
            payload.carried = None
        yield self._frame(head, payload)
        yield from self._unclear_all(self._blocks.interrupt(head))
        if head.kind in BLOCKS:
            yield from self._headers(head, payload)
        elif head.kind == DATA:
            yield from self._data(head, payload)
        elif head.kind == RST_STREAM:
            yield from self._end_messages(head.stream_id, "The stream was reset in the middle of a message.")
        elif HEADER_TABLE_SIZE in payload.settings:
            self.on_table_size(payload.settings[HEADER_TABLE_SIZE])

    def _frame(self, head: Head, payload: Payload) -> Frame:
        return Frame(
            self._connection,
            self._time,
            self._sender,
            (head.part(), *payload.parts),
            stream_id=head.stream_id,
            kind=head.kind,
            name=head.name,
            flags=head.flags,
            flag_names=head.flag_names,
            length=head.length,
            summary=payload.summary,
        )

    def _miss(self, head: Head) -> Iterator[Record]:
        """A frame is too large to be read: what depends on it is not known any more."""
        reason = f"A {head.name} frame before it was too large to be read"
        if head.kind in BLOCKS:
            yield from self._unclear_all(self._blocks.give_up(reason))
            self._blocks.lose(reason)
        elif head.kind == DATA:
            cutter = self._cutter_of(head.stream_id)
            self._held -= cutter.held
            yield from self._unclear_all(cutter.lose(f"{reason}."), head.stream_id)

    # Header blocks

    def _headers(self, head: Head, payload: Payload) -> Iterator[Record]:
        for found in self._blocks.take(head, payload):
            if isinstance(found, Unclear):
                yield self._unclear(found.stretch, found.reason, found.stream_id)
            else:
                record = self._header_block(found)
                yield record
                if found.head.kind == HEADERS:
                    self._calls[found.stream_id].note(self._sender, record.headers)
                    yield from self._end_stream(found.head)

    def _header_block(self, block: ReadBlock) -> HeaderBlock:
        record = HeaderBlock(
            self._connection,
            self._time,
            self._sender,
            block.parts,
            stream_id=block.stream_id,
            title="",
            steps=block.steps,
            table_before=block.table_before,
            max_table_size=block.max_table_size,
        )
        title = title_of(self._sender, record.headers, is_promise=block.head.kind == PUSH_PROMISE)
        return dataclasses.replace(record, title=title)

    # Messages

    def _data(self, head: Head, payload: Payload) -> Iterator[Record]:
        if payload.carried is not None and len(payload.carried):
            cutter = self._cutter_of(head.stream_id)
            before = cutter.held
            for found in cutter.receive(payload.carried):
                if isinstance(found, CutMessage):
                    yield self._message(head.stream_id, found)
                else:
                    yield self._unclear(found.stretch, found.reason, head.stream_id)
            self._held += cutter.held - before
            yield from self._keep_bounds(head.stream_id, cutter)
        yield from self._end_stream(head)

    def _end_stream(self, head: Head) -> Iterator[Record]:
        if head.flags & END_STREAM and head.kind in (DATA, HEADERS):
            yield from self._end_messages(head.stream_id, "The stream ended in the middle of a message.")

    def _message(self, stream_id: int, message: CutMessage) -> Message:
        call = self._calls[stream_id]
        kind = self._methods.message_type(call.path, self._sender)
        unpacked = Unpacked(message, call.encodings.get(self._sender, ""), self._bounds.unpacked)
        return Message(
            self._connection,
            self._time,
            self._sender,
            message_parts(message, unpacked, kind),
            stream_id=stream_id,
            path=call.path,
            type_name="" if kind is None else kind.full_name,
            encoding=unpacked.encoding,
            length=len(message.payload),
            unpacked_length=len(unpacked.payload),
        )

    def _cutter_of(self, stream_id: int) -> MessageCutter:
        cutter = self._messages.setdefault(stream_id, MessageCutter(self._bounds.message))
        self._messages.move_to_end(stream_id)
        return cutter

    def _keep_bounds(self, stream_id: int, cutter: MessageCutter) -> Iterator[Record]:
        if self._held > self._bounds.held:
            self._held -= cutter.held
            reason = f"More than {count(self._bounds.held, 'byte')} of messages are not whole."
            yield from self._unclear_all(cutter.end(reason), stream_id)
        if len(self._messages) > self._bounds.streams:
            oldest = next(iter(self._messages))
            yield from self._end_messages(
                oldest, f"More than {self._bounds.streams:,} streams have messages on the way."
            )

    def _end_messages(self, stream_id: int, reason: str) -> Iterator[Record]:
        cutter = self._messages.pop(stream_id, None)
        if cutter is not None:
            self._held -= cutter.held
            yield from self._unclear_all(cutter.end(reason), stream_id)

    # What is not understood

    def _unclear_all(self, found: Iterator[Unclear], stream_id: int = 0) -> Iterator[Record]:
        for each in found:
            yield self._unclear(each.stretch, each.reason, each.stream_id or stream_id)

    def _unclear(self, stretch: Stretch, reason: str, stream_id: int = 0) -> NotUnderstood:
        parts = (not_understood(stretch, 0, reason),)
        return NotUnderstood(self._connection, self._time, self._sender, parts, stream_id)


def _as_body(part: Part) -> Part:
    """DATA that is no gRPC, told as it is."""
    if not part.is_carried:
        return part
    return dataclasses.replace(part, layer=Layer.BODY, name="body", value=printable(part.data, 500), is_carried=False)


def _what_it_is(data: bytes) -> str:
    """What a connection carries that does not begin as HTTP/2 does."""
    if data.startswith(b"\x16\x03"):
        return "It is TLS: only what goes over in plaintext, or over a tap, can be read."
    if data.startswith(b"HTTP/1.") or re.match(rb"[A-Z]{3,16} [^ ]", data):
        return "It is HTTP/1, not HTTP/2."
    return "It does not begin as HTTP/2 does."
