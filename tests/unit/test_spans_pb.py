"""What is sent of a span: each field's meaning.  The direct encoder is held to the same in every case."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from opencensus.trace import attributes, link, stack_trace, status, time_event
from opencensus.trace.span import BoundedDict, BoundedList, Span
from opencensus.trace.span_context import SpanContext
from opencensus.trace.span_data import SpanData
from opencensus.trace.tracestate import Tracestate

from puremux.exporter.limits import DEFAULT_LIMITS, SpanLimits
from puremux.exporter.reading import Defects
from puremux.exporter.spans import SpanEncoder
from puremux.exporter.spans_pb import span_message
from puremux.proto import trace_pb2, trace_service_pb2

TRACE_ID = "0123456789abcdef0123456789abcdef"
SPAN_ID = "fedcba9876543210"
START = "2026-11-23T10:20:30.123456Z"
START_SECONDS = int(datetime(2026, 11, 23, 10, 20, 30, tzinfo=timezone.utc).timestamp())


def span_data(**fields: Any) -> SpanData:
    """A SpanData with only what every span has, and these fields."""
    bare = dict.fromkeys(SpanData._fields)
    bare.update(name="a span", context=SpanContext(trace_id=TRACE_ID), span_id=SPAN_ID, span_kind=0)
    bare.update(fields)
    return SpanData(**bare)


def sent(span: Any, limits: SpanLimits = DEFAULT_LIMITS, defects: dict[str, int] | None = None) -> trace_pb2.Span:
    """The message for a span, which both encoders write alike, noting these defects."""
    noted, quick = Defects(), Defects()
    message = span_message(span, limits, noted)
    request = trace_service_pb2.ExportTraceServiceRequest(spans=[message])
    assert SpanEncoder(limits, quick).field(span) == request.SerializeToString(deterministic=True)
    assert quick.counts == noted.counts == (defects or {})
    return message


def values(sent_attributes: trace_pb2.Span.Attributes) -> dict[str, Any]:
    """The attributes as Python has them."""
    found = {}
    for key, value in sent_attributes.attribute_map.items():
        kind = value.WhichOneof("value")
        found[key] = value.string_value.value if kind == "string_value" else getattr(value, kind)
    return found


class Bare:
    """Something whose parts cannot be had, as a number of numpy's."""

    def __getitem__(self, key: object) -> object:
        raise IndexError("invalid index to scalar variable")


def test_a_time_that_has_no_parts_costs_nothing_but_itself() -> None:
    message = sent(span_data(start_time=Bare(), end_time=START), defects={"corrected": 1})
    assert not message.HasField("start_time")
    assert message.end_time.seconds == START_SECONDS


def test_a_bare_span_has_only_its_name_and_ids() -> None:
    message = sent(span_data())
    assert message.trace_id.hex() == TRACE_ID
    assert message.span_id.hex() == SPAN_ID
    assert message.name.value == "a span"
    assert [field.name for field, _ in message.ListFields()] == ["trace_id", "span_id", "name"]


@pytest.mark.parametrize(
    "given, expected",
    [
        pytest.param(START, (START_SECONDS, 123456000), id="as opencensus writes it"),
        pytest.param("2026-11-23T10:20:30.000001Z", (START_SECONDS, 1000), id="few nanoseconds"),
        pytest.param("2026-11-23T10:20:30.000000Z", (START_SECONDS, 0), id="no nanoseconds"),
        pytest.param("2026-11-23T10:20:30.002097Z", (START_SECONDS, 2097000), id="three bytes of nanoseconds"),
        pytest.param("2026-11-23T10:20:30.002098Z", (START_SECONDS, 2098000), id="four bytes of nanoseconds"),
        pytest.param("2026-11-23T10:20:30.268435Z", (START_SECONDS, 268435000), id="four bytes, nearly five"),
        pytest.param("2026-11-23T10:20:30.268436Z", (START_SECONDS, 268436000), id="five bytes"),
        pytest.param("2026-11-23T10:20:30.999999Z", (START_SECONDS, 999999000), id="the most"),
        pytest.param("2026-11-23T10:20:30Z", (START_SECONDS, 0), id="whole seconds"),
        pytest.param("2026-11-23T10:20:30.1234567891Z", (START_SECONDS, 123456789), id="more than nanoseconds"),
        pytest.param("2026-11-23T12:20:30.5+02:00", (START_SECONDS, 500000000), id="east"),
        pytest.param("2026-11-23 08:20:30-0200", (START_SECONDS, 0), id="west, with a space"),
        pytest.param("2026-11-23T10:20:30", (START_SECONDS, 0), id="no zone is UTC"),
        pytest.param("2026-11-23T10:20:30.123456", (START_SECONDS, 123456000), id="no zone, with a fraction"),
        pytest.param("1970-01-01T00:00:00.000000Z", (0, 0), id="the epoch"),
        pytest.param("1969-12-31T23:59:59.900000Z", (-1, 900000000), id="before it"),
        pytest.param("99-01-01T00:00:00.500000Z", (-59042995200, 500000000), id="a year that strftime left short"),
        pytest.param("2016-12-31T23:59:60.500000Z", (1483228800, 500000000), id="a leap second"),
        pytest.param(datetime(2026, 11, 23, 10, 20, 30, 7), (START_SECONDS, 7000), id="a datetime"),
        pytest.param(
            datetime(2026, 11, 23, 12, 20, 30, tzinfo=timezone(timedelta(hours=2))),
            (START_SECONDS, 0),
            id="with a zone",
        ),
        pytest.param(datetime(1969, 12, 31, 23, 59, 59, 900000), (-1, 900000000), id="a datetime before the epoch"),
    ],
)
def test_times_that_are_read(given: Any, expected: tuple[int, int]) -> None:
    message = sent(span_data(start_time=given, end_time=given))
    assert (message.start_time.seconds, message.start_time.nanos) == expected
    assert message.end_time == message.start_time


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("yesterday", id="a word"),
        pytest.param("", id="empty"),
        pytest.param("2026-13-23T10:20:30.123456Z", id="month 13"),
        pytest.param("2026-02-29T10:20:30.123456Z", id="29 February of a common year"),
        pytest.param("2026-11-23T24:00:00.123456Z", id="hour 24"),
        pytest.param("126-11-23T10:20:30Z.123456Z", id="two times in one"),
        pytest.param("2026-11-23T10:20:30.12345٣Z", id="a digit that is not ASCII"),
        pytest.param(1795000000, id="a number"),
        pytest.param([], id="a list"),
    ],
)
def test_times_that_are_none_are_left_out_and_counted(given: Any) -> None:
    message = sent(span_data(start_time=given, end_time=START), defects={"corrected": 1})
    assert not message.HasField("start_time")
    assert message.end_time.seconds == START_SECONDS


@pytest.mark.parametrize(
    "given, kind, expected",
    [
        pytest.param("GET", "string_value", "GET", id="text"),
        pytest.param("", "string_value", "", id="empty text"),
        pytest.param("é😀", "string_value", "é😀", id="not ASCII"),
        pytest.param("a\ud800b\udfff", "string_value", "a?b?", id="lone surrogates"),
        pytest.param(time_event.Type.SENT, "int_value", 1, id="whole number"),
        pytest.param(0, "int_value", 0, id="zero"),
        pytest.param(-1, "int_value", -1, id="negative"),
        pytest.param(2**63 - 1, "int_value", 2**63 - 1, id="the largest int64"),
        pytest.param(-(2**63), "int_value", -(2**63), id="the smallest int64"),
        pytest.param(True, "bool_value", True, id="true"),
        pytest.param(False, "bool_value", False, id="false"),
        pytest.param(1.5, "double_value", 1.5, id="a float"),
        pytest.param(-0.0, "double_value", -0.0, id="negative zero"),
        pytest.param(float("inf"), "double_value", float("inf"), id="infinity"),
    ],
)
def test_attribute_values_keep_their_type(given: Any, kind: str, expected: Any) -> None:
    [value] = sent(span_data(attributes={"key": given})).attributes.attribute_map.values()
    assert value.WhichOneof("value") == kind
    got = value.string_value.value if kind == "string_value" else getattr(value, kind)
    assert (type(got), repr(got)) == (type(expected), repr(expected))


class Colour(str):
    def __str__(self) -> str:
        return "not its letters"


class NumpyLike:
    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    "given, expected",
    [
        pytest.param(None, "None", id="None"),
        pytest.param(2**63, "9223372036854775808", id="beyond int64"),
        pytest.param(b"bytes", "b'bytes'", id="bytes"),
        pytest.param([1, "a"], "[1, 'a']", id="a list"),
        pytest.param(1 + 2j, "(1+2j)", id="a complex number"),
    ],
)
def test_values_of_other_types_are_sent_as_text_and_counted(given: Any, expected: str) -> None:
    message = sent(span_data(attributes={"key": given, "other": 1}), defects={"stringified": 1})
    assert values(message.attributes) == {"key": expected, "other": 1}


def test_subclasses_are_sent_as_what_they_are_made_of() -> None:
    message = sent(span_data(attributes={Colour("key"): Colour("red"), "index": NumpyLike()}))
    assert values(message.attributes) == {"key": "red", "index": 7}


class Broken:
    """Cannot be shown, counted or compared."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    __int__ = __bool__ = __index__ = __str__  # type: ignore[assignment]  # they raise before they could return


def test_a_broken_attribute_is_lost_alone() -> None:
    message = sent(span_data(attributes={"good": 1, "bad": Broken()}), defects={"lost": 1})
    assert values(message.attributes) == {"good": 1}
    assert message.attributes.dropped_attributes_count == 1


def test_keys_that_are_no_text_are_sent_as_text() -> None:
    assert values(sent(span_data(attributes={1: "a", None: "b"})).attributes) == {"1": "a", "None": "b"}


def test_of_keys_that_become_equal_the_last_is_sent() -> None:
    assert values(sent(span_data(attributes={"\ud800": "first", "?": "last"})).attributes) == {"?": "last"}


@pytest.mark.parametrize(
    "limit, kept, missing",
    [
        pytest.param(10, "abcé", 0, id="below"),
        pytest.param(5, "abcé", 0, id="exactly"),
        pytest.param(4, "abc", 2, id="within a character"),
        pytest.param(3, "abc", 2, id="before it"),
        pytest.param(0, "", 5, id="nothing"),
    ],
)
def test_texts_are_cut_between_characters_and_say_how_much(limit: int, kept: str, missing: int) -> None:
    limits = SpanLimits(max_string_bytes=limit)
    note = time_event.Annotation(datetime(2026, 1, 1), "abcé", None)
    message = sent(span_data(name="abcé", attributes={"": "abcé"}, annotations=[note]), limits)
    for text in (
        message.name,
        message.attributes.attribute_map[""].string_value,
        message.time_events.time_event[0].annotation.description,
    ):
        assert (text.value, text.truncated_byte_count) == (kept, missing)


def test_keys_and_status_messages_are_cut_too() -> None:
    message = sent(
        span_data(attributes={"long key": 1}, status=status.Status(2, "long")), SpanLimits(max_string_bytes=3)
    )
    assert values(message.attributes) == {"lon": 1}
    assert message.status.message == "lon"


def test_the_newest_attributes_are_kept_and_the_others_counted() -> None:
    message = sent(span_data(attributes={"a": 1, "b": 2, "c": 3}), SpanLimits(max_attributes=2))
    assert values(message.attributes) == {"b": 2, "c": 3}
    assert message.attributes.dropped_attributes_count == 1


def test_what_the_tracer_has_dropped_is_counted() -> None:
    attributes_, annotations, events, links = BoundedDict(2), BoundedList(2), BoundedList(2), BoundedList(2)
    for number in range(5):
        attributes_[f"key {number}"] = number
        annotations.append(time_event.Annotation(datetime(2026, 1, 1), f"annotation {number}"))
        events.append(time_event.MessageEvent(datetime(2026, 1, 1), number))
        links.append(link.Link(TRACE_ID, SPAN_ID, number))
    message = sent(
        span_data(attributes=attributes_, annotations=annotations, message_events=events, links=links),
        SpanLimits(max_annotations=1, max_message_events=1, max_links=1),
    )
    assert values(message.attributes) == {"key 3": 3, "key 4": 4}
    assert message.attributes.dropped_attributes_count == 3
    remark, event = message.time_events.time_event
    assert remark.annotation.description.value == "annotation 4"
    assert event.message_event.id == 4
    assert message.time_events.dropped_annotations_count == 4
    assert message.time_events.dropped_message_events_count == 4
    assert message.links.dropped_links_count == 4


def test_limits_of_zero_send_the_counts_alone() -> None:
    note = time_event.Annotation(datetime(2026, 1, 1), "remark")
    message = sent(
        span_data(attributes={"a": 1}, annotations=[note] * 3, links=[link.Link(TRACE_ID, SPAN_ID)] * 2),
        SpanLimits(0, 0, 0, 0, 0),
    )
    assert (len(message.attributes.attribute_map), message.attributes.dropped_attributes_count) == (0, 1)
    assert (len(message.time_events.time_event), message.time_events.dropped_annotations_count) == (0, 3)
    assert (len(message.links.link), message.links.dropped_links_count) == (0, 2)


def test_annotations_come_before_message_events() -> None:
    note = time_event.Annotation(datetime(2026, 1, 1, 0, 0, 2), "later", attributes.Attributes({"k": 1.5}))
    event = time_event.MessageEvent(datetime(2026, 1, 1, 0, 0, 1), 7, time_event.Type.RECEIVED, 100, 50)
    remark, message = sent(span_data(annotations=[note], message_events=[event])).time_events.time_event
    assert remark.annotation.description.value == "later"
    assert values(remark.annotation.attributes) == {"k": 1.5}
    assert remark.time.seconds == message.time.seconds + 1
    got = message.message_event
    assert (got.type, got.id, got.uncompressed_size, got.compressed_size) == (2, 7, 100, 50)


@pytest.mark.parametrize(
    "given, expected, defects",
    [
        pytest.param("12", 12, {}, id="text, as opencensus documents it"),
        pytest.param(-1, 2**64 - 1, {}, id="negative, as Go sends it"),
        pytest.param(2**64 - 1, 2**64 - 1, {}, id="the largest"),
        pytest.param(2**64, 2**64 - 1, {"corrected": 1}, id="beyond it"),
        pytest.param(None, 0, {}, id="none"),
        pytest.param("x", 0, {"corrected": 1}, id="no number"),
        pytest.param(float("nan"), 0, {"corrected": 1}, id="not a number"),
    ],
)
def test_ids_of_messages(given: Any, expected: int, defects: dict[str, int]) -> None:
    event = time_event.MessageEvent(datetime(2026, 1, 1), given)
    [found] = sent(span_data(message_events=[event]), defects=defects).time_events.time_event
    assert found.message_event.id == expected


def test_links_bring_type_attributes_and_tracestate() -> None:
    child = link.Link(TRACE_ID, SPAN_ID, link.Type.CHILD_LINKED_SPAN, attributes.Attributes({"a": 1}))
    parent = link.Link(TRACE_ID, SPAN_ID, link.Type.PARENT_LINKED_SPAN, {"a": 2})
    child.tracestate = {"vendor": "value"}
    first, second = sent(span_data(links=[child, parent])).links.link
    assert (first.trace_id.hex(), first.span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert (first.type, second.type) == (1, 2)
    assert (values(first.attributes), values(second.attributes)) == ({"a": 1}, {"a": 2})
    assert first.tracestate.entries[0].key == "vendor"


@pytest.mark.parametrize("field", ["annotations", "message_events", "links"])
def test_a_broken_part_is_lost_alone(field: str) -> None:
    good = {
        "annotations": time_event.Annotation(datetime(2026, 1, 1), "good"),
        "message_events": time_event.MessageEvent(datetime(2026, 1, 1), 1),
        "links": link.Link(TRACE_ID, SPAN_ID),
    }
    message = sent(span_data(**{field: [good[field], object(), good[field]]}), defects={"lost": 1})
    events, links = message.time_events, message.links
    assert len(events.time_event) + len(links.link) == 2
    dropped = (events.dropped_annotations_count, events.dropped_message_events_count, links.dropped_links_count)
    assert sum(dropped) == 1


def test_a_stack_trace_taken_from_a_traceback() -> None:
    try:
        raise RuntimeError("on purpose")
    except RuntimeError as error:
        taken = stack_trace.StackTrace.from_traceback(error.__traceback__)
    message = sent(span_data(stack_trace=taken)).stack_trace
    [frame] = message.stack_frames.frame
    assert frame.function_name.value == "test_a_stack_trace_taken_from_a_traceback"
    assert frame.file_name.value in __file__  # opencensus cuts at 128 bytes
    assert frame.line_number > 1
    assert frame.load_module.build_id.value == frame.source_version.value == "unknown"
    assert message.stack_trace_hash_id == taken.stack_trace_hash_id


def test_a_stack_trace_made_of_frames() -> None:
    frame = stack_trace.StackFrame("f", "original f", "a.py", 12, 3, "module", "build", "version")
    formatted = {"function_name": {"value": "cut", "truncated_byte_count": 9}, "line_number": 7}
    made = stack_trace.StackTrace([frame, formatted], stack_trace_hash_id=2**64 - 1)
    made.dropped_frames_count = 5
    message = sent(span_data(stack_trace=made), SpanLimits(max_string_bytes=2)).stack_trace
    first, second = message.stack_frames.frame
    assert (first.original_function_name.value, first.original_function_name.truncated_byte_count) == ("or", 8)
    assert (first.line_number, first.column_number, first.load_module.module.value) == (12, 3, "mo")
    assert (second.function_name.value, second.function_name.truncated_byte_count) == ("cu", 10)
    assert not second.HasField("load_module")
    assert message.stack_frames.dropped_frames_count == 5
    assert message.stack_trace_hash_id == 2**64 - 1


@pytest.mark.parametrize(
    "given, expected, defects",
    [
        pytest.param(None, None, {}, id="none"),
        pytest.param(status.Status.as_ok(), (0, ""), {}, id="OK"),
        pytest.param(status.Status(None, "why"), (0, "why"), {}, id="a message alone"),
        pytest.param(status.Status(None), None, {}, id="nothing in it"),
        pytest.param(status.Status(5, "not there", ["details"]), (5, "not there"), {}, id="details are not sent"),
        pytest.param(status.Status(-1), (-1, ""), {}, id="negative"),
        pytest.param(status.Status(2**31), (2**31 - 1, ""), {"corrected": 1}, id="beyond int32"),
        pytest.param(status.Status([]), (0, ""), {"corrected": 1}, id="no number"),
    ],
)
def test_statuses(given: Any, expected: tuple[int, str] | None, defects: dict[str, int]) -> None:
    message = sent(span_data(status=given), defects=defects)
    got = (message.status.code, message.status.message) if message.HasField("status") else None
    assert got == expected


def test_absent_is_not_false_or_zero() -> None:
    bare = sent(span_data())
    assert not bare.HasField("same_process_as_parent_span") and not bare.HasField("child_span_count")
    zero = sent(span_data(same_process_as_parent_span=False, child_span_count=0))
    assert zero.HasField("same_process_as_parent_span") and not zero.same_process_as_parent_span.value
    assert zero.HasField("child_span_count") and zero.child_span_count.value == 0
    some = sent(span_data(same_process_as_parent_span=True, child_span_count=300))
    assert some.same_process_as_parent_span.value
    assert some.child_span_count.value == 300


@pytest.mark.parametrize(
    "given, expected",
    [pytest.param(kind, kind, id=str(kind)) for kind in range(3)]
    + [pytest.param(None, 0, id="none"), pytest.param(3, 0, id="unknown"), pytest.param(-1, 0, id="negative")],
)
def test_span_kinds(given: Any, expected: int) -> None:
    assert sent(span_data(span_kind=given)).kind == expected


def test_a_tracestate_keeps_its_order() -> None:
    tracestate = Tracestate()
    tracestate["z"] = "1"
    tracestate["a"] = "2"
    message = sent(span_data(context=SpanContext(trace_id=TRACE_ID, tracestate=tracestate)))
    assert [(entry.key, entry.value) for entry in message.tracestate.entries] == [("z", "1"), ("a", "2")]


def test_an_empty_tracestate_is_not_sent() -> None:
    message = sent(span_data(context=SpanContext(trace_id=TRACE_ID, tracestate=Tracestate())))
    assert not message.HasField("tracestate")


def test_a_span_as_the_tracer_holds_it() -> None:
    tracer = SimpleNamespace(span_context=SpanContext(trace_id=TRACE_ID))
    parent = Span("parent", span_id="1111111111111111", context_tracer=tracer)
    child = parent.span("child")
    child.context_tracer = tracer
    message = sent(child)
    assert message.parent_span_id.hex() == "1111111111111111"
    assert message.trace_id.hex() == TRACE_ID
    assert sent(parent).child_span_count.value == 1
    child.parent_span = "2222222222222222"
    assert sent(child).parent_span_id.hex() == "2222222222222222"


@pytest.mark.parametrize("given", ["no id", "12", SPAN_ID + "00", 5])
def test_a_parent_that_cannot_be_read_is_left_out_and_counted(given: Any) -> None:
    message = sent(span_data(parent_span_id=given), defects={"corrected": 1})
    assert message.parent_span_id == b""


@pytest.mark.parametrize(
    "span, reason",
    [
        pytest.param(None, "trace_id", id="None"),
        pytest.param(object(), "trace_id", id="no span at all"),
        pytest.param(span_data(context=None), "trace_id", id="no context"),
        pytest.param(span_data(context=SimpleNamespace(trace_id="12")), "32 hexadecimal", id="a short trace id"),
        pytest.param(span_data(context=SimpleNamespace(trace_id="g" * 32)), "32 hexadecimal", id="no hexadecimal"),
        pytest.param(span_data(span_id=None), "16 hexadecimal", id="no span id"),
        pytest.param(span_data(span_id=SPAN_ID + "00"), "16 hexadecimal", id="a long span id"),
        pytest.param(span_data(links=5), "not iterable", id="links that are no list"),
        pytest.param(span_data(child_span_count=Broken()), "RuntimeError", id="an object that raises"),
    ],
)
def test_a_span_that_cannot_be_sent_is_one_error_with_a_sentence(span: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^span .* is left out: ") as by_message:
        span_message(span)
    with pytest.raises(ValueError, match=r"^span .* is left out: ") as by_encoder:
        SpanEncoder().field(span)
    assert str(by_message.value) == str(by_encoder.value)
    assert reason in str(by_message.value)
