"""What is sent of a metric: each field's meaning.  The direct encoder is held to the same in every case."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from opencensus.metrics.export import metric_descriptor, point, summary, time_series, value
from opencensus.metrics.export.metric import Metric
from opencensus.metrics.label_key import LabelKey
from opencensus.metrics.label_value import LabelValue

from puremux.exporter.metrics import MetricEncoder
from puremux.exporter.metrics_pb import metric_message
from puremux.exporter.reading import Defects
from puremux.proto import metrics_pb2

Type = metric_descriptor.MetricDescriptorType
NOW = datetime(2026, 11, 23, 10, 20, 30, 500)
BEGAN = "2026-11-23T10:00:00.000007Z"
LONG_TYPES = [Type.GAUGE_INT64, Type.CUMULATIVE_INT64]
DOUBLE_TYPES = [Type.GAUGE_DOUBLE, Type.CUMULATIVE_DOUBLE]
DISTRIBUTION_TYPES = [Type.GAUGE_DISTRIBUTION, Type.CUMULATIVE_DISTRIBUTION]


def metric(metric_type: int, *values: Any) -> Metric:
    """A metric with a time series for each value."""
    descriptor = metric_descriptor.MetricDescriptor("latency", "how long", "ms", Type.GAUGE_INT64, [])
    descriptor._type = metric_type  # opencensus's own check refuses SUMMARY
    series = [time_series.TimeSeries([], [point.Point(each, NOW)], BEGAN) for each in values]
    return Metric(descriptor, series)


def sent(given: Any, prefix: str = "", defects: dict[str, int] | None = None) -> metrics_pb2.Metric:
    """The message for a metric, which both encoders write alike, noting these defects."""
    noted, quick = Defects(), Defects()
    message = metric_message(given, prefix, noted)
    encoder = MetricEncoder(prefix, quick)
    for _ in ("at first", "from its caches"):
        quick.counts.clear()
        assert encoder.encode(given) == message.SerializeToString(deterministic=True)
        assert quick.counts == noted.counts == (defects or {})
    return message


def only_point(message: metrics_pb2.Metric) -> metrics_pb2.Point:
    [series] = message.timeseries
    [found] = series.points
    return found


def test_the_descriptor_has_all_its_fields() -> None:
    keys = [LabelKey("method", "which one"), LabelKey("client", None)]
    descriptor = metric_descriptor.MetricDescriptor("a", "b", "By", Type.CUMULATIVE_DOUBLE, keys)
    series = time_series.TimeSeries(
        [LabelValue("x"), LabelValue(None)], [point.Point(value.ValueDouble(1.5), NOW)], BEGAN
    )
    found = sent(Metric(descriptor, [series])).metric_descriptor
    assert (found.name, found.description, found.unit, found.type) == ("a", "b", "By", Type.CUMULATIVE_DOUBLE)
    assert [(key.key, key.description) for key in found.label_keys] == [("method", "which one"), ("client", "")]


@pytest.mark.parametrize(
    "prefix, name",
    [
        pytest.param("", "latency", id="none"),
        pytest.param("shop", "shop/latency", id="a word"),
        pytest.param("shop/", "shop//latency", id="with a slash of its own"),
        pytest.param("\ud800", "?/latency", id="that UTF-8 has not"),
    ],
)
def test_a_prefix_goes_before_the_name(prefix: str, name: str) -> None:
    assert sent(metric(Type.GAUGE_INT64, value.ValueLong(1)), prefix).metric_descriptor.name == name


def test_a_label_without_a_value_is_told_from_an_empty_one() -> None:
    given = metric(Type.GAUGE_INT64, value.ValueLong(1))
    given.time_series[0]._label_values = [LabelValue("x"), LabelValue(""), LabelValue(None), None]
    [series] = sent(given).timeseries
    assert [(label.value, label.has_value) for label in series.label_values] == [
        ("x", True),
        ("", True),
        ("", False),
        ("", False),
    ]


def test_labels_that_are_no_text_are_sent_as_text() -> None:
    given = metric(Type.GAUGE_INT64, value.ValueLong(1))
    given.time_series[0]._label_values = [LabelValue(1), LabelValue([2])]
    [series] = sent(given).timeseries
    assert [label.value for label in series.label_values] == ["1", "[2]"]


def test_equal_label_values_of_different_types_are_told_apart() -> None:
    encoder = MetricEncoder()
    for label in ("1", 1, True, 1.0, "1"):
        given = metric(Type.GAUGE_INT64, value.ValueLong(1))
        given.time_series[0]._label_values = [LabelValue(label)]
        found = metrics_pb2.Metric.FromString(encoder.encode(given))
        assert found.timeseries[0].label_values[0].value == str(label)


@pytest.mark.parametrize("metric_type", [*LONG_TYPES, *DOUBLE_TYPES])
def test_only_what_is_cumulative_has_a_start(metric_type: int) -> None:
    made = value.ValueLong(1) if metric_type in LONG_TYPES else value.ValueDouble(1)
    [series] = sent(metric(metric_type, made)).timeseries
    assert series.HasField("start_timestamp") == (metric_type in (Type.CUMULATIVE_INT64, Type.CUMULATIVE_DOUBLE))
    if series.HasField("start_timestamp"):
        assert series.start_timestamp.nanos == 7000
    assert series.points[0].timestamp.nanos == 500_000


@pytest.mark.parametrize("metric_type", LONG_TYPES)
@pytest.mark.parametrize(
    "given, expected, defects",
    [
        pytest.param(0, 0, {}, id="zero"),
        pytest.param(-5, -5, {}, id="negative"),
        pytest.param(2**63 - 1, 2**63 - 1, {}, id="the largest"),
        pytest.param(2**63, 2**63 - 1, {"corrected": 1}, id="beyond it"),
        pytest.param(1.9, 1, {}, id="a float, from a view of whole numbers"),
        pytest.param(float("nan"), 0, {"corrected": 1}, id="not a number"),
        pytest.param("x", 0, {"corrected": 1}, id="text"),
    ],
)
def test_whole_numbers(metric_type: int, given: Any, expected: int, defects: dict[str, int]) -> None:
    found = only_point(sent(metric(metric_type, value.ValueLong(given)), defects=defects))
    assert found.WhichOneof("value") == "int64_value"
    assert found.int64_value == expected


@pytest.mark.parametrize("metric_type", DOUBLE_TYPES)
@pytest.mark.parametrize(
    "given, expected, defects",
    [
        pytest.param(0.0, 0.0, {}, id="zero"),
        pytest.param(-0.0, -0.0, {}, id="negative zero"),
        pytest.param(3, 3.0, {}, id="a whole number"),
        pytest.param(float("inf"), float("inf"), {}, id="infinity"),
        pytest.param(10**400, 0.0, {"corrected": 1}, id="beyond doubles"),
        pytest.param(None, 0.0, {}, id="none"),
    ],
)
def test_floating_point_numbers(metric_type: int, given: Any, expected: float, defects: dict[str, int]) -> None:
    found = only_point(sent(metric(metric_type, value.ValueDouble(given)), defects=defects))
    assert found.WhichOneof("value") == "double_value"
    assert repr(found.double_value) == repr(expected)


def distribution(exemplar: Any = None) -> Any:
    buckets = [value.Bucket(0), value.Bucket(3, exemplar), value.Bucket(4000)]
    options = value.BucketOptions(value.Explicit([1, 2.5]))
    return value.ValueDistribution(4003, 12.5, 2.25, options, buckets)


@pytest.mark.parametrize("metric_type", DISTRIBUTION_TYPES)
def test_distributions(metric_type: int) -> None:
    found = only_point(sent(metric(metric_type, distribution()))).distribution_value
    assert (found.count, found.sum, found.sum_of_squared_deviation) == (4003, 12.5, 2.25)
    assert list(found.bucket_options.explicit.bounds) == [1.0, 2.5]
    assert [bucket.count for bucket in found.buckets] == [0, 3, 4000]
    assert not any(bucket.HasField("exemplar") for bucket in found.buckets)


def test_exemplars_bring_their_attachments() -> None:
    exemplar = value.Exemplar(1.5, BEGAN, {"trace": "b", "span": "a", "odd": 1})
    found = only_point(sent(metric(Type.CUMULATIVE_DISTRIBUTION, distribution(exemplar)))).distribution_value
    got = found.buckets[1].exemplar
    assert (got.value, got.timestamp.nanos) == (1.5, 7000)
    assert dict(got.attachments) == {"trace": "b", "span": "a", "odd": "1"}


def test_a_distribution_without_a_histogram() -> None:
    bare = value.ValueDistribution(2, 3.0, 0.5, value.BucketOptions())
    found = only_point(sent(metric(Type.CUMULATIVE_DISTRIBUTION, bare))).distribution_value
    assert found.HasField("bucket_options")
    assert found.bucket_options.WhichOneof("type") is None
    assert not found.buckets


def test_a_histogram_without_bounds() -> None:
    options = SimpleNamespace(type_=SimpleNamespace(bounds=[]))
    bare = value.ValueDistribution(2, 3.0, 0.5, value.BucketOptions())
    bare._bucket_options, bare._buckets = options, [value.Bucket(2)]
    found = only_point(sent(metric(Type.CUMULATIVE_DISTRIBUTION, bare))).distribution_value
    assert found.bucket_options.HasField("explicit")
    assert [bucket.count for bucket in found.buckets] == [2]


def test_counts_beyond_int64_are_sent_as_the_nearest() -> None:
    made = distribution()
    made.buckets[0]._count, made._count = 2**63, -(2**64)
    message = sent(metric(Type.CUMULATIVE_DISTRIBUTION, made), defects={"corrected": 2})
    found = only_point(message).distribution_value
    assert (found.count, found.buckets[0].count) == (-(2**63), 2**63 - 1)


def test_negative_zeros_of_a_distribution_become_zeros() -> None:
    bare = value.ValueDistribution(0, -0.0, -0.0, value.BucketOptions())
    found = only_point(sent(metric(Type.CUMULATIVE_DISTRIBUTION, bare))).distribution_value
    assert found.ListFields()[0][0].name == "bucket_options"


def test_bounds_of_both_zeros_are_told_apart() -> None:
    encoder = MetricEncoder()
    for zero in (0.0, -0.0, 0.0):
        options = SimpleNamespace(type_=SimpleNamespace(bounds=[zero, 1.0]))
        made = SimpleNamespace(count=0, sum=0, sum_of_squared_deviation=0, bucket_options=options, buckets=None)
        given = metric(Type.GAUGE_INT64, None)
        given.descriptor._type, given.time_series[0].points[0]._value = Type.GAUGE_DISTRIBUTION, made
        found = only_point(metrics_pb2.Metric.FromString(encoder.encode(given)))
        assert repr(found.distribution_value.bucket_options.explicit.bounds[0]) == repr(zero)


def test_summaries() -> None:
    percentiles = [summary.ValueAtPercentile(50, 1.5), summary.ValueAtPercentile(99.9, 7)]
    made = summary.Summary(10, 6.5, summary.Snapshot(3, 2.5, percentiles))
    [series] = sent(metric(Type.SUMMARY, value.ValueSummary(made))).timeseries
    found = series.points[0].summary_value
    assert series.HasField("start_timestamp")
    assert (found.count.value, found.sum.value) == (10, 6.5)
    assert (found.snapshot.count.value, found.snapshot.sum.value) == (3, 2.5)
    assert [(at.percentile, at.value) for at in found.snapshot.percentile_values] == [(50.0, 1.5), (99.9, 7.0)]


def test_a_summary_that_does_not_know_its_count_has_none() -> None:
    made = summary.Summary(None, 0, summary.Snapshot(None, None))
    found = only_point(sent(metric(Type.SUMMARY, value.ValueSummary(made)))).summary_value
    assert not found.HasField("count")
    assert found.HasField("sum") and found.sum.value == 0
    assert found.HasField("snapshot") and not found.snapshot.ListFields()


@pytest.mark.parametrize(
    "given, kind",
    [
        pytest.param(value.ValueLong(1), "int64_value", id="whole number"),
        pytest.param(value.ValueDouble(1.0), "double_value", id="floating-point number"),
        pytest.param(distribution(), "distribution_value", id="distribution"),
        pytest.param(value.ValueSummary(summary.Summary(1, 1, summary.Snapshot(1, 1))), "summary_value", id="summary"),
    ],
)
def test_a_value_of_no_known_type_is_sent_by_its_shape(given: Any, kind: str) -> None:
    made = metric(Type.GAUGE_INT64, None)
    made.descriptor._type, made.time_series[0].points[0]._value = 99, given
    message = sent(made)
    assert message.metric_descriptor.type == metrics_pb2.MetricDescriptor.UNSPECIFIED
    assert only_point(message).WhichOneof("value") == kind


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(None, id="no value"),
        pytest.param(distribution(), id="a distribution where a number belongs"),
        pytest.param(object(), id="an object"),
    ],
)
def test_a_point_that_cannot_be_sent_is_lost_alone(wrong: Any) -> None:
    given = metric(Type.GAUGE_INT64, value.ValueLong(1), None, value.ValueLong(2))
    given.time_series[1].points[0]._value = wrong
    message = sent(given, defects={"lost": 1})
    assert [len(series.points) for series in message.timeseries] == [1, 0, 1]


def test_a_time_series_that_cannot_be_sent_is_lost_alone() -> None:
    given = metric(Type.GAUGE_INT64, value.ValueLong(1), value.ValueLong(2))
    given.time_series.insert(1, object())
    assert len(sent(given, defects={"lost": 1}).timeseries) == 2


def test_a_time_that_is_none_is_counted_each_time() -> None:
    given = metric(Type.CUMULATIVE_INT64, value.ValueLong(1), value.ValueLong(2))
    for series in given.time_series:
        series._start_timestamp = "yesterday"
    assert not sent(given, defects={"corrected": 2}).timeseries[0].HasField("start_timestamp")


@pytest.mark.parametrize(
    "given, reason",
    [
        pytest.param(None, "descriptor", id="None"),
        pytest.param(SimpleNamespace(descriptor=None, time_series=[]), "AttributeError", id="no descriptor"),
    ],
)
def test_a_metric_that_cannot_be_sent_is_one_error_with_a_sentence(given: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^metric .* is left out: ") as by_message:
        metric_message(given)
    with pytest.raises(ValueError, match=r"^metric .* is left out: ") as by_encoder:
        MetricEncoder().encode(given)
    assert reason in str(by_message.value)
    assert reason in str(by_encoder.value)
