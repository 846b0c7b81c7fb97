"""PEM files of certificates, keys and issuers: put into a context, or refused in a sentence that says what to do.

Floor 3, transport: imports the standard library only.
Spec: RFC 7468 (PEM's labels).
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Mapping
from pathlib import Path

__all__ = ["load_certificate", "load_issuers", "trusting"]

CERTIFICATE, KEY = b"CERTIFICATE-----", b"PRIVATE KEY-----"  # how the lines of PEM that begin one end
ENCRYPTED = (b"ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")  # RFC 7468 §11; RFC 1421 §4.6.1.1

UNREADABLE: Mapping[int, str] = {
    errno.ENOENT: "there is no file {path}; check the path",
    errno.ENOTDIR: "there is no file {path}; check the path",
    errno.EISDIR: "{path} is a directory; name a file in it",
    errno.EACCES: "this process may not read {path}; check the permissions",
}


def load_certificate(context: ssl.SSLContext, certfile: str, keyfile: str | None = None) -> None:
    """Have a context show a certificate.

    Args:
        context: changed by this.
        certfile: PEM file of the certificate and its chain.
        keyfile: PEM file of the key, not encrypted; None when it is in ``certfile`` too.
    Raises:
        ValueError: they cannot be used; the message names the file and says what to do.
    """
    try:  # without a password of ours OpenSSL would ask for one on the terminal, and block
        context.load_cert_chain(certfile, keyfile, password=lambda: "")
    except OSError as error:
        raise ValueError(
            f"The certificate {certfile} with the key {keyfile or certfile} cannot be used: "
            f"{_why_not_shown(certfile, keyfile or certfile, error)}."
        ) from error


def load_issuers(context: ssl.SSLContext, cafile: str) -> None:
    """Have a server's context trust the issuers of client certificates; raises as :func:`load_certificate`."""
    try:
        context.load_verify_locations(cafile)
    except OSError as error:
        raise _no_issuers("The client CA file", cafile) from error


def trusting(cafile: str) -> ssl.SSLContext:
    """A client's context that trusts the issuers in a PEM file and no others; raises as :func:`load_certificate`."""
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise _no_issuers("The file of trusted issuers", cafile) from error


def _no_issuers(name: str, cafile: str) -> ValueError:
    why = _problem(cafile, CERTIFICATE, "certificate") or "a certificate in it cannot be read; check that it is whole"
    return ValueError(f"{name} {cafile} cannot be used: {why}.")


def _why_not_shown(certfile: str, keyfile: str, error: OSError) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate; name the two that were made for each other"
    problem = _problem(certfile, CERTIFICATE, "certificate") or _problem(keyfile, KEY, "private key")
    if problem is None and any(each in Path(keyfile).read_bytes() for each in ENCRYPTED):
        return f"the key in {keyfile} is encrypted; decrypt it, since nobody can be asked for its password"
    return problem or "one of them cannot be read; check that both are whole"


def _problem(path: str, label: bytes, what: str) -> str | None:
    """What keeps a file from being used for what it ought to hold; None if it seems to hold that."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        words = UNREADABLE.get(error.errno or 0, "{path} cannot be read ({reason}); check it")
        return words.format(path=path, reason=error.strerror)
    return None if label in text else f"{path} holds no {what} in PEM form; name a file that does"
