"""OpenCensus metrics to wire bytes without message objects.

Floor 4, exporter: imports fields, reading, sentences and timestamps; no protobuf.
Spec: opencensus-proto, metrics/v1/metrics.proto; fields go by their numbers, the entries of a map by their keys.

The bytes are those that metrics_pb.py gets from the generated classes.  A metric may have thousands of time series, so
what they have in common, or had the last time, is written once: label values, bucket bounds, times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Callable

from . import reading
from .fields import (
    FIXED64,
    LENGTH,
    MASK64,
    SMALL,
    VARINT,
    VARINTS,
    Cache,
    delimited,
    double,
    number_field,
    string_field,
    tag,
)
from .reading import DISTRIBUTION_VALUE, DOUBLE_VALUE, GAUGES, INT64, INT64_VALUE, LOST, SUMMARY_VALUE, Defects
from .sentences import left_out, refusing, text
from .timestamps import RepeatedTimestamps, Timestamps

__all__ = ["MetricEncoder"]

METRICS = tag(2, LENGTH)  # of ExportMetricsServiceRequest

# messages Metric, MetricDescriptor, LabelKey
METRIC_DESCRIPTOR = tag(1, LENGTH)
TIMESERIES = tag(2, LENGTH)
NAME = tag(1, LENGTH)
DESCRIPTION = tag(2, LENGTH)
UNIT = tag(3, LENGTH)
TYPE = tag(4, VARINT)
LABEL_KEYS = tag(5, LENGTH)
KEY = tag(1, LENGTH)
KEY_DESCRIPTION = tag(2, LENGTH)

# messages TimeSeries, LabelValue, Point
START_TIMESTAMP = tag(1, LENGTH)
LABEL_VALUES = tag(2, LENGTH)
POINTS = tag(3, LENGTH)
VALUE = tag(1, LENGTH)
HAS_VALUE = tag(2, VARINT) + VARINTS[1]
TIMESTAMP = tag(1, LENGTH)
POINT_INT64 = tag(2, VARINT)
POINT_DOUBLE = tag(3, FIXED64)
POINT_DISTRIBUTION = tag(4, LENGTH)
POINT_SUMMARY = tag(5, LENGTH)

# messages DistributionValue, BucketOptions, Explicit, Bucket, Exemplar
COUNT = tag(1, VARINT)
SUM = tag(2, FIXED64)
SUM_OF_SQUARED_DEVIATION = tag(3, FIXED64)
BUCKET_OPTIONS = tag(4, LENGTH)
BUCKETS = tag(5, LENGTH)
EXPLICIT = tag(1, LENGTH)
BOUNDS = tag(1, LENGTH)  # packed
BUCKET_COUNT = tag(1, VARINT)
BUCKET_EXEMPLAR = tag(2, LENGTH)
EXEMPLAR_VALUE = tag(1, FIXED64)
EXEMPLAR_TIMESTAMP = tag(2, LENGTH)
ATTACHMENTS = tag(3, LENGTH)
ATTACHMENT_KEY = tag(1, LENGTH)
ATTACHMENT_VALUE = tag(2, LENGTH)

# messages SummaryValue, Snapshot, ValueAtPercentile, and the wrappers of google.protobuf
SUMMARY_COUNT = tag(1, LENGTH)
SUMMARY_SUM = tag(2, LENGTH)
SNAPSHOT = tag(3, LENGTH)
PERCENTILE_VALUES = tag(3, LENGTH)
PERCENTILE = tag(1, FIXED64)
PERCENTILE_VALUE = tag(2, FIXED64)
WRAPPED_INT64 = tag(1, VARINT)
WRAPPED_DOUBLE = tag(1, FIXED64)

EMPTY_BUCKET = delimited(BUCKETS, b"")

CACHED_LABELS = 20_000  # sets of label values; with those of usual length some 5 MB
LONGEST_LABEL = 256  # characters of a value in a set that is cached
CACHED_BOUNDS = 64
CACHED_COUNTS = 4096  # of buckets without an exemplar


class MetricEncoder:
    """Writes metrics; an exporter has one, and uses it on one thread at a time.

    Args:
        prefix: is put before each metric's name, with a "/" between them; the empty one adds nothing.
        defects: is told whatever could not be sent as it was.
    """

    def __init__(self, prefix: str = "", defects: Defects | None = None) -> None:
        self.prefix = prefix
        self.defects = Defects() if defects is None else defects
        self._time = Timestamps(self.defects).field
        self._start_time = RepeatedTimestamps(Timestamps(self.defects)).field
        self._point_time = RepeatedTimestamps(Timestamps(self.defects)).field
        self._labels = Cache(_label_values, CACHED_LABELS, _are_short_labels)
        self._counted = Cache(_counted_bucket, CACHED_COUNTS)
        self._bounds = Cache(self._bucket_bounds, CACHED_BOUNDS, _are_usual_bounds)
        self._point_values: dict[str, Callable[[Any], bytes]] = {
            INT64_VALUE: self._int64_value,
            DOUBLE_VALUE: self._double_value,
            DISTRIBUTION_VALUE: self._distribution_value,
            SUMMARY_VALUE: self._summary_value,
        }

    def field(self, metric: Any) -> bytes:
        """One entry of ``metrics`` in an ExportMetricsServiceRequest; entries put one after the other make a batch.

        Raises:
            ValueError: as :meth:`encode`.
        """
        return delimited(METRICS, self.encode(metric))

    def fields(self, metrics: Iterable[Any], refuse: Callable[[BaseException], object]) -> Iterator[bytes]:
        """The same of many; ``refuse`` is called with why, for each that cannot be sent at all; its entry is empty."""
        return map(refusing(self.field, refuse), metrics)

    def encode(self, metric: Any) -> bytes:
        """A metric as a serialized ``Metric``.

        Args:
            metric: an ``opencensus.metrics.export.metric.Metric``, or anything of its shape.
        Raises:
            ValueError: the metric cannot be sent at all; a sentence says why.
        """
        try:
            return self._metric(metric)
        except Exception as error:  # an application's objects may raise anything
            raise ValueError(left_out("metric", getattr(metric, "descriptor", metric), error)) from error

    def _metric(self, metric: Any) -> bytes:
        descriptor = metric.descriptor
        metric_type = reading.metric_type(descriptor.type, self.defects)
        written = [delimited(METRIC_DESCRIPTOR, self._descriptor(descriptor, metric_type))]
        for series in metric.time_series:
            try:
                written.append(self._time_series(series, metric_type))
            except Exception as error:  # noqa: BLE001  as above
                self.defects.note(LOST, left_out("time series", series, error))
        return b"".join(written)

    def _descriptor(self, descriptor: Any, metric_type: int) -> bytes:
        label_keys = [
            delimited(LABEL_KEYS, _text(KEY, label.key) + _text(KEY_DESCRIPTION, label.description))
            for label in descriptor.label_keys
        ]
        return (
            string_field(NAME, reading.metric_name(descriptor.name, self.prefix))
            + _text(DESCRIPTION, descriptor.description)
            + _text(UNIT, descriptor.unit)
            + number_field(TYPE, metric_type)
            + b"".join(label_keys)
        )

    def _time_series(self, series: Any, metric_type: int) -> bytes:
        """A gauge has no start, though opencensus gives it one."""
        start = b""
        if metric_type not in GAUGES:
            start = self._start_time(START_TIMESTAMP, series.start_timestamp, "start timestamp")
        values = tuple([None if label is None else label.value for label in series.label_values])
        try:
            labels = self._labels[values]
        except TypeError:  # not hashable
            labels = _label_values(values)
        points = []
        for point in series.points:
            try:
                points.append(self._point(point, metric_type))
            except Exception as error:  # noqa: BLE001  as above
                self.defects.note(LOST, left_out("point", point, error))
        body = start + labels + b"".join(points)
        return TIMESERIES + VARINTS[len(body)] + body

    def _point(self, point: Any, metric_type: int) -> bytes:
        value = point.value
        write = self._point_values[reading.point_kind(metric_type, value)]
        body = self._point_time(TIMESTAMP, point.timestamp, "point timestamp") + write(value)
        return POINTS + VARINTS[len(body)] + body

    # The four kinds of values; being members of a oneof, they are written even when they are 0

    def _int64_value(self, value: Any) -> bytes:
        number = value.value
        if type(number) is not int or not 0 <= number <= INT64[1]:
            number = self._whole(number, "a point's value") & MASK64
        return POINT_INT64 + VARINTS[number]

    def _double_value(self, value: Any) -> bytes:
        return POINT_DOUBLE + double(reading.real_number(value.value, self.defects, "a point's value"))

    def _distribution_value(self, value: Any) -> bytes:
        count = number_field(COUNT, self._whole(value.count, "a distribution's count"))
        total = self._real(SUM, value.sum, "a distribution's sum")
        deviation = value.sum_of_squared_deviation
        written = (
            count,
            total,
            self._real(SUM_OF_SQUARED_DEVIATION, deviation, "a sum of squared deviation"),
            self._bucket_options(value.bucket_options),
            self._buckets(value.buckets or ()),
        )
        return delimited(POINT_DISTRIBUTION, b"".join(written))

    def _summary_value(self, value: Any) -> bytes:
        summary = value.value
        body = self._count_and_sum(summary)
        if summary.snapshot is not None:
            body += delimited(SNAPSHOT, self._snapshot(summary.snapshot))
        return delimited(POINT_SUMMARY, body)

    # Parts of a distribution

    def _bucket_options(self, options: Any) -> bytes:
        if options is None:
            return b""
        if options.type_ is None:
            return delimited(BUCKET_OPTIONS, b"")
        bounds = tuple(options.type_.bounds)
        try:
            return self._bounds[bounds]
        except TypeError:  # not hashable
            return self._bucket_bounds(bounds)

    def _bucket_bounds(self, bounds: tuple[Any, ...]) -> bytes:
        packed = b"".join([double(reading.real_number(bound, self.defects, "a bucket's bound")) for bound in bounds])
        explicit = delimited(EXPLICIT, delimited(BOUNDS, packed) if packed else b"")
        return delimited(BUCKET_OPTIONS, explicit)

    def _buckets(self, buckets: Any) -> bytes:
        """The buckets of opencensus are read past their properties, whose calls would cost more than all the rest."""
        kept = buckets if type(buckets) is list else list(buckets)  # to go through it again
        for counted in self._counted.known, self._counted:
            try:
                return b"".join([counted[bucket._count, bucket._exemplar] for bucket in kept])
            except Exception:  # noqa: BLE001  whatever is new or unusual about them, the next way can deal with it
                continue
        return b"".join([self._bucket(bucket) for bucket in kept])

    def _bucket(self, bucket: Any) -> bytes:
        count, exemplar = bucket.count, bucket.exemplar
        if type(count) is not int or not 0 <= count <= INT64[1]:
            count = self._whole(count, "a bucket's count") & MASK64
        body = BUCKET_COUNT + VARINTS[count] if count else b""
        if exemplar is not None:
            body += delimited(BUCKET_EXEMPLAR, self._exemplar(exemplar))
        return BUCKETS + VARINTS[len(body)] + body if body else EMPTY_BUCKET

    def _exemplar(self, exemplar: Any) -> bytes:
        attachments = exemplar.attachments or {}
        body = self._real(EXEMPLAR_VALUE, exemplar.value, "an exemplar's value")
        body += self._time(EXEMPLAR_TIMESTAMP, exemplar.timestamp, "exemplar timestamp")
        texts = {text(key): text(value) for key, value in attachments.items()}
        entries = [
            delimited(
                ATTACHMENTS,
                delimited(ATTACHMENT_KEY, key.encode()) + delimited(ATTACHMENT_VALUE, texts[key].encode()),
            )
            for key in sorted(texts)
        ]
        return body + b"".join(entries)

    # Parts of a summary

    def _count_and_sum(self, of: Any) -> bytes:
        """The first two fields of a SummaryValue, and of a Snapshot."""
        body = b""
        if of.count is not None:
            count = self._whole(of.count, "a summary's count")
            body += delimited(SUMMARY_COUNT, number_field(WRAPPED_INT64, count))
        if of.sum_data is not None:
            body += delimited(SUMMARY_SUM, self._real(WRAPPED_DOUBLE, of.sum_data, "a summary's sum"))
        return body

    def _snapshot(self, snapshot: Any) -> bytes:
        body = self._count_and_sum(snapshot)
        for at in snapshot.value_at_percentiles or ():
            percentile = self._real(PERCENTILE, at.percentile, "a percentile")
            value = self._real(PERCENTILE_VALUE, at.value, "a percentile's value")
            body += delimited(PERCENTILE_VALUES, percentile + value)
        return body

    # Numbers

    def _whole(self, value: Any, field: str) -> int:
        return reading.whole_number(value, INT64, self.defects, field)

    def _real(self, field_tag: bytes, value: Any, field: str) -> bytes:
        """A field of a double; nothing for 0, and for -0.0, about which protobuf's cores differ."""
        number = value if type(value) is float else reading.real_number(value, self.defects, field)
        return field_tag + double(number) if number else b""


def _text(field_tag: bytes, value: object) -> bytes:
    return b"" if value is None else string_field(field_tag, text(value))


def _counted_bucket(of: tuple[Any, Any]) -> bytes:
    """A bucket of a count and no exemplar.

    Raises:
        ValueError: it is another bucket.
    """
    count, exemplar = of
    if type(count) is not int or exemplar is not None or not 0 <= count <= INT64[1]:
        raise ValueError("no usual bucket")
    return delimited(BUCKETS, number_field(BUCKET_COUNT, count))


def _label_values(values: tuple[Any, ...]) -> bytes:
    written = [delimited(LABEL_VALUES, b"" if value is None else _text(VALUE, value) + HAS_VALUE) for value in values]
    return b"".join(written)


def _are_short_labels(values: tuple[Any, ...]) -> bool:
    return all(value is None or (isinstance(value, str) and len(value) <= LONGEST_LABEL) for value in values)


def _are_usual_bounds(bounds: tuple[Any, ...]) -> bool:
    """Equal bounds are written alike, but for 0.0 and -0.0; and none of them is a defect, to be noted each time."""
    return len(bounds) < SMALL and all(type(bound) in (int, float) and 0 < bound < 2**63 for bound in bounds)
