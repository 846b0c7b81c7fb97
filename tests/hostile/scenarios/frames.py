"""Frames that are illegal, out of place, or merely unusual.

Spec: RFC 9113 §4, §5.1, §5.5 and §6.
"""

from __future__ import annotations

import struct
from functools import partial

from .. import wire
from ..peer import Peer
from ..table import add, answers, scenario

TRAILERS = wire.headers(1, wire.STATUS_OK, end=True)
FIELDS = wire.block(wire.ANSWER)


def _malformed(pieces: bytes, peer: Peer) -> None:
    """After this the connection is of no use."""
    peer.take_call()
    peer.send(pieces)
    peer.linger()


for _text, _pieces in [
    # larger than our SETTINGS allow
    ("DATA of 16,385 bytes", wire.headers(1, wire.ANSWER) + wire.data(1, bytes(16_385))),
    ("DATA that claims 16 MiB", wire.headers(1, wire.ANSWER) + wire.frame(wire.DATA, 0, 1, b"x", length=2**24 - 1)),
    ("HEADERS that claim 16 MiB", wire.frame(wire.HEADERS, 4, 1, b"x", length=2**24 - 1)),
    ("an unknown frame that claims 16 MiB", wire.frame(0xBB, 0, 0, b"x", length=2**24 - 1)),
    # of a wrong length
    ("PING of 7 bytes", wire.ping(bytes(7))),
    ("PING of 9 bytes", wire.ping(bytes(9))),
    ("PING of no bytes", wire.ping(b"")),
    ("WINDOW_UPDATE of 3 bytes", wire.frame(wire.WINDOW_UPDATE, 0, 0, bytes(3))),
    ("PRIORITY of 4 bytes", wire.frame(wire.PRIORITY, 0, 1, bytes(4))),
    ("HEADERS of no bytes with a priority flag", wire.frame(wire.HEADERS, 0x24, 1)),
    # on a wrong stream
    ("PING on stream 1", wire.frame(wire.PING, 0, 1, bytes(8))),
    ("DATA on stream 0", wire.data(0, b"x")),
    ("HEADERS on stream 0", wire.headers(0, wire.ANSWER)),
    ("PRIORITY on stream 0", wire.frame(wire.PRIORITY, 0, 0, bytes(5))),
    ("CONTINUATION on stream 0", wire.frame(wire.CONTINUATION, 4, 0, FIELDS)),
    ("DATA on an idle stream", wire.data(99, b"x")),
    ("DATA on a stream that only a server could open", wire.data(2, b"x")),
    ("HEADERS on an idle stream", wire.headers(99, wire.ANSWER)),
    ("HEADERS on a stream that only a server could open", wire.headers(2, wire.ANSWER)),
    ("WINDOW_UPDATE on an idle stream", wire.window_update(99, 1)),
    # padding longer than the frame
    ("DATA with more padding than bytes", wire.headers(1, wire.ANSWER) + wire.frame(wire.DATA, 8, 1, b"\xffabc")),
    ("HEADERS with more padding than bytes", wire.frame(wire.HEADERS, 0xC, 1, b"\xff" + FIELDS)),
    ("DATA with a padding flag and no bytes", wire.headers(1, wire.ANSWER) + wire.frame(wire.DATA, 8, 1)),
    # header blocks
    ("CONTINUATION without HEADERS", wire.frame(wire.CONTINUATION, 4, 1, FIELDS)),
    ("CONTINUATION behind whole HEADERS", wire.headers(1, wire.ANSWER) + wire.frame(wire.CONTINUATION, 4, 1, b"")),
    ("a header block with a PING inside", wire.frame(wire.HEADERS, 0, 1, FIELDS) + wire.ping()),
    ("a header block with DATA inside", wire.frame(wire.HEADERS, 0, 1, FIELDS) + wire.data(1, b"x")),
    ("a header block with an unknown frame inside", wire.frame(wire.HEADERS, 0, 1, FIELDS) + wire.frame(0xBB)),
    ("a header block that goes on on stream 3", wire.frame(wire.HEADERS, 0, 1, FIELDS) + wire.frame(9, 4, 3)),
    ("a header block with HEADERS inside", wire.frame(wire.HEADERS, 0, 1, FIELDS) + wire.headers(1, wire.ANSWER)),
    # server push, which we have switched off
    ("PUSH_PROMISE on the call's stream", wire.frame(5, 4, 1, b"\x00\x00\x00\x02" + wire.block([(b":path", b"/")]))),
    ("PUSH_PROMISE on stream 0", wire.frame(5, 4, 0, b"\x00\x00\x00\x02" + wire.block([(b":path", b"/")]))),
    ("PUSH_PROMISE of a stream that is the client's", wire.frame(5, 4, 1, b"\x00\x00\x00\x03")),
]:
    add(_text, partial(_malformed, _pieces), "UNAVAILABLE INTERNAL", must_close=True, calls=(1, 1))


@answers("DATA before HEADERS", "INTERNAL")
def data_before_headers(peer: Peer, stream_id: int) -> None:
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.answer(stream_id, b"whole")


@answers("DATA before HEADERS, and nothing else", "INTERNAL")
def only_data(peer: Peer, stream_id: int) -> None:
    peer.send(wire.data(stream_id, wire.message(b"whole"), end=True))


@answers("HEADERS that depend on their own stream", "OK INTERNAL UNAVAILABLE")
def depends_on_itself(peer: Peer, stream_id: int) -> None:
    priority = struct.pack(">IB", stream_id, 15)
    peer.send(wire.frame(wire.HEADERS, 0x24, stream_id, priority + FIELDS))
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.finish(stream_id)


# Legal, all of it


@answers("PRIORITY frames around the answer", "OK", messages=(b"whole",))
def priorities(peer: Peer, stream_id: int) -> None:
    some = wire.frame(wire.PRIORITY, 0, stream_id, struct.pack(">IB", 0, 15)) * 5
    peer.send(some)
    peer.answer(stream_id, b"whole")
    peer.send(some, wire.frame(wire.PRIORITY, 0, 77, struct.pack(">IB", 0, 15)))


@answers("HEADERS with a priority", "OK", messages=(b"whole",))
def headers_with_priority(peer: Peer, stream_id: int) -> None:
    peer.send(wire.frame(wire.HEADERS, 0x24, stream_id, struct.pack(">IB", 0, 15) + FIELDS))
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.finish(stream_id)


@answers("frames of unknown types around the answer", "OK", messages=(b"whole",))
def unknown_frames(peer: Peer, stream_id: int) -> None:
    some = b"".join(
        wire.frame(kind, 0xFF, on, b"?" * 100) for kind in (0xA, 0xC, 0x10, 0xBB, 0xFF) for on in (0, stream_id)
    )
    peer.send(some)
    peer.answer(stream_id, b"whole")
    peer.send(some)


@answers("ALTSVC and ORIGIN", "OK", messages=(b"whole",))
def altsvc(peer: Peer, stream_id: int) -> None:
    origin = b"https://elsewhere.example"
    peer.send(wire.frame(0xA, 0, 0, struct.pack(">H", len(origin)) + origin + b'h2="elsewhere.example:443"'))
    peer.send(wire.frame(0xA, 0, 0, b"\xff\xff"), wire.frame(0xC, 0, 0, struct.pack(">H", len(origin)) + origin))
    peer.answer(stream_id, b"whole")


@answers("undefined flags and the reserved bit, everywhere", "OK", messages=(b"whole",))
def undefined_flags(peer: Peer, stream_id: int) -> None:
    reserved = stream_id | 1 << 31
    peer.send(wire.frame(wire.PING, 0xFE, 1 << 31, bytes(8)), wire.frame(wire.SETTINGS, 0xFE))
    peer.send(wire.frame(wire.HEADERS, 0xD2 & ~0x8 | 4, reserved, FIELDS))
    peer.send(wire.frame(wire.DATA, 0xF6 & ~0x1, reserved, wire.message(b"whole")))
    peer.send(wire.window_update(1 << 31, 1), wire.frame(wire.HEADERS, 0xD5, reserved, wire.block(wire.STATUS_OK)))


@answers("a header block in 40 CONTINUATION frames", "OK", messages=(b"whole",))
def fragments(peer: Peer, stream_id: int) -> None:
    peer.send(wire.frame(wire.HEADERS, 0, stream_id, FIELDS[:1]))
    for i in range(1, 40):
        peer.send(wire.frame(wire.CONTINUATION, 0, stream_id, FIELDS[i : i + 1]))
    peer.send(wire.frame(wire.CONTINUATION, wire.END_HEADERS, stream_id, FIELDS[40:]))
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.finish(stream_id)


@answers("END_STREAM on HEADERS whose block goes on", "NOT_FOUND", words=("split",))
def trailers_in_fragments(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    fields = wire.block([(b"grpc-status", b"5"), (b"grpc-message", b"split")])
    peer.send(wire.frame(wire.HEADERS, wire.END_STREAM, stream_id, fields[:7]))
    peer.send(wire.frame(wire.CONTINUATION, wire.END_HEADERS, stream_id, fields[7:]))


@answers("padding that is most of the HEADERS", "OK", messages=(b"whole",))
def padded_headers(peer: Peer, stream_id: int) -> None:
    padded = wire.END_HEADERS | wire.PADDED
    peer.send(wire.frame(wire.HEADERS, padded, stream_id, b"\xff" + FIELDS + bytes(255)))
    peer.send(wire.data(stream_id, wire.message(b"whole"), padding=255))
    trailers = wire.block(wire.STATUS_OK)
    peer.send(wire.frame(wire.HEADERS, padded | wire.END_STREAM, stream_id, b"\xff" + trailers + bytes(255)))


@answers("frames on a stream that has ended", "OK", messages=(b"whole",))
def after_the_end(peer: Peer, stream_id: int) -> None:
    """What may still be under way when a stream ends is not the connection's fault (RFC 9113 §5.1, closed)."""
    peer.answer(stream_id, b"whole")
    peer.send(
        wire.window_update(stream_id, 10),
        wire.frame(wire.PRIORITY, 0, stream_id, bytes(5)),
        wire.rst_stream(stream_id, 0),
    )


@scenario("DATA behind the trailers", "OK", messages=(b"whole",), calls=(1, 1))
def data_after_trailers(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.answer(stream_id, b"whole")
    peer.send(wire.data(stream_id, wire.message(b"more")))
    peer.linger()


@scenario("HEADERS behind the trailers", "OK", messages=(b"whole",), calls=(1, 1))
def headers_after_trailers(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.answer(stream_id, b"whole")
    peer.send(wire.headers(stream_id, [(b"grpc-status", b"13")], end=True))
    peer.linger()


@answers("PINGs and SETTINGS in small numbers", "OK", messages=(b"whole",))
def small_numbers(peer: Peer, stream_id: int) -> None:
    """What a good server may do on a long day must not be taken for a flood."""
    for _ in range(20):
        peer.send(
            wire.ping() * 5,
            wire.settings(),
            wire.window_update(0, 1),
            wire.frame(wire.PRIORITY, 0, 1, bytes(4) + b"\x01"),
        )
        peer.rest(0.01)
    peer.read_until(lambda: peer.settings_acknowledged >= 21)
    peer.answer(stream_id, b"whole")
