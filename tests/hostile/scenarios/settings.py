"""SETTINGS: illegal values, changes while calls run, and limits of nothing.

Spec: RFC 9113 §6.5.
"""

from __future__ import annotations

from functools import partial

from .. import wire
from ..peer import Peer
from ..table import add, answers, scenario

INTO_WORK = {"keeps_connection": True, "calls": (1, 1)}


def _illegal_first(piece: bytes, peer: Peer) -> None:
    peer.receive(len(wire.PREFACE))
    peer.send(piece)
    peer.linger()


def _illegal_later(piece: bytes, peer: Peer) -> None:
    peer.take_call()
    peer.send(piece)
    peer.linger()


for _text, _piece in [
    ("ENABLE_PUSH 1 from a server", wire.settings({wire.ENABLE_PUSH: 1})),
    ("ENABLE_PUSH 2", wire.settings({wire.ENABLE_PUSH: 2})),
    ("INITIAL_WINDOW_SIZE 2**31", wire.settings({wire.INITIAL_WINDOW_SIZE: 2**31})),
    ("MAX_FRAME_SIZE 16,383", wire.settings({wire.MAX_FRAME_SIZE: 16_383})),
    ("MAX_FRAME_SIZE 2**24", wire.settings({wire.MAX_FRAME_SIZE: 2**24})),
    ("MAX_FRAME_SIZE 0", wire.settings({wire.MAX_FRAME_SIZE: 0})),
    ("a frame of 5 bytes", wire.frame(wire.SETTINGS, payload=bytes(5))),
    ("an acknowledgement with a payload", wire.frame(wire.SETTINGS, wire.ACK, 0, bytes(6))),
    ("a frame on stream 1", wire.frame(wire.SETTINGS, 0, 1, bytes(6))),
]:
    add(f"SETTINGS: {_text}, at first", partial(_illegal_first, _piece), "UNAVAILABLE", must_close=True, calls=(0, 1))
    add(
        f"SETTINGS: {_text}, later",
        partial(_illegal_later, _piece),
        "UNAVAILABLE INTERNAL",
        must_close=True,
        calls=(1, 1),
    )


# Unusual, and legal


@scenario("SETTINGS never acknowledged", "OK", **INTO_WORK)
def never_acknowledged(peer: Peer) -> None:
    peer.acknowledges = False
    peer.greet()
    peer.serve()


@scenario("SETTINGS acknowledged more often than sent", "OK UNAVAILABLE", calls=(1, 1))
def acknowledged_too_often(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.send(wire.settings_ack() * 20)
    peer.answer(stream_id, b"whole")
    peer.serve()


@answers("PING acknowledged that nobody sent", "OK", messages=(b"whole",))
def stray_ping_ack(peer: Peer, stream_id: int) -> None:
    peer.send(wire.ping(ack=True) * 20)
    peer.answer(stream_id, b"whole")


@scenario("settings that nobody knows", "OK", **INTO_WORK)
def unknown(peer: Peer) -> None:
    peer.greet({0x0A0A: 1, 0xFFFF: 2**32 - 1, 0: 7, 9: 3})
    peer.serve()


@scenario("2,700 settings that nobody knows, in one frame", "OK", **INTO_WORK)
def many_unknown(peer: Peer) -> None:
    peer.greet({0x1000 + i: i for i in range(2_700)})
    peer.serve()


@scenario("the largest values that are legal", "OK", **INTO_WORK)
def largest(peer: Peer) -> None:
    peer.greet(
        {
            wire.HEADER_TABLE_SIZE: 2**32 - 1,
            wire.MAX_CONCURRENT_STREAMS: 2**32 - 1,
            wire.INITIAL_WINDOW_SIZE: wire.MAX_WINDOW,
            wire.MAX_FRAME_SIZE: 2**24 - 1,
            wire.MAX_HEADER_LIST_SIZE: 2**32 - 1,
        }
    )
    peer.serve()


@scenario("MAX_HEADER_LIST_SIZE 10", "OK RESOURCE_EXHAUSTED INTERNAL UNAVAILABLE", hostile=1, calls=(0, 2))
def tiny_header_list(peer: Peer) -> None:
    peer.greet({wire.MAX_HEADER_LIST_SIZE: 10})
    peer.serve()


# Header tables


@scenario(
    "HEADER_TABLE_SIZE 0, then 4,096, then 2**32 - 1, then 0",
    "OK",
    shape="one_by_one",
    keeps_connection=True,
    calls=(10, 10),
)
def table_sizes(peer: Peer) -> None:
    peer.greet({wire.HEADER_TABLE_SIZE: 0})
    for i in range(10):
        stream_id = peer.next_request()
        peer.tell({wire.HEADER_TABLE_SIZE: (4_096, 2**32 - 1, 0, 100)[i % 4]})
        peer.answer(stream_id, bytes(11))
    peer.serve()


@scenario(
    "HEADER_TABLE_SIZE 0, then 4,096 twice, again and again",
    "OK",
    shape="one_by_one",
    keeps_connection=True,
    calls=(10, 10),
)
def table_sizes_twice(peer: Peer) -> None:
    peer.greet()
    for i in range(10):
        stream_id = peer.next_request()
        for value in ((0,), (4_096, 4_096), (), (), ())[i % 5]:
            peer.tell({wire.HEADER_TABLE_SIZE: value})
        peer.answer(stream_id, bytes(11))
    peer.serve()


# Concurrency


@scenario("MAX_CONCURRENT_STREAMS 0 for ever", "DEADLINE_EXCEEDED", timeout=1.5, calls=(0, 0), most_cpu=0.3)
def no_streams(peer: Peer) -> None:
    peer.greet({wire.MAX_CONCURRENT_STREAMS: 0})
    peer.linger()


@scenario(
    "MAX_CONCURRENT_STREAMS 0, and 1 after a while", "OK", shape="together", keeps_connection=True, calls=(10, 10)
)
def streams_later(peer: Peer) -> None:
    peer.greet({wire.MAX_CONCURRENT_STREAMS: 0})
    peer.read_until(lambda: peer.settings_acknowledged > 0)
    peer.rest(0.3)
    if peer.calls:
        peer.fault("the client opened a stream that it was not allowed")
    peer.tell({wire.MAX_CONCURRENT_STREAMS: 1})
    _answer_one_at_a_time(peer)


@scenario("MAX_CONCURRENT_STREAMS 1", "OK", shape="together", keeps_connection=True, calls=(10, 10))
def one_stream(peer: Peer) -> None:
    peer.greet({wire.MAX_CONCURRENT_STREAMS: 1})
    _answer_one_at_a_time(peer)


def _answer_one_at_a_time(peer: Peer) -> None:
    for i in range(10):
        stream_id = peer.next_request()
        peer.rest(0.02)  # time for a client that would open too many
        if len(peer.calls) > i + 1:
            peer.fault(f"the client had {len(peer.calls) - i} streams open where one is allowed")
        peer.answer(stream_id, bytes(11))
    peer.serve()


@scenario("MAX_CONCURRENT_STREAMS falls to 0 while a call runs", "OK", messages=(b"whole",), **INTO_WORK)
def streams_withdrawn(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.tell({wire.MAX_CONCURRENT_STREAMS: 0})
    peer.read_until(lambda: peer.settings_acknowledged > 1)
    peer.answer(stream_id, b"whole")
    peer.tell({wire.MAX_CONCURRENT_STREAMS: 100})
    peer.serve()


# Frame sizes


@scenario(
    "MAX_FRAME_SIZE up and down in an upload", "OK", size=1_000_000, messages=(b"whole",), most_cpu=2.0, **INTO_WORK
)
def frame_sizes(peer: Peer) -> None:
    peer.greet({wire.MAX_FRAME_SIZE: 2**24 - 1, wire.INITIAL_WINDOW_SIZE: 100_000})
    stream_id = peer.next_call()
    for i in range(6):
        peer.tell({wire.MAX_FRAME_SIZE: (16_384, 1_000_000)[i % 2]})
        peer.read_body(stream_id, 100_000 * (i + 1))
    peer.next_request()
    peer.answer(stream_id, b"whole")
    peer.serve()
