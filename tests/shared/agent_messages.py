"""Messages for the tests of the agent: each with what a client usually says, but for what a test names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from puremux.proto import common_pb2, metrics_pb2, metrics_service_pb2, resource_pb2, trace_pb2, trace_service_pb2
from puremux.proto.well_known_pb2 import DoubleValue, Int64Value, Timestamp

Type = metrics_pb2.MetricDescriptor
Distribution = metrics_pb2.DistributionValue
Snapshot = metrics_pb2.SummaryValue.Snapshot

STARTED = 1_700_000_000  # seconds since 1970


def node(
    service: str = "shop", host: str = "web-1", pid: int = 7, started: int = STARTED, **attributes: str
) -> common_pb2.Node:
    return common_pb2.Node(
        identifier=common_pb2.ProcessIdentifier(host_name=host, pid=pid, start_timestamp=Timestamp(seconds=started)),
        library_info=common_pb2.LibraryInfo(language=8, exporter_version="0.1"),
        service_info=common_pb2.ServiceInfo(name=service),
        attributes=attributes,
    )


def resource(kind: str = "", **labels: str) -> resource_pb2.Resource:
    return resource_pb2.Resource(type=kind, labels=labels)


def span(number: int = 1, name: str = "Foo", **fields: Any) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name=trace_pb2.TruncatableString(value=name),
        **fields,
    )


def spans_request(*spans: trace_pb2.Span, **fields: Any) -> trace_service_pb2.ExportTraceServiceRequest:
    return trace_service_pb2.ExportTraceServiceRequest(spans=spans, **fields)


def metrics_request(*metrics: metrics_pb2.Metric, **fields: Any) -> metrics_service_pb2.ExportMetricsServiceRequest:
    return metrics_service_pb2.ExportMetricsServiceRequest(metrics=metrics, **fields)


def metric(
    name: str = "queue/length",
    value: Any = 1,
    kind: int = Type.GAUGE_INT64,
    *,
    unit: str = "",
    description: str = "What is measured.",
    labels: Mapping[str, str | None] | None = None,
    time: int = STARTED,
    own_resource: resource_pb2.Resource | None = None,
) -> metrics_pb2.Metric:
    """A metric with one time series that has one point."""
    labels = labels or {}
    return metrics_pb2.Metric(
        metric_descriptor=descriptor(name, kind, unit, description, labels),
        timeseries=[series(labels.values(), point(value, time))],
        resource=own_resource,
    )


def descriptor(
    name: str, kind: int, unit: str = "", description: str = "What is measured.", labels: Iterable[str] = ()
) -> metrics_pb2.MetricDescriptor:
    keys = [metrics_pb2.LabelKey(key=key) for key in labels]
    return metrics_pb2.MetricDescriptor(name=name, type=kind, unit=unit, description=description, label_keys=keys)


def series(labels: Iterable[str | None], *points: metrics_pb2.Point) -> metrics_pb2.TimeSeries:
    values = [metrics_pb2.LabelValue(value=label or "", has_value=label is not None) for label in labels]
    return metrics_pb2.TimeSeries(label_values=values, points=points)


def point(value: Any, time: int = STARTED) -> metrics_pb2.Point:
    fields = {
        int: "int64_value",
        float: "double_value",
        metrics_pb2.DistributionValue: "distribution_value",
        metrics_pb2.SummaryValue: "summary_value",
    }
    chosen = {} if value is None else {fields[type(value)]: value}
    return metrics_pb2.Point(timestamp=Timestamp(seconds=time), **chosen)


def distribution(
    bounds: Sequence[float], buckets: Sequence[int], total: float = 0.0, count: int | None = None
) -> metrics_pb2.DistributionValue:
    explicit = Distribution.BucketOptions.Explicit(bounds=bounds)
    return Distribution(
        count=sum(buckets) if count is None else count,
        sum=total,
        bucket_options=Distribution.BucketOptions(explicit=explicit),
        buckets=[Distribution.Bucket(count=each) for each in buckets],
    )


def summary(
    percentiles: Mapping[float, float], count: int | None = None, total: float | None = None
) -> metrics_pb2.SummaryValue:
    values = [Snapshot.ValueAtPercentile(percentile=rank, value=value) for rank, value in percentiles.items()]
    return metrics_pb2.SummaryValue(
        count=None if count is None else Int64Value(value=count),
        sum=None if total is None else DoubleValue(value=total),
        snapshot=Snapshot(percentile_values=values),
    )
