"""The table of all time series, within its limits.

Floor 5, agent: imports clients, limits, refusal, series, values and ``puremux.proto``.

Nothing here is locked; ``store`` does that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..proto import resource_pb2
from .clients import Client, resource_attributes
from .limits import AgentLimits
from .refusal import Reason
from .series import Descriptor, HeldMetric, LabelValues, NewPoint, Refused, Series, Source
from .values import Distribution, Summary, Value

__all__ = ["Budget", "SeriesTable"]

ENTRY_BYTES = 1_000  # of memory: a source, or a client, with nothing in it
METRIC_BYTES = 400  # a metric of one source, without its descriptor and series
SERIES_BYTES, TEXT_BYTES, BUCKET_BYTES = 450, 60, 40  # a series, a text beyond its characters, a bucket
WIDE = 4  # bytes of each character of a text with any that is not ASCII, at the most


class SeriesTable:
    """Holds the series of each client, by its Resources and their metrics."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def hold(
        self, client: Client, resource_key: bytes, descriptor: Descriptor, points: Sequence[NewPoint], now: float
    ) -> Counter[Reason]:
        """Keep the points of one metric, each unless a newer one is held.

        Args:
            resource_key: the Resource that the metric is of, serialized.
            points: at least one.
        Returns:
            How many were refused, by reason.
        """
        refused: Counter[Reason] = Counter()
        try:
            source = self._source(client, resource_key)
            metric = self._metric(source, descriptor)
        except Refused as error:
            refused[error.reason] += len(points)
            self._tidy(client, resource_key)
            return refused
        for labels, value, time in points:
            try:
                self._update(client, metric, labels, value, time, now)
            except Refused as error:
                refused[error.reason] += 1
        self._tidy(client, resource_key, (metric,))
        return refused

    def expire(self, client: Client, before: float) -> None:
        """Forget the series of a client that were not updated since."""
        for key, source in list(client.sources.items()):
            client.series -= self._budget.release_series(source.expire(before))
            self._tidy(client, key, tuple(source.metrics.values()))

    def _source(self, client: Client, key: bytes) -> Source:
        source = client.sources.get(key)
        if source is None:
            self._budget.hold(ENTRY_BYTES + 2 * len(key))
            resource = resource_pb2.Resource.FromString(key)
            source = client.sources[key] = Source(resource_attributes(resource))
        return source

    def _metric(self, source: Source, descriptor: Descriptor) -> HeldMetric:
        """The metric that is described; its unit and description are those that were told last."""
        metric = source.metrics.get(descriptor.key)
        if metric is None:
            self._budget.hold(METRIC_BYTES + _weigh_descriptor(descriptor))
            metric = source.metrics[descriptor.key] = HeldMetric(descriptor)
        elif metric.descriptor is not descriptor:
            self._budget.hold(_weigh_descriptor(descriptor) - _weigh_descriptor(metric.descriptor))
            metric.descriptor = descriptor
        return metric

    def _update(
        self, client: Client, metric: HeldMetric, labels: LabelValues, value: Value, time: int, now: float
    ) -> None:
        series = metric.series.get(labels)
        if series is None:
            weight = _weigh(labels, value)
            self._budget.hold_series(client.series, weight)
            metric.series[labels] = Series(value, time, now, weight)
            client.series += 1
        elif time >= series.time:  # sent again after a break, an older point may come after a newer one
            growth = BUCKET_BYTES * (_parts(value) - _parts(series.value))
            self._budget.hold(growth)
            series.value, series.time, series.updated = value, time, now
            series.weight += growth

    def _tidy(self, client: Client, key: bytes, metrics: Iterable[HeldMetric] = ()) -> None:
        """Leave none of these metrics without series, and no source without metrics."""
        source = client.sources.get(key)
        if source is None:
            return
        for metric in metrics:
            if not metric.series:
                del source.metrics[metric.descriptor.key]
                self._budget.release(METRIC_BYTES + _weigh_descriptor(metric.descriptor))
        if not source.metrics:
            del client.sources[key]
            self._budget.release(ENTRY_BYTES + 2 * len(key))


class Budget:
    """Series and memory held for all clients, against the limits."""

    def __init__(self, limits: AgentLimits) -> None:
        self._limits = limits
        self.series = 0
        self.bytes = 0
        """Estimated."""

    def hold(self, weight: int) -> None:
        """Count in so many bytes.

        Raises:
            Refused: there is no room for them.
        """
        if weight > 0 and self.bytes + weight > self._limits.max_bytes_held:
            raise Refused(Reason.OUT_OF_MEMORY)
        self.bytes += weight

    def hold_series(self, held_by_client: int, weight: int) -> None:
        """Count in one more series of a client that has so many.

        Raises:
            Refused: a limit is reached.
        """
        if held_by_client >= self._limits.max_series_per_client:
            raise Refused(Reason.TOO_MANY_SERIES_OF_CLIENT)
        if self.series >= self._limits.max_series:
            raise Refused(Reason.TOO_MANY_SERIES)
        self.hold(weight)
        self.series += 1

    def release(self, weight: int) -> None:
        """Count out so many bytes."""
        self.bytes -= weight

    def release_series(self, series: Iterable[Series]) -> int:
        """Count out series; return how many they were."""
        weights = [each.weight for each in series]
        self.series -= len(weights)
        self.release(sum(weights))
        return len(weights)


def _weigh(labels: LabelValues, value: Value) -> int:
    """The memory that a series takes, in bytes, estimated."""
    texts = sum(_weigh_text(label) for label in labels if label is not None)
    return SERIES_BYTES + texts + BUCKET_BYTES * _parts(value)


def _weigh_descriptor(descriptor: Descriptor) -> int:
    """The memory that a descriptor takes, estimated; where clients share one, it counts for each of them."""
    texts = (descriptor.name, descriptor.unit, descriptor.description, *descriptor.label_keys)
    return sum(map(_weigh_text, texts))


def _weigh_text(text: str) -> int:
    return TEXT_BYTES + (len(text) if text.isascii() else WIDE * len(text))


def _parts(value: Value) -> int:
    if isinstance(value, Distribution):
        exemplars = sum(10 for exemplar in value.exemplars if exemplar)  # an exemplar takes as much as ten buckets
        return len(value.buckets) + exemplars
    return 4 * len(value.percentiles) if isinstance(value, Summary) else 0
