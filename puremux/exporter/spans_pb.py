"""SpanData to ``Span`` messages, through the generated classes: what spans.py must equal byte for byte.

Floor 4, exporter: imports limits, reading, sentences and ``puremux.proto``.
Spec: opencensus-proto, trace/v1/trace.proto.

This is the plain account of what is sent; spans.py is the quick one.  That they agree is tested, not trusted.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

from ..proto import trace_pb2
from ..proto.well_known_pb2 import BoolValue, Timestamp, UInt32Value
from . import reading
from .limits import DEFAULT_LIMITS, SpanLimits
from .reading import INT32, INT64, LOST, UINT32, UINT64, Defects
from .sentences import left_out

__all__ = ["span_message"]

Span = trace_pb2.Span
StackTrace = trace_pb2.StackTrace
Message = TypeVar("Message")


def span_message(span: Any, limits: SpanLimits = DEFAULT_LIMITS, defects: Defects | None = None) -> trace_pb2.Span:
    """The message for a span.

    Args:
        span: an ``opencensus.trace.span_data.SpanData``, a span as a tracer holds it, or anything of such a shape.
        limits: how much of the span is sent.
        defects: is told whatever could not be sent as it was.
    Raises:
        ValueError: the span cannot be sent at all; a sentence says why.
    """
    try:
        return _SpanMessages(limits, Defects() if defects is None else defects).span(span)
    except Exception as error:  # an application's objects may raise anything
        raise ValueError(left_out("span", span, error)) from error


class _SpanMessages:
    """One method for each message of trace.proto, with the limits and the defects they share."""

    def __init__(self, limits: SpanLimits, defects: Defects) -> None:
        self._limits, self._defects = limits, defects

    def span(self, given: Any) -> trace_pb2.Span:
        span = reading.span_shape(given)
        return Span(
            trace_id=reading.identifier(span.context.trace_id, 16, "trace id"),
            span_id=reading.identifier(span.span_id, 8, "span id"),
            tracestate=self._tracestate(getattr(span.context, "tracestate", None)),
            parent_span_id=reading.parent_identifier(span.parent_span_id, self._defects),
            name=self._text(span.name),
            kind=self._enum(span.span_kind, Span.CLIENT, "span kind"),
            start_time=self._time(span.start_time, "start time"),
            end_time=self._time(span.end_time, "end time"),
            attributes=self._attributes(span.attributes),
            stack_trace=self._stack_trace(span.stack_trace),
            time_events=self._time_events(span.annotations, span.message_events),
            links=self._links(span.links),
            status=self._status(span.status),
            same_process_as_parent_span=self._bool(span.same_process_as_parent_span),
            child_span_count=self._uint32(span.child_span_count, "child span count"),
        )

    def _tracestate(self, tracestate: Any) -> trace_pb2.Span.Tracestate | None:
        if not tracestate:
            return None
        entries = [
            Span.Tracestate.Entry(key=self._string(key), value=self._string(value)) for key, value in tracestate.items()
        ]
        return Span.Tracestate(entries=entries)

    def _attributes(self, given: Any) -> trace_pb2.Span.Attributes | None:
        attributes = reading.attribute_map(given)
        items, dropped = reading.newest_items(attributes, self._limits.max_attributes)
        values: dict[str, trace_pb2.AttributeValue] = {}
        for key, value in items:
            try:
                values[self._string(key)] = self._attribute_value(value, key)
            except Exception as error:  # noqa: BLE001  as above
                dropped += 1
                self._defects.note(LOST, left_out("attribute", key, error))
        if not values and not dropped:
            return None
        return Span.Attributes(attribute_map=values, dropped_attributes_count=min(dropped, INT32[1]))

    def _attribute_value(self, given: object, key: object) -> trace_pb2.AttributeValue:
        value = reading.attribute_value(given, self._defects, key)
        if isinstance(value, str):
            return trace_pb2.AttributeValue(string_value=self._text(value))
        if isinstance(value, bool):
            return trace_pb2.AttributeValue(bool_value=value)
        if isinstance(value, int):
            return trace_pb2.AttributeValue(int_value=value)
        return trace_pb2.AttributeValue(double_value=value)

    def _time_events(self, annotations: Any, message_events: Any) -> trace_pb2.Span.TimeEvents | None:
        """Annotations come first, as the exporters of Go and Python send them; each event has its time."""
        remarks, dropped_remarks = self._each(
            annotations, self._limits.max_annotations, self._annotation_event, "annotation"
        )
        messages, dropped_messages = self._each(
            message_events, self._limits.max_message_events, self._message_event, "message event"
        )
        if not (remarks or messages or dropped_remarks or dropped_messages):
            return None
        return Span.TimeEvents(
            time_event=remarks + messages,
            dropped_annotations_count=dropped_remarks,
            dropped_message_events_count=dropped_messages,
        )

    def _annotation_event(self, annotation: Any) -> trace_pb2.Span.TimeEvent:
        return Span.TimeEvent(
            time=self._time(annotation.timestamp, "annotation time"),
            annotation=Span.TimeEvent.Annotation(
                description=self._text(annotation.description),
                attributes=self._attributes(annotation.attributes),
            ),
        )

    def _message_event(self, event: Any) -> trace_pb2.Span.TimeEvent:
        message = Span.TimeEvent.MessageEvent
        return Span.TimeEvent(
            time=self._time(event.timestamp, "message event time"),
            message_event=message(
                type=self._enum(event.type, message.RECEIVED, "message event type"),
                id=reading.unsigned64(event.id, self._defects, "message event id"),
                uncompressed_size=self._number(event.uncompressed_size_bytes, UINT64, "uncompressed size"),
                compressed_size=self._number(event.compressed_size_bytes, UINT64, "compressed size"),
            ),
        )

    def _links(self, given: Any) -> trace_pb2.Span.Links | None:
        links, dropped = self._each(given, self._limits.max_links, self._link, "link")
        return Span.Links(link=links, dropped_links_count=dropped) if links or dropped else None

    def _link(self, link: Any) -> trace_pb2.Span.Link:
        return Span.Link(
            trace_id=reading.identifier(link.trace_id, 16, "trace id"),
            span_id=reading.identifier(link.span_id, 8, "span id"),
            type=self._enum(link.type, Span.Link.PARENT_LINKED_SPAN, "link type"),
            attributes=self._attributes(link.attributes),
            tracestate=self._tracestate(getattr(link, "tracestate", None)),
        )

    def _stack_trace(self, stack_trace: Any) -> trace_pb2.StackTrace | None:
        if stack_trace is None:
            return None
        frames, missing = self._each(
            getattr(stack_trace, "stack_frames", None), self._limits.max_stack_frames, self._stack_frame, "stack frame"
        )
        missing = min(missing + reading.dropped_frames(stack_trace), INT32[1])
        kept = StackTrace.StackFrames(frame=frames, dropped_frames_count=missing) if frames or missing else None
        hash_id = getattr(stack_trace, "stack_trace_hash_id", None)
        return StackTrace(
            stack_frames=kept,
            stack_trace_hash_id=reading.unsigned64(hash_id, self._defects, "stack trace hash id"),
        )

    def _stack_frame(self, given: Any) -> trace_pb2.StackTrace.StackFrame:
        frame = reading.frame_shape(given)
        module, build_id = self._text(*frame.load_module), self._text(*frame.build_id)
        load_module = trace_pb2.Module(module=module, build_id=build_id) if module or build_id else None
        return StackTrace.StackFrame(
            function_name=self._text(*frame.function_name),
            original_function_name=self._text(*frame.original_function_name),
            file_name=self._text(*frame.file_name),
            line_number=self._number(frame.line_number, INT64, "line number"),
            column_number=self._number(frame.column_number, INT64, "column number"),
            load_module=load_module,
            source_version=self._text(*frame.source_version),
        )

    def _status(self, status: Any) -> trace_pb2.Status | None:
        """Code and message; the ``details`` of OpenCensus's Status have no place in the protocol."""
        if status is None or (status.code is None and status.message is None):
            return None
        message = "" if status.message is None else self._string(status.message)
        return trace_pb2.Status(code=self._number(status.code, INT32, "status code"), message=message)

    # What the messages are made of

    def _each(self, parts: Any, limit: int, make: Callable[[Any], Message], what: str) -> tuple[list[Message], int]:
        """A message for each part within the limit, and how many parts are missing."""
        kept, dropped = reading.newest(parts, limit)
        messages = []
        for part in kept:
            try:
                messages.append(make(part))
            except Exception as error:  # noqa: BLE001  as above
                dropped += 1
                self._defects.note(LOST, left_out(what, part, error))
        return messages, min(dropped, INT32[1])

    def _string(self, value: object) -> str:
        return reading.cut(value, self._limits.max_string_bytes)[0]

    def _text(self, value: object, missing: int = 0) -> trace_pb2.TruncatableString | None:
        """A text that tells how many bytes of it are missing: ``missing`` before, and what is cut off here."""
        if value is None:
            return None
        kept, cut_off = reading.cut(value, self._limits.max_string_bytes)
        return trace_pb2.TruncatableString(value=kept, truncated_byte_count=min(missing + cut_off, INT32[1]))

    def _time(self, value: object, field: str) -> Timestamp | None:
        moment = reading.timestamp(value, self._defects, field)
        return None if moment is None else Timestamp(seconds=moment[0], nanos=moment[1])

    def _number(self, value: object, bounds: tuple[int, int], field: str) -> int:
        return reading.whole_number(value, bounds, self._defects, field)

    def _enum(self, value: object, highest: int, field: str) -> int:
        return reading.enum_number(value, highest, self._defects, field)

    def _bool(self, value: object) -> BoolValue | None:
        return None if value is None else BoolValue(value=bool(value))

    def _uint32(self, value: object, field: str) -> UInt32Value | None:
        return None if value is None else UInt32Value(value=self._number(value, UINT32, field))
