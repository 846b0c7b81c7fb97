"""Floods: frames that cost the server nothing, as many as the client takes.

Each goes on for as long as the call, at full speed, while the server reads nothing that the client says about it.
Spec: RFC 9113 §10.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import wire
from ..peer import Peer
from ..table import add, scenario

ENDS = "UNAVAILABLE INTERNAL RESOURCE_EXHAUSTED"
FLOOD: Mapping[str, Any] = {"timeout": 8.0, "alone": True, "must_close": True, "calls": (1, 1), "most_cpu": 4.0}
CHUNK = 32_768


def _flood(piece: bytes, peer: Peer) -> None:
    peer.take_call()
    peer.flood(piece * (CHUNK // len(piece) or 1))


def _flood_in_answer(piece: bytes, peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.flood(piece * (CHUNK // len(piece) or 1))


def _flood_in_block(piece: bytes, peer: Peer) -> None:
    peer.take_call()
    peer.send(wire.frame(wire.HEADERS, 0, 1, wire.block(wire.ANSWER)))
    peer.flood(piece * (CHUNK // len(piece) or 1))


for _text, _piece in [
    ("empty SETTINGS", wire.settings()),
    (
        "SETTINGS that change the window",
        wire.settings({wire.INITIAL_WINDOW_SIZE: 1}) + wire.settings({wire.INITIAL_WINDOW_SIZE: 70_000}),
    ),
    ("SETTINGS of 2,700 values", wire.settings({0x1000 + i: i for i in range(2_700)})),
    (
        "SETTINGS that change the header table",
        wire.settings({wire.HEADER_TABLE_SIZE: 0}) + wire.settings({wire.HEADER_TABLE_SIZE: 4_096}),
    ),
    ("acknowledgements of SETTINGS", wire.settings_ack()),
    ("PINGs", wire.ping()),
    ("acknowledgements of PINGs", wire.ping(ack=True)),
    ("PRIORITY", wire.frame(wire.PRIORITY, 0, 1, bytes(4) + b"\x10")),
    (
        "PRIORITY on ever new streams",
        b"".join(wire.frame(wire.PRIORITY, 0, i, bytes(4) + b"\x10") for i in range(1, 4_000, 2)),
    ),
    ("unknown frames", wire.frame(0xBB)),
    ("large unknown frames", wire.frame(0xBB, 0, 0, bytes(16_384))),
    ("WINDOW_UPDATE by 1 on the connection", wire.window_update(0, 1)),
    ("WINDOW_UPDATE by 1 on the stream", wire.window_update(1, 1)),
    ("GOAWAY", wire.goaway(wire.MAX_WINDOW)),
    ("GOAWAY with a reason of 16 KiB", wire.goaway(wire.MAX_WINDOW, 0, bytes(16_000))),
    ("informational headers", wire.headers(1, [(b":status", b"103")])),
    ("informational headers of 10 kB", wire.headers(1, [(b":status", b"103"), (b"link", b"x" * 10_000)])),
    ("ALTSVC", wire.frame(0xA, 0, 0, b'\x00\x01xh2=":1"')),
]:
    add(f"a flood of {_text}", partial(_flood, _piece), ENDS, **FLOOD)

for _text, _piece in [
    ("empty DATA", wire.data(1)),
    ("DATA that is only padding", wire.data(1, padding=255)),
    ("DATA that is only one byte of padding length", wire.data(1, padding=0)),
]:
    add(f"a flood of {_text}", partial(_flood_in_answer, _piece), ENDS, **FLOOD)

for _text, _piece in [
    ("empty CONTINUATION", wire.frame(wire.CONTINUATION, 0, 1)),
    ("CONTINUATION of one byte", wire.frame(wire.CONTINUATION, 0, 1, b"\x82")),
    ("CONTINUATION of 16 KiB", wire.frame(wire.CONTINUATION, 0, 1, wire.literal(b"x", b"y" * 100) * 155)),
]:
    add(f"a flood of {_text}", partial(_flood_in_block, _piece), ENDS, **FLOOD)


# Where the call itself ends well or has ended, and the flood is for the connection


AFTER: Mapping[str, Any] = {"rest": 2.0, "alone": True, "must_close": True, "calls": (1, 1), "most_cpu": 4.0}


def _flood_after(piece: bytes, peer: Peer) -> None:
    peer.answer(peer.take_call(), b"whole")
    peer.flood(piece * (CHUNK // len(piece) or 1))


for _text, _piece in [
    ("RST_STREAM on a stream that has ended", wire.rst_stream(1, 8)),
    ("WINDOW_UPDATE on a stream that has ended", wire.window_update(1, 1)),
    ("HEADERS on a stream that has ended", wire.headers(1, [(b"grpc-status", b"0")], end=True)),
    ("empty DATA on a stream that has ended", wire.data(1)),
    ("DATA on a stream that has ended", wire.data(1, bytes(1_000))),
    ("PINGs on an idle connection", wire.ping()),
]:
    add(f"a flood of {_text}", partial(_flood_after, _piece), "OK", **AFTER)


@scenario("a flood of RST_STREAM", "CANCELLED", **AFTER)
def resets(peer: Peer) -> None:
    peer.take_call()
    peer.flood(wire.rst_stream(1, 8) * 1_000)


@scenario(
    "a flood of late DATA, never beyond the windows",
    "CANCELLED",
    shape="unread",
    timeout=6.0,
    alone=True,
    calls=(1, 1),
    most_cpu=4.0,
    keeps_connection=True,
    follow_up_size=1_048_576,
)
def late_data(peer: Peer) -> None:
    """Empty messages until the client cancels, then what is left of the window in frames of one byte."""
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"first")))
    peer.read_until_reset(stream_id)
    left = 20_000
    peer.windows[0] -= 10 + left
    peer.send(wire.data(stream_id, b"x") * left)
    peer.serve()


# A flood of what is useful in itself


@scenario(
    "messages without end on a unary call", "INTERNAL UNIMPLEMENTED UNKNOWN", alone=True, timeout=6.0, calls=(1, 1)
)
def messages_to_unary(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    while stream_id not in peer.resets:
        peer.send_data(stream_id, wire.message(b"x") * 2_000)
    peer.serve()


@scenario(
    "empty messages without end to a client that reads",
    "DEADLINE_EXCEEDED",
    shape="download",
    alone=True,
    timeout=3.0,
    slack=2.0,
    most_cpu=None,
    keeps_connection=True,
    calls=(1, 1),
)
def messages_to_reader(peer: Peer) -> None:
    """It may take all of the client's time, but neither its memory nor its deadline."""
    stream_id = peer.take_call()
    peer.begin(stream_id)
    while stream_id not in peer.resets:
        peer.send_data(stream_id, wire.message(b"") * 3_000)
    peer.serve()


@scenario(
    "DATA frames of one byte without end to a client that reads",
    "DEADLINE_EXCEEDED UNAVAILABLE RESOURCE_EXHAUSTED",
    shape="download",
    alone=True,
    timeout=3.0,
    slack=2.0,
    most_cpu=None,
    calls=(1, 1),
)
def bytes_to_reader(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    while stream_id not in peer.resets:
        peer.send_data(stream_id, wire.message(b"x" * 995), step=1)
    peer.serve()


@scenario(
    "refused streams and PINGs without end",
    "UNAVAILABLE RESOURCE_EXHAUSTED INTERNAL",
    alone=True,
    timeout=6.0,
    calls=(1, 12),
    most_connections=6,
    most_cpu=4.0,
)
def refused_and_pinged(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.flood(wire.rst_stream(stream_id, 7) + wire.ping() * 100)
