"""Spans and metrics read at their surface: names, ids, times out of wire bytes, everything else left as it is.

Floor 5, zpages: the standard library only.
Spec: protobuf, "Encoding" (protobuf.dev/programming-guides/encoding); opencensus-proto, trace/v1/trace.proto and
metrics/v1/metrics.proto.

A watcher of the exporter reads every span that is sent.  A few microseconds each are all that this may take, also where
protobuf has no C core and would take a hundred times as long; so what one looks for is found by hand, and a whole span
is decoded when somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Surface", "metrics_in", "spans_in"]

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types
SPANS = 2  # field of ExportTraceServiceRequest
METRICS = 2  # field of ExportMetricsServiceRequest
DESCRIPTOR = 1  # field of Metric
METRIC_NAME = 1  # field of MetricDescriptor
TRACE_ID, SPAN_ID, PARENT_SPAN_ID, NAME, START_TIME, END_TIME, STATUS = 1, 2, 3, 4, 5, 6, 11  # fields of Span
TEXT = 1  # field of TruncatableString
SECONDS, NANOS = 1, 2  # fields of Timestamp
CODE = 1  # field of Status
NANOSECONDS = 1_000_000_000
TOO_LONG = 70  # bits; a varint has 64 at the most, in groups of seven
NOWHERE = (0, 0)


class Surface(NamedTuple):
    """What a table of spans needs of one."""

    name: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start: int
    """Nanoseconds since 1970; 0 if the span doesn't say."""

    end: int
    """The same; 0 for a span that still runs."""

    code: int
    """Of its status; 0 is OK."""

    whole: Any
    """All of it: a serialized ``Span``, or the message itself where the span came as one."""

    client: str = ""
    """Who sent it, where there are several."""

    @property
    def latency(self) -> int:
        """Nanoseconds from start to end, never below 0."""
        return max(0, self.end - self.start)


def spans_in(request: bytes) -> Iterator[Surface]:
    """The spans of a serialized ExportTraceServiceRequest.

    Raises:
        ValueError: this is none; what comes before the fault has been given.
    """
    try:
        for field, begin, end in _ranges(request, 0, len(request)):
            if field == SPANS:
                yield _span(request[begin:end])
    except IndexError:
        raise ValueError("the message ends in the middle of a field") from None


def metrics_in(request: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each metric of a serialized ExportMetricsServiceRequest.

    Raises:
        ValueError: as :func:`spans_in`.
    """
    try:
        for field, begin, end in _ranges(request, 0, len(request)):
            if field == METRICS:
                yield _metric_name(request, begin, end), request[begin:end]
    except IndexError:
        raise ValueError("the message ends in the middle of a field") from None


def _metric_name(data: bytes, begin: int, end: int) -> str:
    for field, at, until in _ranges(data, begin, end):
        if field == DESCRIPTOR:
            return _text(data, (at, until), METRIC_NAME)
    return ""


def _span(encoded: bytes) -> Surface:
    found = {field: (begin, end) for field, begin, end in _ranges(encoded, 0, len(encoded))}
    at = found.get
    return Surface(
        _text(encoded, at(NAME, NOWHERE)),
        encoded[slice(*at(TRACE_ID, NOWHERE))],
        encoded[slice(*at(SPAN_ID, NOWHERE))],
        encoded[slice(*at(PARENT_SPAN_ID, NOWHERE))],
        _time(encoded, at(START_TIME, NOWHERE)),
        _time(encoded, at(END_TIME, NOWHERE)),
        _numbers(encoded, at(STATUS, NOWHERE)).get(CODE, 0),
        encoded,
    )


def _text(data: bytes, place: tuple[int, int], wanted: int = TEXT) -> str:
    text = b""
    for field, begin, end in _ranges(data, *place):
        if field == wanted:
            text = data[begin:end]
    return text.decode("utf-8", "replace")


def _time(data: bytes, place: tuple[int, int]) -> int:
    parts = _numbers(data, place)
    return parts.get(SECONDS, 0) * NANOSECONDS + parts.get(NANOS, 0)


def _numbers(data: bytes, place: tuple[int, int]) -> dict[int, int]:
    """The varints of a message, as the signed numbers that they stand for."""
    found = {}
    for field, value, end in _fields(data, *place):
        if end < 0:
            found[field] = value - (1 << 64) if value >> 63 else value
    return found


def _ranges(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number, begin and end of each field with a length; what has none is no text and no message."""
    return (found for found in _fields(data, at, end) if found[2] >= 0)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number, begin and end of each field with a length; of a varint its value, and -1 for the end."""
    while at < end:
        tag = data[at]
        at += 1
        if tag > 0x7F:
            tag, at = _varint(data, at - 1)
        wire_type = tag & 7
        if wire_type == LENGTH:
            length = data[at]
            at += 1
            if length > 0x7F:
                length, at = _varint(data, at - 1)
            if at + length > end:
                raise ValueError("a field is longer than what it is in")
            yield tag >> 3, at, at + length
            at += length
        elif wire_type == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value, -1
        else:
            at += _fixed(wire_type)


def _fixed(wire_type: int) -> int:
    if wire_type == FIXED64:
        return 8
    if wire_type == FIXED32:
        return 4
    raise ValueError(f"wire type {wire_type} is not one that messages have")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < TOO_LONG:
        group = data[at]
        at += 1
        value |= (group & 0x7F) << shift
        if group < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("a varint does not end")
