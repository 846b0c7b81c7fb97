"""tracez, rpcz, statsz and traceconfigz: what they show, of a program or of an agent.

Floor 5, zpages: imports book, charts, details, running, sampling, site, surface and views, and below methods
and ``puremux.proto``.
Source: the zPages of OpenCensus.

A page is given where its figures come from; the exporter's side is in program.py, the agent's in ``puremux.agent``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, NamedTuple, Protocol
from urllib.parse import urlencode

from ..methods import MethodView
from ..proto import trace_config_pb2
from . import sampling
from .book import BUCKETS, ERRORS, Cell, NameView, SpanBook, name_id
from .charts import bars
from .details import trace_rows, view_span
from .running import RunningSpans
from .site import Answer, Filled, NotHere, Request, Seen, ZPage
from .surface import Surface
from .views import View, distribution_titles

__all__ = [
    "CallGroup",
    "Calls",
    "Config",
    "ConfigPage",
    "InForce",
    "Part",
    "RpcPage",
    "Stats",
    "StatsPage",
    "TracePage",
    "Traces",
    "part_of",
]

NAMES_SHOWN = 100  # on one page
SPANS_SHOWN = 100
VIEWS_SHOWN = 40
ROWS_SHOWN = 20  # of one view
BUCKET_NUMBERS = frozenset(map(str, range(len(BUCKETS))))
RUNNING = "running"
"""The cell of spans that have no end yet."""


class Part(NamedTuple):
    """Some of a list, and how to get at the rest."""

    items: Sequence[Any]
    first: int
    """The number of the first, from 1."""

    total: int
    before: str | None
    after: str | None
    """Queries of the parts before and behind."""

    @property
    def last(self) -> int:
        """The number of the last."""
        return self.first + len(self.items) - 1


def part_of(items: Sequence[Any], request: Request, most: int) -> Part:
    """The part of a list that a request asks for by ``from=``."""
    first = request.number("from", 0, max(0, len(items) - 1)) // most * most
    here = items[first : first + most]

    def query(begin: int) -> str:
        return "?" + urlencode({**request.query, "from": begin}, errors="replace")

    before = query(max(0, first - most)) if first else None
    after = query(first + most) if first + most < len(items) else None
    return Part(here, first + 1 if here else 0, len(items), before, after)


class Traces(Protocol):
    """Where tracez gets its spans."""

    scope: str
    """Which spans are counted, as a sentence."""

    running: RunningSpans | None
    """None where nothing is known of them."""

    def book(self, client: str) -> SpanBook:
        """The spans of one client, or of all for an empty name."""

    def trace(self, trace_id: bytes) -> Iterable[Surface]:
        """The spans that are held of a trace."""

    def clients(self) -> Sequence[str]:
        """Their names; none where there is one program only."""


class NameRow(NamedTuple):
    """A span name in the table."""

    view: NameView
    running: int


class TracePage(ZPage):
    """tracez: spans by name, latency and status; and each span that is held, in full.

    Args:
        traces: where they come from.
    """

    name = "tracez"
    title = "spans by name, latency and status"

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def get(self, request: Request) -> Filled:
        """The table of names, the spans of a cell, or one span."""
        if request.path:
            return self._span(request)
        book = self._traces.book(request.query.get("client", ""))
        if "name" in request.query:
            return self._cell(book, request)
        return self._names(book, request)

    def _names(self, book: SpanBook, request: Request) -> Filled:
        rows = self._rows(book)
        wanted = request.query.get("find", "").casefold()
        rows = [row for row in rows if wanted in row.view.name.casefold()]
        order = request.query.get("sort", "name")
        rows.sort(key=ORDERS.get(order, ORDERS["name"]))
        values = {
            "part": part_of(rows, request, NAMES_SHOWN),
            "buckets": BUCKETS,
            "book": book,
            "scope": self._traces.scope,
            "running": self._traces.running,
            "clients": self._traces.clients(),
            "query": request.query,
        }
        return Filled("tracez.html", values)

    def _rows(self, book: SpanBook) -> list[NameRow]:
        running = self._traces.running.names() if self._traces.running is not None else Counter[str]()
        rows = [NameRow(view, running.pop(view.name, 0)) for view in book.names()]
        fresh = [NameView(name, name_id(name), (0,) * len(BUCKETS), {}) for name in running]
        return rows + [NameRow(view, running[view.name]) for view in fresh]

    def _cell(self, book: SpanBook, request: Request) -> Filled:
        wanted, cell = request.query["name"], request.query.get("cell", "")
        row = next((row for row in self._rows(book) if row.view.name_id == wanted), None)
        if row is None:
            raise NotHere("No span of this name is known any more.")
        values = {
            "row": row,
            "what": _cell_in_words(cell),
            "count": _count(row, cell),
            "part": part_of(self._spans(book, row.view, cell), request, SPANS_SHOWN),
            "summary": _summary,
            "now": _now,
            "query": request.query,
        }
        return Filled("spans.html", values)

    def _spans(self, book: SpanBook, view: NameView, cell: str) -> list[Surface]:
        running = self._traces.running
        if cell == RUNNING:
            return running.spans(lambda name: name == view.name) if running is not None else []
        return book.spans(view.name_id, _cell(cell))

    def _span(self, request: Request) -> Filled:
        try:
            trace_id, span_id = map(bytes.fromhex, request.path)
        except ValueError:
            raise NotHere("A span's address is /tracez/TRACE-ID/SPAN-ID, both as hexadecimal digits.") from None
        spans = list(self._traces.trace(trace_id))
        if self._traces.running is not None:
            spans += [span for span in self._traces.running.spans() if span.trace_id == trace_id]
        spans.sort(key=lambda span: span.start)
        span = next((span for span in reversed(spans) if span.span_id == span_id), None)
        if span is None:
            raise NotHere("This span is not held here, or not any more.")
        try:
            view = view_span(span)
        except ValueError as error:
            raise NotHere(f"This span is held here, and cannot be shown: {error}.") from None
        values = {
            "span": span,
            "view": view,
            "branches": trace_rows(spans),
            "total": len(spans),
            "held": {each.span_id for each in spans},
            "now": _now,
        }
        return Filled("span.html", values)


ORDERS = {
    "name": lambda row: (row.view.name.casefold(), row.view.name),
    "count": lambda row: -row.view.total,
    "errors": lambda row: -sum(row.view.errors.values()),
    "running": lambda row: -row.running,
}
"""How the table of names can be sorted."""


def _now() -> int:
    return time.time_ns()


def _cell(text: str) -> Cell | None:
    if text in BUCKET_NUMBERS:
        return int(text)
    return ERRORS if text == ERRORS else None


def _cell_in_words(text: str) -> str:
    cell = _cell(text)
    if isinstance(cell, int):
        above = f" to {BUCKETS[cell + 1]}" if cell + 1 < len(BUCKETS) else " and longer"
        return f"that took {BUCKETS[cell]}{above}"
    return {ERRORS: "that ended with an error", RUNNING: "that are running"}.get(text, "that have ended")


def _count(row: NameRow, text: str) -> int:
    cell = _cell(text)
    if text == RUNNING:
        return row.running
    if cell is None:
        return row.view.total
    return sum(row.view.errors.values()) if isinstance(cell, str) else row.view.latencies[cell]


def _summary(span: Surface) -> str:
    """Its attributes in one line."""
    try:
        return ", ".join(f"{key}={value[:60]}" for key, value in view_span(span).attributes[:6])
    except ValueError as error:
        return str(error)


class CallGroup(NamedTuple):
    """Methods that are called over one channel, or served."""

    title: str
    methods: Sequence[MethodView]
    served: bool
    """True for a server's own."""


class Calls(Protocol):
    """Where rpcz gets its calls."""

    def groups(self) -> Sequence[CallGroup]:
        """The methods' figures."""


class RpcPage(ZPage):
    """rpcz: calls by method.

    Args:
        calls: where they come from.
    """

    name = "rpcz"
    title = "gRPC calls by method"

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get(self, request: Request) -> Filled:
        """A table for each channel and server."""
        return Filled("rpcz.html", {"groups": self._calls.groups(), "bars": _latency_bars})


def _latency_bars(view: MethodView) -> Any:
    edges = [*BUCKETS, "∞"]
    titles = [f"{low} to {high}: {count}" for low, high, count in zip(edges, edges[1:], view.latencies)]
    return bars(view.latencies, titles, 108.0, 22.0)


class Listed(NamedTuple):
    """A view in the list of all, of which few are shown."""

    name: str
    source: str
    read: Callable[[], View]


class Stats(Protocol):
    """Where statsz gets its views."""

    scope: str
    """What is shown, as a sentence."""

    def views(self) -> Sequence[Listed]:
        """The views, to be read with their newest values."""


class StatsPage(ZPage):
    """statsz: views, with their distributions drawn.

    Args:
        stats: where they come from.
    """

    name = "statsz"
    title = "views and their values"

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def get(self, request: Request) -> Filled:
        """The views, a few on each page."""
        wanted = request.query.get("find", "").casefold()
        views = [view for view in self._stats.views() if wanted in view.name.casefold()]
        views.sort(key=lambda view: view[:2])
        part = part_of(views, request, VIEWS_SHOWN)
        values = {
            "part": part._replace(items=[view.read() for view in part.items]),
            "scope": self._stats.scope,
            "most": ROWS_SHOWN,
            "bars": lambda value: bars(value.buckets, distribution_titles(value)),
            "query": request.query,
        }
        return Filled("statsz.html", values)


class InForce(NamedTuple):
    """How a program samples, by what it says."""

    who: str
    config: trace_config_pb2.TraceConfig


class Config(Protocol):
    """What traceconfigz changes."""

    scope: str
    """What a change does, as sentences."""

    def wanted(self) -> trace_config_pb2.TraceConfig:
        """What was asked for last, or holds."""

    def in_force(self) -> Sequence[InForce]:
        """What the programs say that they do."""

    def apply(self, config: trace_config_pb2.TraceConfig) -> None:
        """Ask for this.

        Raises:
            ValueError: it can't be asked for; one sentence.
        """


class ConfigPage(ZPage):
    """traceconfigz: the sampler and the limits of spans, to see and to change.

    Args:
        config: what is changed.
    """

    name = "traceconfigz"
    title = "the sampler and the limits of spans"
    changes = True

    def __init__(self, config: Config) -> None:
        self._config = config

    def get(self, request: Request) -> Filled:
        """The form, and what is in force."""
        said = "This was asked for." if "changed" in request.query else ""
        return self._filled(sampling.settings_of(self._config.wanted()), said=said)

    def post(self, request: Request) -> Answer:
        """Ask for what the form says."""
        try:
            self._config.apply(sampling.config_of(request.form))
        except ValueError as error:
            limits = {name: request.form.get(name, "") for name in sampling.LIMITS}
            kept = sampling.Settings(
                request.form.get("sampler", ""),
                request.form.get("probability", ""),
                request.form.get("rate", ""),
                limits,
            )
            return self._filled(kept, error=str(error), status="400 Bad Request")
        return Seen("?changed=1")

    def _filled(self, settings: sampling.Settings, said: str = "", error: str = "", status: str = "200 OK") -> Filled:
        values: Mapping[str, Any] = {
            "settings": settings,
            "samplers": sampling.SAMPLERS,
            "limits": sampling.LIMITS,
            "in_force": self._config.in_force()[:SPANS_SHOWN],
            "in_words": sampling.in_words,
            "scope": self._config.scope,
            "said": said,
            "error": error,
        }
        return Filled("traceconfigz.html", values, status)
