"""How many things a message holds: four MiB, or a few KiB compressed, can be two million that are empty.

Floor 5, agent: imports ``puremux.proto``.
Spec: protobuf, "Encoding" (protobuf.dev/programming-guides/encoding).

Each of them takes memory when the message is read, and time when it is taken in.  What honest clients send is far from
any of this, and mostly too short to be looked at.
"""

from __future__ import annotations

from ..proto import metrics_service_pb2, trace_pb2, trace_service_pb2

__all__ = ["LEAST_BYTES", "has_more_fields", "metrics_items", "spans_items"]

LEAST_BYTES = 2  # of an item: its tag, and a length of zero

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types
FIXED = {FIXED64: 8, FIXED32: 4}  # bytes
MORE = 0x80  # in each byte of a varint but its last


def has_more_fields(message: bytes, most: int) -> bool:
    """Whether a message has more than so many fields, those of its fields not counted; of what is none, either."""
    at = count = 0
    while at < len(message) and count <= most:
        tag, at = _varint(message, at)
        wire_type = tag & 7
        at += FIXED.get(wire_type, 0)
        if wire_type in (VARINT, LENGTH):
            value, at = _varint(message, at)
            at += value if wire_type == LENGTH else 0
        count += 1
    return count > most


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends, which may be behind the end of a message that was cut."""
    value = shift = 0
    for byte in message[at : at + 10]:
        value |= (byte & ~MORE) << shift
        shift += 7
        at += 1
        if byte < MORE:
            return value, at
    return value, len(message)


def spans_items(request: trace_service_pb2.ExportTraceServiceRequest) -> int:
    """The spans of a request, and what they hold of events, links and stack frames."""
    return sum(map(_of_span, request.spans))


def _of_span(span: trace_pb2.Span) -> int:
    return (
        1
        + len(span.time_events.time_event)
        + len(span.links.link)
        + len(span.tracestate.entries)
        + len(span.stack_trace.stack_frames.frame)
    )


def metrics_items(request: metrics_service_pb2.ExportMetricsServiceRequest) -> int:
    """The metrics of a request, their time series, and the points of these."""
    return sum(1 + sum(1 + len(series.points) for series in metric.timeseries) for metric in request.metrics)
