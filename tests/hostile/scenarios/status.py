"""Ends of calls: a grpc-status that is missing, malformed or twice; odd messages and metadata with it.

Spec: gRPC PROTOCOL-HTTP2.md, "Responses"; doc/statuscodes.md; RFC 9113 §8.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .. import wire
from ..peer import Peer
from ..table import answers, scenario
from ..wire import Field

MALFORMED = "INTERNAL"
NAMES = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


def _trailers(fields: Sequence[Field], peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")), wire.headers(stream_id, fields, end=True))


def _trailers_only(fields: Sequence[Field], peer: Peer, stream_id: int) -> None:
    peer.send(wire.headers(stream_id, [*wire.ANSWER, *fields], end=True))


# Every status there is, and some that there are not

for _number, _name in enumerate(NAMES, 1):
    _fields = [(b"grpc-status", b"%d" % _number), (b"grpc-message", b"as%20it%20is")]
    if _name != "DEADLINE_EXCEEDED":  # which the judge takes for the client's own
        answers(f"grpc-status {_number} behind a message", _name, words=("as it is",))(partial(_trailers, _fields))
        answers(f"grpc-status {_number} in trailers-only", _name, words=("as it is",))(partial(_trailers_only, _fields))

for _value in (
    b"",
    b"abc",
    b"-1",
    b"+0",
    b" 0",
    b"0 ",
    b"0x0",
    b"1e1",
    b"0,0",
    b"17",
    b"99",
    b"4294967296",
    b"9" * 5_000,
    b"\xb2",
    b"\xff",
):
    _text = _value[:10].decode("latin-1")
    _more = {"keeps_connection": _value not in (b" 0", b"0 ")}
    answers(f"grpc-status {_text!r} behind a message", "UNKNOWN INTERNAL", **_more)(
        partial(_trailers, [(b"grpc-status", _value)])
    )
    answers(f"grpc-status {_text!r} in trailers-only", "UNKNOWN INTERNAL", **_more)(
        partial(_trailers_only, [(b"grpc-status", _value)])
    )

for _text, _fields in [
    ("0 and 5", [(b"grpc-status", b"0"), (b"grpc-status", b"5")]),
    ("5 and 0", [(b"grpc-status", b"5"), (b"grpc-status", b"0")]),
]:
    answers(f"two grpc-status, {_text}, behind a message", "UNKNOWN INTERNAL NOT_FOUND")(partial(_trailers, _fields))
    answers(f"two grpc-status, {_text}, in trailers-only", "UNKNOWN INTERNAL NOT_FOUND")(
        partial(_trailers_only, _fields)
    )
answers("two grpc-status, 0 and 0, behind a message", "OK UNKNOWN INTERNAL")(partial(_trailers, wire.STATUS_OK * 2))

answers("trailers without grpc-status", "UNKNOWN INTERNAL")(partial(_trailers, [(b"x-other", b"field")]))
answers("trailers without any field", "UNKNOWN INTERNAL")(partial(_trailers, []))
answers("trailers-only without grpc-status", "UNKNOWN INTERNAL")(partial(_trailers_only, []))
answers("a grpc-message without grpc-status", "UNKNOWN INTERNAL")(partial(_trailers, [(b"grpc-message", b"why")]))


# Where the end should be


@answers("END_STREAM on DATA, without trailers", "UNKNOWN INTERNAL")
def end_on_data(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole"), end=True))


@answers("END_STREAM on empty DATA, without trailers", "UNKNOWN INTERNAL")
def end_on_empty_data(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")), wire.data(stream_id, end=True))


@answers("trailers that do not end the stream", MALFORMED)
def trailers_without_end(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")), wire.headers(stream_id, wire.STATUS_OK))


@answers("headers twice", MALFORMED)
def headers_twice(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id)
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.finish(stream_id)


@answers("grpc-status 0 in headers that do not end the stream, then the answer", f"OK {MALFORMED}")
def status_in_headers(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id, *wire.STATUS_OK)
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.finish(stream_id)


@answers(
    "grpc-status 5 in headers that do not end the stream, then status 7", "PERMISSION_DENIED NOT_FOUND INTERNAL UNKNOWN"
)
def other_status_in_headers(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id, (b"grpc-status", b"5"))
    peer.finish(stream_id, status=b"7")


@scenario(
    "grpc-status 0 in headers that do not end the stream, then silence",
    f"DEADLINE_EXCEEDED {MALFORMED}",
    timeout=1.5,
    calls=(1, 1),
)
def status_in_headers_and_silence(peer: Peer) -> None:
    peer.begin(peer.take_call(), *wire.STATUS_OK)
    peer.linger()


# grpc-message

for _text, _message, _words in [
    ("a lone percent sign", b"100% sure", ("100% sure",)),
    ("percent signs and no hex digits", b"%zz%", ("%zz%",)),
    ("a cut escape", b"almost%4", ("almost%4",)),
    ("escapes of what is not UTF-8", b"%ff%fe ok", ("ok",)),
    ("raw bytes beyond ASCII", b"\xff\xc3\xbc ok", ("ok",)),
    ("raw UTF-8", "grün".encode(), ()),
    ("escaped UTF-8", b"gr%C3%BCn", ("grün",)),
    ("escaped line feeds and zeros", b"a%0Ab%00c", ("a\nb\0c",)),
    ("30,000 bytes", b"long " * 6_000, ("long " * 5_999,)),
    ("60,000 bytes of escapes", b"%20" * 10_000 + b"end", ("end",)),
    ("nothing", b"", ()),
]:
    _fields = [(b"grpc-status", b"5"), (b"grpc-message", _message)]
    answers(f"grpc-message of {_text}", "NOT_FOUND", words=_words)(partial(_trailers, _fields))
    answers(f"grpc-message of {_text}, in trailers-only", "NOT_FOUND", words=_words)(partial(_trailers_only, _fields))
answers("two grpc-messages", "NOT_FOUND")(
    partial(_trailers, [(b"grpc-status", b"5"), (b"grpc-message", b"a"), (b"grpc-message", b"b")])
)
answers("grpc-message with status OK", "OK")(partial(_trailers, [(b"grpc-status", b"0"), (b"grpc-message", b"fine%")]))


# Metadata

for _text, _value in [
    ("letters outside of base64", b"!!not base64!!"),
    ("one letter", b"A"),
    ("padding in the middle", b"QQ==QQ=="),
    ("bytes beyond ASCII", b"\xff\xfe"),
    ("4 kB of it", b"****" * 1_000),
    ("URL-safe base64", b"_-_-"),
]:
    _field = (b"x-some-bin", _value)
    answers(f"-bin metadata of {_text}, in trailers with status 5", "NOT_FOUND INTERNAL UNKNOWN")(
        partial(_trailers, [(b"grpc-status", b"5"), _field])
    )
    answers(f"-bin metadata of {_text}, in trailers with status 0", "OK INTERNAL UNKNOWN")(
        partial(_trailers, [*wire.STATUS_OK, _field])
    )
    answers(f"-bin metadata of {_text}, in trailers-only", "NOT_FOUND INTERNAL UNKNOWN")(
        partial(_trailers_only, [(b"grpc-status", b"5"), _field])
    )


@answers("-bin metadata that is not base64, in headers", "OK INTERNAL UNKNOWN")
def bad_binary_in_headers(peer: Peer, stream_id: int) -> None:
    peer.begin(stream_id, (b"x-some-bin", b"!!not base64!!"))
    peer.send(wire.data(stream_id, wire.message(b"whole")))
    peer.finish(stream_id)


for _text, _value in [
    ("nonsense", b"AAECAwQF"),
    ("bad base64", b"!!"),
    ("nothing", b""),
    ("another status", b"CAcSA25v"),
]:
    _fields = [(b"grpc-status", b"5"), (b"grpc-status-details-bin", _value)]
    answers(f"grpc-status-details-bin of {_text}", "NOT_FOUND INTERNAL")(partial(_trailers, _fields))

_pairs = [(b"x-pair", b"%d" % i) for i in range(700)]
answers("700 pairs of trailing metadata", "OK", messages=(b"whole",), trailing=700)(
    partial(_trailers, [*wire.STATUS_OK, *_pairs])
)
answers("700 pairs of trailing metadata in trailers-only", "NOT_FOUND")(
    partial(_trailers_only, [(b"grpc-status", b"5"), *_pairs])
)
_joined = (b"x-many-bin", b",".join([b"QQ"] * 300))
answers("300 values joined in one -bin field", "OK", messages=(b"whole",), trailing=300)(
    partial(_trailers, [*wire.STATUS_OK, _joined])
)
