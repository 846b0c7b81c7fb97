"""The values of metrics: a message's point in, a plain value out.

Floor 5, agent: imports limits, times and ``puremux.proto``.
Spec: opencensus-proto, metrics/v1/metrics.proto.

A message would keep the memory of the whole request alive that it came in; plain values don't.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from ..proto import metrics_pb2
from .limits import AgentLimits
from .times import nanoseconds

__all__ = ["Distribution", "Exemplar", "MalformedPoint", "Summary", "Value", "read_value"]

Type = metrics_pb2.MetricDescriptor

NUMBER = frozenset(("int64_value", "double_value"))  # nothing is lost by reading one for the other
FIELDS: Mapping[int, frozenset[str]] = {
    Type.GAUGE_INT64: NUMBER,
    Type.GAUGE_DOUBLE: NUMBER,
    Type.GAUGE_DISTRIBUTION: frozenset(("distribution_value",)),
    Type.CUMULATIVE_INT64: NUMBER,
    Type.CUMULATIVE_DOUBLE: NUMBER,
    Type.CUMULATIVE_DISTRIBUTION: frozenset(("distribution_value",)),
    Type.SUMMARY: frozenset(("summary_value",)),
}
"""Where a point of each type of metric may have its value."""

EXEMPLAR_LENGTH = 128  # characters of all labels; OpenMetrics 1.0, "Exemplars"


class MalformedPoint(ValueError):
    """A point that contradicts itself or its descriptor; the message says how."""


@dataclass(frozen=True)
class Exemplar:
    """One recorded value, with what it leads to."""

    __slots__ = ("attachments", "time", "value")

    value: float
    time: float | None
    """Seconds since 1970."""

    attachments: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Distribution:
    """Many values; ``buckets`` has one count more than ``bounds``, or both are empty."""

    __slots__ = ("bounds", "buckets", "count", "exemplars", "sum", "sum_of_squared_deviation")

    count: int
    sum: float
    sum_of_squared_deviation: float
    bounds: tuple[float, ...]
    buckets: tuple[int, ...]
    exemplars: tuple[Exemplar | None, ...]
    """One for each bucket, or none at all."""


@dataclass(frozen=True)
class Summary:
    """Percentiles that the client worked out; ``count`` and ``sum`` are None when it doesn't know them."""

    __slots__ = ("count", "percentiles", "sum")

    count: int | None
    sum: float | None
    percentiles: tuple[tuple[float, float], ...]
    """Percentile (0 to 100) and value."""


Value = Union[int, float, Distribution, Summary]


def read_value(point: metrics_pb2.Point, metric_type: int, limits: AgentLimits) -> Value:
    """The value of a point of a metric of this type.

    Raises:
        MalformedPoint: its value is of another kind, or can't be.
    """
    field = point.WhichOneof("value")
    if field not in FIELDS[metric_type]:
        raise MalformedPoint(f"a {Type.Type.Name(metric_type)} has a point with {field or 'no value'}")
    if field == "distribution_value":
        return _distribution(point.distribution_value, limits)
    if field == "summary_value":
        return _summary(point.summary_value, limits)
    return point.int64_value if field == "int64_value" else point.double_value


def _distribution(message: metrics_pb2.DistributionValue, limits: AgentLimits) -> Distribution:
    if len(message.buckets) > limits.max_buckets:
        raise MalformedPoint(f"a distribution has {len(message.buckets)} buckets; {limits.max_buckets} are taken")
    buckets = tuple([bucket.count for bucket in message.buckets])
    bounds = _checked_bounds(tuple(message.bucket_options.explicit.bounds)) if buckets else ()
    if buckets and len(buckets) != len(bounds) + 1:
        raise MalformedPoint(f"a distribution has {len(bounds)} bounds and {len(buckets)} buckets")
    # With a histogram the count is the sum of its buckets, by the specification; a page must not say otherwise.
    count = sum(buckets) if buckets else message.count
    if count < 0 or (buckets and min(buckets) < 0):
        raise MalformedPoint("a distribution has a count below zero")
    return Distribution(
        count, message.sum, message.sum_of_squared_deviation, bounds, buckets, _exemplars(message.buckets)
    )


@functools.lru_cache(maxsize=1024)
def _checked_bounds(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """The bounds, one tuple for all clients that have the same."""
    if not all(map(math.isfinite, bounds)) or any(low >= high for low, high in zip(bounds, bounds[1:])):
        raise MalformedPoint("a distribution's bounds are not finite and increasing")
    return bounds


def _exemplars(buckets: Any) -> tuple[Exemplar | None, ...]:
    exemplars = tuple([_exemplar(bucket.exemplar) if bucket.HasField("exemplar") else None for bucket in buckets])
    return exemplars if any(exemplars) else ()


def _exemplar(message: metrics_pb2.DistributionValue.Exemplar) -> Exemplar:
    attachments = tuple(sorted(message.attachments.items()))
    if sum(len(key) + len(value) for key, value in attachments) > EXEMPLAR_LENGTH:
        attachments = ()
    time = nanoseconds(message.timestamp) / 1e9 if message.HasField("timestamp") else None
    return Exemplar(message.value, time, attachments)


def _summary(message: metrics_pb2.SummaryValue, limits: AgentLimits) -> Summary:
    at = message.snapshot.percentile_values
    if len(at) > limits.max_buckets:
        raise MalformedPoint(f"a summary has {len(at)} percentiles; {limits.max_buckets} are taken")
    percentiles = tuple([(each.percentile, each.value) for each in at])
    ranks = [percentile for percentile, _ in percentiles]
    if not all(0 <= rank <= 100 for rank in ranks) or any(low >= high for low, high in zip(ranks, ranks[1:])):
        raise MalformedPoint("a summary's percentiles are not increasing, from 0 to 100")
    count = message.count.value if message.HasField("count") else None
    if count is not None and count < 0:
        raise MalformedPoint("a summary has a count below zero")
    return Summary(count, message.sum.value if message.HasField("sum") else None, percentiles)
