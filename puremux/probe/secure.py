"""TLS as a probe sees it: the handshake, the certificate in words, and a second look without trust at one that fails.

Floor 5, probe: imports findings, reach, sentences, transport and errors.
Spec: RFC 8446 (TLS 1.3), RFC 5280 (certificates), RFC 7301 (ALPN).

Nothing but the handshake is ever said on a connection without trust, or HTTP/2's greeting and calls without data.
"""

from __future__ import annotations

import datetime
import hashlib
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any, Union

from ..errors import TransportError
from ..transport.pem import load_certificate, trusting
from ..transport.tls import client_context, handshake
from ..transport.wait import run_blocking
from .findings import Finding, failed, found, left_out, printable
from .reach import Way, milliseconds
from .sentences import advise

__all__ = ["own_context", "secure"]

LOOK_ALPN = ["h2", "http/1.1"]

# OpenSSL's X509_V_FLAG_PARTIAL_CHAIN and X509_V_FLAG_NO_CHECK_TIME; Python 3.9 has no name for the first.
TRUST_IT_AS_IT_IS = 0x80000 | 0x200000

DAY = 86_400.0


def own_context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """The context of a client that brings files of its own; the system's trust without them.

    Args:
        ca: PEM file of the issuers that are trusted.
        cert: PEM file of the client's certificate and its chain.
        key: PEM file of its key, not encrypted; None when it is in ``cert`` too.
    Raises:
        ValueError: one of the files cannot be used; the message names it.
    """
    context = ssl.create_default_context() if ca is None else trusting(ca)
    if cert is not None:
        load_certificate(context, cert, key)
    return context


class Tls:
    """How to shake hands with a server.

    Args:
        context: from :func:`own_context`.
        server_name: the name that the certificate must have.
        client_files: the client's certificate and key, as :func:`own_context` takes them.
    """

    def __init__(
        self, context: ssl.SSLContext, server_name: str, client_files: tuple[str | None, str | None] = (None, None)
    ) -> None:
        self._context, self._server_name = client_context(context), server_name
        self._client_files = client_files

    def connect(self, way: Way, timeout: float) -> ssl.SSLSocket:
        """A connection as a channel makes it.

        Raises:
            TransportError: the handshake failed, the certificate does not fit, or ALPN is not h2.
        """
        sock = way.connect(timeout)
        until = time.monotonic() + timeout
        return run_blocking(handshake(sock, self._context, self._server_name, str(way.address), until))

    def look(self, way: Way, timeout: float, trusting: bytes | None = None) -> ssl.SSLSocket:
        """A connection that takes any certificate, or just this one, and any protocol.

        Raises:
            OSError, TransportError: there is no handshake.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if trusting is not None:
            context.load_verify_locations(cadata=trusting)
            context.verify_flags |= TRUST_IT_AS_IT_IS
            context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(LOOK_ALPN)
        cert, key = self._client_files
        if cert is not None:
            load_certificate(context, cert, key)
        sock = way.connect(timeout)
        sock.settimeout(timeout)
        try:
            sock.getpeername()  # raises where the peer has reset it already: wrap_socket() would lose that socket
            return context.wrap_socket(sock, server_hostname=self._server_name)
        except BaseException:
            sock.close()
            raise


Step = Iterator[Union[Finding, socket.socket]]


def secure(way: Way, tls: Tls, timeout: float) -> Step:
    """Shake hands; the last thing yielded is a connection for HTTP/2, if there can be one."""
    began = time.monotonic()
    try:
        sock = tls.connect(way, timeout)
    except TransportError as error:
        yield from _look_again(way, tls, timeout, error)
        return
    yield _handshake_finding(sock, time.monotonic() - began)
    yield _certificate_finding(sock.getpeercert() or {})
    yield sock


def _look_again(way: Way, tls: Tls, timeout: float, error: TransportError) -> Step:
    """After a failure: what is there all the same?"""
    says, advice = advise(error.message)
    began = time.monotonic()
    try:
        sock = tls.look(way, timeout)
    except (OSError, TransportError, ValueError):
        yield failed("TLS", says, advice)
        return
    took = time.monotonic() - began
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        yield _handshake_finding(sock, took)
        yield _refused_certificate(way, tls, timeout, (says, advice), sock.getpeercert(binary_form=True) or b"")
    alpn = sock.selected_alpn_protocol()
    if alpn == "h2" and isinstance(error.__cause__, ssl.SSLCertVerificationError):
        yield left_out("trust", "the rest was looked at in spite of the certificate, as no program of puremux would do")
        yield sock
        return
    sock.close()
    if alpn != "h2":
        says, advice = f"{NO_H2}; by ALPN it chose {alpn or 'nothing'}", "Correct the port, or switch HTTP/2 on there."
    yield failed("TLS", says, advice, alpn=alpn)


NO_H2 = "the server speaks TLS but does not offer HTTP/2 (ALPN h2), which gRPC needs"


def _handshake_finding(sock: ssl.SSLSocket, seconds: float) -> Finding:
    cipher, took = (sock.cipher() or ("?",))[0], milliseconds(seconds)
    alpn = sock.selected_alpn_protocol()
    return found(
        "TLS",
        f"{sock.version()}, {cipher}, ALPN {alpn} ({took:g} ms)",
        version=sock.version(),
        cipher=cipher,
        alpn=alpn,
        milliseconds=took,
    )


def _refused_certificate(way: Way, tls: Tls, timeout: float, words: tuple[str, str], der: bytes) -> Finding:
    try:
        with tls.look(way, timeout, trusting=der) as sock:
            certificate: Mapping[str, Any] = sock.getpeercert() or {}
    except (OSError, TransportError, ValueError):
        certificate = {}  # OpenSSL finds more than trust wanting in it
    # What it is for is told in any case.
    says = f"{words[0].partition(' but for ')[0]}; it is {_in_words(certificate)}" if certificate else words[0]
    details = {"sha256": hashlib.sha256(der).hexdigest(), **_as_details(certificate)}
    return failed("certificate", says, words[1], **details)


def _certificate_finding(certificate: Mapping[str, Any]) -> Finding:
    if not certificate:
        return left_out("certificate", "the server showed none that this Python can read")
    return found("certificate", _in_words(certificate), **_as_details(certificate))


def _in_words(certificate: Mapping[str, Any]) -> str:
    details = _as_details(certificate)
    names = ", ".join(details["names"][:5]) or details["subject"]
    left = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / DAY
    days = f"{left:.0f} days left" if left >= 0 else f"over since {-left:.0f} days"
    return printable(
        f"for {names}, from {details['issuer']}, valid from {details['valid_from']} to {details['valid_to']} ({days})"
    )


def _as_details(certificate: Mapping[str, Any]) -> dict[str, Any]:
    if not certificate:
        return {}
    return {
        "subject": printable(_distinguished(certificate.get("subject", ()))),
        "issuer": printable(_distinguished(certificate.get("issuer", ()))),
        "names": [printable(str(value)) for _, value in certificate.get("subjectAltName", ())],
        "valid_from": _date(certificate["notBefore"]),
        "valid_to": _date(certificate["notAfter"]),
    }


def _distinguished(name: Any) -> str:
    """A distinguished name by the parts that people look for; all of it where these are missing."""
    parts = {key: value for part in name for key, value in part}
    wanted = [parts[key] for key in ("commonName", "organizationName") if key in parts]
    return ", ".join(wanted or [f"{key}={value}" for key, value in parts.items()]) or "nobody"


def _date(text: str) -> str:
    moment = datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), datetime.timezone.utc)
    return moment.date().isoformat()
