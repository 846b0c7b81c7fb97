"""The zPages of the agent: spans, clients, calls, metrics and samplers of all its clients.

Floor 5, agent: imports clients, recent, store and views, and zpages, methods and ``puremux.proto`` below.

Nothing is collected for them: what the agent holds anyway is read when somebody looks, so that an agent with pages
takes in as much as one without.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Protocol

from ..methods import MethodView, channel_books
from ..proto import trace_config_pb2
from ..zpages.book import Bounds, SpanBook
from ..zpages.pages import CallGroup, ConfigPage, InForce, Listed, RpcPage, StatsPage, TracePage, part_of
from ..zpages.running import RunningSpans
from ..zpages.site import Filled, Request, ZPage
from ..zpages.surface import Surface
from ..zpages.text import number
from ..zpages.views import Row, View, type_name
from .clients import ClientIdentity, ClientView, identify
from .recent import HeldSpan
from .store import Store
from .views import AgentView, HeldPoints, SamplingView

__all__ = ["AgentSite"]

MOST_CLIENTS = 200  # in a form that chooses one
CLIENTS_SHOWN = 100  # on one page
ROWS_SHOWN = 20  # of one metric of one client
SECOND = 1_000_000_000


class Shown(Protocol):
    """What the pages need of their agent."""

    address: str
    store: Store

    def view(self) -> AgentView:
        """What came in, what was refused, and what was handed on."""

    def calls(self) -> list[MethodView]:
        """What became of the clients' calls, by method."""

    def sampling(self) -> SamplingView:
        """What sampling the clients were asked for, and what each says that it does."""

    def push_config(self, config: trace_config_pb2.TraceConfig) -> None:
        """Ask all clients, and those who come, to sample so."""


class AgentSite:
    """The pages of one agent."""

    role = "agent"

    def __init__(self, agent: Shown) -> None:
        self.title = f"OpenCensus Agent at {agent.address}"
        self._agent = agent
        self.pages: Sequence[ZPage] = (
            TracePage(_Traces(agent.store)),
            ClientsPage(agent),
            RpcPage(_Calls(agent)),
            StatsPage(_Stats(agent.store)),
            ConfigPage(_Config(agent)),
        )

    def overview(self) -> Sequence[tuple[str, str]]:
        """How things stand, in a few figures."""
        return _figures(self._agent)

    def close(self) -> None:
        """Nothing is held here."""


def _figures(agent: Shown) -> list[tuple[str, str]]:
    view = agent.view()
    totals = view.totals
    figures = [
        ("connections", number(view.server.connections if view.server is not None else 0)),
        ("clients", number(totals.clients)),
        ("spans", number(totals.spans)),
        ("spans refused", number(sum(totals.refused_spans.values()))),
        ("metrics", number(totals.metrics)),
        ("time series held", number(totals.series)),
        ("time series refused", number(sum(totals.refused_time_series.values()))),
    ]
    if view.forward is not None:
        figures.append(("spans the next agent has", number(view.forward.spans["confirmed"])))
    return figures


def _name(identity: ClientIdentity) -> str:
    return f"{identity.service_name} {identity.instance}".strip() or "(a client without a name)"


class _Traces:
    """The spans that the agent holds, in a book that is made when somebody looks, and kept until more have come."""

    running: RunningSpans | None = None
    scope = "The newest spans of all clients, as many as are held."

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: tuple[tuple[int, str], SpanBook] | None = None

    def _held(self) -> list[HeldSpan]:
        return self._store.recent_spans(self._store.limits.max_spans_held)

    def trace(self, trace_id: bytes) -> Iterable[Surface]:
        return _surfaces(held for held in self._held() if held.span.trace_id == trace_id)

    def book(self, client: str) -> SpanBook:
        wanted = (self._store.totals().spans, client)
        if self._kept is None or self._kept[0] != wanted:
            self._kept = wanted, self._made(client)
        return self._kept[1]

    def _made(self, client: str) -> SpanBook:
        held = self._held()
        book = SpanBook(Bounds(spans=len(held), span_bytes=1 << 40, samples=0))
        found = _surfaces(reversed(held))
        book.add(span for span in found if span.client == client) if client else book.add(found)
        return book

    def clients(self) -> Sequence[str]:
        most_spans = sorted(self._store.clients(), key=lambda client: -client.spans)[:MOST_CLIENTS]
        return sorted({_name(client.identity) for client in most_spans if client.spans})


def _surfaces(held: Iterable[HeldSpan]) -> Iterable[Surface]:
    names: dict[ClientIdentity, str] = {}
    for client, span in held:
        name = names.get(client)
        if name is None:
            name = names[client] = _name(client)
        start, end = span.start_time, span.end_time
        yield Surface(
            span.name.value,
            span.trace_id,
            span.span_id,
            span.parent_span_id,
            start.seconds * SECOND + start.nanos,
            end.seconds * SECOND + end.nanos,
            span.status.code,
            span,
            name,
        )


class _Calls:
    def __init__(self, agent: Shown) -> None:
        self._agent = agent

    def groups(self) -> Sequence[CallGroup]:
        served = CallGroup("Calls served to clients", self._agent.calls(), True)
        return [served, *(CallGroup(f"Calls to {book.name}", book.views(), False) for book in channel_books())]


class _Stats:
    scope = "The metrics of all clients, with their newest values."

    def __init__(self, store: Store) -> None:
        self._store = store

    def views(self) -> Sequence[Listed]:
        found: list[Listed] = []
        for source in self._store.metrics():
            name = _name(source.client)
            found += [
                Listed(held.descriptor.name, name, functools.partial(_view, name, held)) for held in source.metrics
            ]
        return found


def _view(source: str, held: HeldPoints) -> View:
    descriptor = held.descriptor
    shown = itertools.islice(held.points, ROWS_SHOWN)
    return View(
        descriptor.name,
        descriptor.description,
        descriptor.unit,
        type_name(descriptor.metric_type),
        descriptor.label_keys,
        [Row([label or "" for label in labels], value) for labels, value in shown],
        source,
        max(0, len(held.points) - ROWS_SHOWN),
    )


class _Config:
    scope = (
        "All clients that have a Config stream are asked at once, and those who come later; what each then says is in "
        "force stands above, a moment later."
    )

    def __init__(self, agent: Shown) -> None:
        self._agent = agent

    def wanted(self) -> trace_config_pb2.TraceConfig:
        return self._agent.sampling().pushed or trace_config_pb2.TraceConfig()

    def in_force(self) -> Sequence[InForce]:
        told = self._agent.sampling().in_force
        return sorted(
            (InForce(_name(identify(current.node)), current.config) for current in told), key=lambda each: each.who
        )

    def apply(self, config: trace_config_pb2.TraceConfig) -> None:
        self._agent.push_config(config)


class ClientsPage(ZPage):
    """clientz: who is connected, what comes from whom and how fast, and what was refused."""

    name = "clientz"
    title = "the clients, and what comes from them"

    def __init__(self, agent: Shown) -> None:
        self._agent = agent

    def get(self, request: Request) -> Filled:
        """A table of clients, a hundred on each page."""
        wanted = request.query.get("find", "").casefold()
        clients = [each for each in self._agent.store.clients() if wanted in _name(each.identity).casefold()]
        clients.sort(key=ORDERS.get(request.query.get("sort", ""), ORDERS["name"]))
        view = self._agent.view()
        values = {
            "part": part_of(clients, request, CLIENTS_SHOWN),
            "figures": _figures(self._agent),
            "refused": [(what, reason.replace("_", " "), count) for what, reason, count in view.refused()],
            "name_of": lambda client: _name(client.identity),
            "seconds": self._agent.store.clock(),
            "expired": view.totals.expired_clients,
            "query": request.query,
        }
        return Filled("clientz.html", values)


ORDERS: dict[str, Callable[[ClientView], Any]] = {
    "name": lambda client: _name(client.identity).casefold(),
    "spans": lambda client: -client.spans_per_second,
    "metrics": lambda client: -client.metrics_per_second,
    "refused": lambda client: -client.refused,
    "seen": lambda client: -client.last_seen,
}
"""How the clients can be sorted."""
