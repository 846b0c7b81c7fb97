"""Header blocks that HPACK cannot read, or that unfold into far more than was sent.

Spec: RFC 7541; RFC 9113 §4.3 and §10.5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import wire
from ..peer import Peer
from ..table import add, answers, scenario

UNREADABLE: Mapping[str, Any] = {"calls": (1, 1), "must_close": True}
HUFFMAN_EOS = b"\x00\x84\xff\xff\xff\xff\x81\xff"  # a name that is Huffman's end-of-string symbol


def _send_blocks(blocks: tuple[bytes, ...], peer: Peer) -> None:
    peer.take_call()
    for each in blocks:
        peer.send(wire.header_frames(1, each))
    peer.linger()


for _text, _block in [
    ("index 0", b"\x80"),
    ("an index beyond the table", wire.reference(70)),
    ("an index of 2**60", wire.reference(2**60)),
    ("a name out of an index beyond the table", wire.integer(99, 4) + wire.string(b"x")),
    ("an integer without end", b"\xff" * 1_000),
    ("an integer of 10,000 zero bytes", b"\xff" + b"\x80" * 10_000 + b"\x01"),
    ("a string cut short", b"\x00" + wire.integer(100, 7) + b"x"),
    ("a string that claims 4 GiB", b"\x00" + wire.integer(2**32, 7) + b"x"),
    ("Huffman code of the end of string", HUFFMAN_EOS),
    ("Huffman padding of zeros", b"\x00\x81\x00\x81\x00"),
    ("a table size beyond what was agreed", wire.integer(2**20, 5, 0x20) + wire.block(wire.ANSWER)),
    ("a table size of 2**40", wire.integer(2**40, 5, 0x20) + wire.block(wire.ANSWER)),
    ("a table size behind a field", wire.block(wire.ANSWER) + wire.integer(0, 5, 0x20)),
]:
    add(f"HPACK: {_text}", partial(_send_blocks, (_block,)), "UNAVAILABLE INTERNAL", **UNREADABLE)


@scenario(
    "HPACK: a header block that never ends, then silence", "DEADLINE_EXCEEDED", timeout=1.5, calls=(1, 1), most_cpu=0.3
)
def block_never_ended(peer: Peer) -> None:
    peer.take_call()
    peer.send(wire.frame(wire.HEADERS, 0, 1, wire.block(wire.ANSWER)))
    peer.linger()


@answers("HPACK: table sizes down and up again within what was agreed", "OK", messages=(b"whole",))
def legal_table_sizes(peer: Peer, stream_id: int) -> None:
    sizes = wire.integer(0, 5, 0x20) + wire.integer(4_096, 5, 0x20)
    peer.send(wire.frame(wire.HEADERS, 4, stream_id, sizes + wire.block(wire.ANSWER)))
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.finish(stream_id)


# Bombs

BOMB: Mapping[str, Any] = {"alone": True, "calls": (1, 1), "timeout": 6.0, "most_cpu": 2.0}
REFUSED = "UNAVAILABLE INTERNAL RESOURCE_EXHAUSTED"


def _bomb(references: int, size: int = 3_900) -> bytes:
    """One large entry of the dynamic table, named many times."""
    return wire.block(wire.ANSWER) + wire.literal(b"x", b"y" * size, indexed=True) + wire.reference(62) * references


add("HPACK bomb: one entry 16,000 times", partial(_send_blocks, (_bomb(16_000 - 4_000),)), REFUSED, **BOMB)
add("HPACK bomb: one entry 60,000 times, over CONTINUATION", partial(_send_blocks, (_bomb(60_000),)), REFUSED, **BOMB)
add("HPACK bomb: small entry 60,000 times", partial(_send_blocks, (_bomb(60_000, 1),)), REFUSED, **BOMB)


@scenario("HPACK bomb: one entry 15 times, in informational headers without end", REFUSED, **BOMB)
def repeated_bomb(peer: Peer) -> None:
    """Each list stays below what we announce; there are many of them."""
    peer.take_call()
    first = wire.block([(b":status", b"103")]) + wire.literal(b"x", b"y" * 3_900, indexed=True)
    peer.send(wire.frame(wire.HEADERS, 4, 1, first))
    peer.flood(wire.frame(wire.HEADERS, 4, 1, wire.block([(b":status", b"103")]) + wire.reference(62) * 15) * 100)


def _many_fields(count: int, where: str, peer: Peer, stream_id: int) -> None:
    fields = [(b"x-field-%d" % i, b"value") for i in range(count)]
    if where == "headers":
        peer.send(wire.headers(stream_id, [*wire.ANSWER, *fields]))
        peer.send(wire.data(stream_id, wire.message(b"whole")), wire.headers(stream_id, wire.STATUS_OK, end=True))
    else:
        peer.send(wire.headers(stream_id, wire.ANSWER), wire.data(stream_id, wire.message(b"whole")))
        peer.send(wire.headers(stream_id, [*wire.STATUS_OK, *fields], end=True))


for _where in ("headers", "trailers"):
    answers(f"10,000 fields in the {_where}", REFUSED, alone=True, most_cpu=2.0, keeps_connection=False)(
        partial(_many_fields, 10_000, _where)
    )
answers("800 fields in the headers", "OK", messages=(b"whole",))(partial(_many_fields, 800, "headers"))
answers("800 fields in the trailers", "OK", messages=(b"whole",), trailing=800)(partial(_many_fields, 800, "trailers"))


@answers("a field of 100 kB", REFUSED, keeps_connection=False)
def large_field(peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [*wire.ANSWER, (b"x-large", b"y" * 100_000)]))
    peer.send(wire.data(stream_id, wire.message(b"whole")), wire.headers(stream_id, wire.STATUS_OK, end=True))


@answers("a field of 40 kB", "OK", messages=(b"whole",))
def fitting_field(peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [*wire.ANSWER, (b"x-large", b"y" * 40_000)]))
    peer.send(wire.data(stream_id, wire.message(b"whole")), wire.headers(stream_id, wire.STATUS_OK, end=True))
