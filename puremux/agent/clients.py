"""The clients of the agent: who they are, what came from them, and how fast.

Floor 5, agent: imports series, times and ``puremux.proto``.
Spec: opencensus-proto, agent/common/v1/common.proto and resource/v1/resource.proto.

Attributes have the names that the OpenTelemetry Collector gives them when it receives from OpenCensus.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ..proto import common_pb2, resource_pb2
from .series import Source
from .times import iso_time, nanoseconds

__all__ = ["Client", "ClientIdentity", "ClientView", "Rate", "identify", "node_attributes", "resource_attributes"]

LANGUAGES = ("", "cpp", "dotnet", "erlang", "go", "java", "nodejs", "php", "python", "ruby", "webjs")
"""By LibraryInfo.Language, as OpenTelemetry writes them."""

RATE_WINDOW = 10.0  # seconds over which a rate is smoothed


class ClientIdentity(NamedTuple):
    """What tells one client from all others: a process and its service."""

    host_name: str
    pid: int
    start_time: int
    """Nanoseconds since 1970; of the process, or of its exporter."""

    service_name: str

    @property
    def instance(self) -> str:
        """A short name among the processes of the service: ``host:pid``, or ``pid@start`` where the host is unknown."""
        if self.host_name:
            return f"{self.host_name}:{self.pid}"
        return f"{self.pid}@{iso_time(self.start_time)}" if self.start_time else str(self.pid or "")


def identify(node: common_pb2.Node) -> ClientIdentity:
    """Who a Node is."""
    process = node.identifier
    return ClientIdentity(process.host_name, process.pid, nanoseconds(process.start_timestamp), node.service_info.name)


def node_attributes(node: common_pb2.Node) -> dict[str, str]:
    """What a Node says, as attributes; its own attributes give way to its fields."""
    identity = identify(node)
    library = node.library_info
    language = LANGUAGES[library.language] if 0 <= library.language < len(LANGUAGES) else ""
    fields = {
        "service.name": identity.service_name,
        "opencensus.starttime": iso_time(identity.start_time) if identity.start_time else "",
        "host.name": identity.host_name,
        "process.pid": str(identity.pid or ""),
        "telemetry.sdk.version": library.core_library_version,
        "opencensus.exporterversion": library.exporter_version,
        "telemetry.sdk.language": language,
    }
    return {**node.attributes, **{key: value for key, value in fields.items() if value}}


def resource_attributes(resource: resource_pb2.Resource) -> dict[str, str]:
    """What a Resource says, as attributes."""
    attributes = dict(resource.labels)
    if "cloud.zone" in attributes:
        attributes["cloud.availability_zone"] = attributes.pop("cloud.zone")
    if resource.type:
        attributes["opencensus.resourcetype"] = resource.type
    return attributes


class Rate:
    """How many come in a second, smoothed over the last ten or so."""

    __slots__ = ("_at", "_per_second")

    def __init__(self) -> None:
        self._per_second = 0.0
        self._at = 0.0

    def add(self, count: int, now: float) -> None:
        """So many came now."""
        self._per_second = self.at(now) + count / RATE_WINDOW
        self._at = now

    def at(self, now: float) -> float:
        """The rate, per second."""
        return self._per_second * math.exp(min(0.0, self._at - now) / RATE_WINDOW)


class ClientView(NamedTuple):
    """A client, as it was at one moment."""

    identity: ClientIdentity
    attributes: Mapping[str, str]
    """What its Node says."""

    first_seen: float
    last_seen: float
    """Both by the store's clock."""

    requests: int
    spans: int
    metrics: int
    """Metrics received, each time that they came."""

    series: int
    """Time series held."""

    refused: int
    """Spans and time series."""

    spans_per_second: float
    metrics_per_second: float


class Client:
    """One client, and what is held for it.  The store's own; others get a :class:`ClientView`."""

    def __init__(self, identity: ClientIdentity, node_key: bytes, attributes: Mapping[str, str], now: float) -> None:
        self.identity = identity
        self.node_key = node_key
        """The Node, serialized."""
        self.attributes = attributes
        self.first_seen = self.last_seen = now
        self.requests = self.spans = self.metrics = self.series = self.refused = 0
        self.lines = 0
        """Of the Prometheus page, as ``table`` counts them."""
        self.span_rate, self.metric_rate = Rate(), Rate()
        self.sources: dict[bytes, Source] = {}
        """By the serialized Resource."""

    def view(self, now: float) -> ClientView:
        """What others may know."""
        return ClientView(
            self.identity,
            self.attributes,
            self.first_seen,
            self.last_seen,
            self.requests,
            self.spans,
            self.metrics,
            self.series,
            self.refused,
            self.span_rate.at(now),
            self.metric_rate.at(now),
        )
