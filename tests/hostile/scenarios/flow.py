"""Flow control: windows that stay shut, overflow, shrink below zero; credit that has to come back.

Spec: RFC 9113 §5.2 and §6.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import wire
from ..peer import Peer
from ..table import MIB, add, answers, scenario

UPLOAD: Mapping[str, Any] = {"shape": "upload", "size": 65_536, "alone": True, "calls": (1, 1)}


# A server that does not take what the client sends


@scenario("a window of 0 for ever, to an endless upload", "DEADLINE_EXCEEDED", timeout=2.5, **UPLOAD)
def shut_window(peer: Peer) -> None:
    peer.greet({wire.INITIAL_WINDOW_SIZE: 0})
    stream_id = peer.next_call()
    try:
        peer.linger()
    finally:
        if peer.bodies[stream_id]:
            peer.fault("the client sent DATA into a window of 0")


@scenario(
    "a window that is never given back, to an endless upload", "DEADLINE_EXCEEDED", timeout=2.5, most_cpu=1.0, **UPLOAD
)
def no_credit(peer: Peer) -> None:
    peer.credits = False
    peer.greet()
    stream_id = peer.next_call()
    try:
        peer.linger()
    finally:
        if len(peer.bodies[stream_id]) > wire.DEFAULT_WINDOW:
            peer.fault("the client sent more than the window allows")


@scenario(
    "windows of 2 GiB and a server that stops reading, to an endless upload",
    "DEADLINE_EXCEEDED",
    timeout=3.0,
    most_cpu=2.0,
    **UPLOAD,
)
def tcp_window_shut(peer: Peer) -> None:
    peer.greet({wire.INITIAL_WINDOW_SIZE: wire.MAX_WINDOW})
    peer.send(wire.window_update(0, wire.MAX_WINDOW - wire.DEFAULT_WINDOW))
    peer.next_call()
    peer.rest(60)


@scenario(
    "windows of 2 GiB and a server that stops reading, to one message of 16 MiB",
    "DEADLINE_EXCEEDED",
    size=16 * MIB,
    timeout=3.0,
    alone=True,
    most_memory=64 * MIB,
    most_cpu=2.0,
    calls=(1, 1),
)
def tcp_window_shut_unary(peer: Peer) -> None:
    tcp_window_shut(peer)


@scenario(
    "a window that opens by one byte a second", "DEADLINE_EXCEEDED", size=1_000, timeout=2.5, calls=(1, 1), most_cpu=0.3
)
def window_dripping(peer: Peer) -> None:
    peer.greet({wire.INITIAL_WINDOW_SIZE: 0})
    stream_id = peer.next_call()
    while True:
        peer.rest(1.0)
        peer.send(wire.window_update(stream_id, 1))


def _status_early(ending: bytes, peer: Peer) -> None:
    peer.credits = False
    peer.greet()
    stream_id = peer.next_call()
    peer.read_body(stream_id, 30_000)
    refusal = [*wire.ANSWER, (b"grpc-status", b"7"), (b"grpc-message", b"no room")]
    peer.send(peer.headers(stream_id, refusal, end=True), ending)
    peer.credits = True
    peer.send(wire.window_update(0, 1_000_000))
    peer.serve()


_early = {**UPLOAD, "words": ("no room",), "keeps_connection": True, "most_cpu": 1.0}
add("a status while the upload is blocked", partial(_status_early, b""), "PERMISSION_DENIED", **_early)
add(
    "a status and RST_STREAM NO_ERROR while the upload is blocked",
    partial(_status_early, wire.rst_stream(1, 0)),
    "PERMISSION_DENIED",
    **_early,
)


@scenario(
    "a status in the middle of an upload, and a close with bytes unread",
    "PERMISSION_DENIED",
    words=("no room",),
    most_cpu=1.0,
    **UPLOAD,
)
def status_and_close(peer: Peer) -> None:
    """TCP resets the connection for what is unread; the status was there before."""
    peer.greet({wire.INITIAL_WINDOW_SIZE: wire.MAX_WINDOW})
    peer.send(wire.window_update(0, wire.MAX_WINDOW - wire.DEFAULT_WINDOW))
    stream_id = peer.next_call()
    peer.read_body(stream_id, 300_000)
    refusal = [*wire.ANSWER, (b"grpc-status", b"7"), (b"grpc-message", b"no room")]
    peer.send(peer.headers(stream_id, refusal, end=True))


@scenario(
    "the whole answer while a request of 1 MiB is blocked",
    "OK",
    size=MIB,
    messages=(b"whole",),
    keeps_connection=True,
    calls=(1, 1),
)
def answer_early(peer: Peer) -> None:
    peer.credits = False
    peer.greet()
    stream_id = peer.next_call()
    peer.read_body(stream_id, wire.DEFAULT_WINDOW)
    peer.answer(stream_id, b"whole")
    peer.credits = True
    peer.send(wire.window_update(0, wire.DEFAULT_WINDOW))
    peer.serve()


# Windows that change under way


@scenario(
    "an initial window that falls below zero in an upload, and rises",
    "OK",
    size=300_000,
    messages=(b"whole",),
    keeps_connection=True,
    calls=(1, 1),
)
def below_zero(peer: Peer) -> None:
    peer.credits = False
    peer.greet({wire.INITIAL_WINDOW_SIZE: 60_000})
    stream_id = peer.next_call()
    peer.read_body(stream_id, 60_000)
    peer.tell({wire.INITIAL_WINDOW_SIZE: 0})
    peer.send(wire.window_update(0, 1_000_000), wire.window_update(stream_id, 50_000))  # now at -10,000
    peer.read_until(lambda: peer.settings_acknowledged == 2)
    peer.rest(0.2)
    peer.send(wire.ping())
    peer.read_until(lambda: (wire.PING, wire.ACK) in peer.said)
    if len(peer.bodies[stream_id]) > 60_000:
        peer.fault("the client sent DATA into a window below zero")
    peer.tell({wire.INITIAL_WINDOW_SIZE: 10_001})  # now at 1
    peer.read_body(stream_id, 60_001)
    peer.tell({wire.INITIAL_WINDOW_SIZE: 400_000})
    peer.next_request()
    peer.answer(stream_id, b"whole")
    peer.credits = True
    peer.serve()


@scenario(
    "a window that opens by 1 to 50 bytes at a time",
    "OK",
    size=4_000,
    messages=(b"whole",),
    keeps_connection=True,
    calls=(1, 1),
)
def narrow_window(peer: Peer) -> None:
    peer.greet({wire.INITIAL_WINDOW_SIZE: 1})
    stream_id = peer.next_call()
    peer.credits, allowed = False, 1
    while allowed < 4_005:
        increment = allowed % 50 + 1
        peer.send(wire.window_update(stream_id, increment))
        allowed += increment
        peer.read_body(stream_id, min(allowed, 4_005))
    peer.next_request()
    peer.credits = True
    peer.tell({wire.INITIAL_WINDOW_SIZE: 65_535})
    peer.answer(stream_id, b"whole")
    peer.serve()


@scenario(
    "a shut window for half of the time, to a request of 300 kB",
    "OK",
    size=300_000,
    messages=(b"whole",),
    keeps_connection=True,
    calls=(1, 1),
)
def window_opens_late(peer: Peer) -> None:
    peer.greet({wire.INITIAL_WINDOW_SIZE: 0})
    stream_id = peer.next_call()
    peer.rest(0.5)
    peer.tell({wire.INITIAL_WINDOW_SIZE: 65_535})
    peer.next_request()
    peer.answer(stream_id, b"whole")
    peer.serve()


# Illegal windows


def _overflow(pieces: bytes, peer: Peer) -> None:
    peer.take_call()
    peer.send(pieces)
    peer.linger()


for _text, _pieces in [
    ("WINDOW_UPDATE that overflows the connection's window", wire.window_update(0, wire.MAX_WINDOW)),
    ("WINDOW_UPDATE 0 on the connection", wire.window_update(0, 0)),
    (
        "INITIAL_WINDOW_SIZE that overflows a stream's window",
        wire.window_update(1, 1_000_000_000) + wire.settings({wire.INITIAL_WINDOW_SIZE: wire.MAX_WINDOW}),
    ),
]:
    add(_text, partial(_overflow, _pieces), "UNAVAILABLE INTERNAL", must_close=True, calls=(1, 1))


def _illegal_on_stream(increment: int, peer: Peer) -> None:
    peer.greet({wire.INITIAL_WINDOW_SIZE: 0})
    peer.send(wire.window_update(peer.next_call(), increment))
    peer.linger()


for _text, _increment in [
    ("WINDOW_UPDATE that overflows a stream's window", wire.MAX_WINDOW),
    ("WINDOW_UPDATE 0 on a stream", 0),
]:
    # What is a fault of the stream may be taken for one of the connection.
    add(
        _text,
        partial(_illegal_on_stream, _increment),
        "UNAVAILABLE INTERNAL DEADLINE_EXCEEDED",
        shape="unary",
        timeout=2.0,
        calls=(1, 1),
    )


@scenario("WINDOW_UPDATE twice to 2**31 on an open stream", "UNAVAILABLE INTERNAL", shape="open_ended", calls=(1, 1))
def stream_overflow(peer: Peer) -> None:
    peer.greet()
    stream_id = peer.next_call()
    peer.send(wire.window_update(stream_id, wire.MAX_WINDOW) * 2)
    peer.linger()


@scenario(
    "more DATA than the windows allow",
    "UNAVAILABLE INTERNAL RESOURCE_EXHAUSTED",
    shape="unread",
    alone=True,
    timeout=6.0,
    calls=(1, 1),
    most_cpu=2.0,
)
def beyond_window(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.flood(wire.data(stream_id, wire.message(bytes(16_000))) * 4)


# Credit that has to come back


@scenario(
    "late DATA and trailers of calls that were cancelled",
    "OK",
    shape="cancelled",
    messages=(bytes(11),),
    timeout=10.0,
    keeps_connection=True,
    follow_up_size=3 * MIB,
    calls=(21, 21),
    alone=True,
    most_cpu=6.0,
)
def late_frames(peer: Peer) -> None:
    """Each cancelled stream gets all that its window holds, trailers too; the header table goes on with them."""
    peer.greet()
    for _ in range(20):
        stream_id = peer.next_request()
        peer.begin(stream_id, (b"x-stream", b"%d" % stream_id))
        peer.send(wire.data(stream_id, wire.message(b"first")))
        peer.windows[0] -= 10
        peer.read_until_reset(stream_id)
        _send_late(peer, stream_id)
    peer.serve()


def _send_late(peer: Peer, stream_id: int) -> None:
    for _ in range(min(MIB, peer.initial_window) // 16_384 - 1):
        peer.read_until(lambda: peer.windows[0] >= 16_384)
        peer.send(wire.data(stream_id, bytes(16_384)))
        peer.windows[0] -= 16_384
    peer.finish(stream_id, (b"x-late", b"%d" % stream_id))


@answers(
    "DATA that is mostly padding", "OK", shape="download", timeout=20.0, follow_up_size=MIB, alone=True, most_cpu=8.0
)
def padded_data(peer: Peer, stream_id: int) -> None:
    """Padding counts for flow control (RFC 9113 §6.1): more of it than both windows hold has to get through."""
    enough = 3 * max(peer.windows[0], peer.windows[stream_id]) // 2
    peer.begin(stream_id)
    for _ in range(min(enough, 12 * MIB) // (256 * 20)):
        peer.send_data(stream_id, wire.message(bytes(15)), padding=255, step=1)
    peer.finish(stream_id)


@answers(
    "messages that are never read in calls that end", "NOT_FOUND", shape="download", follow_up_size=MIB, most_cpu=1.5
)
def unread_then_status(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    for _ in range(20):
        peer.send_data(stream_id, wire.message(bytes(16_000)))
    peer.finish(stream_id, status=b"5")


# A client that does not read


def _stream_unread(payload: bytes, peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    many = wire.message(payload) * (16_384 // (len(payload) + 5) or 1)
    while stream_id not in peer.resets:
        peer.send_data(stream_id, many)
    peer.serve()


_unread = {
    "shape": "unread",
    "timeout": 10.0,
    "alone": True,
    "keeps_connection": True,
    "calls": (1, 1),
    "most_cpu": 4.0,
}
add(
    "a stream without end to a client that does not read",
    partial(_stream_unread, bytes(16_379)),
    "CANCELLED",
    follow_up_size=MIB,
    **_unread,
)
add(
    "large messages without end to a client that does not read",
    partial(_stream_unread, bytes(4 * MIB)),
    "CANCELLED",
    **_unread,
)
add(
    "one-byte messages without end to a client that does not read",
    partial(_stream_unread, b"x"),
    "CANCELLED",
    **_unread,
)
add("empty messages without end to a client that does not read", partial(_stream_unread, b""), "CANCELLED", **_unread)


@scenario(
    "PINGs between one-byte DATA frames, acknowledgements never read",
    "UNAVAILABLE INTERNAL RESOURCE_EXHAUSTED DEADLINE_EXCEEDED CANCELLED",
    shape="download",
    timeout=4.0,
    alone=True,
    calls=(1, 1),
    most_cpu=None,
)
def pings_between_data(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    one = b"".join(wire.data(stream_id, bytes([byte])) + wire.ping() for byte in wire.message(b"x" * 3))
    peer.flood(one * 50)
