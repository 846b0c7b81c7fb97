"""The client's TLS handshake against the standard library's, over a socketpair: every failure has its sentence."""

from __future__ import annotations

import _ssl
import datetime
import gc
import select
import socket
import ssl
import struct
import time
import warnings
from typing import Any, Callable

import pytest

from puremux.errors import TlsError
from puremux.transport.stream import byte_stream
from puremux.transport.tls import client_context, handshake
from puremux.transport.wait import run_blocking

YESTERDAY = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
TOMORROW = YESTERDAY + datetime.timedelta(days=2)


def context_with(ca: Any, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **options).configure_cert(context)
    context.set_alpn_protocols(["h2"])
    return context


def shake_hands(
    sock: socket.socket, context: ssl.SSLContext, name: str = "localhost", until: float = 0
) -> ssl.SSLSocket:
    return run_blocking(handshake(sock, context, name, "agent:443", until or time.monotonic() + 10))


# The client's side


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_a_good_server(
    name: str,
    version: ssl.TLSVersion,
    ends: Any,
    serve_tls: Any,
    client_tls: ssl.SSLContext,
    server_tls: ssl.SSLContext,
) -> None:
    server_tls.maximum_version = version
    server = serve_tls(ends[1], server_tls)
    with shake_hands(ends[0], client_context(client_tls), name) as sock, server.result() as peer:
        assert sock.selected_alpn_protocol() == peer.selected_alpn_protocol() == "h2"
        assert not sock.getblocking()
        peer.send(b"hello")
        assert byte_stream(sock, "agent:443").fileno() == sock.fileno()


def expired(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    return context_with(ca, "localhost", not_after=YESTERDAY)


def not_valid_yet(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    return context_with(ca, "localhost", not_before=TOMORROW)


def of_a_strange_issuer(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    return context_with(strange_ca, "localhost")


def self_signed(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with strange_ca.cert_pem.tempfile() as cert, strange_ca.private_key_pem.tempfile() as key:
        context.load_cert_chain(cert, key)
    return context


def for_another_host(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    return context_with(ca, "a.example", "*.b.example")


def for_many_other_hosts(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    return context_with(ca, *(f"host{n}.example" for n in range(7)))


def without_alpn(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    return context


def with_alpn_of_http1(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    context = without_alpn(ca, strange_ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


def without_a_common_cipher(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    context = context_with(ca, "localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA256:@SECLEVEL=0")
    return context


def that_requires_a_certificate_by_tls_1_2(ca: Any, strange_ca: Any) -> ssl.SSLContext:
    context = context_with(ca, "localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    return context


@pytest.mark.parametrize(
    "server, sentence",
    [
        pytest.param(expired, "has expired; renew it there, or check the clock here.", id="expired"),
        pytest.param(not_valid_yet, "is not valid yet; check the clocks of both machines.", id="not valid yet"),
        pytest.param(
            of_a_strange_issuer, "comes from an issuer not trusted here; if that is meant", id="strange issuer"
        ),
        pytest.param(self_signed, "is self-signed and not trusted here; if that is meant, pass tls=", id="self-signed"),
        pytest.param(
            for_another_host, "The certificate of the server at agent:443 is not for localhost", id="wrong host"
        ),
        pytest.param(without_alpn, "does not offer HTTP/2 (ALPN h2), which gRPC needs", id="no ALPN"),
        pytest.param(with_alpn_of_http1, "does not offer HTTP/2 (ALPN h2), which gRPC needs", id="ALPN http/1.1"),
        pytest.param(without_a_common_cipher, "there is no cipher in common, or it requires", id="no common cipher"),
        pytest.param(
            that_requires_a_certificate_by_tls_1_2,
            "refused the TLS handshake: there is no cipher in common, or it requires a client certificate (tls=).",
            id="certificate required, TLS 1.2",
        ),
    ],
)
def test_a_server_that_does_not_do(
    server: Callable[..., ssl.SSLContext],
    sentence: str,
    ends: Any,
    serve_tls: Any,
    client_tls: ssl.SSLContext,
    ca: Any,
    strange_ca: Any,
) -> None:
    client_tls.set_ciphers("ECDHE+AESGCM")
    serve_tls(ends[1], server(ca, strange_ca))
    with pytest.raises(TlsError) as failed:
        shake_hands(ends[0], client_context(client_tls))
    assert failed.value.address == "agent:443" and "agent:443" in str(failed.value)
    assert sentence in str(failed.value)


@pytest.mark.skipif(not hasattr(getattr(_ssl, "_SSLSocket", None), "get_unverified_chain"), reason="needs Python 3.10")
@pytest.mark.parametrize(
    "server, names",
    [
        pytest.param(for_another_host, r"but for a.example, \*.b.example;", id="two"),
        pytest.param(for_many_other_hosts, "but for host0.example, .*, host4.example, …;", id="five of many"),
    ],
)
def test_a_wrong_host_is_told_with_the_right_ones(
    server: Callable[..., ssl.SSLContext], names: str, ends: Any, serve_tls: Any, client_tls: ssl.SSLContext, ca: Any
) -> None:
    serve_tls(ends[1], server(ca, None))
    with pytest.raises(TlsError, match=f"is not for localhost {names}"):
        shake_hands(ends[0], client_context(client_tls))


def test_no_common_version(ends: Any, serve_tls: Any, client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> None:
    client_tls.maximum_version = ssl.TLSVersion.TLSv1_2
    server_tls.minimum_version = ssl.TLSVersion.TLSv1_3
    serve_tls(ends[1], server_tls)
    with pytest.raises(TlsError, match="share no version of TLS; HTTP/2 needs TLS 1.2 or newer."):
        shake_hands(ends[0], client_context(client_tls))


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"\0\0\0\4\0\0\0\0\0", id="HTTP/2 in plaintext"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP/1.1 in plaintext"),
        pytest.param(b"220 mail.example ESMTP\r\n", id="mail"),
    ],
)
def test_a_server_that_speaks_plaintext(greeting: bytes, ends: Any, client_tls: ssl.SSLContext) -> None:
    ends[1].sendall(greeting)
    with pytest.raises(TlsError) as failed:
        shake_hands(ends[0], client_context(client_tls))
    assert str(failed.value) == (
        "The server at agent:443 does not speak TLS; if it is meant to be plaintext, pass insecure=True."
    )


def test_a_server_that_hangs_up(ends: Any, client_tls: ssl.SSLContext) -> None:
    ends[1].shutdown(socket.SHUT_RDWR)
    with pytest.raises(
        TlsError, match="closed the connection during the TLS handshake; if it is meant to be plaintext"
    ):
        shake_hands(ends[0], client_context(client_tls))


def test_a_server_that_has_reset_the_connection_already(client_tls: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
    select.select([sock], [], [], 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(TlsError, match="TLS with agent:443 cannot begin"):
            shake_hands(sock, client_tls)
        gc.collect()
    assert sock.fileno() == -1


def test_a_server_that_says_nothing(ends: Any, client_tls: ssl.SSLContext) -> None:
    began = time.monotonic()
    with pytest.raises(TlsError, match="agent:443 did not finish the TLS handshake in time"):
        shake_hands(ends[0], client_context(client_tls), until=began + 0.1)
    assert 0.1 <= time.monotonic() - began < 1


def test_a_server_that_says_a_byte_at_a_time_does_not_get_more_time(
    ends: Any, client_tls: ssl.SSLContext, clock: Any
) -> None:
    step = handshake(ends[0], client_context(client_tls), "localhost", "agent:443", clock.now + 5, clock)
    next(step)
    for byte in b"\x16\x03\x03\x20":
        ends[1].send(bytes([byte]))
        clock.now += 1
        assert step.send(None).until == 1005
    ends[1].send(b"\x00")
    clock.now += 1
    with pytest.raises(TlsError, match="in time"):
        step.send(None)


@pytest.mark.parametrize("ending", ["failed", "closed early"])
def test_the_socket_is_closed_unless_it_is_returned(
    ending: str, ends: Any, client_tls: ssl.SSLContext, clock: Any
) -> None:
    step = handshake(ends[0], client_context(client_tls), "localhost", "agent:443", clock.now + 5, clock)
    (sock,) = next(step).reading
    if ending == "failed":
        clock.now += 5
        with pytest.raises(TlsError):
            step.send(None)
    step.close()
    assert sock.fileno() == -1
    while ends[1].recv(10_000):
        pass


@pytest.mark.parametrize("name", [pytest.param(".example", id="begins with a dot")])
def test_a_name_that_tls_cannot_carry(name: str, ends: Any, client_tls: ssl.SSLContext) -> None:
    with pytest.raises(TlsError, match="TLS with agent:443 cannot begin: "):
        shake_hands(ends[0], client_context(client_tls), name)
    assert ends[0].fileno() == -1


# Client certificates


@pytest.fixture
def demanding(ca: Any) -> ssl.SSLContext:
    """A server that wants certificates of clients, by TLS 1.3."""
    context = context_with(ca, "localhost")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    return context


def receive(sock: ssl.SSLSocket) -> bytes:
    stream = byte_stream(sock, "agent:443")
    sock.settimeout(10)  # reads block, so the test needs no loop
    return stream.receive(100) or b""


def test_the_certificate_that_is_wanted(
    ends: Any, serve_tls: Any, client_tls: ssl.SSLContext, demanding: ssl.SSLContext, ca: Any
) -> None:
    ca.issue_cert("client").configure_cert(client_tls)
    server = serve_tls(ends[1], demanding)
    with shake_hands(ends[0], client_context(client_tls)) as sock, server.result() as peer:
        peer.send(b"welcome")
        assert receive(sock) == b"welcome"


@pytest.mark.parametrize(
    "has_one, sentence",
    [
        pytest.param(False, "requires a client certificate; give one with load_cert_chain() to the ssl", id="none"),
        pytest.param(True, "refused our client certificate (tlsv1 alert unknown ca); pass one", id="strange issuer"),
    ],
)
def test_a_client_certificate_is_refused_at_the_first_read(
    has_one: bool,
    sentence: str,
    ends: Any,
    serve_tls: Any,
    client_tls: ssl.SSLContext,
    demanding: ssl.SSLContext,
    strange_ca: Any,
) -> None:
    if has_one:
        strange_ca.issue_cert("client").configure_cert(client_tls)
    server = serve_tls(ends[1], demanding)
    with shake_hands(ends[0], client_context(client_tls)) as sock:
        with pytest.raises(ssl.SSLError):
            server.result()
        with pytest.raises(TlsError) as failed:
            receive(sock)
    assert sentence in str(failed.value)
