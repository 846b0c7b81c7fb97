"""The direct encoder of metrics: equal to the generated classes, on real metrics and on any; its caches."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.internal import api_implementation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opencensus.common import utils
from opencensus.metrics.export import cumulative, gauge
from opencensus.metrics.export.metric import Metric
from opencensus.metrics.export.metric_descriptor import MetricDescriptor, MetricDescriptorType
from opencensus.metrics.export.point import Point
from opencensus.metrics.export.time_series import TimeSeries
from opencensus.metrics.export.value import Bucket, BucketOptions, Explicit
from opencensus.metrics.label_key import LabelKey
from opencensus.metrics.label_value import LabelValue
from opencensus.stats import aggregation, measure, metric_utils, view
from opencensus.stats.view_data import ViewData
from opencensus.tags.tag_key import TagKey
from opencensus.tags.tag_map import TagMap
from opencensus.tags.tag_value import TagValue

from fuzz import fuzz_metrics
from puremux.exporter import metrics
from puremux.exporter.fields import Cache
from puremux.exporter.metrics import MetricEncoder
from puremux.exporter.metrics_pb import metric_message
from puremux.proto import metrics_service_pb2

ROOT = Path(__file__).resolve().parents[2]
METHOD, CLIENT = TagKey("method"), TagKey("client")
LATENCY = measure.MeasureFloat("latency", "how long", "ms")
LENGTH = measure.MeasureInt("length", "how much", "By")
AGGREGATIONS = [
    aggregation.CountAggregation(),
    aggregation.SumAggregation(),
    aggregation.LastValueAggregation(),
    aggregation.DistributionAggregation([10.0, 50.0, 100.0, 1000.0]),
    aggregation.DistributionAggregation(),
]


def by_classes(metric: Any, prefix: str = "") -> bytes:
    return metric_message(metric, prefix).SerializeToString(deterministic=True)


def viewed(of: Any, aggregated: Any, series: int = 5) -> Metric:
    """The metric of a view that something was recorded for."""
    data = ViewData(view.View("a view", "of it", [METHOD, CLIENT], of, aggregated), utils.to_iso_str(), None)
    for number in range(series):
        tags = TagMap()
        tags.insert(METHOD, TagValue(f"method {number}"))
        if number % 2:
            tags.insert(CLIENT, TagValue("cli"))
        for value in (number, 40, 700):
            data.record(tags, value, datetime(2026, 1, 1), {"key": "value"} if number % 3 else None)
    return metric_utils.view_data_to_metric(data, datetime(2026, 1, 2))


def gauges() -> Iterator[Metric]:
    """A metric of each kind of gauge and cumulative value."""
    for kind in (gauge.LongGauge, gauge.DoubleGauge, cumulative.LongCumulative, cumulative.DoubleCumulative):
        made = kind("a gauge", "of it", "1", [LabelKey("key", "what it is")])
        made.get_or_create_time_series([LabelValue("value")]).add(5)
        made.get_or_create_default_time_series().add(7)
        yield made.get_metric(datetime(2026, 1, 2))


@pytest.mark.parametrize("of", [LATENCY, LENGTH], ids=["float", "int"])
@pytest.mark.parametrize("aggregated", AGGREGATIONS, ids=["count", "sum", "last value", "distribution", "no histogram"])
def test_metrics_of_real_views(of: Any, aggregated: Any) -> None:
    encoder = MetricEncoder("prefix")
    for _ in ("at first", "from the caches"):
        metric = viewed(of, aggregated)
        assert encoder.encode(metric) == by_classes(metric, "prefix")
    assert not encoder.defects.counts


def test_metrics_of_real_gauges() -> None:
    encoder = MetricEncoder()
    for metric in gauges():
        assert encoder.encode(metric) == by_classes(metric)
    assert not encoder.defects.counts


def test_fields_one_after_the_other_are_a_request() -> None:
    encoder = MetricEncoder()
    made = [*gauges(), viewed(LATENCY, AGGREGATIONS[3])]
    request = metrics_service_pb2.ExportMetricsServiceRequest.FromString(b"".join(map(encoder.field, made)))
    assert list(request.metrics) == [metric_message(metric) for metric in made]


def test_any_metric_is_written_as_the_generated_classes_write_it() -> None:
    settings(suppress_health_check=[HealthCheck.too_slow])(fuzz_metrics.metrics_agree)()


@pytest.mark.parametrize("seed", range(5))
def test_the_harness_takes_any_bytes(seed: int) -> None:
    fuzz_metrics.check(random.Random(seed).randbytes(300 * seed))


@pytest.mark.skipif(api_implementation.Type() == "python", reason="the tests themselves run so")
def test_the_same_under_protobufs_python_implementation() -> None:
    program = (
        "from google.protobuf.internal import api_implementation\n"
        "assert api_implementation.Type() == 'python'\n"
        "from fuzz.fuzz_metrics import metrics_agree\n"
        "from hypothesis import HealthCheck, settings\n"
        "slow = dict(deadline=None, suppress_health_check=list(HealthCheck))\n"
        "settings(max_examples=50, database=None, **slow)(metrics_agree)()"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=50, check=True)


def test_caches_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CACHED_LABELS", 10)
    monkeypatch.setattr(metrics, "CACHED_BOUNDS", 3)
    monkeypatch.setattr(metrics, "CACHED_COUNTS", 2)
    encoder = MetricEncoder()
    for number in range(1, 30):
        metric = viewed(LATENCY, aggregation.DistributionAggregation([number, 100.0]), series=number)
        assert encoder.encode(metric) == by_classes(metric)
    caches = [cache for cache in vars(encoder).values() if isinstance(cache, Cache)]
    assert sorted(cache._size for cache in caches) == [2, 3, 10]
    assert all(0 < len(cache.known) <= cache._size for cache in caches)


def test_buckets_that_can_be_read_only_once() -> None:
    encoder = MetricEncoder()
    metric = viewed(LATENCY, aggregation.DistributionAggregation([1.0, 2.0]))
    value: Any = metric.time_series[0].points[0].value
    for counts in ([5, 6, 7], [5, 6, 7], [8, -1, 9]):
        value._buckets = map(Bucket, counts)
        expected = by_classes(metric)
        value._buckets = map(Bucket, counts)
        assert encoder.encode(metric) == expected


def test_times_are_written_anew_when_they_change() -> None:
    encoder = MetricEncoder()
    metric = viewed(LATENCY, AGGREGATIONS[0])
    for day in (1, 2, 2, 1):
        for series in metric.time_series:
            series._start_timestamp = datetime(2025, 1, day)
            series.points[0]._timestamp = f"2026-01-0{day}T00:00:00.000001Z"
        assert encoder.encode(metric) == by_classes(metric)


@given(st.lists(fuzz_metrics.metrics(), max_size=4))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
def test_an_encoder_that_has_written_others_writes_what_a_fresh_one_writes(exported: list[Any]) -> None:
    used = MetricEncoder()
    for metric in [*exported, *reversed(exported)]:
        assert written(used, metric) == written(MetricEncoder(), metric)


def written(encoder: MetricEncoder, metric: Any) -> bytes | None:
    """None for what is refused."""
    try:
        return encoder.encode(metric)
    except ValueError:
        return None


@given(
    st.lists(
        st.lists(st.one_of(st.integers(0, 5), st.sampled_from([2**63 - 1, 2**63, -1, True, 1.0, 1.5, None]))),
        max_size=5,
    )
)
def test_buckets_of_opencensus_are_written_as_by_the_generated_classes(periods: list[list[Any]]) -> None:
    encoder = MetricEncoder()
    options = BucketOptions(Explicit([1, 2]))
    keys = [LabelKey("client", "")]
    descriptor = MetricDescriptor("m", "", "ms", MetricDescriptorType.CUMULATIVE_DISTRIBUTION, keys)
    for counts in periods:
        buckets = [Bucket(count) for count in counts]
        distribution = SimpleNamespace(
            count=1, sum=0.5, sum_of_squared_deviation=0, bucket_options=options, buckets=buckets
        )
        points = [Point(distribution, "2026-01-01T00:00:00.000001Z")]
        series = TimeSeries([LabelValue("a")], points, "2026-01-01T00:00:00.000001Z")
        metric = SimpleNamespace(descriptor=descriptor, time_series=[series])  # Metric looks at its points
        assert encoder.encode(metric) == by_classes(metric)
