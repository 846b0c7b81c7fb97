"""The server's TLS handshake, and the contexts that are made of files: every failure has its sentence."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from puremux.errors import TlsError
from puremux.transport.pem import trusting
from puremux.transport.tls import accept_handshake, client_context, explain_tls_failure, server_context
from puremux.transport.wait import run_blocking

# The server's side


@pytest.fixture
def pem(ca: Any, tmp_path: Path) -> Path:
    """A file with a certificate for localhost and its key."""
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "server.pem"


def accept(sock: socket.socket, context: ssl.SSLContext, until: float = 0) -> ssl.SSLSocket:
    sock.setblocking(False)
    return run_blocking(accept_handshake(sock, context, "127.0.0.1:9", until or time.monotonic() + 10))


def test_the_server_accepts(ends: Any, connect_tls: Any, client_tls: ssl.SSLContext, pem: Path) -> None:
    client = connect_tls(ends[0], client_tls)
    with accept(ends[1], server_context(str(pem))) as sock, client.result() as peer:
        assert sock.selected_alpn_protocol() == peer.selected_alpn_protocol() == "h2"
        assert not sock.getblocking()


@pytest.mark.parametrize("certificate", ["none", "strange", "good"])
def test_the_server_wants_certificates_of_its_clients(
    certificate: str, ends: Any, connect_tls: Any, client_tls: ssl.SSLContext, pem: Path, ca: Any, strange_ca: Any
) -> None:
    if certificate != "none":
        (ca if certificate == "good" else strange_ca).issue_cert("client").configure_cert(client_tls)
    context = server_context(str(pem), None, str(pem.with_name("ca.pem")))
    connect_tls(ends[0], client_tls)
    if certificate == "good":
        accept(ends[1], context).close()
        return
    expected = {"none": "sent no certificate, and one is required", "strange": "is not trusted"}
    with pytest.raises(TlsError, match=f"the client at 127.0.0.1:9 {expected[certificate]}|{expected[certificate]}"):
        accept(ends[1], context)


def test_a_client_without_alpn(ends: Any, connect_tls: Any, ca: Any, pem: Path) -> None:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    connect_tls(ends[0], context)
    with pytest.raises(TlsError, match="The client at 127.0.0.1:9 did not ask for HTTP/2"):
        accept(ends[1], server_context(str(pem)))


def test_a_client_that_does_not_trust_us(
    ends: Any, connect_tls: Any, client_tls: ssl.SSLContext, strange_ca: Any, tmp_path: Path
) -> None:
    strange_ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    client_tls.maximum_version = ssl.TLSVersion.TLSv1_2  # by TLS 1.3 the server has finished when the alert comes
    connect_tls(ends[0], client_tls)
    with pytest.raises(TlsError, match=r"The client at 127.0.0.1:9 refused our certificate \(tlsv1 alert unknown ca\)"):
        accept(ends[1], server_context(str(tmp_path / "pem")))


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 in plaintext"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="HTTP/1.1 in plaintext"),
    ],
)
def test_a_client_that_speaks_plaintext(greeting: bytes, ends: Any, pem: Path) -> None:
    ends[0].send(greeting)
    with pytest.raises(TlsError, match="The client at 127.0.0.1:9 does not speak TLS."):
        accept(ends[1], server_context(str(pem)))


def test_a_client_that_says_nothing(ends: Any, pem: Path) -> None:
    with pytest.raises(TlsError, match="The client at 127.0.0.1:9 did not finish the TLS handshake in time."):
        accept(ends[1], server_context(str(pem)), time.monotonic() + 0.05)


def test_a_client_that_hangs_up(ends: Any, pem: Path) -> None:
    ends[0].close()
    with pytest.raises(TlsError, match="The client at 127.0.0.1:9 closed the connection during the TLS handshake."):
        accept(ends[1], server_context(str(pem)))


# Contexts


def test_by_default_the_system_is_trusted_and_names_are_verified() -> None:
    context = client_context()
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_users_context_is_kept_as_it_is(client_tls: ssl.SSLContext) -> None:
    client_tls.check_hostname = False
    client_tls.minimum_version = ssl.TLSVersion.TLSv1_3
    assert client_context(client_tls) is client_tls
    assert not client_tls.check_hostname and client_tls.minimum_version == ssl.TLSVersion.TLSv1_3


def test_what_is_no_context_for_clients(server_tls: ssl.SSLContext) -> None:
    with pytest.raises(TypeError, match="tls must be an ssl.SSLContext, not bool"):
        client_context(True)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ValueError, match="tls is a context for servers"):
        client_context(server_tls)


@pytest.fixture
def files(pem: Path, tmp_path: Path, ca: Any) -> dict[str, str]:
    """Files that a certificate, or a key, may be looked for in by mistake."""
    other = ca.issue_cert("other.example").private_key_pem.bytes()
    contents = {"empty": b"", "key": other, "half": pem.read_bytes()[-200:], "text": b"no PEM at all\n"}
    for name, content in contents.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
    return {"good": str(pem), **{name: str(tmp_path / f"{name}.pem") for name in [*contents, "missing"]}, "dir": "/"}


@pytest.mark.parametrize(
    "cert, key, sentence",
    [
        ("missing", None, "there is no file .*missing.pem; check the path"),
        ("good", "missing", "there is no file .*missing.pem; check the path"),
        ("dir", None, "/ is a directory; name a file in it"),
        ("empty", None, "empty.pem holds no certificate in PEM form; name a file that does"),
        ("key", None, "key.pem holds no certificate in PEM form; name a file that does"),
        ("good", "text", "text.pem holds no private key in PEM form; name a file that does"),
        ("good", "key", "the key belongs to another certificate; name the two that were made for each other"),
    ],
)
def test_a_certificate_that_cannot_be_shown(cert: str, key: str | None, sentence: str, files: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=rf"^The certificate {files[cert]} with the key .* be used: .*{sentence}\.$"):
        server_context(files[cert], files[key] if key else None)


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("missing", "there is no file .*missing.pem; check the path"),
        ("dir", "/ is a directory; name a file in it"),
        ("text", "text.pem holds no certificate in PEM form; name a file that does"),
        ("half", "a certificate in it cannot be read; check that it is whole"),
    ],
)
def test_issuers_that_cannot_be_trusted(name: str, sentence: str, files: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=rf"^The client CA file {files[name]} cannot be used: .*{sentence}\.$"):
        server_context(files["good"], None, files[name])
    with pytest.raises(ValueError, match=rf"^The file of trusted issuers {files[name]} .*: .*{sentence}\.$"):
        trusting(files[name])


def test_an_encrypted_key_is_refused_without_asking_for_a_password(pem: Path, tmp_path: Path) -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")

    key = serialization.load_pem_private_key(pem.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ValueError, match="encrypted.pem cannot be used: the key in .* is encrypted; decrypt it"):
        server_context(str(pem), str(encrypted))


def test_an_error_without_a_sentence_of_its_own_still_gets_one() -> None:
    failure = explain_tls_failure(ssl.SSLError(1, "[SSL: STRANGE_THING] strange thing (_ssl.c:1)"), "agent:443")
    assert str(failure) == "TLS with agent:443 failed: [SSL: STRANGE_THING] strange thing (_ssl.c:1)."
