"""Spans and metrics read at their surface: the same as the generated classes read, for whatever they write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.proto import metrics_service_pb2, trace_pb2, trace_service_pb2
from puremux.zpages.surface import metrics_in, spans_in

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(max_size=300)


@st.composite
def spans(draw: st.DrawFn) -> trace_pb2.Span:
    span = trace_pb2.Span(
        trace_id=draw(st.binary(max_size=16)),
        span_id=draw(st.binary(max_size=8)),
        parent_span_id=draw(st.binary(max_size=8)),
        name={"value": draw(TEXT), "truncated_byte_count": draw(INT32)},
        status={"code": draw(INT32), "message": draw(TEXT)},
    )
    for time in (span.start_time, span.end_time):
        time.seconds, time.nanos = draw(INT64), draw(INT32)
    for key, value in draw(st.dictionaries(TEXT, INT64, max_size=5)).items():
        span.attributes.attribute_map[key].int_value = value
    for text in draw(st.lists(TEXT, max_size=3)):
        span.time_events.time_event.add().annotation.description.value = text
    return span


def nanoseconds(time: object) -> int:
    return int(time.seconds * 1_000_000_000 + time.nanos)  # type: ignore[attr-defined]  # a Timestamp


@given(st.lists(spans(), max_size=5), TEXT)
def test_a_request_is_read_as_the_generated_classes_read_it(sent: list[trace_pb2.Span], service: str) -> None:
    request = trace_service_pb2.ExportTraceServiceRequest(spans=sent)
    request.node.service_info.name = service
    found = list(spans_in(request.SerializeToString()))
    assert [
        (each.name, each.trace_id, each.span_id, each.parent_span_id, each.start, each.end, each.code) for each in found
    ] == [
        (
            span.name.value,
            span.trace_id,
            span.span_id,
            span.parent_span_id,
            nanoseconds(span.start_time),
            nanoseconds(span.end_time),
            span.status.code,
        )
        for span in sent
    ]
    assert [trace_pb2.Span.FromString(each.whole) for each in found] == sent  # maps have no order


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_metrics_are_found_by_their_names(sent: list[tuple[str, str]]) -> None:
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    for name, description in sent:
        metric = request.metrics.add()
        metric.metric_descriptor.name, metric.metric_descriptor.description = name, description
        metric.timeseries.add().points.add().int64_value = 5
    expected = [(metric.metric_descriptor.name, metric.SerializeToString()) for metric in request.metrics]
    assert list(metrics_in(request.SerializeToString())) == expected


@given(st.binary(max_size=60))
def test_other_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (spans_in, metrics_in):
        try:
            list(read(data))  # type: ignore[operator]  # either will do
        except ValueError:
            pass


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\x12\x05ab", id="a length beyond the end"),
        pytest.param(b"\x12", id="no length"),
        pytest.param(b"\x80", id="a tag cut short"),
        pytest.param(b"\x08" + b"\xff" * 11, id="a varint without an end"),
        pytest.param(b"\x13", id="a group"),
    ],
)
def test_what_is_no_message_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"message|field|varint|wire type"):
        list(spans_in(wire))


def test_a_latency_is_never_below_zero() -> None:
    span = trace_pb2.Span()
    span.start_time.seconds = 5
    (found,) = spans_in(trace_service_pb2.ExportTraceServiceRequest(spans=[span]).SerializeToString())
    assert found.latency == 0
