"""What the agent says of itself on the Prometheus page.

Floor 5, agent: imports refusal, services, views, and server's limits; and prometheus-client, the extra
``puremux[agent]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..server.limits import CALL_REASONS, CONNECTION_REASONS
from .refusal import SPAN_REASONS, Reason
from .services import TOO_MANY_ITEMS
from .views import AgentView, ForwardView, ServerView, Totals

__all__ = ["PREFIX", "own_metrics"]

PREFIX = "puremux_agent"

HELD = ("waiting", "unconfirmed")
DONE = ("confirmed", "replayed")

REFUSED_CALLS = (*CALL_REASONS, TOO_MANY_ITEMS)
REFUSED_BY = tuple(reason.value for reason in Reason)


def own_metrics(view: AgentView) -> list[Metric]:
    """The agent's own families."""
    families = _of_store(view.totals)
    if view.server is not None:
        families += _of_server(view.server)
        families += ProcessCollector(registry=None).collect()
    if view.forward is not None:
        families += _of_forwarder(view.forward)
    return families


def _of_store(totals: Totals) -> list[Metric]:
    requests = CounterMetricFamily(f"{PREFIX}_requests", "Messages received on Export calls.", labels=["service"])
    requests.add_metric(["trace"], totals.trace_requests)
    requests.add_metric(["metrics"], totals.metrics_requests)
    spans = [reason.value for reason in SPAN_REASONS]
    return [
        GaugeMetricFamily(f"{PREFIX}_clients", "Clients known now.", totals.clients),
        CounterMetricFamily(
            f"{PREFIX}_expired_clients", "Clients forgotten since they were silent.", totals.expired_clients
        ),
        requests,
        CounterMetricFamily(f"{PREFIX}_spans", "Spans received.", totals.spans),
        _by_reason("refused_spans", "Spans refused.", spans, _named(totals.refused_spans)),
        CounterMetricFamily(f"{PREFIX}_metrics", "Metrics received, each time they came.", totals.metrics),
        CounterMetricFamily(f"{PREFIX}_time_series", "Time series received, each time they came.", totals.time_series),
        _by_reason("refused_time_series", "Time series refused.", REFUSED_BY, _named(totals.refused_time_series)),
        GaugeMetricFamily(f"{PREFIX}_held_time_series", "Time series held.", totals.series),
        GaugeMetricFamily(f"{PREFIX}_held_bytes", "Memory for clients and time series, estimated.", totals.bytes),
        GaugeMetricFamily(f"{PREFIX}_held_spans", "Spans held for pages.", totals.spans_held),
    ]


def _of_server(server: ServerView) -> list[Metric]:
    return [
        GaugeMetricFamily(f"{PREFIX}_connections", "Clients connected now.", server.connections),
        _by_reason(
            "refused_connections", "Connections ended by the agent.", CONNECTION_REASONS, server.refused_connections
        ),
        _by_reason("refused_calls", "Calls refused for what they asked.", REFUSED_CALLS, server.refused_calls),
    ]


def _of_forwarder(forward: ForwardView) -> list[Metric]:
    connected = GaugeMetricFamily(f"{PREFIX}_forward_connected", "Whether the next agent is connected: 1, or 0.")
    connected.add_metric([], float(forward.state == "ready"))
    families: list[Metric] = [connected]
    for what, stats in (("spans", forward.spans), ("metrics", forward.metrics)):
        held = GaugeMetricFamily(f"{PREFIX}_forward_held_{what}", f"{what.title()} held.", labels=["state"])
        for state in HELD:
            held.add_metric([state], stats[state])
        done = CounterMetricFamily(f"{PREFIX}_forward_{what}", f"{what.title()} handed on.", labels=["state"])
        for state in DONE:
            done.add_metric([state], stats[state])
        dropped: Mapping[str, Any] = stats["dropped"]
        lost = _by_reason(f"forward_dropped_{what}", f"{what.title()} given up.", dropped, dropped)
        families += [held, done, lost]
    return families


def _by_reason(name: str, description: str, reasons: Iterable[str], counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", description, labels=["reason"])
    for reason in reasons:
        family.add_metric([reason], counts.get(reason, 0))
    return family


def _named(counts: Mapping[Reason, int]) -> Mapping[str, int]:
    return {reason.value: count for reason, count in counts.items()}
