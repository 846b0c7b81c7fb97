"""The words of gRPC for how a call ended: status codes, and what maps to them.

Floor 1, words: the standard library only (and h2's list of error codes).
Spec: gRPC doc/statuscodes.md; doc/http-grpc-status-mapping.md; PROTOCOL-HTTP2.md, "Errors".
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from h2.errors import ErrorCodes

__all__ = [
    "StatusCode",
    "StatusDetail",
    "code_for_http_status",
    "code_for_reset",
    "code_from_wire",
    "details_from_wire",
]


class StatusCode(enum.IntEnum):
    """How a call ended.  Names and numbers are gRPC's (doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    def __str__(self) -> str:
        """``StatusCode.OK``, as grpcio's prints; an IntEnum would print its number from Python 3.11 on."""
        return f"StatusCode.{self.name}"

    def __format__(self, spec: str) -> str:
        """The same in a formatted string; a specification for numbers gets the number."""
        return format(self.value, spec) if spec.endswith(("d", "x")) else format(str(self), spec)


# doc/http-grpc-status-mapping.md; every status not listed: UNKNOWN.
CODE_FOR_HTTP_STATUS: Mapping[int, StatusCode] = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}

# PROTOCOL-HTTP2.md, "Errors"; every code not listed: INTERNAL.
CODE_FOR_RESET: Mapping[int, StatusCode] = {
    ErrorCodes.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCodes.CANCEL: StatusCode.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}


def code_for_http_status(status: int) -> StatusCode:
    """The status of a call whose answer was plain HTTP, without a ``grpc-status``.

    Args:
        status: the ``:status`` of the answer, such as 503.
    Source: gRPC doc/http-grpc-status-mapping.md.
    """
    return CODE_FOR_HTTP_STATUS.get(status, StatusCode.UNKNOWN)


def code_for_reset(error_code: int) -> StatusCode:
    """The status of a call whose stream the peer reset.

    Args:
        error_code: the code in RST_STREAM (RFC 9113 §7).
    Source: gRPC PROTOCOL-HTTP2.md, "Errors".
    """
    return CODE_FOR_RESET.get(error_code, StatusCode.INTERNAL)


def code_from_wire(value: str) -> StatusCode:
    """Read a ``grpc-status`` value; a number we do not know, or no number at all, is UNKNOWN.

    Source: gRPC doc/statuscodes.md, last paragraph.
    """
    if value.isascii() and value.isdigit() and len(value) <= 2 and int(value) <= 16:
        return StatusCode(int(value))
    return StatusCode.UNKNOWN


class StatusDetail(NamedTuple):
    """One of the messages that a server explains a status with (google.protobuf.Any)."""

    type_url: str
    """Names the message's type behind its last slash, such as ``type.googleapis.com/google.rpc.RetryInfo``."""

    value: bytes
    """The message, serialized."""


def details_from_wire(value: bytes) -> tuple[StatusDetail, ...]:
    """Read the details out of ``grpc-status-details-bin``, a serialized google.rpc.Status.

    By hand, since this floor knows no protobuf: the message has three fields, of which ``details`` is the third.

    Raises:
        ValueError: it is not a google.rpc.Status.
    Source: google/rpc/status.proto; protobuf's encoding guide.
    """
    details = []
    for number, content in _fields(value):
        if number == 3 and isinstance(content, bytes):
            fields = dict(_fields(content))
            type_url, inner = fields.get(1, b""), fields.get(2, b"")
            if isinstance(type_url, bytes) and isinstance(inner, bytes):
                details.append(StatusDetail(type_url.decode("utf-8", "replace"), inner))
    return tuple(details)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers of kind 0, bytes of kind 2, and kinds 1 and 5 as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"a protobuf field of the unknown kind {kind}")
        size, at = _varint(message, at) if kind == 2 else (8 if kind == 1 else 4, at)
        if at + size > len(message):
            raise ValueError("a protobuf message is cut short")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a protobuf number is cut short")
