"""GOAWAY: graceful, rude, for ever, and malformed.

Spec: RFC 9113 §6.8 and §8.7; gRPC PROTOCOL-HTTP2.md, "Connection Management"; doc/connection-backoff.md.
"""

from __future__ import annotations

from functools import partial

from .. import wire
from ..peer import Peer
from ..table import add, scenario

NO_ERROR, PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 0, 1, 11
NEVER_ENDS = {"timeout": 3.0, "most_connections": 10, "calls": (0, 10), "alone": True, "most_cpu": 0.8}


@scenario("GOAWAY right after SETTINGS, for ever", "UNAVAILABLE DEADLINE_EXCEEDED", **NEVER_ENDS)
def at_once(peer: Peer) -> None:
    peer.greet()
    peer.send(wire.goaway(0))
    peer.linger()


@scenario(
    "GOAWAY right after SETTINGS, for ever, and a client that waits for ready",
    "UNAVAILABLE DEADLINE_EXCEEDED",
    wait_for_ready=True,
    **NEVER_ENDS,
)
def at_once_waiting(peer: Peer) -> None:
    at_once(peer)


@scenario(
    "GOAWAY right after SETTINGS and a close, for ever, and a client that waits for ready",
    "UNAVAILABLE DEADLINE_EXCEEDED",
    wait_for_ready=True,
    **NEVER_ENDS,
)
def at_once_and_close(peer: Peer) -> None:
    peer.send(wire.settings(), wire.goaway(0))


@scenario(
    "GOAWAY below the call's id, for ever, and a client that waits for ready",
    "UNAVAILABLE DEADLINE_EXCEEDED",
    wait_for_ready=True,
    **NEVER_ENDS,
)
def below_for_ever(peer: Peer) -> None:
    peer.take_call()
    peer.send(wire.goaway(0))
    peer.linger()


@scenario("GOAWAY right after SETTINGS, the first time", "OK UNAVAILABLE", hostile=1, calls=(0, 1))
def at_once_first(peer: Peer) -> None:
    at_once(peer)


@scenario(
    "GOAWAY right after SETTINGS, the first time, and a client that waits for ready",
    "OK",
    wait_for_ready=True,
    hostile=1,
    calls=(0, 1),
)
def at_once_first_waiting(peer: Peer) -> None:
    at_once(peer)


@scenario("GOAWAY below the call's id, the first time", "OK", hostile=1, calls=(1, 1))
def below_first(peer: Peer) -> None:
    peer.take_call()
    peer.send(wire.goaway(0))
    peer.linger()


@scenario("GOAWAY below the call's id and a close, the first time", "OK", hostile=1, calls=(1, 1))
def below_and_close(peer: Peer) -> None:
    peer.take_call()
    peer.send(wire.goaway(0))


@scenario(
    "GOAWAY below the ids of some of ten calls, the first time", "OK", shape="together", hostile=1, calls=(10, 10)
)
def between(peer: Peer) -> None:
    peer.greet()
    stream_ids = [peer.next_request() for _ in range(10)]
    peer.send(wire.goaway(stream_ids[4]))
    for stream_id in stream_ids[:5]:
        peer.answer(stream_id, bytes(11))
    peer.linger()


@scenario(
    "GOAWAY below the id of a call that has had messages, the first time",
    "UNAVAILABLE",
    shape="download",
    hostile=1,
    calls=(1, 1),
)
def below_after_message(peer: Peer) -> None:
    """The server contradicts itself: making the call again would deliver its messages twice."""
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"first")), wire.goaway(0))
    peer.linger()


@scenario("a graceful end, two GOAWAYs with a PING between them", "OK", messages=(b"whole",), calls=(1, 1))
def graceful(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.send(wire.goaway(wire.MAX_WINDOW), wire.ping(b"draining"))
    peer.read_until(lambda: (wire.PING, wire.ACK) in peer.said)
    peer.send(wire.goaway(stream_id))
    peer.answer(stream_id, b"whole")
    peer.linger()


@scenario(
    "a graceful end under a stream that goes on", "OK", shape="download", messages=(b"a", b"b", b"c"), calls=(1, 1)
)
def graceful_stream(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    for payload in (b"a", b"b", b"c"):
        peer.send(wire.data(stream_id, wire.message(payload)), wire.goaway(stream_id))
        peer.rest(0.1)
    peer.finish(stream_id)
    peer.linger()


@scenario("GOAWAY at the call's id, then silence", "DEADLINE_EXCEEDED", timeout=1.5, calls=(1, 1), most_cpu=0.3)
def then_silence(peer: Peer) -> None:
    peer.send(wire.goaway(peer.take_call()))
    peer.linger()


@scenario("GOAWAY at the call's id, then a close", "UNAVAILABLE", calls=(1, 1))
def then_close(peer: Peer) -> None:
    peer.send(wire.goaway(peer.take_call()))


@scenario("GOAWAY too_many_pings at the call's id, then a close", "UNAVAILABLE RESOURCE_EXHAUSTED", calls=(1, 1))
def too_many_pings(peer: Peer) -> None:
    peer.send(wire.goaway(peer.take_call(), ENHANCE_YOUR_CALM, b"too_many_pings"))


@scenario("GOAWAY of an unknown code with a long reason, then a close", "UNAVAILABLE INTERNAL", calls=(1, 1))
def unknown_code(peer: Peer) -> None:
    peer.send(wire.goaway(peer.take_call(), 0xDEADBEEF, b"\xff\x00reason" * 1_000))


@scenario("GOAWAY PROTOCOL_ERROR at the call's id, and the answer", "OK UNAVAILABLE INTERNAL", calls=(1, 1))
def error_and_answer(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.send(wire.goaway(stream_id, PROTOCOL_ERROR, b"you erred"))
    peer.answer(stream_id, b"whole")
    peer.linger()


@scenario("a second GOAWAY with a higher id", "OK UNAVAILABLE INTERNAL", calls=(1, 1))
def raised(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.send(wire.goaway(stream_id), wire.goaway(wire.MAX_WINDOW))
    peer.answer(stream_id, b"whole")
    peer.linger()


@scenario("GOAWAY with an even last id above the call's", "OK", messages=(b"whole",), calls=(1, 1))
def even(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.send(wire.goaway(stream_id + 1))
    peer.answer(stream_id, b"whole")
    peer.linger()


def _malformed(piece: bytes, peer: Peer) -> None:
    peer.take_call()
    peer.send(piece)
    peer.linger()


add(
    "GOAWAY of 7 bytes",
    partial(_malformed, wire.frame(wire.GOAWAY, payload=bytes(7))),
    "UNAVAILABLE INTERNAL",
    must_close=True,
)
add(
    "GOAWAY on a stream",
    partial(_malformed, wire.frame(wire.GOAWAY, 0, 1, bytes(8))),
    "UNAVAILABLE INTERNAL",
    must_close=True,
)
