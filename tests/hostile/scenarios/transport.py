"""Servers that are silent, slow, gone, or speak something else than HTTP/2.

Spec: RFC 9113 §3.4; gRPC doc/connection-backoff.md, doc/wait-for-ready.md.
"""

from __future__ import annotations

import itertools
import random
import socket
from functools import partial

from .. import wire
from ..peer import Peer
from ..table import add, scenario

GARBAGE = random.Random(4).randbytes(65_536)
ANSWER_WHOLE = (
    wire.headers(1, wire.ANSWER) + wire.data(1, wire.message(b"x" * 60)) + wire.headers(1, wire.STATUS_OK, end=True)
)


# Silence


@scenario("silence after accept", "DEADLINE_EXCEEDED", timeout=1.5, calls=(0, 0), most_cpu=0.3)
def silence(peer: Peer) -> None:
    peer.rest(60)


@scenario(
    "silence after accept, and a client that waits for ready",
    "DEADLINE_EXCEEDED",
    timeout=1.5,
    wait_for_ready=True,
    most_cpu=0.3,
)
def silence_waiting(peer: Peer) -> None:
    peer.rest(60)


@scenario("silence after SETTINGS", "DEADLINE_EXCEEDED", timeout=1.5, calls=(1, 1), most_cpu=0.3)
def silence_after_settings(peer: Peer) -> None:
    peer.greet()
    peer.linger()


@scenario("silence after the answer's headers", "DEADLINE_EXCEEDED", timeout=1.5, calls=(1, 1), most_cpu=0.3)
def silence_after_headers(peer: Peer) -> None:
    peer.begin(peer.take_call())
    peer.linger()


@scenario("silence in the middle of a message", "DEADLINE_EXCEEDED", timeout=1.5, calls=(1, 1), most_cpu=0.3)
def silence_in_message(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x", length=100)))
    peer.linger()


@scenario("silence after the message, without trailers", "DEADLINE_EXCEEDED", timeout=1.5, calls=(1, 1), most_cpu=0.3)
def silence_before_trailers(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.linger()


@scenario(
    "silence to a client that half-closes late",
    "DEADLINE_EXCEEDED",
    shape="open_ended",
    timeout=1.5,
    calls=(1, 1),
    most_cpu=0.3,
)
def silence_open_ended(peer: Peer) -> None:
    peer.greet()
    peer.begin(peer.next_call())
    peer.linger()


# Slowness


@scenario("SETTINGS one byte a second", "DEADLINE_EXCEEDED", timeout=2.5, calls=(0, 0), most_cpu=0.3)
def settings_dripping(peer: Peer) -> None:
    peer.drip(wire.settings({wire.MAX_CONCURRENT_STREAMS: 100}), 1.0)


@scenario("SETTINGS one byte at a time, quickly", "OK", calls=(1, 1), keeps_connection=True)
def settings_in_bytes(peer: Peer) -> None:
    peer.drip(wire.settings({wire.MAX_CONCURRENT_STREAMS: 100}), 0.01)
    peer.receive(len(wire.PREFACE))
    peer.serve()


@scenario("an answer of one byte a second", "DEADLINE_EXCEEDED", timeout=2.5, calls=(1, 1), most_cpu=0.3)
def answer_dripping(peer: Peer) -> None:
    peer.take_call()
    peer.drip(ANSWER_WHOLE, 1.0)


@scenario("an answer of one byte at a time, quickly", "OK", messages=(b"x" * 60,), calls=(1, 1), keeps_connection=True)
def answer_in_bytes(peer: Peer) -> None:
    peer.take_call()
    peer.drip(ANSWER_WHOLE, 0.002)
    peer.serve()


@scenario("a message of one DATA frame a second", "DEADLINE_EXCEEDED", timeout=2.5, calls=(1, 1), most_cpu=0.3)
def data_dripping(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    for byte in itertools.chain(wire.message(b"x" * 60)):
        peer.send(wire.data(stream_id, bytes([byte])))
        peer.rest(1.0)


# Ends of the connection


@scenario("close at once, for ever", "UNAVAILABLE", words=("{target}",), calls=(0, 0))
def close_at_once(peer: Peer) -> None:
    pass


@scenario("reset at once, for ever", "UNAVAILABLE", words=("{target}",), calls=(0, 0))
def reset_at_once(peer: Peer) -> None:
    peer.abort()


@scenario(
    "close at once, for ever, and a client that waits for ready",
    "DEADLINE_EXCEEDED UNAVAILABLE",
    timeout=3.0,
    wait_for_ready=True,
    calls=(0, 0),
    most_connections=8,
)
def close_at_once_waiting(peer: Peer) -> None:
    pass


@scenario(
    "close at once, the first time, and a client that waits for ready",
    "OK",
    wait_for_ready=True,
    hostile=1,
    calls=(0, 0),
)
def close_first(peer: Peer) -> None:
    pass


@scenario(
    "close after SETTINGS, for ever, and a client that waits for ready",
    "DEADLINE_EXCEEDED UNAVAILABLE",
    timeout=3.0,
    wait_for_ready=True,
    most_connections=10,
    calls=(0, 10),
)
def close_after_settings(peer: Peer) -> None:
    peer.greet()


@scenario("close when the call has come", "UNAVAILABLE", calls=(1, 1))
def close_after_call(peer: Peer) -> None:
    peer.take_call()


@scenario("close after the answer's headers", "UNAVAILABLE", calls=(1, 1))
def close_after_headers(peer: Peer) -> None:
    peer.begin(peer.take_call())


@scenario("close in the middle of a message", "UNAVAILABLE", calls=(1, 1))
def close_in_message(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x", length=100)))


@scenario("close in the middle of a frame", "UNAVAILABLE", calls=(1, 1))
def close_in_frame(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x" * 1000))[:500])


@scenario("close after the message, without trailers", "UNAVAILABLE", calls=(1, 1))
def close_before_trailers(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")))


@scenario("half-close of TCP in the middle of a message", "UNAVAILABLE", calls=(1, 1))
def half_close_in_message(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x", length=100)))
    peer.sock.shutdown(socket.SHUT_WR)
    peer.linger()


@scenario("reset of TCP when the call has come", "UNAVAILABLE", calls=(1, 1))
def reset_after_call(peer: Peer) -> None:
    peer.take_call()
    peer.abort()


@scenario("reset of TCP in the middle of a message", "UNAVAILABLE", words=("reset",), calls=(1, 1))
def reset_in_message(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x", length=100)))
    peer.rest(0.1)
    peer.abort()


@scenario(
    "reset of TCP in the middle of an upload", "UNAVAILABLE", shape="upload", size=65_536, calls=(1, 1), most_cpu=2.0
)
def reset_in_upload(peer: Peer) -> None:
    peer.greet()
    stream_id = peer.next_call()
    peer.read_body(stream_id, 300_000)
    peer.abort()


@scenario("a whole answer, then a close in the same breath", "OK", messages=(b"whole",), calls=(1, 1))
def answer_and_close(peer: Peer) -> None:
    peer.answer(peer.take_call(), b"whole")


@scenario("a whole answer, then a reset of TCP", "OK UNAVAILABLE", calls=(1, 1))
def answer_and_reset(peer: Peer) -> None:
    peer.answer(peer.take_call(), b"whole")
    peer.abort()


# Something else than HTTP/2


def _say(greeting: bytes, peer: Peer) -> None:
    peer.send(greeting)
    peer.linger()


def _say_and_close(greeting: bytes, peer: Peer) -> None:
    peer.send(greeting)
    peer.read_frame()


def _http1(line: bytes, body: bytes = b"<html>no</html>") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (line, len(body), body)


for _name, _greeting, _words in [
    ("random garbage", GARBAGE, ()),
    ("64 KiB of zeros", bytes(65_536), ()),
    ("64 KiB of 0xff", b"\xff" * 65_536, ()),
    ("an SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n", ("HTTP/2",)),
    ("an SMTP greeting", b"220 mail.example ESMTP ready\r\n", ("HTTP/2",)),
    ("a line feed", b"\n" * 9, ()),
    ("the client's own preface", wire.PREFACE + wire.settings(), ("HTTP/2",)),
    ("an HTTP/1.1 400", _http1(b"400 Bad Request"), ("HTTP/1",)),
    ("an HTTP/1.1 200", _http1(b"200 OK"), ("HTTP/1",)),
    ("an HTTP/1.1 101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", ("HTTP/1",)),
    ("an HTTP/1.1 503 with a body of 1 MiB", _http1(b"503 Busy", b"x" * 1_048_576), ("HTTP/1",)),
    ("an HTTP/1.0 status line and no more", b"HTTP/1.0 400 Bad request\r\n\r\n", ("HTTP/1",)),
    ("SETTINGS with the ACK flag first", wire.settings_ack(), ()),
    ("a PING before SETTINGS", wire.ping() + wire.settings(), ()),
    ("a GOAWAY before SETTINGS", wire.goaway(0), ()),
    ("a first SETTINGS frame on stream 1", wire.frame(wire.SETTINGS, 0, 1), ()),
    ("a first SETTINGS frame that claims 16 MiB", wire.frame(wire.SETTINGS, length=2**24 - 1), ()),
]:
    # The address comes first in whatever is said about a connection that never was one.
    _more = {"words": ("{target}", *_words), "calls": (0, 1)}
    add(f"{_name}, and no close", partial(_say, _greeting), "UNAVAILABLE", must_close=True, **_more)
    add(f"{_name}, and a close", partial(_say_and_close, _greeting), "UNAVAILABLE", **_more)


@scenario(
    "three bytes of HTTP/1.1, then silence", "UNAVAILABLE DEADLINE_EXCEEDED", timeout=1.5, calls=(0, 0), most_cpu=0.3
)
def three_bytes(peer: Peer) -> None:
    _say(b"HTT", peer)


@scenario("an HTTP/1.1 400 to the call, after good SETTINGS", "UNAVAILABLE", calls=(1, 1), must_close=True)
def http1_after_settings(peer: Peer) -> None:
    peer.take_call()
    _say(_http1(b"400 Bad Request"), peer)


@scenario("garbage after good SETTINGS", "UNAVAILABLE INTERNAL", calls=(1, 1), must_close=True)
def garbage_after_settings(peer: Peer) -> None:
    peer.take_call()
    _say(b"\xff" * 1000, peer)


@scenario("endless garbage", "UNAVAILABLE", alone=True, must_close=True)
def endless_garbage(peer: Peer) -> None:
    peer.flood(GARBAGE)


@scenario("an endless HTTP/1.1 header", "UNAVAILABLE", alone=True, must_close=True)
def endless_http1(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.flood(b"X-Filler: " + b"x" * 60_000)
