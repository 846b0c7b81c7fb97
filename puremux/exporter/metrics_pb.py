"""OpenCensus metrics to ``Metric`` messages, through the generated classes: what metrics.py must equal byte for byte.

Floor 4, exporter: imports reading, sentences and ``puremux.proto``.
Spec: opencensus-proto, metrics/v1/metrics.proto.

This is the plain account of what is sent; metrics.py is the quick one.  That they agree is tested, not trusted.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

from ..proto import metrics_pb2
from ..proto.well_known_pb2 import DoubleValue, Int64Value, Timestamp
from . import reading
from .reading import GAUGES, INT64, LOST, Defects
from .sentences import left_out, text

__all__ = ["metric_message"]

DistributionValue = metrics_pb2.DistributionValue
SummaryValue = metrics_pb2.SummaryValue
Message = TypeVar("Message")


def metric_message(metric: Any, prefix: str = "", defects: Defects | None = None) -> metrics_pb2.Metric:
    """The message for a metric.

    Args:
        metric: an ``opencensus.metrics.export.metric.Metric``, or anything of its shape.
        prefix: is put before the name, with a "/" between them; the empty one adds nothing.
        defects: is told whatever could not be sent as it was.
    Raises:
        ValueError: the metric cannot be sent at all; a sentence says why.
    """
    try:
        return _MetricMessages(prefix, Defects() if defects is None else defects).metric(metric)
    except Exception as error:  # an application's objects may raise anything
        raise ValueError(left_out("metric", getattr(metric, "descriptor", metric), error)) from error


class _MetricMessages:
    """One method for each message of metrics.proto, with the prefix and the defects they share."""

    def __init__(self, prefix: str, defects: Defects) -> None:
        self._prefix, self._defects = prefix, defects

    def metric(self, metric: Any) -> metrics_pb2.Metric:
        descriptor = self._descriptor(metric.descriptor)
        timeseries = self._each(
            metric.time_series, lambda series: self._time_series(series, descriptor.type), "time series"
        )
        return metrics_pb2.Metric(metric_descriptor=descriptor, timeseries=timeseries)

    def _descriptor(self, descriptor: Any) -> metrics_pb2.MetricDescriptor:
        return metrics_pb2.MetricDescriptor(
            name=reading.metric_name(descriptor.name, self._prefix),
            description=self._text(descriptor.description),
            unit=self._text(descriptor.unit),
            type=reading.metric_type(descriptor.type, self._defects),
            label_keys=[
                metrics_pb2.LabelKey(key=self._text(label.key), description=self._text(label.description))
                for label in descriptor.label_keys
            ],
        )

    def _time_series(self, series: Any, metric_type: int) -> metrics_pb2.TimeSeries:
        """A gauge has no start, though opencensus gives it one."""
        start = None if metric_type in GAUGES else self._time(series.start_timestamp, "start timestamp")
        return metrics_pb2.TimeSeries(
            start_timestamp=start,
            label_values=[self._label_value(label) for label in series.label_values],
            points=self._each(series.points, lambda point: self._point(point, metric_type), "point"),
        )

    def _label_value(self, label: Any) -> metrics_pb2.LabelValue:
        """A gauge's default time series has None where others have labels; a view's have labels of None."""
        value = None if label is None else label.value
        return metrics_pb2.LabelValue(value=self._text(value), has_value=value is not None)

    def _point(self, point: Any, metric_type: int) -> metrics_pb2.Point:
        kind = reading.point_kind(metric_type, point.value)
        made = metrics_pb2.Point(timestamp=self._time(point.timestamp, "point timestamp"))
        if kind == reading.INT64_VALUE:
            made.int64_value = self._whole(point.value.value, "a point's value")
        elif kind == reading.DOUBLE_VALUE:
            made.double_value = reading.real_number(point.value.value, self._defects, "a point's value")
        elif kind == reading.DISTRIBUTION_VALUE:
            made.distribution_value.CopyFrom(self._distribution(point.value))
        else:
            made.summary_value.CopyFrom(self._summary(point.value.value))
        return made

    def _distribution(self, value: Any) -> metrics_pb2.DistributionValue:
        return DistributionValue(
            count=self._whole(value.count, "a distribution's count"),
            sum=self._real(value.sum, "a distribution's sum"),
            sum_of_squared_deviation=self._real(value.sum_of_squared_deviation, "a sum of squared deviation"),
            bucket_options=self._bucket_options(value.bucket_options),
            buckets=[self._bucket(bucket) for bucket in value.buckets or ()],
        )

    def _bucket_options(self, options: Any) -> metrics_pb2.DistributionValue.BucketOptions | None:
        if options is None:
            return None
        if options.type_ is None:
            return DistributionValue.BucketOptions()
        bounds = [reading.real_number(bound, self._defects, "a bucket's bound") for bound in options.type_.bounds]
        return DistributionValue.BucketOptions(explicit=DistributionValue.BucketOptions.Explicit(bounds=bounds))

    def _bucket(self, bucket: Any) -> metrics_pb2.DistributionValue.Bucket:
        return DistributionValue.Bucket(
            count=self._whole(bucket.count, "a bucket's count"),
            exemplar=None if bucket.exemplar is None else self._exemplar(bucket.exemplar),
        )

    def _exemplar(self, exemplar: Any) -> metrics_pb2.DistributionValue.Exemplar:
        attachments = exemplar.attachments or {}
        return DistributionValue.Exemplar(
            value=self._real(exemplar.value, "an exemplar's value"),
            timestamp=self._time(exemplar.timestamp, "exemplar timestamp"),
            attachments={text(key): text(value) for key, value in attachments.items()},
        )

    def _summary(self, summary: Any) -> metrics_pb2.SummaryValue:
        return SummaryValue(
            count=self._int64(summary.count),
            sum=self._double(summary.sum_data),
            snapshot=None if summary.snapshot is None else self._snapshot(summary.snapshot),
        )

    def _snapshot(self, snapshot: Any) -> metrics_pb2.SummaryValue.Snapshot:
        return SummaryValue.Snapshot(
            count=self._int64(snapshot.count),
            sum=self._double(snapshot.sum_data),
            percentile_values=[
                SummaryValue.Snapshot.ValueAtPercentile(
                    percentile=self._real(at.percentile, "a percentile"),
                    value=self._real(at.value, "a percentile's value"),
                )
                for at in snapshot.value_at_percentiles or ()
            ],
        )

    # What the messages are made of

    def _each(self, parts: Any, make: Callable[[Any], Message], what: str) -> list[Message]:
        messages = []
        for part in parts:
            try:
                messages.append(make(part))
            except Exception as error:  # noqa: BLE001  as above
                self._defects.note(LOST, left_out(what, part, error))
        return messages

    def _text(self, value: object) -> str:
        return "" if value is None else text(value)

    def _whole(self, value: object, field: str) -> int:
        return reading.whole_number(value, INT64, self._defects, field)

    def _real(self, value: object, field: str) -> float:
        return reading.real_number(value, self._defects, field) + 0.0  # no -0.0: protobuf's cores differ about it

    def _int64(self, value: object) -> Int64Value | None:
        return None if value is None else Int64Value(value=self._whole(value, "a summary's count"))

    def _double(self, value: object) -> DoubleValue | None:
        return None if value is None else DoubleValue(value=self._real(value, "a summary's sum"))

    def _time(self, value: object, field: str) -> Timestamp | None:
        moment = reading.timestamp(value, self._defects, field)
        return None if moment is None else Timestamp(seconds=moment[0], nanos=moment[1])
