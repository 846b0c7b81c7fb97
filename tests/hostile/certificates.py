"""What a server can hold up for TLS: one good certificate, and the ways in which the others are not."""

from __future__ import annotations

import datetime
import socket
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trustme

__all__ = ["Contexts"]

HOST = "127.0.0.1"
LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
AGO = datetime.datetime(2002, 1, 1, tzinfo=datetime.timezone.utc)


class Contexts:
    """A server's TLS contexts by name, and the file with the authority that clients trust."""

    def __init__(self, folder: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        self.authority_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority_file))
        good = authority.issue_cert(HOST)
        self._contexts: dict[str, ssl.SSLContext] = {
            "good": _context(good),
            "no ALPN": _context(good, alpn=None),
            "ALPN of HTTP/1.1": _context(good, alpn=["http/1.1"]),
            "expired": _context(authority.issue_cert(HOST, not_before=LONG_AGO, not_after=AGO)),
            "unknown authority": _context(stranger.issue_cert(HOST)),
            "self-signed": _self_signed(stranger),
            "wrong host": _context(authority.issue_cert("somewhere.else.example")),
            "client certificate": _client_certificate(good, authority),
        }

    def wrap(self, sock: socket.socket, name: str) -> ssl.SSLSocket:
        """Shake hands as a server.

        Raises:
            OSError: the client did not like it.
        """
        return self._contexts[name].wrap_socket(sock, server_side=True)


def _context(certificate: trustme.LeafCert | None, alpn: Sequence[str] | None = ("h2",)) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        certificate.configure_cert(context)
    if alpn is not None:
        context.set_alpn_protocols(list(alpn))
    return context


def _self_signed(authority: trustme.CA) -> ssl.SSLContext:
    """An authority's own certificate is the one at hand that signs itself."""
    context = _context(None)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "both.pem")
        Path(path).write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
        context.load_cert_chain(path)
    return context


def _client_certificate(certificate: trustme.LeafCert, authority: trustme.CA) -> ssl.SSLContext:
    context = _context(certificate)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
