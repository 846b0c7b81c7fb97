"""Time series held for the clients: one value for each client, metric and set of labels, the newest.

Floor 5, agent: imports limits, refusal, times, values and ``puremux.proto``.
Spec: opencensus-proto, metrics/v1/metrics.proto.

What is held here is put there by ``table``, and locked by ``store``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Optional

from ..proto import metrics_pb2
from .limits import AgentLimits
from .refusal import Reason
from .times import nanoseconds
from .values import MalformedPoint, Value, read_value

__all__ = [
    "Descriptor",
    "Descriptors",
    "HeldMetric",
    "LabelValues",
    "NewPoint",
    "Refused",
    "Series",
    "Source",
    "read_newest",
]

LabelValues = tuple[Optional[str], ...]
"""The values of a series' labels, in the order of the descriptor's keys; None where a label has none."""

NewPoint = tuple[LabelValues, Value, int]
"""The labels, the value and its time in nanoseconds, as they came."""

NO_POINT = (0, 0, metrics_pb2.Point())


class Refused(Exception):
    """A metric or series that can't be taken."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Descriptor:
    """What a metric measures.  Clients that say the same share one object, so it is compared by identity."""

    __slots__ = ("description", "key", "label_keys", "metric_type", "name", "unit")

    def __init__(self, message: metrics_pb2.MetricDescriptor) -> None:
        self.name = message.name
        self.description = message.description
        self.unit = message.unit
        self.metric_type = message.type
        """One of ``MetricDescriptor.Type``."""
        self.label_keys = tuple([label.key for label in message.label_keys])
        self.key = (self.name, self.metric_type, self.label_keys)
        """What makes it another metric when it changes."""

    def __repr__(self) -> str:
        return f"Descriptor({self.name!r}, {metrics_pb2.MetricDescriptor.Type.Name(self.metric_type)})"


class Descriptors:
    """Reads descriptors, each once: a program sends the same few with every request, and so do its siblings."""

    def __init__(self, limits: AgentLimits) -> None:
        self._limits = limits
        self._parsed = functools.lru_cache(maxsize=2048)(self._parse)

    def read(self, message: metrics_pb2.MetricDescriptor) -> Descriptor:
        """The descriptor that a message describes.

        Raises:
            Refused: it has no known type, no name, or is beyond a limit.
        """
        serialized = message.SerializeToString()
        if len(serialized) > self._limits.max_descriptor_bytes:
            raise Refused(Reason.UNUSABLE_DESCRIPTOR)
        return self._parsed(serialized)

    def _parse(self, serialized: bytes) -> Descriptor:
        descriptor = Descriptor(metrics_pb2.MetricDescriptor.FromString(serialized))
        if descriptor.metric_type not in metrics_pb2.MetricDescriptor.Type.values()[1:]:
            raise Refused(Reason.UNSPECIFIED_TYPE)
        if not 0 < len(descriptor.name) <= self._limits.max_name_length:
            raise Refused(Reason.UNUSABLE_DESCRIPTOR)
        longest = max(map(len, descriptor.label_keys), default=0)
        if len(descriptor.label_keys) > self._limits.max_labels or longest > self._limits.max_label_length:
            raise Refused(Reason.UNUSABLE_LABELS)
        return descriptor


def read_newest(series: metrics_pb2.TimeSeries, descriptor: Descriptor, limits: AgentLimits) -> NewPoint:
    """The newest point of a time series in a message.

    Raises:
        Refused: its labels or its value can't be.
    """
    missing = len(descriptor.label_keys) - len(series.label_values)
    if missing < 0:
        raise Refused(Reason.UNUSABLE_LABELS)
    labels = tuple([label.value if label.has_value else None for label in series.label_values])
    if any(len(label) > limits.max_label_length for label in labels if label):
        raise Refused(Reason.UNUSABLE_LABELS)
    # The newest is the last of the latest: time may stand still between two readings.
    time, _, newest = max(((nanoseconds(p.timestamp), at, p) for at, p in enumerate(series.points)), default=NO_POINT)
    try:
        value = read_value(newest, descriptor.metric_type, limits)
    except MalformedPoint:
        raise Refused(Reason.MALFORMED_POINT) from None
    return labels + (None,) * missing, value, time


class Series:
    """One time series: the value that holds now."""

    __slots__ = ("time", "updated", "value", "weight")

    def __init__(self, value: Value, time: int, updated: float, weight: int) -> None:
        self.value = value
        self.time = time
        """Nanoseconds since 1970, by the client's clock."""
        self.updated = updated
        """By the store's clock."""
        self.weight = weight
        """Bytes, estimated."""


class HeldMetric:
    """A metric of one source, with its series by their label values."""

    __slots__ = ("descriptor", "series")

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.series: dict[LabelValues, Series] = {}


class Source:
    """The metrics of one client's process, or of one Resource that the client speaks for."""

    __slots__ = ("metrics", "resource")

    def __init__(self, resource: Mapping[str, str]) -> None:
        self.resource = resource
        """The Resource's attributes."""
        self.metrics: dict[tuple[object, ...], HeldMetric] = {}
        """By the key of the descriptor."""

    def expire(self, before: float) -> list[Series]:
        """Forget the series that were not updated since; return them."""
        ended = []
        for metric in self.metrics.values():
            stale = [labels for labels, series in metric.series.items() if series.updated < before]
            ended += [metric.series.pop(labels) for labels in stale]
        return ended
