"""Spans and metrics of every kind, made of opencensus's own classes; the same ones wherever this is imported."""

from __future__ import annotations

import datetime
from typing import Any

from opencensus.metrics.export import metric, metric_descriptor, point, time_series, value
from opencensus.metrics.label_key import LabelKey
from opencensus.metrics.label_value import LabelValue
from opencensus.trace import attributes, link, span_context, span_data, status, time_event, trace_options, tracestate

__all__ = ["METRICS", "SPANS"]

TRACE = "6e0c63257de34c92bf9efcd03927272e"
START, END = "2026-11-28T03:04:05.123456Z", "2026-11-28T03:04:06.000001Z"
NOON = datetime.datetime(2026, 11, 28, 12, 0, 0, 250_000)


def _span(name: str, **changes: Any) -> span_data.SpanData:
    entries = tracestate.Tracestate()
    entries["vendor"] = "value"
    told = {
        "name": name,
        "context": span_context.SpanContext(TRACE, "00f067aa0ba902b7", trace_options.TraceOptions("1"), entries),
        "span_id": "00f067aa0ba902b8",
        "parent_span_id": "00f067aa0ba902b7",
        "attributes": {"text": "yes", "whole": -7, "real": 0.5, "true": True, "false": False},
        "start_time": START,
        "end_time": END,
        "child_span_count": 3,
        "stack_trace": None,
        "annotations": [time_event.Annotation(NOON, "noted", attributes.Attributes({"k": "v", "n": 1}))],
        "message_events": [time_event.MessageEvent(NOON, 5, time_event.Type.SENT, 120, 100)],
        "links": [link.Link(TRACE, "00f067aa0ba902b9", link.Type.CHILD_LINKED_SPAN, attributes.Attributes({"w": 1}))],
        "status": status.Status(5, "not found"),
        "same_process_as_parent_span": True,
        "span_kind": 1,
    }
    told.update(changes)
    return span_data.SpanData(**told)


SPANS = {
    "everything": _span("everything"),
    "nothing": _span(
        "nothing",
        context=span_context.SpanContext(TRACE, "00f067aa0ba902b7"),
        parent_span_id=None,
        attributes={},
        child_span_count=None,
        annotations=[],
        message_events=[],
        links=[],
        status=None,
        same_process_as_parent_span=None,
        span_kind=0,
    ),
    "odd attributes": _span("odd attributes", attributes={"list": [1, 2], "none": None, "bytes": b"b"}),
    "client": _span("client", span_kind=2, status=status.Status(0, "")),
    "many attributes": _span("many attributes", attributes={f"key{number:02}": number for number in range(40)}),
    "unicode": _span("größer als 5 €", attributes={"ключ": "значение"}),
}

KINDS = metric_descriptor.MetricDescriptorType
LABELS = [LabelKey("method", "of the request"), LabelKey("code", "")]
VALUES = [LabelValue("GET"), LabelValue(None)]


def _metric(name: str, kind: Any, *values: Any) -> metric.Metric:
    descriptor = metric_descriptor.MetricDescriptor(name, f"the {name}", "ms", kind, LABELS)
    points = [point.Point(each, NOON) for each in values]
    return metric.Metric(descriptor, [time_series.TimeSeries(VALUES, points, START)])


def _distribution(**exemplars: Any) -> value.ValueDistribution:
    buckets = [value.Bucket(count=1, exemplar=None), value.Bucket(count=2, **exemplars)]
    options = value.BucketOptions(value.Explicit([10.0]))
    return value.ValueDistribution(3, 45.5, 12.25, options, buckets)


EXEMPLAR = value.Exemplar(20.5, START, {"trace": TRACE})

# opencensus refuses a descriptor of a SUMMARY, so there is none.
METRICS = {
    "int64 gauge": _metric("int64 gauge", KINDS.GAUGE_INT64, value.ValueLong(-5)),
    "double gauge": _metric("double gauge", KINDS.GAUGE_DOUBLE, value.ValueDouble(0.25)),
    "int64 count": _metric("int64 count", KINDS.CUMULATIVE_INT64, value.ValueLong(0)),
    "double count": _metric("double count", KINDS.CUMULATIVE_DOUBLE, value.ValueDouble(1.5)),
    "distribution": _metric("distribution", KINDS.CUMULATIVE_DISTRIBUTION, _distribution(exemplar=None)),
    "exemplars": _metric("exemplars", KINDS.CUMULATIVE_DISTRIBUTION, _distribution(exemplar=EXEMPLAR)),
}
