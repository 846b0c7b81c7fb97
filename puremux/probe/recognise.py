"""Which protocol somebody speaks who does not speak HTTP/2, by the first bytes that came.

Floor 5, probe: imports findings.
Spec: RFC 9112 §4 (HTTP/1.1), RFC 4253 §4.2 (SSH), RFC 8446 §5.1 (TLS records), RFC 5321 §4.2 (SMTP), RFC 9051 (IMAP).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .findings import printable

__all__ = ["Other", "recognise"]


class Other(NamedTuple):
    """A protocol that is not HTTP/2."""

    name: str
    """As it stands in a sentence: ``HTTP/1.1``."""

    first_line: str
    """What the peer said of itself; empty for protocols that are not text."""

    may_be_tls: bool = False
    """Whether it may be how a TLS server answers plaintext: by an alert, or by an error in HTTP/1.1."""


KNOWN: tuple[tuple[bytes, str], ...] = (  # how the answer to HTTP/2's preface begins, or what comes unasked
    (rb"HTTP/1\.[01] ", "HTTP/1.1"),
    (rb"SSH-", "SSH"),
    (rb"220[ -].*FTP", "FTP"),
    (rb"220[ -]", "SMTP"),
    (rb"\* (OK|PREAUTH|BYE)", "IMAP"),
    (rb"\+OK", "POP3"),
    (rb"-(ERR|DENIED|NOAUTH)", "Redis's protocol"),
    (rb"AMQP", "AMQP"),
    (rb"RFB \d", "VNC"),
    (rb"(?s).{3}\x00(\x0a\d|\xff)", "MySQL's protocol"),
    (rb"(?i)\s*<(!doctype|html|\?xml)", "HTTP/0.9"),
)

TLS_RECORD = re.compile(rb"[\x15\x16]\x03[\x00-\x04]")
MEANT_FOR_TLS = re.compile(
    rb"(?is)HTTP/1\.[01] 400 .*(plain HTTP request|HTTP request to an HTTPS|Client sent an HTTP)"
)


def recognise(data: bytes) -> Other | None:
    """Name the protocol of the first bytes of an answer; None for one that is not known here."""
    if TLS_RECORD.match(data):
        return Other("TLS", "", may_be_tls=True)
    for pattern, name in KNOWN:
        if re.match(pattern, data):
            return Other(name, _first_line(data), may_be_tls=name == "HTTP/1.1")
    return None


def _first_line(data: bytes) -> str:
    line = re.split(rb"[\r\n]", data, maxsplit=1)[0].decode("latin-1")
    return printable(line[:80]) if line.isprintable() else ""
