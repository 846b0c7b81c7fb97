"""Ordinary spans to wire bytes, in one go: what nearly all spans of a program take.

Floor 4, exporter: imports fields, limits, span_tags and timestamps; no protobuf.
Spec: opencensus-proto, trace/v1/trace.proto.

Ordinary is a span of opencensus's tracer with parts of the types that its documentation names, and without links, a
stack trace, a tracestate, or anything dropped.  Nothing is decided here about any other: it is handed back before
anything was noted about it, and spans.py writes it field by field.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from typing import Any, Callable

from .fields import CONTINUED, SMALL, SMALL_VARINTS, USUAL, VARINTS, Cache, number_field
from .limits import SpanLimits
from .span_tags import (
    ANNOTATION,
    ANNOTATION_ATTRIBUTES,
    ANNOTATION_DESCRIPTION,
    ATTRIBUTES,
    COMPRESSED_SIZE,
    END_TIME,
    EVENT_TIME,
    MESSAGE_EVENT,
    MESSAGE_ID,
    MESSAGE_TYPE_FIELDS,
    MESSAGE_TYPES,
    NAME,
    PARENT_SPAN_ID,
    SPAN_ID,
    START_TIME,
    TIME_EVENT,
    TIME_EVENTS,
    TRACE_ID,
    UNCOMPRESSED_SIZE,
)
from .timestamps import BELOW_MILLISECOND, HIGH_NANOS, LOW_NANOS, MICROSECONDS, MIDDLE_NANOS, TO_MILLISECOND

__all__ = ["QuickSpans"]

START_ENDS = [high + END_TIME for high in HIGH_NANOS]
ANNOTATION_TIME_ENDS = [high + ANNOTATION for high in HIGH_NANOS]
MESSAGE_TIME_ENDS = [high + MESSAGE_EVENT for high in HIGH_NANOS]
"""The last part of a time together with the tag behind it there: each piece of a join costs."""


class QuickSpans:
    """Writes ordinary spans; a span's encoder has one, and shares some of its caches with it.

    Args:
        limits: how much of each span is sent.
        text: writes a text as a TruncatableString with its length before it.
        texts: makes a cache for what is written of texts.
        attributes: writes a dictionary of attributes, or raises anything.
        endings: the fields from status to kind, of those that the span's encoder has met.
        milliseconds: as :attr:`Timestamps.milliseconds`.
    """

    def __init__(
        self,
        limits: SpanLimits,
        *,
        text: Callable[[str], bytes],
        texts: Callable[[Callable[[Any], bytes]], Cache[Any, bytes]],
        attributes: Callable[[Any], bytes],
        endings: Cache[Any, bytes],
        milliseconds: Cache[str, tuple[bytes, int, int]],
    ) -> None:
        self._most_annotations, self._most_messages = limits.max_annotations, limits.max_message_events
        self._text, self._attributes = text, attributes
        self._known_endings, self._milliseconds = endings.known, milliseconds
        self._names, self._descriptions = texts(self._name), texts(self._description)
        self._trace_id: object = object()  # the newest; the spans of a trace come one after the other
        self._trace = b""

    def body(self, fields: tuple[Any, ...]) -> bytes | None:
        """A serialized Span, of the fields of SpanData in its order; None for a span that is not ordinary.

        It calls little that it can do itself: a call costs as much as three or four look-ups.

        Raises:
            Exception: of any kind, for a span that is not ordinary either.
        """
        (
            name,
            context,
            span_id,
            parent_span_id,
            attributes,
            start,
            end,
            child_span_count,
            stack_trace,
            annotations,
            message_events,
            links,
            status,
            same_process,
            span_kind,
        ) = fields
        if stack_trace is not None or links._dq or links.dropped or context.tracestate:
            return None
        if attributes.dropped or annotations.dropped or message_events.dropped:
            return None
        ending = self._known_endings[status.code, status.message, same_process, child_span_count, span_kind]

        trace_id = context.trace_id
        if trace_id is not self._trace_id:
            self._begin_trace(trace_id)
        trace = self._trace  # now: reading the rest may run code that has other spans written
        span = unhexlify(span_id)
        parent = b"" if parent_span_id is None else PARENT_SPAN_ID + unhexlify(parent_span_id)
        if len(span) != 8 or (parent and len(parent) != len(PARENT_SPAN_ID) + 8) or type(name) is not str:
            return None
        beginning = self._names.known.get(name) or self._names[name]

        known = self._milliseconds.known
        try:
            start_head, start_units, _ = known[start[TO_MILLISECOND]]
            end_head, end_units, _ = known[end[TO_MILLISECOND]]
        except KeyError:
            start_head, start_units, _ = self._milliseconds[start[TO_MILLISECOND]]
            end_head, end_units, _ = self._milliseconds[end[TO_MILLISECOND]]
        start_units += MICROSECONDS[start[BELOW_MILLISECOND]]
        end_units += MICROSECONDS[end[BELOW_MILLISECOND]]

        attributes_tag = attributes_size = events_tag = events_size = b""
        attribute_map = self._attributes(attributes._dict)
        if attribute_map:
            size = len(attribute_map)
            attributes_tag, attributes_size = ATTRIBUTES, SMALL_VARINTS[size] if size < SMALL else VARINTS[size]
        events: list[bytes] = []
        if annotations._dq:
            self._add_annotations(annotations._dq, events)
        if message_events._dq:
            self._add_message_events(message_events._dq, events)
        time_events = b"".join(events)
        if time_events:
            size = len(time_events)
            events_tag, events_size = TIME_EVENTS, SMALL_VARINTS[size] if size < SMALL else VARINTS[size]
        return b"".join(
            (
                trace,
                span,
                parent,
                beginning,
                start_head,
                LOW_NANOS[start_units & 0x7FF],
                MIDDLE_NANOS[start_units >> 11 & 0x7F],
                START_ENDS[start_units >> 18],
                end_head,
                LOW_NANOS[end_units & 0x7FF],
                MIDDLE_NANOS[end_units >> 11 & 0x7F],
                HIGH_NANOS[end_units >> 18],
                attributes_tag,
                attributes_size,
                attribute_map,
                events_tag,
                events_size,
                time_events,
                ending,
            )
        )

    def _add_annotations(self, annotations: Sequence[Any], events: list[bytes]) -> None:
        """Add the pieces of their time events; IndexError for a large one, which is not ordinary."""
        if len(annotations) > self._most_annotations:
            raise ValueError("too many")
        for annotation in annotations:
            time, text, given = annotation.timestamp, annotation.description, annotation.attributes
            try:
                head, units, length = self._milliseconds.known[time[TO_MILLISECOND]]
            except KeyError:
                head, units, length = self._milliseconds[time[TO_MILLISECOND]]
            units += MICROSECONDS[time[BELOW_MILLISECOND]]
            if type(text) is not str:
                raise ValueError("not an ordinary description")
            body = self._descriptions.known.get(text) or self._descriptions[text]
            if given is not None and given.attributes:
                written = self._attributes(given.attributes)
                body = b"".join((body, ANNOTATION_ATTRIBUTES, SMALL_VARINTS[len(written)], written))
            size = SMALL_VARINTS[len(body)]
            events += (
                TIME_EVENT,
                SMALL_VARINTS[length + len(size) + len(body) + 2],  # with the two tags
                EVENT_TIME,
                head,
                LOW_NANOS[units & 0x7FF],
                MIDDLE_NANOS[units >> 11 & 0x7F],
                ANNOTATION_TIME_ENDS[units >> 18],
                size,
                body,
            )

    def _add_message_events(self, message_events: Sequence[Any], events: list[bytes]) -> None:
        """The same for message events."""
        if len(message_events) > self._most_messages:
            raise ValueError("too many")
        for message in message_events:
            time, kind, number = message.timestamp, message.type, message.id
            whole, packed = message.uncompressed_size_bytes, message.compressed_size_bytes
            try:
                head, units, length = self._milliseconds.known[time[TO_MILLISECOND]]
            except KeyError:
                head, units, length = self._milliseconds[time[TO_MILLISECOND]]
            units += MICROSECONDS[time[BELOW_MILLISECOND]]
            if not type(kind) is type(number) is type(whole) is type(packed) is int:
                raise TypeError("not numbers that can be sent as they are")
            if not 0 <= kind | number | whole | packed < USUAL:
                raise ValueError("not the usual numbers")
            if kind and number and whole and packed:
                body = b"".join(
                    (
                        MESSAGE_TYPES[kind],
                        SMALL_VARINTS[number] if number < SMALL else CONTINUED[number & 0x7F] + VARINTS[number >> 7],
                        UNCOMPRESSED_SIZE,
                        SMALL_VARINTS[whole] if whole < SMALL else CONTINUED[whole & 0x7F] + VARINTS[whole >> 7],
                        COMPRESSED_SIZE,
                        SMALL_VARINTS[packed] if packed < SMALL else CONTINUED[packed & 0x7F] + VARINTS[packed >> 7],
                    )
                )
            else:
                body = MESSAGE_TYPE_FIELDS[kind] + number_field(MESSAGE_ID, number)
                body += number_field(UNCOMPRESSED_SIZE, whole) + number_field(COMPRESSED_SIZE, packed)
            size = SMALL_VARINTS[len(body)]
            events += (
                TIME_EVENT,
                SMALL_VARINTS[length + len(size) + len(body) + 2],
                EVENT_TIME,
                head,
                LOW_NANOS[units & 0x7FF],
                MIDDLE_NANOS[units >> 11 & 0x7F],
                MESSAGE_TIME_ENDS[units >> 18],
                size,
                body,
            )

    def _begin_trace(self, trace_id: str) -> None:
        """Keep what spans of this trace begin with."""
        trace = unhexlify(trace_id)
        if type(trace_id) is not str or len(trace) != 16:
            raise ValueError("not an ordinary trace id")
        self._trace_id = object()  # until both are of one trace, whatever comes in between
        self._trace = TRACE_ID + trace + SPAN_ID
        self._trace_id = trace_id

    def _name(self, name: str) -> bytes:
        """The field, and the tag that follows it."""
        return NAME + self._text(name) + START_TIME

    def _description(self, text: str) -> bytes:
        return ANNOTATION_DESCRIPTION + self._text(text)
