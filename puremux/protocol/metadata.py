"""The rules of gRPC headers: what may be sent, how it is spelt, and how to read what came.

Floor 2, protocol: no I/O.  Imports errors and hpack.
Spec: gRPC PROTOCOL-HTTP2.md, "Requests" and "Responses".
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..errors import Metadata, Metadatum, RemoteProtocolError

__all__ = [
    "CONTENT_TYPE",
    "HeaderList",
    "check_fields",
    "check_path",
    "decode_message",
    "decode_metadata",
    "decode_timeout",
    "encode_message",
    "encode_metadata",
    "encode_timeout",
    "header",
    "is_grpc_content_type",
    "list_size",
    "metadata_pairs",
    "request_headers",
    "response_headers",
    "trailers",
]

HeaderList = list[tuple[bytes, bytes]]

CONTENT_TYPE = b"application/grpc"  # real agents take no other spelling, parameters included

KEY = re.compile(r"[0-9a-z_.\-]+")
ASCII_VALUE = re.compile(r"[ -~]*")  # %x20-%x7E
# Belong to one connection, so that HTTP/2 has no place for them (RFC 9113 §8.2.2).
CONNECTION_FIELDS = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
# Held by HTTP/2 or gRPC itself: refused on the way out, left out of what users see on the way in.
RESERVED = CONNECTION_FIELDS | {"content-length", "content-type", "host", "te"}
# Reserved by their prefix, yet made for users: the details of a status, and the trace context and tags of OpenCensus.
KEPT = frozenset({"grpc-status-details-bin", "grpc-trace-bin", "grpc-tags-bin"})

# Units of a timeout, finest first: so many in so many seconds.
UNITS = {"n": (10**9, 1), "u": (10**6, 1), "m": (10**3, 1), "S": (1, 1), "M": (1, 60), "H": (1, 3600)}
MAX_TIMEOUT_DIGITS = 8
TIMEOUT = re.compile(r"([0-9]{1,8})([numSMH])")

FIELD_NAME = re.compile(rb":?[!-9;-@\[-~]+")  # visible ASCII, no capitals, a colon in front only (RFC 9113 §8.2.1)
FORBIDDEN = re.compile(rb"[\0\r\n]")  # in a field's value, likewise

GRPC_CONTENT_TYPE = re.compile(rb"application/grpc(\+proto)?[ \t]*(;.*)?", re.IGNORECASE | re.DOTALL)

PERCENT = re.compile(rb"[^ -$&-~]")  # everything but %x20-%x24 and %x26-%x7E is escaped
ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def encode_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> HeaderList:
    """Write a caller's metadata as headers; values of ``-bin`` keys in base64 without padding.

    Spaces around other values are left out, as the specification allows: HTTP/2 forbids them.

    Raises:
        ValueError: a key is not lower-case ASCII of gRPC's alphabet, or is reserved; or a value has characters that
            do not belong there.
        TypeError: a ``-bin`` value is not bytes, or another value is not a string.
    Source: gRPC PROTOCOL-HTTP2.md, Custom-Metadata.
    """
    return [(key.encode("ascii"), _encode_value(key, value)) for key, value in map(_checked, metadata)]


def metadata_pairs(metadata: Any) -> Metadata:
    """A caller's metadata as a tuple that nobody changes any more; each pair is checked by :func:`encode_metadata`.

    Raises:
        ValueError: it is no sequence of pairs, such as a mapping.
    """
    if type(metadata) is tuple:
        return metadata
    if isinstance(metadata, (Mapping, str, bytes)) or not isinstance(metadata, Iterable):
        raise ValueError(f"metadata takes pairs of key and value, not {type(metadata).__name__}")
    return tuple(metadata)


def _checked(pair: tuple[str, str | bytes]) -> tuple[str, str | bytes]:
    try:
        key, value = pair
    except (TypeError, ValueError):
        raise ValueError(f"metadata takes pairs of key and value; {pair!r} is none") from None
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise ValueError(f"metadata key {key!r} is not lower-case letters, digits, '_', '-' and '.'")
    if key in RESERVED or (key.startswith("grpc-") and key not in KEPT):
        raise ValueError(f"metadata key {key!r} is reserved by gRPC")
    return key, value


def _encode_value(key: str, value: str | bytes) -> bytes:
    if key.endswith("-bin"):
        if not isinstance(value, (bytes, bytearray)):
            raise TypeError(f"metadata {key!r} takes bytes, since its name ends in -bin, not {type(value).__name__}")
        return base64.b64encode(value).rstrip(b"=")
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        raise TypeError(f"metadata {key!r} takes a string, not {type(value).__name__}")
    if not ASCII_VALUE.fullmatch(value):
        raise ValueError(f"metadata {key!r} has characters beyond printable ASCII; name it {key}-bin to send bytes")
    return value.strip(" ").encode("ascii")  # HTTP/2 takes none around a value (RFC 9113 §8.2.1)


def decode_metadata(headers: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """Read headers as metadata, in order, without those that HTTP/2 and gRPC keep for themselves.

    A ``-bin`` value may hold several values joined by commas, each padded or not.

    Raises:
        RemoteProtocolError: a ``-bin`` value is not base64.
    Source: gRPC PROTOCOL-HTTP2.md, Custom-Metadata.
    """
    metadata: list[tuple[str, str | bytes]] = []
    for raw_key, raw_value in headers:
        key = raw_key.decode("latin-1")
        if key in KEPT:
            metadata.extend(_decode_kept(key, raw_value))
        elif key.startswith((":", "grpc-")) or key in RESERVED:
            continue
        elif key.endswith("-bin"):
            metadata.extend(Metadatum(key, _decode_binary(key, part)) for part in raw_value.split(b","))
        else:
            metadata.append(Metadatum(key, raw_value.strip(b" \t").decode("utf-8", "replace")))
    return tuple(metadata)


def _decode_kept(key: str, value: bytes) -> list[tuple[str, str | bytes]]:
    """What gRPC itself explains is left out where it cannot be read: the call is worth more."""
    try:
        return [Metadatum(key, _decode_binary(key, value))]
    except RemoteProtocolError:
        return []


def _decode_binary(key: str, value: bytes) -> bytes:
    value = value.strip().rstrip(b"=")
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        raise RemoteProtocolError(f"the value of {key!r} is not base64") from None


def encode_timeout(seconds: float) -> str:
    """Write the time left on a call as a ``grpc-timeout`` value, such as ``"1500m"``.

    Args:
        seconds: time left, in seconds; rounded up to the finest unit that fits eight digits.  Nothing left is ``"1n"``,
            since the specification knows no zero; more than eight digits of hours is the largest value there is.
    Source: gRPC PROTOCOL-HTTP2.md, "Requests", TimeoutValue and TimeoutUnit.
    """
    if seconds <= 0:
        return "1n"
    for unit, (count, of_seconds) in UNITS.items():
        value = math.ceil(min(seconds * count / of_seconds, 1e9))
        if value < 10**MAX_TIMEOUT_DIGITS:
            return f"{value}{unit}"
    return "9" * MAX_TIMEOUT_DIGITS + "H"


def decode_timeout(value: str) -> float:
    """Read a ``grpc-timeout`` value as seconds.

    Raises:
        RemoteProtocolError: it is not one to eight digits and a unit.
    Source: gRPC PROTOCOL-HTTP2.md, "Requests", Timeout.
    """
    match = TIMEOUT.fullmatch(value)
    if match is None:
        raise RemoteProtocolError(f"grpc-timeout {value!r} is not one to eight digits and a unit")
    count, of_seconds = UNITS[match[2]]
    return int(match[1]) * of_seconds / count


def encode_message(message: str) -> bytes:
    """Percent-encode a status message for the ``grpc-message`` header.

    Source: gRPC PROTOCOL-HTTP2.md, "Responses", Percent-Encoded.
    """
    return PERCENT.sub(lambda match: b"%%%02X" % match[0][0], message.encode("utf-8", "replace"))


def decode_message(value: bytes) -> str:
    """Read a ``grpc-message``; what is not properly encoded is kept as it came, never refused.

    Source: gRPC PROTOCOL-HTTP2.md, "Responses": "decoders MUST NOT error".
    """
    return ESCAPED.sub(lambda match: binascii.unhexlify(match[1]), value).decode("utf-8", "replace")


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first header called ``name``, or None (RFC 9113 §8.2 has names in lower case)."""
    for key, value in headers:
        if key == name:
            return value
    return None


def list_size(headers: HeaderList) -> int:
    """Bytes of a header list, as limits on it count them: 32 more for each field (RFC 9113 §6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in headers)


def is_grpc_content_type(value: bytes | None) -> bool:
    """Whether a ``content-type`` says gRPC with protobuf: ``application/grpc``, with ``+proto`` or parameters perhaps.

    Another format, such as ``+json``, is not what was asked for.
    """
    return value is not None and GRPC_CONTENT_TYPE.fullmatch(value) is not None


def check_fields(headers: HeaderList, pseudo: Collection[bytes]) -> None:
    """See that a received header list is well-formed.

    Args:
        pseudo: the pseudo-header fields that it may have, each once, before all others; none in trailers.
    Raises:
        RemoteProtocolError: it is malformed, which ends the call and not the connection (RFC 9113 §8.1.1).
    Source: RFC 9113 §8.2.1 (names and values), §8.2.2 (connection-specific fields), §8.3 (pseudo-header fields).
    """
    seen: set[bytes] = set()
    regular = False
    for name, value in headers:
        if not FIELD_NAME.fullmatch(name):
            raise RemoteProtocolError(f"the header name {name[:64]!r} is not allowed (RFC 9113 §8.2.1)")
        if FORBIDDEN.search(value):
            raise RemoteProtocolError(f"the value of the header {name[:64]!r} is not allowed (RFC 9113 §8.2.1)")
        if not name.startswith(b":"):
            regular = True
            if name.decode("ascii") in CONNECTION_FIELDS:
                raise RemoteProtocolError(f"the header {name!r} does not belong in HTTP/2 (RFC 9113 §8.2.2)")
        elif regular or name in seen or name not in pseudo:
            raise RemoteProtocolError(f"the pseudo-header {name[:64]!r} is out of place (RFC 9113 §8.3)")
        else:
            seen.add(name)


def check_path(path: str) -> None:
    """See that a method path can be sent.

    Raises:
        ValueError: it is not of the form ``/package.Service/Method``, in printable ASCII without spaces.
    Source: gRPC PROTOCOL-HTTP2.md, "Requests", Path.
    """
    if (
        not isinstance(path, str)
        or not path.startswith("/")
        or not path.isascii()
        or not path.isprintable()
        or " " in path
    ):
        raise ValueError(f"method path {path!r} is not of the form /package.Service/Method")


def request_headers(
    path: str,
    *,
    authority: str,
    scheme: str,
    metadata: Metadata = (),
    timeout: float | None = None,
    encoding: str = "identity",
    accept_encoding: str = "identity",
    user_agent: str = "",
) -> HeaderList:
    """The HEADERS that open a call, in the order the specification gives them.

    Args:
        path: ``/package.Service/Method``.
        authority: virtual host, such as ``"agent.example:55678"``.
        scheme: ``http`` or ``https``.
        timeout: seconds until the deadline, or None to send no ``grpc-timeout``.
        encoding: the compression that messages of this call may use.
    Raises:
        ValueError, TypeError: the path or the metadata cannot be sent; see :func:`encode_metadata`.
    Source: gRPC PROTOCOL-HTTP2.md, "Requests", Request-Headers.
    """
    check_path(path)
    headers: HeaderList = [
        (b":method", b"POST"),
        (b":scheme", scheme.encode("ascii")),
        (b":path", path.encode("ascii")),
        (b":authority", authority.encode("ascii")),
        (b"te", b"trailers"),
    ]
    if timeout is not None:
        from hpack import NeverIndexedHeaderTuple  # here, since metadata is checked long before there is a connection

        # Each call has its own: kept out of the header table, where it would push out what all calls share.
        headers.append(NeverIndexedHeaderTuple(b"grpc-timeout", encode_timeout(timeout).encode("ascii")))
    headers.append((b"content-type", CONTENT_TYPE))
    if encoding != "identity":
        headers.append((b"grpc-encoding", encoding.encode("ascii")))
    if accept_encoding:
        headers.append((b"grpc-accept-encoding", accept_encoding.encode("ascii")))
    if user_agent:
        headers.append((b"user-agent", user_agent.encode("ascii")))
    return headers + encode_metadata(metadata)


def response_headers(metadata: Metadata = (), encoding: str = "identity") -> HeaderList:
    """The HEADERS that begin a server's answer.

    Raises:
        ValueError, TypeError: the metadata cannot be sent; see :func:`encode_metadata`.
    Source: gRPC PROTOCOL-HTTP2.md, "Responses", Response-Headers.
    """
    headers: HeaderList = [(b":status", b"200"), (b"content-type", CONTENT_TYPE)]
    if encoding != "identity":
        headers.append((b"grpc-encoding", encoding.encode("ascii")))
    return headers + encode_metadata(metadata)


def trailers(code: int, details: str = "", metadata: Metadata = ()) -> HeaderList:
    """The trailers that end a server's answer.

    Raises:
        ValueError, TypeError: the metadata cannot be sent; see :func:`encode_metadata`.
    Source: gRPC PROTOCOL-HTTP2.md, "Responses", Trailers.
    """
    headers: HeaderList = [(b"grpc-status", b"%d" % code)]
    if details:
        headers.append((b"grpc-message", encode_message(details)))
    return headers + encode_metadata(metadata)
