"""SpanData to wire bytes without message objects: the exporter's hot path.

Floor 4, exporter: imports attributes, fields, limits, quick, reading, sentences, span_tags and timestamps; no
protobuf.
Spec: opencensus-proto, trace/v1/trace.proto; fields go by their numbers, the entries of a map by their keys.

The bytes are those that spans_pb.py gets from the generated classes, in about a fifth of the time that their C core
takes.  (Of two keys of a map one of which begins the other, that core writes the longer one first; its Python
implementation, and we, the shorter.)

An ordinary span takes the short way, in quick.py: caches, tables, few calls.  Every other takes the one below,
through reading.py, which decides what it means.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable

from . import reading
from .attributes import LONGEST_CACHED, AttributeEncoder
from .fields import SMALL, SMALL_VARINTS, VARINTS, Cache, delimited, number_field, string_field
from .limits import DEFAULT_LIMITS, SpanLimits
from .quick import QuickSpans
from .reading import INT32, INT64, LOST, UINT32, UINT64, Defects
from .sentences import left_out, refusing
from .span_tags import (
    ANNOTATION,
    ANNOTATION_ATTRIBUTES,
    ANNOTATION_DESCRIPTION,
    ATTRIBUTES,
    BUILD_ID,
    CHILD_SPAN_COUNT,
    COLUMN_NUMBER,
    COMPRESSED_SIZE,
    DROPPED_ANNOTATIONS_COUNT,
    DROPPED_FRAMES_COUNT,
    DROPPED_LINKS_COUNT,
    DROPPED_MESSAGE_EVENTS_COUNT,
    END_TIME,
    EVENT_TIME,
    FILE_NAME,
    FRAME,
    FUNCTION_NAME,
    HIGHEST_ENUM,
    KIND,
    LINE_NUMBER,
    LINK,
    LINK_ATTRIBUTES,
    LINK_TRACESTATE,
    LINK_TYPE,
    LINKS,
    LOAD_MODULE,
    MESSAGE_EVENT,
    MESSAGE_ID,
    MESSAGE_TYPE,
    MODULE,
    NAME,
    ORIGINAL_FUNCTION_NAME,
    PARENT_SPAN_ID,
    SAME_PROCESS_AS_PARENT_SPAN,
    SOURCE_VERSION,
    SPAN_ID,
    SPANS,
    STACK_FRAMES,
    STACK_TRACE,
    STACK_TRACE_HASH_ID,
    START_TIME,
    STATUS,
    STATUS_CODE,
    STATUS_MESSAGE,
    TEXT,
    TIME_EVENT,
    TIME_EVENTS,
    TRACE_ID,
    TRACESTATE,
    TRACESTATE_ENTRY,
    TRACESTATE_KEY,
    TRACESTATE_VALUE,
    TRUNCATED_BYTE_COUNT,
    UNCOMPRESSED_SIZE,
    WRAPPED,
)
from .timestamps import Timestamps

__all__ = ["SpanEncoder"]

CACHED_TEXTS = 4096


def _raise(error: BaseException) -> None:
    raise error


class SpanEncoder:
    """Writes spans; an exporter has one, and uses it on one thread at a time.

    Args:
        limits: how much of each span is sent; may be set anew between two batches.
        defects: is told whatever could not be sent as it was.
    """

    def __init__(self, limits: SpanLimits = DEFAULT_LIMITS, defects: Defects | None = None) -> None:
        self.defects = Defects() if defects is None else defects
        self._span_data: Any = None  # the class that was found to have SpanData's fields in their order
        self._times = Timestamps(self.defects)
        self._time = self._times.field
        self.limits = limits

    @property
    def limits(self) -> SpanLimits:
        """How much of each span is sent."""
        return self._limits

    @limits.setter
    def limits(self, limits: SpanLimits) -> None:
        self._limits = limits
        self._texts = _cache_of_texts(self._text)
        attributes = AttributeEncoder(limits, self.defects, self._text)
        self._attributes = attributes.body
        self._endings = Cache(self._ending, CACHED_TEXTS, _is_usual_ending)
        self._quick = QuickSpans(
            limits,
            text=self._text,
            texts=_cache_of_texts,
            attributes=attributes.usual,
            endings=self._endings,
            milliseconds=self._times.milliseconds,
        )

    def field(self, span: Any) -> bytes:
        """A span as an entry of ``spans`` in an ExportTraceServiceRequest.

        Args:
            span: an ``opencensus.trace.span_data.SpanData``, a span as a tracer holds it, or anything of such a shape.
        Raises:
            ValueError: the span cannot be sent at all; a sentence says why.
        """
        return next(self.fields([span]))

    def fields(self, spans: Iterable[Any], refuse: Callable[[BaseException], object] = _raise) -> Iterator[bytes]:
        """Spans as such entries, one by one; put one after the other they make a batch.

        Args:
            spans: each as :meth:`field` takes it.
            refuse: is called with why, for each that cannot be sent at all, and its entry is empty; it may raise, as
                that which is called unless another is given.
        """
        quick, any_field = self._quick.body, refusing(self._any_field, refuse)
        for span in spans:
            body = None
            if type(span) is self._span_data:
                try:
                    body = quick(span[:])
                except KeyboardInterrupt:
                    raise
                except BaseException:  # noqa: BLE001  whatever is unusual about it, the other way can deal with it
                    pass
            if body is None:
                yield any_field(span)
            else:
                size = len(body)
                yield SPANS + (SMALL_VARINTS[size] if size < SMALL else VARINTS[size]) + body

    def _any_field(self, span: Any) -> bytes:
        try:
            fields: Any = span if type(span) is self._span_data else self._shape(span)
            return delimited(SPANS, self._span(*fields))
        except Exception as error:  # an application's objects may raise anything
            raise ValueError(left_out("span", span, error)) from error

    def _shape(self, span: Any) -> reading.SpanShape:
        shape = reading.span_shape(span)
        if isinstance(span, tuple) and getattr(span, "_fields", None) == shape._fields:
            self._span_data = type(span)
        return shape

    def _span(
        self,
        name: Any,
        context: Any,
        span_id: Any,
        parent_span_id: Any,
        attributes: Any,
        start_time: Any,
        end_time: Any,
        child_span_count: Any,
        stack_trace: Any,
        annotations: Any,
        message_events: Any,
        links: Any,
        status: Any,
        same_process: Any,
        kind: Any,
    ) -> bytes:
        """The fields of SpanData, in its order, to those of Span, in the order of their numbers."""
        written = self._attributes(attributes)
        events = self._time_events(annotations, message_events)
        tracestate = getattr(context, "tracestate", None)
        code, message = (None, None) if status is None else (status.code, status.message)
        ending_of = code, message, same_process, child_span_count, kind
        try:
            ending = self._endings[ending_of]
        except TypeError:  # not hashable
            ending = self._ending(ending_of)
        return b"".join(
            (
                self._ids(context.trace_id, span_id),
                b"" if parent_span_id is None else self._parent_id(parent_span_id),
                NAME + self._texts[name] if type(name) is str else self._text_field(NAME, name),
                self._time(START_TIME, start_time, "start time"),
                self._time(END_TIME, end_time, "end time"),
                ATTRIBUTES + VARINTS[len(written)] if written else b"",
                written,
                b"" if stack_trace is None else self._stack_trace(stack_trace),
                TIME_EVENTS + VARINTS[len(events)] if events else b"",
                events,
                self._links(links) if getattr(links, "_dq", links) or getattr(links, "dropped", False) else b"",
                ending,
                self._tracestate(TRACESTATE, tracestate) if tracestate else b"",
            )
        )

    def _ids(self, trace_id: Any, span_id: Any) -> bytes:
        try:
            trace, span = unhexlify(trace_id), unhexlify(span_id)
        except (TypeError, ValueError):
            trace = span = b""
        if len(trace) != 16 or len(span) != 8:
            trace = reading.identifier(trace_id, 16, "trace id")  # one of the two raises, with a sentence
            span = reading.identifier(span_id, 8, "span id")
        return TRACE_ID + trace + SPAN_ID + span

    def _parent_id(self, parent_span_id: Any) -> bytes:
        try:
            parent = unhexlify(parent_span_id)
        except (TypeError, ValueError):
            parent = b""
        if len(parent) != 8:
            parent = reading.parent_identifier(parent_span_id, self.defects)
        return PARENT_SPAN_ID + parent if parent else b""

    # Texts

    def _text(self, value: object, missing: int = 0) -> bytes:
        """A TruncatableString and, before it, its length."""
        kept, cut_off = reading.cut(value, self._limits.max_string_bytes)
        body = string_field(TEXT, kept) + number_field(TRUNCATED_BYTE_COUNT, min(missing + cut_off, INT32[1]))
        return VARINTS[len(body)] + body

    def _text_field(self, field_tag: bytes, value: object, missing: int = 0) -> bytes:
        if type(value) is str and not missing:
            return field_tag + self._texts[value]
        return b"" if value is None else field_tag + self._text(value, missing)

    def _cut(self, value: object) -> str:
        return reading.cut(value, self._limits.max_string_bytes)[0]

    # Numbers

    def _whole(self, field_tag: bytes, value: Any, bounds: tuple[int, int], field: str) -> bytes:
        """A field of a whole number; nothing for 0."""
        if type(value) is int and 0 <= value < SMALL:
            return field_tag + VARINTS[value] if value else b""
        return number_field(field_tag, reading.whole_number(value, bounds, self.defects, field))

    def _id(self, field_tag: bytes, value: Any, field: str) -> bytes:
        if type(value) is int and 0 <= value <= UINT64[1]:
            return field_tag + VARINTS[value] if value else b""
        return number_field(field_tag, reading.unsigned64(value, self.defects, field))

    def _enum(self, field_tag: bytes, value: Any, field: str) -> bytes:
        if type(value) is not int or not 0 <= value <= HIGHEST_ENUM:
            value = reading.enum_number(value, HIGHEST_ENUM, self.defects, field)
        return field_tag + VARINTS[value] if value else b""

    # Time events

    def _time_events(self, annotations: Any, message_events: Any) -> bytes:
        """The body of a TimeEvents message.  Annotations come first, as the exporters of Go and Python send them."""
        events: list[bytes] = []
        limits = self._limits
        missing = self._each(annotations, limits.max_annotations, self._annotation, "annotation", events)
        missing_messages = self._each(
            message_events, limits.max_message_events, self._message_event, "message event", events
        )
        if missing or missing_messages:
            events.append(number_field(DROPPED_ANNOTATIONS_COUNT, missing))
            events.append(number_field(DROPPED_MESSAGE_EVENTS_COUNT, missing_messages))
        return b"".join(events)

    def _annotation(self, annotation: Any) -> bytes:
        time = self._time(EVENT_TIME, annotation.timestamp, "annotation time")
        text = annotation.description
        body = (
            ANNOTATION_DESCRIPTION + self._texts[text]
            if type(text) is str
            else self._text_field(ANNOTATION_DESCRIPTION, text)
        )
        attributes = annotation.attributes
        attributes = self._attributes(getattr(attributes, "attributes", attributes))
        if attributes:
            body += ANNOTATION_ATTRIBUTES + VARINTS[len(attributes)] + attributes
        event = time + ANNOTATION + VARINTS[len(body)] + body
        return TIME_EVENT + VARINTS[len(event)] + event

    def _message_event(self, message: Any) -> bytes:
        time = self._time(EVENT_TIME, message.timestamp, "message event time")
        kind, number = message.type, message.id
        whole, packed = message.uncompressed_size_bytes, message.compressed_size_bytes
        body = (
            self._enum(MESSAGE_TYPE, kind, "message event type")
            + self._id(MESSAGE_ID, number, "message event id")
            + self._whole(UNCOMPRESSED_SIZE, whole, UINT64, "uncompressed size")
            + self._whole(COMPRESSED_SIZE, packed, UINT64, "compressed size")
        )
        event = time + MESSAGE_EVENT + VARINTS[len(body)] + body
        return TIME_EVENT + VARINTS[len(event)] + event

    # Links

    def _links(self, given: Any) -> bytes:
        links: list[bytes] = []
        dropped = self._each(given, self._limits.max_links, self._link, "link", links)
        body = b"".join(links) + number_field(DROPPED_LINKS_COUNT, dropped)
        return delimited(LINKS, body) if body else b""

    def _link(self, link: Any) -> bytes:
        body = self._ids(link.trace_id, link.span_id)  # a Link numbers its ids as a Span does
        body += self._enum(LINK_TYPE, link.type, "link type")
        attributes = link.attributes
        attributes = self._attributes(getattr(attributes, "attributes", attributes))
        if attributes:
            body += delimited(LINK_ATTRIBUTES, attributes)
        return delimited(LINK, body + self._tracestate(LINK_TRACESTATE, getattr(link, "tracestate", None)))

    def _tracestate(self, field_tag: bytes, tracestate: Any) -> bytes:
        if not tracestate:
            return b""
        entries = [
            delimited(
                TRACESTATE_ENTRY,
                string_field(TRACESTATE_KEY, self._cut(key)) + string_field(TRACESTATE_VALUE, self._cut(value)),
            )
            for key, value in tracestate.items()
        ]
        return delimited(field_tag, b"".join(entries))

    # Stack traces

    def _stack_trace(self, stack_trace: Any) -> bytes:
        given = getattr(stack_trace, "stack_frames", None)
        frames: list[bytes] = []
        missing = self._each(given, self._limits.max_stack_frames, self._stack_frame, "stack frame", frames)
        missing = min(missing + reading.dropped_frames(stack_trace), INT32[1])
        kept = b"".join(frames) + number_field(DROPPED_FRAMES_COUNT, missing)
        hash_id = getattr(stack_trace, "stack_trace_hash_id", None)
        return delimited(
            STACK_TRACE,
            (delimited(STACK_FRAMES, kept) if kept else b"")
            + self._id(STACK_TRACE_HASH_ID, hash_id, "stack trace hash id"),
        )

    def _stack_frame(self, given: Any) -> bytes:
        frame = reading.frame_shape(given)
        module = self._text_field(MODULE, *frame.load_module) + self._text_field(BUILD_ID, *frame.build_id)
        body = (
            self._text_field(FUNCTION_NAME, *frame.function_name)
            + self._text_field(ORIGINAL_FUNCTION_NAME, *frame.original_function_name)
            + self._text_field(FILE_NAME, *frame.file_name)
            + self._whole(LINE_NUMBER, frame.line_number, INT64, "line number")
            + self._whole(COLUMN_NUMBER, frame.column_number, INT64, "column number")
            + (delimited(LOAD_MODULE, module) if module else b"")
            + self._text_field(SOURCE_VERSION, *frame.source_version)
        )
        return delimited(FRAME, body)

    # How a span ended

    def _ending(self, of: tuple[Any, Any, Any, Any, Any]) -> bytes:
        """The fields from status to kind, which many spans have in common."""
        code, message, same_process, child_span_count, kind = of
        written = b"" if code is None and message is None else self._status(code, message)
        if same_process is not None:
            written += delimited(SAME_PROCESS_AS_PARENT_SPAN, number_field(WRAPPED, int(bool(same_process))))
        if child_span_count is not None:
            count = self._whole(WRAPPED, child_span_count, UINT32, "child span count")
            written += delimited(CHILD_SPAN_COUNT, count)
        return written + self._enum(KIND, kind, "span kind")

    def _status(self, code: Any, message: Any) -> bytes:
        """The ``details`` of OpenCensus's Status have no place in the protocol."""
        body = self._whole(STATUS_CODE, code, INT32, "status code")
        if message is not None:
            body += string_field(STATUS_MESSAGE, self._cut(message))
        return delimited(STATUS, body)

    # What lists of parts have in common

    def _each(self, parts: Any, limit: int, write: Callable[[Any], bytes], what: str, written: list[bytes]) -> int:
        """Append the bytes of each part within the limit; return how many parts are missing."""
        held = getattr(parts, "_dq", parts)  # opencensus's BoundedList adds calls
        has_dropped = getattr(parts, "dropped", False)
        if not held and not has_dropped:
            return 0
        kept: Sequence[Any] = list(held) if held else []
        dropped = 0
        if has_dropped or len(kept) > limit:
            kept, dropped = reading.newest(parts, limit)
        for part in kept:
            try:
                written.append(write(part))
            except Exception as error:  # noqa: BLE001  as above
                dropped += 1
                self.defects.note(LOST, left_out(what, part, error))
        return min(dropped, INT32[1]) if dropped else 0


def _cache_of_texts(write: Callable[[Any], bytes]) -> Cache[Any, bytes]:
    return Cache(write, CACHED_TEXTS, _is_short)


def _is_short(text: object) -> bool:
    return type(text) is str and len(text) <= LONGEST_CACHED


def _is_usual_ending(of: tuple[Any, Any, Any, Any, Any]) -> bool:
    code, message, same_process, child_span_count, kind = of
    return (
        (message is None or _is_short(message))
        and (same_process is None or type(same_process) is bool)
        and all(
            number is None or (type(number) is int and 0 <= number < SMALL) for number in (code, child_span_count, kind)
        )
    )
