"""Stores of the agent for tests: with a clock that a test moves, with what one client has sent."""

from __future__ import annotations

from typing import Any

from puremux.agent.intake import MetricsIntake
from puremux.agent.limits import AgentLimits
from puremux.agent.store import Store
from puremux.proto.trace_pb2 import Span
from tests.shared.agent_messages import metrics_request, node

EMPTY_EVENTS = Span.TimeEvents(time_event=[Span.TimeEvent()] * 50_000)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def make_store(clock: Clock | None = None, **limits: Any) -> Store:
    return Store(AgentLimits(**limits), clock or Clock())


def held(store: Store) -> dict[tuple[str, ...], Any]:
    """All values, by service, metric's name and label values."""
    return {
        (source.client.service_name, metric.descriptor.name, *labels): value
        for source in store.metrics()
        for metric in source.metrics
        for labels, value in metric.points
    }


def store_of(*metrics: Any, **fields: Any) -> Store:
    """A store that has had the metrics from one client."""
    store = Store()
    receive(store, *metrics, **fields)
    return store


def receive(store: Store, *metrics: Any, **fields: Any) -> None:
    MetricsIntake(store).receive(metrics_request(*metrics, **{"node": node(), **fields}))
