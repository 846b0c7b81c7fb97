"""TLS for HTTP/2: contexts, handshakes that never block, and a sentence for each way they fail.

Floor 3, transport: imports errors, pem and wait.
Spec: RFC 9113 §9.2 (TLS 1.2 or newer, SNI, no renegotiation, ALPN "h2"); RFC 7301; RFC 9110 §4.3.4 (names).
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping

from ..errors import TlsError
from .pem import load_certificate, load_issuers
from .wait import Clock, Step, Wait

__all__ = ["accept_handshake", "client_context", "explain_tls_failure", "handshake", "server_context"]

ALPN = ["h2"]


def client_context(tls: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """The context a client shakes hands with: the system's trust and host names verified, or the user's own.

    Args:
        tls: the user's context.  It is used as it is, and decides about trust, client certificates, ciphers and
            host names; only its ALPN list is set, to ``h2``, since gRPC is nothing else.
    Raises:
        TypeError: ``tls`` is not an ``ssl.SSLContext``.
        ValueError: ``tls`` was made for servers.
    """
    if tls is None:
        tls = ssl.create_default_context()
        _restrict(tls)
    elif not isinstance(tls, ssl.SSLContext):
        raise TypeError(
            f"tls must be an ssl.SSLContext, not {type(tls).__name__}; ssl.create_default_context() makes one."
        )
    elif tls.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ValueError("tls is a context for servers; ssl.create_default_context() makes one for clients.")
    tls.set_alpn_protocols(ALPN)
    return tls


def server_context(certfile: str, keyfile: str | None = None, client_ca: str | None = None) -> ssl.SSLContext:
    """The context a server shakes hands with.

    Args:
        certfile: PEM file of the certificate and its chain.
        keyfile: PEM file of the key, not encrypted; None when it is in ``certfile`` too.
        client_ca: PEM file of the issuers of client certificates, which are then required (mTLS).
    Raises:
        ValueError: one of the files cannot be used; the message names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context)
    context.set_alpn_protocols(ALPN)
    load_certificate(context, certfile, keyfile)
    if client_ca is not None:
        load_issuers(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _restrict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)  # RFC 9113 §9.2.1


def handshake(
    sock: socket.socket,
    context: ssl.SSLContext,
    server_name: str,
    address: str,
    until: float,
    clock: Clock = time.monotonic,
) -> Step[ssl.SSLSocket]:
    """Shake hands as the client; the socket belongs to this step, which closes it when it fails.

    Args:
        sock: connected and non-blocking.
        context: from ``client_context``.
        server_name: the host name or IP address that the certificate must have.
        address: how error messages name the server.
        until: time of the clock at which to give up.
    Raises:
        TlsError: no handshake in time, a certificate that does not fit, or no HTTP/2.
    """
    tls = _wrap(sock, context, address, server_name)
    try:
        yield from _shake_hands(tls, address, until, clock)
        if tls.selected_alpn_protocol() != "h2":
            raise TlsError(
                address,
                f"The server at {address} speaks TLS but does not offer HTTP/2 (ALPN h2), which gRPC needs; "
                "check that this is its gRPC port.",
            )
    except BaseException:
        tls.close()
        raise
    return tls


def accept_handshake(
    sock: socket.socket,
    context: ssl.SSLContext,
    address: str,
    until: float,
    clock: Clock = time.monotonic,
) -> Step[ssl.SSLSocket]:
    """Shake hands as the server; the socket belongs to this step, which closes it when it fails.

    Args:
        sock: accepted and non-blocking.
        context: from ``server_context``.
        address: how error messages name the client.
        until: time of the clock at which to give up.
    Raises:
        TlsError: no handshake in time, a client certificate that is missing or not trusted, or no HTTP/2.
    """
    tls = _wrap(sock, context, address, None)
    try:
        yield from _shake_hands(tls, address, until, clock)
        if tls.selected_alpn_protocol() != "h2":
            raise TlsError(
                address, f"The client at {address} did not ask for HTTP/2 (ALPN h2), so it cannot speak gRPC."
            )
    except BaseException:
        tls.close()
        raise
    return tls


def _wrap(sock: socket.socket, context: ssl.SSLContext, address: str, server_name: str | None) -> ssl.SSLSocket:
    try:
        if server_name is not None:  # wrap_socket() would do it, and lose the socket if the name is malformed
            server_name = server_name.encode("idna").decode("ascii")
        sock.getpeername()  # raises where the peer has reset it already: that socket, too, wrap_socket() would lose
        return context.wrap_socket(
            sock,
            server_side=server_name is None,
            server_hostname=server_name,
            do_handshake_on_connect=False,
        )
    except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot carry
        sock.close()
        raise TlsError(address, f"TLS with {address} cannot begin: {error}.") from error


def _shake_hands(tls: ssl.SSLSocket, address: str, until: float, clock: Clock) -> Step[None]:
    while True:
        try:
            tls.do_handshake()
            return
        except ssl.SSLWantReadError:
            wait = Wait(until, reading=(tls,))
        except ssl.SSLWantWriteError:
            wait = Wait(until, writing=(tls,))
        except OSError as error:
            raise _handshake_failure(error, tls, address) from error
        if clock() >= until:
            raise TlsError(address, _sentence("TIMED_OUT", tls.server_side).format(address=address))
        yield wait


def _handshake_failure(error: OSError, tls: ssl.SSLSocket, address: str) -> TlsError:
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in WRONG_HOST:
        return TlsError(
            address,
            f"The certificate of the server at {address} is not for {tls.server_hostname}{_names_in_certificate(tls)}; "
            "use a name that it has as the address.",
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or not isinstance(error, ssl.SSLError):
        return TlsError(address, _sentence("CLOSED", tls.server_side).format(address=address))
    return explain_tls_failure(error, address, tls.server_side)


def _names_in_certificate(tls: ssl.SSLSocket) -> str:
    """`` but for a.example, b.example``, where the interpreter can tell; the public API hides a refused certificate."""
    try:
        certificate = tls._sslobj.get_unverified_chain()[0].get_info()  # type: ignore[attr-defined]  # private
        names = [value for _, value in certificate.get("subjectAltName", ())]
    except (AttributeError, IndexError, TypeError, ValueError):
        return ""
    return " but for " + ", ".join(names[:5]) + ", …" * (len(names) > 5) if names else ""


def explain_tls_failure(error: ssl.SSLError, address: str, server_side: bool = False) -> TlsError:
    """Say in one sentence what OpenSSL's error means, and what to do.

    For errors while reading and writing too: in TLS 1.3 a server refuses the client's certificate only after
    the client's handshake is done, so the alert comes with the first read.

    Args:
        error: what ``ssl`` raised.
        address: how the sentence names the other end.
        server_side: whether we are the server.
    """
    if isinstance(error, ssl.SSLCertVerificationError) and not server_side:
        reason = error.verify_message.rstrip(".")
        sentence = UNTRUSTED.get(error.verify_code, "The certificate of the server at {address} is refused: {reason}.")
    else:
        key = getattr(error, "reason", None)  # missing where Python itself raised the error
        reason = key.replace("_", " ").lower() if key else str(error)
        sentence = _sentence(key, server_side)
    return TlsError(address, sentence.format(address=address, reason=reason))


def _sentence(reason: str | None, server_side: bool) -> str:
    return (TO_SERVERS if server_side else TO_CLIENTS).get(reason or "", "TLS with {address} failed: {reason}.")


# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH, EMAIL_MISMATCH and IP_ADDRESS_MISMATCH.
WRONG_HOST = frozenset({62, 63, 64})

OWN_TRUST = "; if that is meant, pass tls=ssl.create_default_context(cafile=...) with the certificate of its issuer."

# Keys: OpenSSL's X509_V_ERR_… numbers, see X509_STORE_CTX_get_error(3).
UNTRUSTED: Mapping[int, str] = {
    9: "The certificate of the server at {address} is not valid yet; check the clocks of both machines.",
    10: "The certificate of the server at {address} has expired; renew it there, or check the clock here.",
    18: "The certificate of the server at {address} is self-signed and not trusted here" + OWN_TRUST,
    19: "The certificate of the server at {address} comes from an issuer not trusted here" + OWN_TRUST,
    20: "The certificate of the server at {address} comes from an issuer not trusted here" + OWN_TRUST,
    21: "The certificate of the server at {address} comes without those of its issuers; configure the chain there.",
    23: "The certificate of the server at {address} was revoked; renew it there.",
}

NOT_TLS = "The server at {address} does not speak TLS; if it is meant to be plaintext, pass insecure=True."
NO_VERSION = "The server at {address} and this client share no version of TLS; HTTP/2 needs TLS 1.2 or newer."
NO_CERTIFICATE = (
    "The server at {address} requires a client certificate; "
    "give one with load_cert_chain() to the ssl.SSLContext that is passed as tls=."
)
BAD_CERTIFICATE = "The server at {address} refused our client certificate ({reason}); pass one that it accepts in tls=."

# Keys: OpenSSL's reasons as Python names them, and two of our own for what is no OpenSSL error.
TO_CLIENTS: Mapping[str, str] = {
    "CLOSED": "The server at {address} closed the connection during the TLS handshake; "
    "if it is meant to be plaintext, pass insecure=True.",
    "TIMED_OUT": "The server at {address} did not finish the TLS handshake in time; "
    "if it is meant to be plaintext, pass insecure=True.",
    "WRONG_VERSION_NUMBER": NOT_TLS,
    "UNKNOWN_PROTOCOL": NOT_TLS,
    "HTTP_REQUEST": NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": NOT_TLS,
    "UNSUPPORTED_PROTOCOL": NO_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": NO_VERSION,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "The server at {address} speaks TLS but does not offer HTTP/2 (ALPN h2), "
    "which gRPC needs; check that this is its gRPC port.",
    "TLSV1_UNRECOGNIZED_NAME": "The server at {address} does not know the name it is called by; "
    "use the name that it has as the address.",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "The server at {address} refused the TLS handshake: "
    "there is no cipher in common, or it requires a client certificate (tls=).",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": NO_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": BAD_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": BAD_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": BAD_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": BAD_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": BAD_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": BAD_CERTIFICATE,
}

NO_TLS_CLIENT = "The client at {address} does not speak TLS."
REFUSED_US = "The client at {address} refused our certificate ({reason})."

TO_SERVERS: Mapping[str, str] = {
    "CLOSED": "The client at {address} closed the connection during the TLS handshake.",
    "TIMED_OUT": "The client at {address} did not finish the TLS handshake in time.",
    "WRONG_VERSION_NUMBER": NO_TLS_CLIENT,
    "UNKNOWN_PROTOCOL": NO_TLS_CLIENT,
    "HTTP_REQUEST": NO_TLS_CLIENT,
    "PACKET_LENGTH_TOO_LONG": NO_TLS_CLIENT,
    "UNSUPPORTED_PROTOCOL": "The client at {address} offers no version of TLS that HTTP/2 allows (1.2 or newer).",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "The client at {address} sent no certificate, and one is required.",
    "CERTIFICATE_VERIFY_FAILED": "The certificate of the client at {address} is not trusted.",
    "TLSV1_ALERT_UNKNOWN_CA": REFUSED_US,
    "SSLV3_ALERT_BAD_CERTIFICATE": REFUSED_US,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": REFUSED_US,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": REFUSED_US,
}
