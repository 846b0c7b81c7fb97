"""The zPages of a program: what its exporter sends, how that goes, and how it samples.

Floor 5, zpages: imports the rest of zpages, and exporter and methods below.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

from ..exporter import Exporter
from ..exporter.metrics import MetricEncoder
from ..methods import channel_books
from ..proto import metrics_pb2, trace_config_pb2
from .book import Bounds, SpanBook
from .charts import Line, line_chart
from .history import History, Sample
from .pages import CallGroup, ConfigPage, InForce, Listed, RpcPage, StatsPage, TracePage
from .running import RunningSpans, observe_tracers, stop_observing
from .site import Filled, Request, ZPage
from .surface import Surface, metrics_in, spans_in
from .text import number
from .views import View, view_of

__all__ = ["ProgramSite"]

MOST_METRICS = 500  # held, by name
METRIC_BYTES = 4 * 1024 * 1024  # of all of them
STATS = "opencensus.stats.stats"


class _Sent:
    """What the exporter sent: told by its thread, read by pages."""

    def __init__(self, exporter: Exporter, bounds: Bounds) -> None:
        self.book = SpanBook(bounds)
        self.history = History(_weakly(exporter))
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._metrics: OrderedDict[str, bytes] = OrderedDict()
        self._metric_bytes = 0

    def batch(self, signal: str, payload: bytes) -> None:
        """Take the spans or metrics of a batch."""
        try:
            if signal == "spans":
                self.book.add(list(spans_in(payload)))
            else:
                self._take_metrics(list(metrics_in(payload)))
        except ValueError:  # of a ready-made request, with what no encoder of ours writes: it is sent, and not shown
            pass

    def _take_metrics(self, metrics: Iterable[tuple[str, bytes]]) -> None:
        with self._lock:
            for name, metric in metrics:
                self._metric_bytes += len(metric) - len(self._metrics.pop(name, b""))
                self._metrics[name] = metric
            while self._metric_bytes > METRIC_BYTES or len(self._metrics) > MOST_METRICS:
                self._metric_bytes -= len(self._metrics.popitem(last=False)[1])

    def looked(self) -> None:
        """Note how things stand."""
        self.history.look()

    def forked(self) -> None:
        """Begin anew."""
        self.book.forget()
        self.history.forget()
        self._begin()

    def metrics(self) -> list[bytes]:
        """Each metric as it was sent last."""
        with self._lock:
            return list(self._metrics.values())


def _weakly(exporter: Exporter) -> Callable[[], Mapping[str, Any] | None]:
    """Its figures, as long as somebody else holds it: whoever watches an exporter must not keep it alive."""
    reference = weakref.ref(exporter)

    def read() -> Mapping[str, Any] | None:
        found = reference()
        return None if found is None else found.stats()

    return read


class ProgramSite:
    """The pages of one exporter and the program that it is in.

    Args:
        exporter: is watched until :meth:`close`.
        bounds: of the spans that are held.
    """

    role = "exporter"

    def __init__(self, exporter: Exporter, bounds: Bounds) -> None:
        self.title = f"{exporter.service_name or 'a program'} → {exporter.target}"
        self._exporter = exporter
        self._since = time.time()
        self._sent = _Sent(exporter, bounds)
        self._running = RunningSpans()
        seen = self._running if observe_tracers(self._running) else None
        self.pages: Sequence[ZPage] = (
            TracePage(_Traces(self._sent.book, seen)),
            RpcPage(_Calls()),
            StatsPage(_Stats(self._sent, exporter)),
            ConfigPage(_Config(exporter)),
            ExporterPage(exporter, self._sent.history),
        )
        exporter.watch(self._sent)

    def overview(self) -> Sequence[tuple[str, str]]:
        """How things stand, in a few figures."""
        stats = self._exporter.stats()
        return [
            ("connection", stats["state"]),
            ("spans confirmed", number(stats["confirmed"])),
            ("spans on their way", number(stats["queue"] + stats["waiting"] + stats["unconfirmed"])),
            ("spans dropped", number(sum(stats["dropped"].values()))),
            ("metrics confirmed", number(stats["metrics"]["confirmed"])),
        ]

    def close(self) -> None:
        """Watch no more."""
        self._exporter.unwatch(self._sent)
        stop_observing(self._running)


class _Traces:
    def __init__(self, book: SpanBook, running: RunningSpans | None) -> None:
        self._book = book
        self.running = running
        self.scope = "All spans that this exporter was given to send since these pages were made."

    def book(self, client: str) -> SpanBook:
        return self._book

    def trace(self, trace_id: bytes) -> Sequence[Surface]:
        return self._book.trace(trace_id)

    def clients(self) -> Sequence[str]:
        return ()


class _Calls:
    def groups(self) -> Sequence[CallGroup]:
        return [CallGroup(f"Calls to {book.name}", book.views(), False) for book in channel_books()]


class _Stats:
    scope = "The views of this program's opencensus stats as they are now, and what else the exporter sent last."

    def __init__(self, sent: _Sent, exporter: Exporter) -> None:
        self._sent = sent
        self._prefix = exporter.metric_name_prefix

    def views(self) -> Sequence[Listed]:
        found = {view.name: view for view in map(_view, self._sent.metrics())}
        for encoded in self._recorded():
            view = _view(encoded)
            found[view.name] = view
        return [Listed(view.name, view.source, functools.partial(_same, view)) for view in found.values()]

    def _recorded(self) -> list[bytes]:
        """The views of opencensus's stats, if the program has them; by their shape, as the exporter takes them."""
        stats = getattr(sys.modules.get(STATS), "stats", None)
        encoder = MetricEncoder(self._prefix)
        try:
            return [] if stats is None else [encoder.encode(metric) for metric in stats.get_metrics() if metric]
        except Exception:  # noqa: BLE001  the program records meanwhile, without a lock; what was sent is there
            return []


def _same(view: View) -> View:
    return view


def _view(encoded: bytes) -> View:
    return view_of(metrics_pb2.Metric.FromString(encoded))


class _Config:
    scope = (
        "Holds at once for tracers made with sampler=exporter.sampler, and the limits for every span that is sent; "
        "until the agent asks for something else, or the program ends."
    )

    def __init__(self, exporter: Exporter) -> None:
        self._sampler = exporter.sampler

    def wanted(self) -> trace_config_pb2.TraceConfig:
        return trace_config_pb2.TraceConfig.FromString(self._sampler.current())

    def in_force(self) -> Sequence[InForce]:
        return [InForce("this program", self.wanted())]

    def apply(self, config: trace_config_pb2.TraceConfig) -> None:
        self._sampler.apply(config.SerializeToString())


class ExporterPage(ZPage):
    """exporterz: the connection, what became of spans and metrics, what went wrong, and all of that over time.

    Args:
        history: of the exporter's figures.
    """

    name = "exporterz"
    title = "the connection, and what became of what was sent"

    def __init__(self, exporter: Exporter, history: History) -> None:
        self._exporter = exporter
        self._history = history

    def get(self, request: Request) -> Filled:
        """Figures, and two charts."""
        stats = self._exporter.stats()
        samples = self._history.samples()
        values = {
            "target": self._exporter.target,
            "stats": stats,
            "signals": [("spans", stats), ("metrics", stats["metrics"])],
            "complaints": self._exporter.complaints(),
            "held": _held(samples),
            "rates": _rates(samples),
        }
        return Filled("exporterz.html", values)


def _held(samples: Sequence[Sample]) -> Any:
    lines = [Line(name, [getattr(sample, name) for sample in samples]) for name in ("queue", "waiting", "unconfirmed")]
    return line_chart([sample.at for sample in samples], lines, [sample.state for sample in samples])


def _rates(samples: Sequence[Sample]) -> Any:
    """Spans a second between each two samples, drawn at the later one."""
    pairs = list(zip(samples, samples[1:])) or [(samples[0], samples[0])]
    lines = [
        Line(
            name, [_rate(getattr(before, name), getattr(after, name), after.at - before.at) for before, after in pairs]
        )
        for name in ("sent", "confirmed", "dropped")
    ]
    return line_chart([after.at for _, after in pairs], lines, [after.state for _, after in pairs])


def _rate(before: int, after: int, seconds: float) -> float:
    return max(0, after - before) / max(seconds, 0.05)
