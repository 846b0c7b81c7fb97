"""One span in full, and its trace as rows of a tree.

Floor 5, zpages: imports surface and text, status below, and ``puremux.proto``.
Spec: opencensus-proto, trace/v1/trace.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..proto import trace_pb2
from ..status import StatusCode
from .surface import Surface
from .text import day_time, duration, number, size

__all__ = ["Branch", "Event", "LinkedSpan", "SpanView", "status_name", "trace_rows", "view_span"]

MOST_ROWS = 200  # of a trace on a page
BAR = 300.0  # width of a trace's time line, in units of its viewBox
LEAST_BAR = 1.5
DEEPEST = 24  # further descendants are not indented more

KINDS = {trace_pb2.Span.SERVER: "server", trace_pb2.Span.CLIENT: "client"}
LINK_TYPES = {trace_pb2.Span.Link.CHILD_LINKED_SPAN: "child", trace_pb2.Span.Link.PARENT_LINKED_SPAN: "parent"}
DIRECTIONS = {
    trace_pb2.Span.TimeEvent.MessageEvent.SENT: "sent",
    trace_pb2.Span.TimeEvent.MessageEvent.RECEIVED: "received",
}


class Event(NamedTuple):
    """Something that happened while the span ran."""

    after: str
    """How long after its start."""

    what: str
    attributes: Sequence[tuple[str, str]]


class LinkedSpan(NamedTuple):
    """A span that the span points to."""

    trace_id: str
    span_id: str
    kind: str
    attributes: Sequence[tuple[str, str]]


class SpanView(NamedTuple):
    """A span in full, as texts."""

    kind: str
    status: str
    message: str
    attributes: Sequence[tuple[str, str]]
    events: Sequence[Event]
    links: Sequence[LinkedSpan]
    frames: Sequence[str]
    """Its stack trace, one line a frame."""

    tracestate: Sequence[tuple[str, str]]
    notes: Sequence[str]
    """What was dropped where the span was recorded, and what it says of its relatives."""


def status_name(code: int) -> str:
    """A status code by its name; its number if it has none."""
    try:
        return StatusCode(code).name
    except ValueError:
        return "unknown code" if code < 0 else f"code {code}"


def view_span(found: Surface) -> SpanView:
    """Decode a span.

    Raises:
        ValueError: it cannot be decoded.
    """
    try:
        span = trace_pb2.Span.FromString(found.whole) if isinstance(found.whole, bytes) else found.whole
    except Exception as error:  # without its C core protobuf raises more than DecodeError
        raise ValueError(f"the span cannot be decoded: {error}") from error
    return SpanView(
        KINDS.get(span.kind, ""),
        status_name(span.status.code),
        span.status.message,
        _attributes(span.attributes),
        [_event(event, found.start) for event in span.time_events.time_event],
        [_link(link) for link in span.links.link],
        [_frame(frame) for frame in span.stack_trace.stack_frames.frame],
        [(entry.key, entry.value) for entry in span.tracestate.entries],
        list(_notes(span)),
    )


def _attributes(attributes: trace_pb2.Span.Attributes) -> list[tuple[str, str]]:
    return sorted((key, _attribute(value)) for key, value in attributes.attribute_map.items())


def _attribute(value: trace_pb2.AttributeValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value.value
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    return repr(value.double_value) if kind else ""


def _event(event: trace_pb2.Span.TimeEvent, start: int) -> Event:
    at = event.time.seconds * 1_000_000_000 + event.time.nanos
    after = f"{'-' if at < start else '+'}{duration(abs(at - start))}" if event.HasField("time") else ""
    if event.HasField("message_event"):
        return Event(after, _message(event.message_event), ())
    return Event(after, event.annotation.description.value, _attributes(event.annotation.attributes))


def _message(message: trace_pb2.Span.TimeEvent.MessageEvent) -> str:
    sizes = [size(message.uncompressed_size)]
    if message.compressed_size not in (0, message.uncompressed_size):
        sizes.append(f"{size(message.compressed_size)} compressed")
    return f"message {message.id} {DIRECTIONS.get(message.type, '')}: {', '.join(sizes)}".replace("  ", " ")


def _link(link: trace_pb2.Span.Link) -> LinkedSpan:
    return LinkedSpan(
        link.trace_id.hex(), link.span_id.hex(), LINK_TYPES.get(link.type, ""), _attributes(link.attributes)
    )


def _frame(frame: trace_pb2.StackTrace.StackFrame) -> str:
    return f"{frame.function_name.value}, {frame.file_name.value}:{frame.line_number}"


def _notes(span: trace_pb2.Span) -> Iterable[str]:
    dropped: Mapping[str, int] = {
        "attributes": span.attributes.dropped_attributes_count,
        "annotations": span.time_events.dropped_annotations_count,
        "message events": span.time_events.dropped_message_events_count,
        "links": span.links.dropped_links_count,
    }
    for what, count in dropped.items():
        if count:
            yield f"{number(count)} {what} were dropped before the span was sent."
    if span.HasField("same_process_as_parent_span") and not span.same_process_as_parent_span.value:
        yield "The parent belongs to another process."
    if span.child_span_count.value:
        yield f"It counted {number(span.child_span_count.value)} child spans."


class Branch(NamedTuple):
    """A span as a row of its trace."""

    span: Surface
    depth: int
    left: float
    width: float
    """Where its bar lies on the trace's time line."""


def trace_rows(spans: Sequence[Surface]) -> list[Branch]:
    """The spans of a trace, children below their parents, with bars on one line of time; bounded in number.

    Args:
        spans: in the order in which they began.
    """
    if not spans:
        return []
    begin = min(span.start for span in spans)
    last = max(max(span.end, span.start) for span in spans)
    scale = BAR / max(1, last - begin)
    rows = []
    for span, depth in _in_order(spans)[:MOST_ROWS]:
        left = (span.start - begin) * scale
        end = (span.end or last) - begin
        width = max(LEAST_BAR, end * scale - left)
        rows.append(Branch(span, min(depth, DEEPEST), round(min(left, BAR - LEAST_BAR), 2), round(width, 2)))
    return rows


def _in_order(spans: Sequence[Surface]) -> list[tuple[Surface, int]]:
    """Depth first, without recursion: a trace may be deep, and a hostile one may go in circles."""
    here = {span.span_id for span in spans}
    children: dict[bytes, list[Surface]] = {}
    roots = []
    for span in spans:
        if span.parent_span_id in here and span.parent_span_id != span.span_id:
            children.setdefault(span.parent_span_id, []).append(span)
        else:
            roots.append(span)
    found: list[tuple[Surface, int]] = []
    left = [(span, 0) for span in reversed(roots)]
    while left:
        span, depth = left.pop()
        found.append((span, depth))
        left += [(child, depth + 1) for child in reversed(children.pop(span.span_id, []))]
    rest = [(span, 0) for some in children.values() for span in some]  # circles
    return found + rest


def when(nanoseconds: int) -> str:
    """A moment, or a word for none."""
    return day_time(nanoseconds) if nanoseconds else "unknown"
