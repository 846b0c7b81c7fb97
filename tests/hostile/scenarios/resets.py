"""RST_STREAM with every code, before, in and after the answer.

Spec: RFC 9113 §6.4, §7, §8.1 and §8.7; gRPC PROTOCOL-HTTP2.md, "Errors".
"""

from __future__ import annotations

from functools import partial

from .. import wire
from ..peer import Peer
from ..table import add, answers, scenario

CODES = [
    (0, "NO_ERROR", "INTERNAL"),
    (1, "PROTOCOL_ERROR", "INTERNAL"),
    (2, "INTERNAL_ERROR", "INTERNAL"),
    (3, "FLOW_CONTROL_ERROR", "INTERNAL"),
    (4, "SETTINGS_TIMEOUT", "INTERNAL"),
    (5, "STREAM_CLOSED", "INTERNAL UNKNOWN"),  # the specification leaves this one open
    (6, "FRAME_SIZE_ERROR", "INTERNAL"),
    (8, "CANCEL", "CANCELLED"),
    (9, "COMPRESSION_ERROR", "INTERNAL"),
    (10, "CONNECT_ERROR", "INTERNAL"),
    (11, "ENHANCE_YOUR_CALM", "RESOURCE_EXHAUSTED"),
    (12, "INADEQUATE_SECURITY", "PERMISSION_DENIED"),
    (13, "HTTP_1_1_REQUIRED", "INTERNAL UNKNOWN"),
    (14, "14", "INTERNAL UNKNOWN"),
    (0xDEADBEEF, str(0xDEADBEEF), "INTERNAL UNKNOWN"),
]
REFUSED_STREAM = 7


def _before(code: int, peer: Peer, stream_id: int) -> None:
    peer.send(wire.rst_stream(stream_id, code))


def _within(code: int, peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")), wire.rst_stream(stream_id, code))


def _after(code: int, peer: Peer, stream_id: int) -> None:
    peer.answer(stream_id, b"whole")
    peer.send(wire.rst_stream(stream_id, code))


def _after_early_answer(code: int, peer: Peer) -> None:
    peer.greet()
    stream_id = peer.next_call()
    peer.answer(stream_id, b"whole")
    peer.send(wire.rst_stream(stream_id, code))
    peer.serve()


for _code, _name, _status in CODES:
    answers(f"RST_STREAM {_name} instead of an answer", _status, words=(_name,))(partial(_before, _code))
    answers(f"RST_STREAM {_name} in the middle of an answer", _status, words=(_name,))(partial(_within, _code))
    answers(f"RST_STREAM {_name} behind a whole answer", "OK", messages=(b"whole",))(partial(_after, _code))
    add(
        f"RST_STREAM {_name} behind a whole answer, to a client that has not half-closed",
        partial(_after_early_answer, _code),
        "OK",
        shape="open_ended",
        messages=(b"whole",),
        keeps_connection=True,
    )


@answers("REFUSED_STREAM once", "OK", calls=(2, 2))
def refused_once(peer: Peer, stream_id: int) -> None:
    peer.send(wire.rst_stream(stream_id, REFUSED_STREAM))


@answers("REFUSED_STREAM to every second call", "OK", shape="one_by_one", calls=(20, 20))
def refused_now_and_then(peer: Peer, stream_id: int) -> None:
    for again in range(10):
        peer.send(wire.rst_stream(stream_id if again == 0 else peer.next_request(), REFUSED_STREAM))
        peer.answer(peer.next_request(), bytes(11))


@scenario("REFUSED_STREAM for ever", "UNAVAILABLE", timeout=3.0, calls=(1, 12), most_cpu=0.8)
def refused_for_ever(peer: Peer) -> None:
    peer.greet()
    while True:
        peer.send(wire.rst_stream(peer.next_request(), REFUSED_STREAM))


@scenario(
    "REFUSED_STREAM for ever, and a client that waits for ready",
    "UNAVAILABLE DEADLINE_EXCEEDED",
    timeout=3.0,
    wait_for_ready=True,
    calls=(1, 12),
    most_cpu=0.8,
)
def refused_for_ever_waiting(peer: Peer) -> None:
    refused_for_ever(peer)


@answers("REFUSED_STREAM after the answer's headers", "UNAVAILABLE", calls=(1, 1))
def refused_late(peer: Peer, stream_id: int) -> None:
    """What has been answered was not refused: it must not be made again."""
    peer.begin(stream_id)
    peer.send(wire.rst_stream(stream_id, REFUSED_STREAM))


@answers("RST_STREAM twice", "CANCELLED")
def twice(peer: Peer, stream_id: int) -> None:
    peer.send(wire.rst_stream(stream_id, 8), wire.rst_stream(stream_id, 2))


@answers("RST_STREAM NO_ERROR behind the messages, without trailers", "INTERNAL UNKNOWN")
def instead_of_trailers(peer: Peer, stream_id: int) -> None:
    _within(0, peer, stream_id)


def _malformed(piece: bytes, peer: Peer) -> None:
    peer.take_call()
    peer.send(piece)
    peer.linger()


for _text, _piece in [
    ("of 3 bytes", wire.frame(wire.RST_STREAM, 0, 1, bytes(3))),
    ("of 5 bytes", wire.frame(wire.RST_STREAM, 0, 1, bytes(5))),
    ("on stream 0", wire.rst_stream(0, 8)),
    ("on an idle stream", wire.rst_stream(99, 8)),
    ("on a stream that only a server could open", wire.rst_stream(2, 8)),
]:
    add(f"RST_STREAM {_text}", partial(_malformed, _piece), "UNAVAILABLE INTERNAL", must_close=True)
