"""What the agent knows of its clients: who they are, their metrics, their newest spans, and what was refused.

Floor 5, agent: imports clients, limits, recent, refusal, sender, series, table, views and ``puremux.proto``.

One thread writes, the agent's driver; any thread reads.  One lock guards what they share, and is held for one metric or
one client at a time: messages are read before it is taken, and whoever reads gets plain copies.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Callable, TypeVar

from ..proto.metrics_pb2 import Metric
from ..proto.metrics_service_pb2 import ExportMetricsServiceRequest
from ..proto.trace_service_pb2 import ExportTraceServiceRequest
from .clients import Client, ClientIdentity, ClientView, node_attributes
from .limits import AgentLimits
from .recent import HeldSpan, RecentSpans, newest
from .refusal import LimitReached, Reason
from .sender import Sender, message_key
from .series import Descriptors, NewPoint, Refused, Source, read_newest
from .table import ENTRY_BYTES, Budget, SeriesTable
from .views import HeldPoints, MetricsReceived, SourceView, SpansReceived, Totals

__all__ = ["Store"]

NODE_COPIES = 2  # in memory: serialized, and as attributes

Received = TypeVar("Received")


class Store:
    """All clients of an agent.

    Args:
        limits: what is held at the most; None for the usual.
        clock: seconds that only grow, as ``time.monotonic``.
    """

    def __init__(self, limits: AgentLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits or AgentLimits()
        self.clock = clock
        self._lock = threading.Lock()
        self._clients: dict[ClientIdentity, Client] = {}
        self._budget = Budget(self.limits)
        self._table = SeriesTable(self._budget)
        self._descriptors = Descriptors(self.limits)
        self._recent = RecentSpans(self.limits)
        self._span_listeners: list[Callable[[SpansReceived], None]] = []
        self._metrics_listeners: list[Callable[[MetricsReceived], None]] = []
        self._counts: Counter[str] = Counter()
        self._refused_spans: Counter[Reason] = Counter()
        self._refused_series: Counter[Reason] = Counter()

    def on_spans(self, listener: Callable[[SpansReceived], None]) -> None:
        """Have a listener called with each request of spans, by the writing thread; it may raise IntakeError."""
        self._span_listeners.append(listener)

    def on_metrics(self, listener: Callable[[MetricsReceived], None]) -> None:
        """Have a listener called with each request of metrics, likewise."""
        self._metrics_listeners.append(listener)

    # Reading, on any thread

    def totals(self) -> Totals:
        """What has come in, and what is held."""
        with self._lock:
            counts = self._counts
            return Totals(
                trace_requests=counts["trace requests"],
                metrics_requests=counts["metrics requests"],
                spans=counts["spans"],
                metrics=counts["metrics"],
                time_series=counts["time series"],
                refused_spans=dict(self._refused_spans),
                refused_time_series=dict(self._refused_series),
                clients=len(self._clients),
                expired_clients=counts["expired clients"],
                series=self._budget.series,
                bytes=self._budget.bytes,
                spans_held=self._recent.count,
                span_bytes_held=self._recent.bytes,
            )

    def clients(self) -> list[ClientView]:
        """The clients, in the order in which they were first seen."""
        now = self.clock()
        with self._lock:
            return [client.view(now) for client in self._clients.values()]

    def recent_spans(self, most: int = 1_000) -> list[HeldSpan]:
        """At most so many of the spans that are held, the newest first."""
        with self._lock:
            bundles = self._recent.bundles()
        return newest(bundles, most)

    def metrics(self) -> list[SourceView]:
        """The newest value of every time series, by source, in the order in which the clients were first seen."""
        with self._lock:
            clients = list(self._clients.values())
        found: list[SourceView] = []
        for client in clients:
            with self._lock:
                found += [_view(client, source) for source in client.sources.values()]
        return found

    # Writing, on one thread: what the intakes need

    def take_spans(self, sender: Sender, request: ExportTraceServiceRequest, payload: bytes, now: float) -> None:
        """Count and hold spans, after the listeners have had them.

        Args:
            payload: the request as it came.
        Raises:
            IntakeError: there is no room for the client, or a listener failed.
        """
        client = self._client(sender, now)
        _tell(self._span_listeners, SpansReceived(sender.node, sender.resource, request))
        count = len(request.spans)
        with self._lock:
            client.spans += count
            client.span_rate.add(count, now)
            self._counts.update({"trace requests": 1, "spans": count})
            self._recent.add(client.identity, payload, count)

    def take_metrics(self, sender: Sender, request: ExportMetricsServiceRequest, now: float) -> Counter[Reason]:
        """Hold the newest values of metrics, after the listeners have had them; say how many time series were refused.

        Raises:
            IntakeError: there is no room for the client, or a listener failed.
        """
        client = self._client(sender, now)
        _tell(self._metrics_listeners, MetricsReceived(sender.node, sender.resource, request))
        refused: Counter[Reason] = Counter()
        for metric in request.metrics:
            refused += self._take_metric(client, sender, metric, now)
        count = len(request.metrics)
        time_series = sum(len(metric.timeseries) for metric in request.metrics)
        with self._lock:
            client.metrics += count
            client.metric_rate.add(count, now)
            client.refused += sum(refused.values())
            taken = time_series - sum(refused.values())
            self._counts.update({"metrics requests": 1, "metrics": count, "time series": taken})
            self._refused_series.update(refused)
        return refused

    def _take_metric(self, client: Client, sender: Sender, metric: Metric, now: float) -> Counter[Reason]:
        refused: Counter[Reason] = Counter()
        try:
            descriptor = self._descriptors.read(metric.metric_descriptor)
            own_resource = metric.HasField("resource")
            resource_key = message_key(metric.resource, self.limits) if own_resource else sender.resource_key
        except (Refused, LimitReached) as error:
            refused[error.reason] = len(metric.timeseries)
            return refused
        points: list[NewPoint] = []
        for series in metric.timeseries:
            try:
                points.append(read_newest(series, descriptor, self.limits))
            except Refused as error:
                refused[error.reason] += 1
        if points:
            with self._lock:
                refused += self._table.hold(client, resource_key, descriptor, points, now)
        return refused

    def refuse_spans(self, sender: Sender, request: ExportTraceServiceRequest, reason: Reason) -> None:
        """Count a request of spans of which nothing was taken."""
        with self._lock:
            self._counts["trace requests"] += 1
            self._refused_spans[reason] += len(request.spans)
            self._blame(sender, len(request.spans))

    def refuse_metrics(self, sender: Sender, request: ExportMetricsServiceRequest, reason: Reason) -> None:
        """Count a request of metrics of which nothing was taken."""
        time_series = sum(len(metric.timeseries) for metric in request.metrics)
        with self._lock:
            self._counts["metrics requests"] += 1
            self._refused_series[reason] += time_series
            self._blame(sender, time_series)

    def _blame(self, sender: Sender, refused: int) -> None:
        client = self._clients.get(sender.identity)
        if client is not None and sender.is_introduced:
            client.refused += refused

    def _client(self, sender: Sender, now: float) -> Client:
        """The client that sends, which may be a new one, or describe itself anew.

        Raises:
            LimitReached: there is no room for it.
        """
        client = self._clients.get(sender.identity)
        with self._lock:
            try:
                if client is None:
                    client = self._admit(sender, now)
                elif client.node_key != sender.node_key:
                    self._describe(client, sender)
            except Refused as error:
                raise LimitReached(error.reason, self.limits) from None
            client.requests += 1
            client.last_seen = now
        return client

    def _admit(self, sender: Sender, now: float) -> Client:
        if len(self._clients) >= self.limits.max_clients:
            raise Refused(Reason.TOO_MANY_CLIENTS)
        self._budget.hold(_weight(sender.node_key))
        client = Client(sender.identity, sender.node_key, node_attributes(sender.node), now)
        self._clients[sender.identity] = client
        return client

    def _describe(self, client: Client, sender: Sender) -> None:
        growth = len(sender.node_key) - len(client.node_key)
        self._budget.hold((NODE_COPIES + len(client.sources)) * growth)  # the sources are weighed with it, each
        client.node_key, client.attributes = sender.node_key, node_attributes(sender.node)

    def expire(self, now: float | None = None) -> int:
        """Forget the time series and clients that are stale; return how many clients that were.

        Args:
            now: by the store's clock; None to look at it.
        """
        before = (self.clock() if now is None else now) - self.limits.stale_after
        expired = 0
        for identity, client in list(self._clients.items()):
            with self._lock:
                self._table.expire(client, before)
                if client.last_seen < before:  # and so is every series of it
                    del self._clients[identity]
                    self._budget.release(_weight(client.node_key))
                    self._counts["expired clients"] += 1
                    expired += 1
        return expired


def _tell(listeners: list[Callable[[Received], None]], received: Received) -> None:
    """Tell the listeners, in the order in which they came; those behind one that refuses will have it the next time.

    Raises:
        IntakeError: one of them refuses.
    """
    for listener in listeners:
        listener(received)


def _weight(node_key: bytes) -> int:
    """The memory that a client takes without its series, estimated."""
    return ENTRY_BYTES + NODE_COPIES * len(node_key)


def _view(client: Client, source: Source) -> SourceView:
    metrics = [
        HeldPoints(held.descriptor, [(labels, series.value) for labels, series in held.series.items()])
        for held in source.metrics.values()
    ]
    return SourceView(client.identity, client.attributes, source.resource, metrics)
