"""Ordinary spans to wire bytes, in one go: what nearly all spans of a program take.

Floor 4, exporter: imports fields, limits, span_tags and timestamps; no protobuf.
Spec: opencensus-proto, trace/v1/trace.proto.

Ordinary is a span of opencensus's tracer with parts of the types that its documentation names, and without links, a
stack trace, a tracestate, or anything dropped.  Nothing is decided here about any other: it is handed back before
anything was noted about it, and spans.py writes it field by field.
"""

from __future__ import annotations

from binascii import unhexlify
from typing import Any, Callable

from .fields import SMALL, VARINTS, Cache, number_field
from .limits import SpanLimits
from .span_tags import (
    ANNOTATION,
    ANNOTATION_ATTRIBUTES,
    ANNOTATION_DESCRIPTION,
    ATTRIBUTES,
    COMPRESSED_SIZE,
    END_TIME,
    EVENT_TIME,
    HIGHEST_ENUM,
    MESSAGE_EVENT,
    MESSAGE_ID,
    MESSAGE_TYPE,
    MESSAGE_TYPES,
    NAME,
    PARENT_SPAN_ID,
    SPAN_ID,
    START_TIME,
    TIME_EVENT,
    TIME_EVENTS,
    TRACE_ID,
    UNCOMPRESSED_SIZE,
    USUAL,
)
from .timestamps import BELOW_MILLISECOND, HIGH_NANOS, LOW_NANOS, MICROSECONDS, MIDDLE_NANOS, TO_MILLISECOND

__all__ = ["QuickSpans"]

SIZES = [VARINTS[size] for size in range(SMALL)]
"""Sizes of bodies; a list is looked up in half the time.  A larger event is not ordinary."""


class QuickSpans:
    """Writes ordinary spans; a span's encoder has one, and shares its caches with it.

    Args:
        limits: how much of each span is sent.
        texts: a text as a TruncatableString with its length before it.
        attributes: writes a dictionary of attributes, or raises anything.
        endings: the fields from status to kind, of those that the span's encoder has met.
        milliseconds: as :attr:`Timestamps.milliseconds`.
    """

    def __init__(
        self,
        limits: SpanLimits,
        texts: Cache[Any, bytes],
        attributes: Callable[[Any], bytes],
        endings: Cache[Any, bytes],
        milliseconds: Cache[str, tuple[bytes, int, int]],
    ) -> None:
        self._limits, self._texts, self._attributes = limits, texts, attributes
        self._endings, self._milliseconds = endings, milliseconds
        self._trace_id: object = object()  # the newest; the spans of a trace come one after the other
        self._trace = b""

    def body(self, fields: tuple[Any, ...]) -> bytes | None:  # noqa: C901, PLR0911  said below
        """A serialized Span, of the fields of SpanData in its order; None for a span that is not ordinary.

        It is long because it calls nothing that it can do itself: a call costs as much as three or four look-ups.

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
        if stack_trace is not None or links._dq or links.dropped or attributes.dropped or context.tracestate:
            return None
        ending = self._endings.get((status.code, status.message, same_process, child_span_count, span_kind))
        if ending is None or type(name) is not str:
            return None

        limits = self._limits
        if (
            annotations.dropped
            or message_events.dropped
            or len(annotations._dq) > limits.max_annotations
            or len(message_events._dq) > limits.max_message_events
        ):
            return None

        trace_id = context.trace_id
        if trace_id is not self._trace_id:
            self._begin_trace(trace_id)
        span = unhexlify(span_id)
        parent = b"" if parent_span_id is None else unhexlify(parent_span_id)
        if len(span) != 8 or (parent_span_id is not None and len(parent) != 8):
            return None

        milliseconds = self._milliseconds
        start_head, start_units, _ = milliseconds[start[TO_MILLISECOND]]
        start_units += MICROSECONDS[start[BELOW_MILLISECOND]]
        end_head, end_units, _ = milliseconds[end[TO_MILLISECOND]]
        end_units += MICROSECONDS[end[BELOW_MILLISECOND]]
        attribute_map = self._attributes(attributes._dict)
        events: list[bytes] = []
        for annotation in annotations._dq:
            time, text, given = annotation.timestamp, annotation.description, annotation.attributes
            head, units, length = milliseconds[time[TO_MILLISECOND]]
            units += MICROSECONDS[time[BELOW_MILLISECOND]]
            if type(text) is not str:
                return None
            body = ANNOTATION_DESCRIPTION + self._texts[text]
            if given is not None and given.attributes:
                written = self._attributes(given.attributes)
                body = b"".join((body, ANNOTATION_ATTRIBUTES, SIZES[len(written)], written))
            size = SIZES[len(body)]
            events += (
                TIME_EVENT,
                SIZES[length + len(size) + len(body) + 2],  # with the two tags
                EVENT_TIME,
                head,
                LOW_NANOS[units & 0x7FF],
                MIDDLE_NANOS[units >> 11 & 0x7F],
                HIGH_NANOS[units >> 18],
                ANNOTATION,
                size,
                body,
            )
        for message in message_events._dq:
            time, kind, number = message.timestamp, message.type, message.id
            whole, packed = message.uncompressed_size_bytes, message.compressed_size_bytes
            head, units, length = milliseconds[time[TO_MILLISECOND]]
            units += MICROSECONDS[time[BELOW_MILLISECOND]]
            if not (
                type(kind) is type(number) is type(whole) is type(packed) is int
                and 0 <= kind <= HIGHEST_ENUM
                and 0 <= number < USUAL
                and 0 <= whole < USUAL
                and 0 <= packed < USUAL
            ):
                return None
            if kind and number and whole and packed:
                body = b"".join(
                    (
                        MESSAGE_TYPES[kind],
                        SIZES[number] if number < SMALL else VARINTS[number],
                        UNCOMPRESSED_SIZE,
                        SIZES[whole] if whole < SMALL else VARINTS[whole],
                        COMPRESSED_SIZE,
                        SIZES[packed] if packed < SMALL else VARINTS[packed],
                    )
                )
            else:
                body = number_field(MESSAGE_TYPE, kind) + number_field(MESSAGE_ID, number)
                body += number_field(UNCOMPRESSED_SIZE, whole) + number_field(COMPRESSED_SIZE, packed)
            size = SIZES[len(body)]
            events += (
                TIME_EVENT,
                SIZES[length + len(size) + len(body) + 2],
                EVENT_TIME,
                head,
                LOW_NANOS[units & 0x7FF],
                MIDDLE_NANOS[units >> 11 & 0x7F],
                HIGH_NANOS[units >> 18],
                MESSAGE_EVENT,
                size,
                body,
            )
        time_events = b"".join(events)
        return b"".join(
            (
                self._trace,
                span,
                PARENT_SPAN_ID if parent else b"",
                parent,
                NAME,
                self._texts[name],
                START_TIME,
                start_head,
                LOW_NANOS[start_units & 0x7FF],
                MIDDLE_NANOS[start_units >> 11 & 0x7F],
                HIGH_NANOS[start_units >> 18],
                END_TIME,
                end_head,
                LOW_NANOS[end_units & 0x7FF],
                MIDDLE_NANOS[end_units >> 11 & 0x7F],
                HIGH_NANOS[end_units >> 18],
                ATTRIBUTES + VARINTS[len(attribute_map)] if attribute_map else b"",
                attribute_map,
                TIME_EVENTS + VARINTS[len(time_events)] if events else b"",
                time_events,
                ending,
            )
        )

    def _begin_trace(self, trace_id: str) -> None:
        """Keep what spans of this trace begin with."""
        trace = unhexlify(trace_id)
        if type(trace_id) is not str or len(trace) != 16:
            raise ValueError("not an ordinary trace id")
        self._trace_id, self._trace = trace_id, TRACE_ID + trace + SPAN_ID
