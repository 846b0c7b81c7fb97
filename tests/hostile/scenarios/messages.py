"""Messages that lie about their length, their flags or their compression; too many of them, too few, or cut short.

Spec: gRPC PROTOCOL-HTTP2.md, Length-Prefixed-Message; doc/compression.md; doc/statuscodes.md.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from functools import partial

from .. import wire
from ..peer import Peer
from ..table import MIB, add, answers
from ..wire import Field

LIMIT = 4 * MIB  # what clients take when nothing else is said
GZIP: Field = (b"grpc-encoding", b"gzip")
DEFLATE: Field = (b"grpc-encoding", b"deflate")
CARDINALITY = "INTERNAL UNIMPLEMENTED UNKNOWN"


def _messages(stream: bytes, more: Sequence[Field], peer: Peer, stream_id: int) -> None:
    """Any bytes where messages belong, then trailers that say OK."""
    peer.begin(stream_id, *more)
    peer.send_data(stream_id, stream)
    if stream_id not in peer.resets:
        peer.finish(stream_id)


def row(name: str, status: str, stream: bytes, *fields: Field, **more: object) -> None:
    answers(name, status, **more)(partial(_messages, stream, fields))


# Prefixes

row("a prefix that claims 4 GiB", "RESOURCE_EXHAUSTED", wire.message(b"x", length=2**32 - 1))
row("a prefix that claims 4 MiB + 1", "RESOURCE_EXHAUSTED", wire.message(b"x", length=LIMIT + 1))
row("a compressed message that claims 4 GiB", "RESOURCE_EXHAUSTED", wire.message(b"x", 1, length=2**32 - 1), GZIP)
row(
    "a message of exactly 4 MiB", "OK", wire.message(bytes(LIMIT)), messages=(bytes(LIMIT),), timeout=10.0, most_cpu=2.0
)
row("a message of 4 MiB + 1", "RESOURCE_EXHAUSTED", wire.message(bytes(LIMIT + 1)))
row("a prefix of 2 bytes", "INTERNAL UNKNOWN", b"\x00\x00")
for _flags in (2, 3, 0x80, 0xFF):
    row(f"message flags 0x{_flags:02x}", "INTERNAL UNIMPLEMENTED", wire.message(b"whole", _flags))
    row(
        f"message flags 0x{_flags:02x} with gzip announced",
        "INTERNAL UNIMPLEMENTED",
        wire.message(b"whole", _flags),
        GZIP,
    )


@answers("a prefix that claims 4 GiB, then silence", "RESOURCE_EXHAUSTED")
def huge_prefix(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"", length=2**32 - 1)))


@answers("a prefix that claims 4 GiB, and the bytes to fill it", "RESOURCE_EXHAUSTED", alone=True)
def huge_message(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"", length=2**32 - 1)))
    while stream_id not in peer.resets:
        peer.send_data(stream_id, bytes(MIB))


# Cardinality

row("no message on a unary call", CARDINALITY, b"")
row("two messages on a unary call", CARDINALITY, wire.message(b"one") + wire.message(b"two"))
row("a hundred messages on a unary call", CARDINALITY, wire.message(b"one") * 100)
row("an empty message", "OK", wire.message(b""), messages=(b"",))
row("a download without messages", "OK", b"", shape="download", messages=())
row(
    "three messages in a frame",
    "OK",
    wire.message(b"a") + wire.message(b"") + wire.message(b"c"),
    shape="download",
    messages=(b"a", b"", b"c"),
)
answers("no message and no headers on a unary call, status 0", CARDINALITY)(
    lambda peer, stream_id: peer.send(peer.headers(stream_id, [*wire.ANSWER, *wire.STATUS_OK], end=True))
)


@answers("two messages and status 5 on a unary call", f"NOT_FOUND {CARDINALITY}")
def two_and_status(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send_data(stream_id, wire.message(b"one") + wire.message(b"two"))
    peer.finish(stream_id, status=b"5")


@answers("one message and status 5 on a unary call", "NOT_FOUND")
def one_and_status(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send_data(stream_id, wire.message(b"one"))
    peer.finish(stream_id, status=b"5")


@answers("three messages and status 5 on a download", "NOT_FOUND", shape="download")
def download_and_status(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send_data(stream_id, wire.message(b"one") * 3)
    peer.finish(stream_id, status=b"5")


# Cut short

row("a message cut short, then status 0", "INTERNAL", wire.message(b"x", length=100))
row(
    "a message cut short behind a whole one, then status 0",
    "INTERNAL",
    wire.message(b"x") + wire.message(b"x", length=9),
)
row("a prefix cut short behind a whole message, then status 0", "INTERNAL", wire.message(b"whole") + b"\x00")
row(
    "a message cut short on a download, then status 0",
    "INTERNAL",
    wire.message(b"x") + wire.message(b"x", length=9),
    shape="download",
)


@answers("a message cut short, then status 5", "NOT_FOUND INTERNAL")
def cut_and_status(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x", length=100)))
    peer.finish(stream_id, status=b"5")


@answers("a message cut short by END_STREAM", "INTERNAL UNKNOWN")
def cut_by_end(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x", length=100), end=True))


# Odd frames, whole messages


@answers("a message of one byte a frame", "OK", messages=(bytes(range(256)) * 4,), most_cpu=1.0)
def one_byte_frames(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send_data(stream_id, wire.message(bytes(range(256)) * 4), step=1)
    peer.finish(stream_id)


@answers(
    "a hundred messages of seven bytes a frame", "OK", shape="download", messages=(b"0123456789",) * 100, most_cpu=1.0
)
def seven_byte_frames(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send_data(stream_id, wire.message(b"0123456789") * 100, step=7)
    peer.finish(stream_id)


@answers("empty DATA around each frame", "OK", messages=(b"whole",))
def empty_data(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    for byte in wire.message(b"whole"):
        peer.send(wire.data(stream_id), wire.data(stream_id, bytes([byte])), wire.data(stream_id, padding=9))
    peer.finish(stream_id)


@answers(
    "an answer to each message of a chat",
    "OK",
    shape="chat",
    messages=(b"\0" * 11 + b"!", b"\1" * 11 + b"!", b"\2" * 11 + b"!"),
)
def chat(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    body = peer.bodies[stream_id]
    for i in range(3):
        peer.send_data(stream_id, wire.message(bytes(body[16 * i + 5 : 16 * i + 16]) + b"!"))
    peer.finish(stream_id)


# Compression


def _bomb(wbits: int) -> bytes:
    """1 GiB of zeros in 1 MiB, and no end: whoever wants to see the end has unpacked it all."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, wbits)
    head = deflater.compress(b"") + deflater.flush(zlib.Z_FULL_FLUSH)
    return head + (deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_FULL_FLUSH)) * 1024


WORD = gzip.compress(b"whole", mtime=0)
row("a gzip message", "OK", wire.message(WORD, 1), GZIP, messages=(b"whole",))
row("a deflate message", "OK", wire.message(zlib.compress(b"whole"), 1), DEFLATE, messages=(b"whole",))
row("a message that is not compressed, with gzip announced", "OK", wire.message(b"whole"), GZIP, messages=(b"whole",))
row(
    "a gzip message of 4 MiB",
    "OK",
    wire.message(gzip.compress(bytes(LIMIT)), 1),
    GZIP,
    messages=(bytes(LIMIT),),
    most_cpu=1.0,
)
row("a gzip message of 4 MiB + 1", "RESOURCE_EXHAUSTED", wire.message(gzip.compress(bytes(LIMIT + 1)), 1), GZIP)
row("a gzip message cut short", "INTERNAL", wire.message(WORD[:-9], 1), GZIP)
row("a gzip message without its trailer", "INTERNAL", wire.message(WORD[:-8], 1), GZIP)
row("a gzip message with a wrong checksum", "INTERNAL", wire.message(WORD[:-8] + bytes(8), 1), GZIP)
row("garbage that is called gzip", "INTERNAL", wire.message(b"garbage", 1), GZIP)
row("nothing that is called gzip", "INTERNAL OK", wire.message(b"", 1), GZIP)
row("gzip with bytes behind its end", "INTERNAL OK", wire.message(WORD + b"junk", 1), GZIP)
row("gzip of two members", "INTERNAL OK", wire.message(WORD + WORD, 1), GZIP)
row("gzip that is called deflate", "INTERNAL", wire.message(WORD, 1), DEFLATE)
row("deflate that is called gzip", "INTERNAL", wire.message(zlib.compress(b"whole"), 1), GZIP)
row("a compressed flag without grpc-encoding", "INTERNAL", wire.message(WORD, 1))
row("a compressed flag with grpc-encoding identity", "INTERNAL", wire.message(WORD, 1), (b"grpc-encoding", b"identity"))
row("an unknown grpc-encoding", "INTERNAL UNIMPLEMENTED", wire.message(WORD, 1), (b"grpc-encoding", b"br"))
row(
    "an unknown grpc-encoding and a plain message",
    "OK INTERNAL UNIMPLEMENTED",
    wire.message(b"whole"),
    (b"grpc-encoding", b"br"),
)
row(
    "a grpc-encoding of bytes beyond ASCII",
    "INTERNAL UNIMPLEMENTED",
    wire.message(WORD, 1),
    (b"grpc-encoding", b"\xff\xfe"),
)
row("a gzip bomb of 1 GiB", "RESOURCE_EXHAUSTED", wire.message(_bomb(31), 1), GZIP, alone=True, most_cpu=1.5)
row("a deflate bomb of 1 GiB", "RESOURCE_EXHAUSTED", wire.message(_bomb(15), 1), DEFLATE, alone=True, most_cpu=1.5)


def _bombs_unread(peer: Peer) -> None:
    """Each message is within the limit; the window is counted before decompression, memory is needed after it."""
    stream_id = peer.take_call()
    peer.begin(stream_id, GZIP)
    bomb = wire.message(gzip.compress(bytes(LIMIT)), 1)
    while stream_id not in peer.resets:
        peer.send_data(stream_id, bomb)
    peer.serve()


add(
    "gzip messages of 4 MiB without end to a client that does not read",
    _bombs_unread,
    "CANCELLED RESOURCE_EXHAUSTED",
    shape="unread",
    timeout=10.0,
    alone=True,
    calls=(1, 1),
    most_cpu=4.0,
    keeps_connection=True,
)
