"""Metrics as pages show them: messages of the wire in, plain tables out.

Floor 5, zpages: imports text, and ``puremux.proto``.
Spec: opencensus-proto, metrics/v1/metrics.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

from ..proto import metrics_pb2
from .text import number

__all__ = ["Distribution", "Row", "Summary", "View", "distribution_titles", "kind_of", "mean", "type_name", "view_of"]


@dataclass(frozen=True)
class Distribution:
    """Many values; there is one bucket more than there are bounds, or there are none of both."""

    count: int
    sum: float
    deviation: float
    """The sum of the squares of each value's distance from the mean."""

    bounds: Sequence[float]
    buckets: Sequence[int]


@dataclass(frozen=True)
class Summary:
    """Percentiles that were worked out where the values were."""

    count: int | None
    sum: float | None
    percentiles: Sequence[tuple[float, float]]
    """Percentile (0 to 100) and value."""


Value = Union[int, float, Distribution, Summary]


class Row(NamedTuple):
    """One time series: its labels' values, in the order of the view's keys, and its newest value."""

    labels: Sequence[str]
    value: Any
    """An int, a float, or something of :class:`Distribution`'s or :class:`Summary`'s shape."""

    @property
    def kind(self) -> str:
        """``number``, ``distribution`` or ``summary``."""
        return kind_of(self.value)


class View(NamedTuple):
    """A metric with its series."""

    name: str
    description: str
    unit: str
    kind: str
    """As the wire has it, such as ``CUMULATIVE_DISTRIBUTION``."""

    keys: Sequence[str]
    rows: Sequence[Row]
    source: str = ""
    """Who sent it, where there are several."""

    more: int = 0
    """Rows that were left out."""


def kind_of(value: Any) -> str:
    """How a value is to be shown."""
    if isinstance(value, (int, float)):
        return "number"
    return "summary" if hasattr(value, "percentiles") else "distribution"


def distribution_titles(value: Any) -> list[str]:
    """What each bucket of a distribution is: its range, and how many values are in it."""
    edges = ["", *map(number, value.bounds), ""]
    ranges = [f"{low} to {high}" for low, high in zip(edges, edges[1:])]
    if value.bounds:
        ranges[0], ranges[-1] = f"below {edges[1]}", f"from {edges[-2]}"
    return [f"{each}: {number(count)}" for each, count in zip(ranges, value.buckets)]


def mean(value: Any) -> float:
    """What one value of a distribution is on average; 0 if there is none."""
    return float(value.sum / value.count) if value.count else 0.0


def view_of(metric: metrics_pb2.Metric) -> View:
    """A metric as it was sent."""
    descriptor = metric.metric_descriptor
    return View(
        descriptor.name,
        descriptor.description,
        descriptor.unit,
        type_name(descriptor.type),
        [key.key for key in descriptor.label_keys],
        list(_rows(metric.timeseries)),
    )


def type_name(number_of_type: int) -> str:
    """The type's name; its number for one that does not exist."""
    types = metrics_pb2.MetricDescriptor.Type
    return types.Name(number_of_type) if number_of_type in types.values() else str(number_of_type)


def _rows(timeseries: Iterable[metrics_pb2.TimeSeries]) -> Iterable[Row]:
    for series in timeseries:
        if series.points:
            labels = [label.value if label.has_value else "" for label in series.label_values]
            yield Row(labels, _value(series.points[-1]))


def _value(point: metrics_pb2.Point) -> Value:
    kind = point.WhichOneof("value")
    if kind == "distribution_value":
        return _distribution(point.distribution_value)
    if kind == "summary_value":
        return _summary(point.summary_value)
    return point.double_value if kind == "double_value" else point.int64_value


def _distribution(value: metrics_pb2.DistributionValue) -> Distribution:
    bounds = list(value.bucket_options.explicit.bounds)
    buckets = [bucket.count for bucket in value.buckets]
    if len(buckets) != len(bounds) + 1:
        bounds, buckets = [], []
    return Distribution(value.count, value.sum, value.sum_of_squared_deviation, bounds, buckets)


def _summary(value: metrics_pb2.SummaryValue) -> Summary:
    return Summary(
        value.count.value if value.HasField("count") else None,
        value.sum.value if value.HasField("sum") else None,
        [(each.percentile, each.value) for each in value.snapshot.percentile_values],
    )
