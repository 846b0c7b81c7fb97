"""puremux with one view of many time series, exported again and again: CPU for each series of each export."""

from __future__ import annotations

import argparse
import datetime

from measure import measured, tell
from opencensus.metrics.export import value
from opencensus.metrics.export.metric import Metric
from opencensus.metrics.export.metric_descriptor import MetricDescriptor, MetricDescriptorType
from opencensus.metrics.export.point import Point
from opencensus.metrics.export.time_series import TimeSeries
from opencensus.metrics.label_key import LabelKey
from opencensus.metrics.label_value import LabelValue

import puremux

BOUNDS = [10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000]  # the demo's view of latencies
POINTS = 100_000  # that are exported altogether, about


def metric(series: int, period: int) -> Metric:
    """A distribution of each of so many clients, after so many periods; like opencensus's, a new object each time."""
    now = datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=10 * period)
    start = datetime.datetime(2026, 1, 1)
    keys = [LabelKey("client", "who"), LabelKey("method", "what")]
    descriptor = MetricDescriptor("latency", "of calls", "ms", MetricDescriptorType.CUMULATIVE_DISTRIBUTION, keys)
    options = value.BucketOptions(value.Explicit(BOUNDS))
    made = []
    for number in range(series):
        count = period + number % 7
        counts = [count if at == number % 13 else 0 for at in range(13)]
        buckets = [value.Bucket(each) for each in counts]
        distribution = value.ValueDistribution(count, count * 3.5, count * 0.25, options, buckets)
        labels = [LabelValue(f"client {number}"), LabelValue("repl")]
        made.append(TimeSeries(labels, [Point(distribution, now)], start))
    return Metric(descriptor, made)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--series", type=int, required=True)
    asked = parser.parse_args()
    periods = min(500, max(5, POINTS // asked.series))
    exporter = puremux.Exporter(asked.address, service_name="bench")
    exporter.export_metrics([metric(asked.series, 1)])
    exporter.flush()
    ready = [metric(asked.series, period) for period in range(2, 2 + min(periods, 10))]

    def work() -> None:
        for period in range(periods):
            exporter.export_metrics([ready[period % len(ready)]])
            assert exporter.flush(60)

    tell(measured(periods * asked.series, work))
    exporter.stop()


if __name__ == "__main__":
    main()
