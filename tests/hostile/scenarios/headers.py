"""Answers whose headers break a rule of HTTP/2 or are not gRPC's.

Spec: RFC 9113 §8.1 to §8.3; gRPC PROTOCOL-HTTP2.md, "Responses"; doc/http-grpc-status-mapping.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .. import wire
from ..peer import Peer
from ..table import answers
from ..wire import Field

GRPC: Field = (b"content-type", b"application/grpc")
MALFORMED = "INTERNAL"


def _answer(first: Sequence[Field], last: Sequence[Field], peer: Peer, stream_id: int) -> None:
    """An answer that is whole but for its headers or trailers."""
    peer.send(wire.headers(stream_id, first), wire.data(stream_id, wire.message(b"whole")))
    peer.send(wire.headers(stream_id, last, end=True))


# HTTP instead of gRPC

HTML: Sequence[Field] = [(b"content-type", b"text/html"), (b"content-length", b"16")]
MAPPED = dict.fromkeys((429, 502, 503, 504), "UNAVAILABLE") | {
    400: "INTERNAL",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
}


def _html(status: int, peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [(b":status", b"%d" % status), *HTML]))
    peer.send(wire.data(stream_id, b"<html>no!</html>", end=True))


def _bare(status: int, peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [(b":status", b"%d" % status)], end=True))


for _status in (*range(200, 207), *range(300, 309), *range(400, 432), 451, 499, *range(500, 512), 520, 599):
    _code = MAPPED.get(_status, "UNKNOWN")
    answers(f"HTTP status {_status} with a page of HTML", _code, words=(str(_status),))(partial(_html, _status))
for _status in (204, 302, 401, 404, 503):
    answers(f"HTTP status {_status} and nothing else", MAPPED.get(_status, "UNKNOWN"))(partial(_bare, _status))


@answers("HTTP status 503 and a page of HTML without end", "UNAVAILABLE", words=("503",), alone=True)
def endless_html(peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [(b":status", b"503"), (b"content-type", b"text/html")]))
    while stream_id not in peer.resets:
        peer.send_data(stream_id, b"<p>no</p>" * 1_000)


@answers("HTTP status 503 with a grpc-status in trailers-only", "PERMISSION_DENIED", words=("stay out",))
def status_wins(peer: Peer, stream_id: int) -> None:
    fields = [(b":status", b"503"), GRPC, (b"grpc-status", b"7"), (b"grpc-message", b"stay out")]
    peer.send(wire.headers(stream_id, fields, end=True))


@answers(
    "HTTP status 200 with HTML's type and a grpc-status in trailers-only", "PERMISSION_DENIED", words=("stay out",)
)
def status_wins_over_type(peer: Peer, stream_id: int) -> None:
    fields = [(b":status", b"200"), *HTML[:1], (b"grpc-status", b"7"), (b"grpc-message", b"stay out")]
    peer.send(wire.headers(stream_id, fields, end=True))


# :status

for _text, _first in [
    ("no :status", [GRPC]),
    (":status of letters", [(b":status", b"abc"), GRPC]),
    (":status of two digits", [(b":status", b"20"), GRPC]),
    (":status of four digits", [(b":status", b"2000"), GRPC]),
    ("an empty :status", [(b":status", b""), GRPC]),
    (":status with a sign", [(b":status", b"+20"), GRPC]),
    (":status with a space", [(b":status", b"20 "), GRPC]),
    (":status 000", [(b":status", b"000"), GRPC]),
    (":status 099", [(b":status", b"099"), GRPC]),
    (":status 101", [(b":status", b"101"), GRPC]),
    (":status of superscript digits", [(b":status", "2²²".encode("latin-1")), GRPC]),
    ("two :status fields, the same", [(b":status", b"200"), (b":status", b"200"), GRPC]),
    ("two :status fields that differ", [(b":status", b"200"), (b":status", b"503"), GRPC]),
    (":status behind a field", [GRPC, (b":status", b"200")]),
    ("an unknown pseudo-header", [(b":status", b"200"), (b":why", b"not"), GRPC]),
    ("a pseudo-header of requests", [(b":status", b"200"), (b":path", b"/"), GRPC]),
    ("an upper-case name", [*wire.ANSWER, (b"X-Upper", b"case")]),
    ("an upper-case pseudo-header", [(b":Status", b"200"), GRPC]),
    ("an empty name", [*wire.ANSWER, (b"", b"value")]),
    ("a name with a space", [*wire.ANSWER, (b"x name", b"value")]),
    ("a name with a line feed", [*wire.ANSWER, (b"x\nname", b"value")]),
    ("a name with a colon", [*wire.ANSWER, (b"x:name", b"value")]),
    ("a value with a line feed", [*wire.ANSWER, (b"x-value", b"one\r\nx-two: two")]),
    ("a value with a zero byte", [*wire.ANSWER, (b"x-value", b"one\x00two")]),
    ("connection: keep-alive", [*wire.ANSWER, (b"connection", b"keep-alive")]),
    ("transfer-encoding: chunked", [*wire.ANSWER, (b"transfer-encoding", b"chunked")]),
    ("upgrade: h2c", [*wire.ANSWER, (b"upgrade", b"h2c")]),
    ("keep-alive: 5", [*wire.ANSWER, (b"keep-alive", b"5")]),
    ("proxy-connection: close", [*wire.ANSWER, (b"proxy-connection", b"close")]),
]:
    answers(f"headers: {_text}", MALFORMED)(partial(_answer, _first, wire.STATUS_OK))

for _text, _last in [
    ("a pseudo-header", [*wire.STATUS_OK, (b":status", b"200")]),
    ("a pseudo-header first", [(b":status", b"200"), *wire.STATUS_OK]),
    ("an upper-case name", [*wire.STATUS_OK, (b"X-Upper", b"case")]),
    ("an upper-case grpc-status", [(b"Grpc-Status", b"0")]),
    ("connection: close", [*wire.STATUS_OK, (b"connection", b"close")]),
]:
    answers(f"trailers: {_text}", MALFORMED)(partial(_answer, wire.ANSWER, _last))


# What strict readers refuse and tolerant ones take

for _text, _first in [
    ("a value with spaces around it", [*wire.ANSWER, (b"x-value", b" value ")]),
    ("a value of bytes beyond ASCII", [*wire.ANSWER, (b"x-value", b"\xff\xfe\x80")]),
    ("an empty value", [*wire.ANSWER, (b"x-value", b"")]),
    ("te: trailers", [*wire.ANSWER, (b"te", b"trailers")]),
    ("the same key ten times", [*wire.ANSWER, *[(b"x-same", b"%d" % i) for i in range(10)]]),
    ("reserved grpc- names", [*wire.ANSWER, (b"grpc-future", b"1"), (b"grpc-tags-bin", b"\xff")]),
]:
    answers(f"headers: {_text}", f"OK {MALFORMED}")(partial(_answer, _first, wire.STATUS_OK))


# content-type

for _type, _status in [
    (b"application/grpc+proto", "OK"),
    (b"application/grpc+json", "OK UNKNOWN"),
    (b"application/grpc; charset=utf-8", "OK"),
    (b"application/grpc;x=y", "OK"),
    (b"APPLICATION/GRPC", "OK UNKNOWN"),
    (b"application/grpc-web", "UNKNOWN"),
    (b"application/grpcx", "UNKNOWN"),
    (b"application/json", "UNKNOWN"),
    (b"text/plain", "UNKNOWN"),
    (b"", "UNKNOWN"),
    (b"\xff\x00", "UNKNOWN INTERNAL UNAVAILABLE"),
]:
    _first = [(b":status", b"200"), (b"content-type", _type)]
    answers(f"content-type {_type.decode('latin-1')!r}", _status)(partial(_answer, _first, wire.STATUS_OK))
answers("no content-type", "UNKNOWN")(partial(_answer, [(b":status", b"200")], wire.STATUS_OK))


# content-length

for _text, _length, _status in [
    ("right", b"10", "OK"),
    ("too small", b"3", MALFORMED),
    ("too large", b"1000", MALFORMED),
    ("of letters", b"many", MALFORMED),
    ("negative", b"-1", MALFORMED),
    ("of 5,000 digits", b"9" * 5_000, MALFORMED),
]:
    _first = [*wire.ANSWER, (b"content-length", _length)]
    answers(f"content-length that is {_text}", _status)(partial(_answer, _first, wire.STATUS_OK))


# Informational headers


def _informational(statuses: Sequence[bytes], peer: Peer, stream_id: int) -> None:
    for status in statuses:
        peer.send(wire.headers(stream_id, [(b":status", status), (b"link", b"</style.css>; rel=preload")]))
    peer.answer(stream_id, b"whole")


for _statuses in [(b"103",), (b"100",), (b"102", b"103", b"103", b"199"), (b"103",) * 20]:
    _text = " ".join(str(int(each)) for each in _statuses[:4])
    answers(f"informational headers {_text} before the answer, {len(_statuses)} in all", "OK", messages=(b"whole",))(
        partial(_informational, _statuses)
    )


@answers("informational headers before trailers-only", "NOT_FOUND")
def informational_and_status(peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [(b":status", b"103")]))
    peer.send(wire.headers(stream_id, [*wire.ANSWER, (b"grpc-status", b"5")], end=True))


@answers("informational headers that end the stream", MALFORMED)
def informational_end(peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [(b":status", b"103")], end=True))


@answers("informational headers between the messages", MALFORMED)
def informational_late(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")), wire.headers(stream_id, [(b":status", b"103")]))
    peer.finish(stream_id)
