"""What an application hands over, read as values that the protocol has.

Floor 4, exporter: imports sentences; OpenCensus's objects are known by their shape.
Source: opencensus 0.11 (trace.span_data, trace.attributes, metrics.export); numbers and times as in opencensus-proto.

Here is decided what unusual input means, for the direct encoders and for the generated classes alike.  Nothing is
refused that can be sent in some way, and whatever is not sent as it was is noted in ``Defects``.  An exception leaves
these functions only when an object's own methods raise; the caller then leaves out the part that it belongs to.
"""

from __future__ import annotations

import operator
import re
from binascii import unhexlify
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any, Callable, NamedTuple, Union

from .sentences import describe, text

__all__ = [
    "CORRECTED",
    "DISTRIBUTION_VALUE",
    "DOUBLE_VALUE",
    "GAUGES",
    "INT32",
    "INT64",
    "INT64_VALUE",
    "LOST",
    "STRINGIFIED",
    "SUMMARY_VALUE",
    "UINT32",
    "UINT64",
    "AttributeValue",
    "Defects",
    "FrameShape",
    "SpanShape",
    "attribute_map",
    "attribute_value",
    "cut",
    "dropped_before",
    "dropped_frames",
    "enum_number",
    "frame_shape",
    "identifier",
    "metric_name",
    "metric_type",
    "newest",
    "newest_items",
    "parent_identifier",
    "point_kind",
    "real_number",
    "span_shape",
    "timestamp",
    "unsigned64",
    "whole_number",
    "whole_seconds",
]

LOST = "lost"
"""A part was left out: an attribute, an event, a link, a stack frame, a point."""

STRINGIFIED = "stringified"
"""An attribute's value has no type of the protocol; its ``str()`` was sent."""

CORRECTED = "corrected"
"""A number, a time or a parent's id could not be read or was out of range; the nearest number, or nothing, was sent."""

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT32 = (0, 2**32 - 1)
UINT64 = (0, 2**64 - 1)

AttributeValue = Union[str, int, bool, float]


class Defects:
    """What could not be sent as it was: how often, by kind, and the newest sentence of each kind.

    Args:
        tell: is called with kind and sentence of each defect, for instance to log it now and then.
    """

    def __init__(self, tell: Callable[[str, str], None] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, str] = {}
        self._tell = tell

    def note(self, kind: str, sentence: str) -> None:
        """Count a defect and keep the sentence about it."""
        self.counts[kind] += 1
        self.latest[kind] = sentence
        if self._tell is not None:
            self._tell(kind, sentence)


# Texts


def cut(value: object, limit: int) -> tuple[str, int]:
    """The value as text of at most ``limit`` bytes of UTF-8, and how many bytes that took away."""
    whole = text(value)
    data = whole.encode("utf-8")
    if len(data) <= limit:
        return whole, 0
    kept = data[:limit].decode("utf-8", "ignore")  # "ignore" drops a character that the cut went through
    return kept, len(data) - len(kept.encode("utf-8"))


# Numbers and ids


def whole_number(value: object, bounds: tuple[int, int], defects: Defects, field: str) -> int:
    """The value as a whole number within bounds; None is 0."""
    lowest, highest = bounds
    if value is None:
        return 0
    try:
        number = int.__int__(value) if isinstance(value, int) else int(value)  # type: ignore[call-overload]  # or raises
    except (TypeError, ValueError, OverflowError):
        defects.note(CORRECTED, f"{field} is {describe(value)}, not a whole number; 0 is sent")
        return 0
    if lowest <= number <= highest:
        return int(number)
    defects.note(CORRECTED, f"{field} is outside of {lowest} to {highest}; the nearest of these is sent")
    return lowest if number < lowest else highest


def enum_number(value: object, highest: int, defects: Defects, field: str) -> int:
    """The number of an enum's value; 0, which means "unspecified" in all of them, for one that it lacks."""
    number = whole_number(value, INT32, defects, field)
    return number if 0 <= number <= highest else 0


def unsigned64(value: object, defects: Defects, field: str) -> int:
    """An id of up to 64 bits; negative ones as the two's complement, as Go sends them, so that ids stay distinct."""
    return whole_number(value, (INT64[0], UINT64[1]), defects, field) & UINT64[1]


def real_number(value: object, defects: Defects, field: str) -> float:
    """The value as a double; None is 0."""
    if value is None:
        return 0.0
    try:
        return float.__float__(value) if isinstance(value, float) else float(value)  # type: ignore[arg-type]  # or raises
    except (TypeError, ValueError, OverflowError):
        defects.note(CORRECTED, f"{field} is {describe(value)}, which no double can hold; 0 is sent")
        return 0.0


def identifier(value: Any, size: int, field: str) -> bytes:
    """An id of ``size`` bytes from its hexadecimal digits.

    Raises:
        ValueError: it is none, with a sentence.
    """
    try:
        found = unhexlify(value)
    except (TypeError, ValueError):
        found = b""
    if len(found) != size:
        raise ValueError(f"its {field} is {describe(value)}, not {2 * size} hexadecimal digits")
    return found


def parent_identifier(value: object, defects: Defects) -> bytes:
    """A parent's span id; empty for None, and for what cannot be read: the span itself is worth more than that."""
    if value is None:
        return b""
    try:
        return identifier(value, 8, "parent span id")
    except ValueError as error:
        defects.note(CORRECTED, f"a span has no parent in the trace: {error}")
        return b""


# Times

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
EPOCH_DAY = EPOCH.toordinal()
SECOND = timedelta(seconds=1)
WHOLE_SECONDS = re.compile(r"(\d{1,4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", re.ASCII)
"""The year may be short: strftime("%Y") writes those below 1000 without zeros."""
REST_OF_TIME = re.compile(r"(?:[.,](\d+))?(?:Z|([+-])(\d\d):?(\d\d))?", re.ASCII)


def timestamp(value: object, defects: Defects, field: str) -> tuple[int, int] | None:
    """Seconds since 1970 and nanoseconds; None for None and for what is no time.

    Args:
        value: a ``datetime``, or its text as OpenCensus writes it: ``2026-11-23T10:20:30.123456Z``.  Without a zone
            it is UTC.
    """
    if value is None:
        return None
    try:
        return _from_datetime(value) if isinstance(value, datetime) else _from_iso(value)
    except (TypeError, ValueError, OverflowError):
        defects.note(CORRECTED, f"{field} is {describe(value)}, not like 2026-11-23T10:20:30.123456Z; none is sent")
        return None


def _from_datetime(value: datetime) -> tuple[int, int]:
    if value.utcoffset() is None:
        value = value.replace(tzinfo=timezone.utc)
    seconds, rest = divmod(value - EPOCH, SECOND)
    return seconds, rest.microseconds * 1000


def _from_iso(value: object) -> tuple[int, int]:
    match = WHOLE_SECONDS.match(str.__str__(value)) if isinstance(value, str) else None
    rest = REST_OF_TIME.fullmatch(match.string, match.end()) if match else None
    if match is None or rest is None:
        raise ValueError("no time")
    seconds = whole_seconds(match[0])
    fraction, sign, hours, minutes = rest.groups()
    if sign:
        offset = (int(hours) * 60 + int(minutes)) * 60
        seconds += offset if sign == "-" else -offset
    return seconds, int((fraction or "0")[:9].ljust(9, "0"))


def whole_seconds(value: str) -> int:
    """Seconds since 1970 at a time like 2026-11-23T10:20:30, in UTC.

    Raises:
        ValueError: it is not of this form, or there is no such time.
    """
    match = WHOLE_SECONDS.fullmatch(value)
    if match is None:
        raise ValueError("no time")
    year, month, day, hour, minute, second = map(int, match.groups())
    if hour > 23 or minute > 59 or second > 60:  # 60 is a leap second
        raise ValueError("no time of day")
    days = date(year, month, day).toordinal() - EPOCH_DAY
    return ((days * 24 + hour) * 60 + minute) * 60 + second


# Attributes


def attribute_value(value: object, defects: Defects, key: object) -> AttributeValue:
    """The value as exactly one of the four types that attributes have."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int) or hasattr(value, "__index__"):  # the latter: numpy's
        number = int(operator.index(value))
        if INT64[0] <= number <= INT64[1]:
            return number
    said = text(value)
    defects.note(STRINGIFIED, f"attribute {describe(key)} is of type {type(value).__name__}; it is sent as text")
    return said


def attribute_map(attributes: Any) -> Mapping[Any, Any]:
    """The mapping inside of OpenCensus's ``Attributes``, or the mapping itself; None is an empty one."""
    if attributes is None:
        return {}
    inner: Any = getattr(attributes, "attributes", attributes)
    return {} if inner is None else inner


# Lists of parts


def newest(parts: Any, limit: int) -> tuple[list[Any], int]:
    """The last ``limit`` parts, and how many others there are, those included that the tracer itself dropped."""
    if not parts:
        return [], dropped_before(parts)
    every = list(parts)
    surplus = max(len(every) - limit, 0)
    return every[surplus:], surplus + dropped_before(parts)


def newest_items(attributes: Mapping[Any, Any], limit: int) -> tuple[list[tuple[Any, Any]], int]:
    """The last ``limit`` items, and how many others there are."""
    every = list(attributes.items())
    surplus = max(len(every) - limit, 0)
    return every[surplus:], surplus + dropped_before(attributes)


def dropped_before(parts: Any) -> int:
    """How many parts OpenCensus's ``BoundedList`` or ``BoundedDict`` has already dropped."""
    dropped = getattr(parts, "dropped", 0)
    return max(dropped, 0) if type(dropped) is int else 0


# Metrics

DISTRIBUTION_VALUE = "distribution_value"
DOUBLE_VALUE = "double_value"
INT64_VALUE = "int64_value"
SUMMARY_VALUE = "summary_value"

KIND_OF_TYPE = {  # MetricDescriptor.Type -> the field of Point that its values go into
    1: INT64_VALUE,
    2: DOUBLE_VALUE,
    3: DISTRIBUTION_VALUE,
    4: INT64_VALUE,
    5: DOUBLE_VALUE,
    6: DISTRIBUTION_VALUE,
    7: SUMMARY_VALUE,
}
GAUGES = (1, 2, 3)
"""The types of metrics whose time series have no start."""


def metric_name(name: object, prefix: str) -> str:
    """A metric's name as it is sent: ``prefix``, "/" and the name, or the name alone."""
    plain = "" if name is None else text(name)
    return f"{text(prefix)}/{plain}" if prefix else plain


def metric_type(value: object, defects: Defects) -> int:
    """The number of a MetricDescriptor.Type; 0, UNSPECIFIED, for one that it lacks."""
    number = whole_number(value, INT32, defects, "a metric's type")
    return number if number in KIND_OF_TYPE else 0


def point_kind(metric_type: int, value: Any) -> str:
    """The field of Point for a value: the one of its metric's type, since agents take any other for 0."""
    kind = KIND_OF_TYPE.get(metric_type)
    if kind is not None:
        return kind
    if hasattr(value, "bucket_options"):
        return DISTRIBUTION_VALUE
    if hasattr(value.value, "snapshot"):
        return SUMMARY_VALUE
    return INT64_VALUE if isinstance(value.value, int) else DOUBLE_VALUE


# Spans


class SpanShape(NamedTuple):
    """What is sent of a span: the fields of ``opencensus.trace.span_data.SpanData``, in its order."""

    name: Any
    context: Any
    span_id: Any
    parent_span_id: Any
    attributes: Any
    start_time: Any
    end_time: Any
    child_span_count: Any
    stack_trace: Any
    annotations: Any
    message_events: Any
    links: Any
    status: Any
    same_process_as_parent_span: Any
    span_kind: Any


def span_shape(span: Any) -> SpanShape:
    """A ``SpanData``, or a span as the tracer holds it, in one shape; what is missing is None."""
    if getattr(span, "_fields", None) == SpanShape._fields:
        return SpanShape(*span)
    fields = {name: getattr(span, name, None) for name in SpanShape._fields}
    if fields["context"] is None:
        fields["context"] = getattr(getattr(span, "context_tracer", None), "span_context", None)
    if fields["child_span_count"] is None and hasattr(span, "children"):
        fields["child_span_count"] = len(span.children)
    if fields["parent_span_id"] is None:
        parent = getattr(span, "parent_span", None)
        fields["parent_span_id"] = parent if isinstance(parent, str) else getattr(parent, "span_id", None)
    return SpanShape(**fields)


# Stack traces


class FrameShape(NamedTuple):
    """What is sent of a stack frame; each text with the number of bytes that opencensus has already cut off it."""

    function_name: tuple[Any, int]
    original_function_name: tuple[Any, int]
    file_name: tuple[Any, int]
    load_module: tuple[Any, int]
    build_id: tuple[Any, int]
    source_version: tuple[Any, int]
    line_number: Any
    column_number: Any


def frame_shape(frame: Any) -> FrameShape:
    """A ``StackFrame``, or the dictionary that opencensus makes of one when it takes a traceback apart."""
    if not isinstance(frame, Mapping):
        return FrameShape(
            (frame.func_name, 0),
            (frame.original_func_name, 0),
            (frame.file_name, 0),
            (frame.load_module, 0),
            (frame.build_id, 0),
            (frame.source_version, 0),
            frame.line_num,
            frame.col_num,
        )
    module = frame.get("load_module") or {}
    return FrameShape(
        _text_and_missing(frame.get("function_name")),
        _text_and_missing(frame.get("original_function_name")),
        _text_and_missing(frame.get("file_name")),
        _text_and_missing(module.get("module")),
        _text_and_missing(module.get("build_id")),
        _text_and_missing(frame.get("source_version")),
        frame.get("line_number"),
        frame.get("column_number"),
    )


def _text_and_missing(value: Any) -> tuple[Any, int]:
    if not isinstance(value, Mapping):
        return value, 0
    missing = value.get("truncated_byte_count")
    return value.get("value"), (missing if type(missing) is int and missing > 0 else 0)


def dropped_frames(stack_trace: Any) -> int:
    """How many frames opencensus has already dropped."""
    dropped = getattr(stack_trace, "dropped_frames_count", 0)
    return max(dropped, 0) if type(dropped) is int else 0
