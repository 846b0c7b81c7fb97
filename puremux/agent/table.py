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
LINE_BYTES, LABEL_BYTES = 60, 4  # of a line of the page: two labels and a number; what stands around a label's texts
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
        line = _line_bytes(client, resource_key, descriptor)
        for point in points:
            try:
                self._update(client, metric, point, line, now)
            except Refused as error:
                refused[error.reason] += 1
        self._tidy(client, resource_key, (metric,))
        return refused

    def expire(self, client: Client, before: float) -> None:
        """Forget the series of a client that were not updated since."""
        for key, source in list(client.sources.items()):
            ended = source.expire(before)
            client.series -= self._budget.release_series(ended)
            client.lines -= sum(_lines(series.value) for series in ended)
            self._tidy(client, key, tuple(source.metrics.values()))

    def _source(self, client: Client, key: bytes) -> Source:
        source = client.sources.get(key)
        if source is None:
            self._budget.hold(_weigh_source(client, key))
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

    def _update(self, client: Client, metric: HeldMetric, point: NewPoint, line: int, now: float) -> None:
        """Keep a point, of whose lines on the page each has so many bytes without its labels."""
        labels, value, time = point
        series = metric.series.get(labels)
        if series is None:
            weight = _weigh(labels, value, line)
            self._budget.hold_series(client, weight, _lines(value))
            metric.series[labels] = Series(value, time, now, weight)
        elif time >= series.time:  # sent again after a break, an older point may come after a newer one
            if not isinstance(value, (int, float)):  # a number stays one, and takes what it took
                self._budget.grow(client, series, _weigh(labels, value, line), _lines(value) - _lines(series.value))
            series.value, series.time, series.updated = value, time, now

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
            self._budget.release(_weigh_source(client, key))


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

    def hold_series(self, client: Client, weight: int, lines: int) -> None:
        """Count in one more series of a client.

        Raises:
            Refused: a limit is reached.
        """
        if client.series >= self._limits.max_series_per_client:
            raise Refused(Reason.TOO_MANY_SERIES_OF_CLIENT)
        if self.series >= self._limits.max_series:
            raise Refused(Reason.TOO_MANY_SERIES)
        self._hold_lines(client, weight, lines)
        self.series += 1
        client.series += 1

    def grow(self, client: Client, series: Series, weight: int, lines: int) -> None:
        """Count a series of a client as so heavy, with so many more lines.

        Raises:
            Refused: a limit is reached.
        """
        self._hold_lines(client, weight - series.weight, lines)
        series.weight = weight

    def _hold_lines(self, client: Client, weight: int, lines: int) -> None:
        if lines > 0 and client.lines + lines > self._limits.max_lines_per_client:
            raise Refused(Reason.TOO_MANY_LINES_OF_CLIENT)
        self.hold(weight)
        client.lines += lines

    def release(self, weight: int) -> None:
        """Count out so many bytes."""
        self.bytes -= weight

    def release_series(self, series: Iterable[Series]) -> int:
        """Count out series; return how many they were."""
        weights = [each.weight for each in series]
        self.series -= len(weights)
        self.release(sum(weights))
        return len(weights)


def _weigh(labels: LabelValues, value: Value, line: int) -> int:
    """The memory that a series takes, itself and on a page, in bytes, estimated."""
    texts = sum(_weigh_text(label) for label in labels if label is not None)
    line += sum(len(label) for label in labels if label is not None)
    return SERIES_BYTES + texts + BUCKET_BYTES * _parts(value) + line * _lines(value)


def _line_bytes(client: Client, resource_key: bytes, descriptor: Descriptor) -> int:
    """The bytes of a line of the page, without the values of the metric's labels, estimated."""
    names = len(descriptor.name) + sum(len(key) + LABEL_BYTES for key in descriptor.label_keys)
    return LINE_BYTES + names + len(resource_key) + len(client.identity.service_name) + len(client.identity.instance)


def _lines(value: Value) -> int:
    """How many lines of the page a value takes."""
    if isinstance(value, Distribution):
        return max(1, len(value.buckets)) + 2
    return len(value.percentiles) + 2 if isinstance(value, Summary) else 1


def _weigh_source(client: Client, key: bytes) -> int:
    """The memory that a source takes, estimated; a line of the page has all that its Resource and its Node say."""
    return ENTRY_BYTES + 3 * len(key) + len(client.node_key)


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
