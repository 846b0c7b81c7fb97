"""What the agent gives away: requests as they come in, and plain copies of what it holds and counts.

Floor 5, agent: imports clients, refusal, series, values and ``puremux.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..proto import common_pb2, metrics_service_pb2, resource_pb2, trace_config_pb2, trace_service_pb2
from .clients import ClientIdentity
from .refusal import Reason
from .series import Descriptor, LabelValues
from .values import Value

__all__ = [
    "AgentView",
    "ForwardView",
    "HeldPoints",
    "MetricsReceived",
    "ServerView",
    "SourceView",
    "SpansReceived",
    "Totals",
]


@dataclass(frozen=True)
class SpansReceived:
    """A request with spans came in; whoever is told must not change it."""

    node: common_pb2.Node
    """The sender, remembered from an earlier message where this one has none."""

    resource: resource_pb2.Resource
    """Where the spans come from, likewise; empty if the stream has told nothing."""

    request: trace_service_pb2.ExportTraceServiceRequest


@dataclass(frozen=True)
class MetricsReceived:
    """A request with metrics came in; its fields are as in :class:`SpansReceived`."""

    node: common_pb2.Node
    resource: resource_pb2.Resource
    request: metrics_service_pb2.ExportMetricsServiceRequest


class HeldPoints(NamedTuple):
    """A metric of one source: the newest value of each of its series."""

    descriptor: Descriptor
    points: Sequence[tuple[LabelValues, Value]]


class SourceView(NamedTuple):
    """The metrics of one client, or of one Resource that it speaks for, as they were at one moment."""

    client: ClientIdentity
    node: Mapping[str, str]
    """What the client's Node says, as attributes."""

    resource: Mapping[str, str]
    """What the Resource says, as attributes."""

    metrics: Sequence[HeldPoints]


class Totals(NamedTuple):
    """What has come in since the agent started, and what is held now."""

    trace_requests: int
    metrics_requests: int

    spans: int
    """Spans received; those refused are not among them."""

    metrics: int
    """Metrics received, each time that they came."""

    time_series: int
    """Time series received, each time that they came; those refused are not among them."""

    refused_spans: Mapping[Reason, int]
    refused_time_series: Mapping[Reason, int]

    clients: int
    expired_clients: int
    """Clients forgotten since they were stale."""

    series: int
    """Time series held."""

    bytes: int
    """Memory for clients and time series, estimated."""

    spans_held: int
    span_bytes_held: int
    """As they were on the wire."""


class ServerView(NamedTuple):
    """The connections, and what was refused before it came to a store."""

    connections: int
    refused_connections: Mapping[str, int]
    """By the names in ``server.limits.CONNECTION_REASONS``."""

    refused_calls: Mapping[str, int]
    """By the names in ``server.limits.CALL_REASONS``, and ``services.TOO_MANY_ITEMS``."""


class ForwardView(NamedTuple):
    """What was handed on to the next agent."""

    target: str
    state: str
    """Of the connection."""

    last_error: str | None
    spans: Mapping[str, Any]
    """As :meth:`puremux.Exporter.stats` has it."""

    metrics: Mapping[str, Any]


class SamplingView(NamedTuple):
    """How the clients sample."""

    pushed: trace_config_pb2.TraceConfig | None
    """What they were asked for last, if for anything."""

    in_force: Sequence[trace_service_pb2.CurrentLibraryConfig]
    """What each connected client with a Config stream said of itself last."""


class AgentView(NamedTuple):
    """All that an agent says of itself."""

    totals: Totals
    server: ServerView | None = None
    """None for a store without a server."""

    forward: ForwardView | None = None
    """None for an agent that hands nothing on."""

    def refused(self) -> list[tuple[str, str, int]]:
        """What was refused: of what, under which reason, and how many; none that is zero."""
        found = [("spans", reason.value, count) for reason, count in self.totals.refused_spans.items()]
        found += [("time series", reason.value, count) for reason, count in self.totals.refused_time_series.items()]
        if self.server is not None:
            found += [("connections", *each) for each in self.server.refused_connections.items()]
            found += [("calls", *each) for each in self.server.refused_calls.items()]
        return [each for each in found if each[2]]
