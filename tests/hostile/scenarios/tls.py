"""TLS that does not fit: certificates, ALPN, and one side that speaks it while the other does not.

Spec: RFC 9113 §3.2 and §9.2; RFC 7301.
"""

from __future__ import annotations

from functools import partial

from .. import wire
from ..peer import Peer
from ..table import add, scenario
from .transport import _http1, _say, _say_and_close

ALERT_HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"


def _good(peer: Peer) -> None:
    peer.greet()
    peer.serve()


add("TLS as it should be", _good, "OK", tls="good", client_tls=True, keeps_connection=True, calls=(1, 1))

for _tls, _words in [
    ("no ALPN", ("h2",)),
    ("ALPN of HTTP/1.1", ("h2",)),
    ("expired", ("certificate", "expired")),
    ("unknown authority", ("certificate",)),
    ("self-signed", ("certificate",)),
    ("wrong host", ("certificate",)),
    ("client certificate", ()),
]:
    add(
        f"TLS: {_tls}",
        _good,
        "UNAVAILABLE",
        words=("{target}", *_words),
        tls=_tls,
        client_tls=True,
        calls=(0, 0),
        most_cpu=1.0,
    )

for _name, _greeting in [
    ("SETTINGS in plaintext", wire.settings()),
    ("an HTTP/1.1 400 in plaintext", _http1(b"400 Bad Request")),
    ("a handshake_failure alert", ALERT_HANDSHAKE_FAILURE),
    ("garbage", b"\xff" * 1_000),
]:
    _more = {"words": ("{target}",), "client_tls": True, "calls": (0, 0)}
    add(f"{_name} to a client that speaks TLS", partial(_say, _greeting), "UNAVAILABLE", must_close=True, **_more)
    add(f"{_name} to a client that speaks TLS, and a close", partial(_say_and_close, _greeting), "UNAVAILABLE", **_more)


@scenario(
    "silence to a client that speaks TLS", "DEADLINE_EXCEEDED", timeout=1.5, client_tls=True, calls=(0, 0), most_cpu=0.3
)
def silence_in_handshake(peer: Peer) -> None:
    peer.rest(60)


@scenario("a close in the TLS handshake", "UNAVAILABLE", words=("{target}",), client_tls=True, calls=(0, 0))
def close_in_handshake(peer: Peer) -> None:
    peer.receive(100)


@scenario("a reset of TCP in the TLS handshake", "UNAVAILABLE", words=("{target}",), client_tls=True, calls=(0, 0))
def reset_in_handshake(peer: Peer) -> None:
    peer.receive(100)
    peer.abort()


@scenario(
    "silence after the TLS handshake",
    "DEADLINE_EXCEEDED",
    timeout=1.5,
    tls="good",
    client_tls=True,
    calls=(0, 0),
    most_cpu=0.3,
)
def silence_in_tls(peer: Peer) -> None:
    peer.rest(60)


@scenario(
    "HTTP/1.1 inside TLS that agreed on h2",
    "UNAVAILABLE",
    words=("{target}", "HTTP/1"),
    tls="good",
    client_tls=True,
    calls=(0, 0),
)
def http1_in_tls(peer: Peer) -> None:
    _say(_http1(b"400 Bad Request"), peer)


@scenario(
    "TLS that ends without close_notify in the middle of a message",
    "UNAVAILABLE",
    tls="good",
    client_tls=True,
    calls=(1, 1),
)
def truncated_tls(peer: Peer) -> None:
    stream_id = peer.take_call()
    peer.begin(stream_id)
    peer.send(wire.data(stream_id, wire.message(b"x", length=100)))


@scenario("plaintext in the middle of a TLS connection", "UNAVAILABLE", tls="good", client_tls=True, calls=(1, 1))
def plaintext_in_tls(peer: Peer) -> None:
    peer.take_call()
    raw = peer.sock.detach()
    import socket

    with socket.socket(fileno=raw) as sock:
        sock.sendall(wire.ping() * 10)
        peer.rest(60)


@scenario("TLS to a client that speaks plaintext", "UNAVAILABLE", words=("{target}",), tls="good", calls=(0, 0))
def tls_to_plaintext(peer: Peer) -> None:
    peer.linger()
