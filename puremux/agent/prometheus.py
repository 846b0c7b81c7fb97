"""The Prometheus page of the agent: all metrics of all clients, and the agent's own.

Floor 5, agent: imports families, own, rendering, samples, store and views, and page below; and prometheus-client, the
extra ``puremux[agent]``.
Spec: Prometheus's text format 0.0.4 and OpenMetrics 1.0, both written by prometheus-client; naming says which names
metrics and labels get, families what becomes of clashes.

Each series has the labels of its metric, those of its Resource, ``service_name`` and ``service_instance_id``.  What
else the client's Node says is in ``target_info``, to be joined on these two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, cast
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.samples import Sample

from ..page import PageServer, serve_wsgi
from .families import CONFLICTS, SUFFIXES, Families, Family, Labels, target_labels
from .own import PREFIX, own_metrics
from .rendering import Rendered, SharedPages, render
from .samples import fits, samples_of
from .store import Store
from .views import AgentView, SourceView

__all__ = ["AgentCollector", "page_app", "serve_page"]

RENDERING = 30.0  # seconds to wait until another page is made
METHODS = ("GET", "HEAD")
PATHS = ("/", "/metrics")
READABLE_VERSION = re.compile(r"\d{1,4}(\.\d{1,4})*")


class AgentCollector:
    """What prometheus-client asks for the page.

    Args:
        node_labels: put all that a client's Node says on each of its series, and ``job``, as the Collector does
            when told to convert resources to labels; there is no ``target_info`` then.
        view: what the agent says of itself; None for what the store says.
    """

    def __init__(self, store: Store, *, node_labels: bool = False, view: Callable[[], AgentView] | None = None) -> None:
        self._store = store
        self._node_labels = node_labels
        self._view = view or (lambda: AgentView(store.totals()))

    def collect(self) -> Iterator[Metric]:
        """The families of the page.  The samples of each are made while they are read, and can be read once."""
        own = own_metrics(self._view())
        families = Families(_names([*own, _conflicts({}), _target_info({})]))
        targets: dict[frozenset[tuple[str, str]], SourceView] = {}
        for source in self._store.metrics():
            labels = self._labels(source)
            targets[frozenset(labels.items())] = source
            for held in source.metrics:
                families.add(labels, held)
        for family in families:
            yield _lazily(Metric(family.name, family.help, family.kind, family.unit), _samples(family))
        if not self._node_labels:
            yield _target_info(targets)
        yield from own
        yield _conflicts(families.conflicts)

    def _labels(self, source: SourceView) -> Labels:
        labels = target_labels(source, node=self._node_labels)
        if self._node_labels and "service_name" in labels:
            labels = {"job": labels["service_name"], **labels}
        return labels


def page_app(
    store: Store, *, node_labels: bool = False, view: Callable[[], AgentView] | None = None
) -> Callable[..., Iterable[bytes]]:
    """The page as a WSGI application, to mount in one's own server.

    It serves ``/`` and ``/metrics``, as text or as OpenMetrics, whichever the Accept header asks for.  One is made at
    a time, since a page of thousands of clients takes memory; those who ask meanwhile share the next.
    """
    registry = CollectorRegistry(support_collectors_without_names=True)
    registry.register(AgentCollector(store, node_labels=node_labels, view=view))
    pages = SharedPages()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ.get("REQUEST_METHOD", "GET")
        if method not in METHODS:
            return _answer(start_response, "405 Method Not Allowed", "Only GET is of use here.\n")
        if environ.get("PATH_INFO", "/") not in PATHS:
            answer = _answer(start_response, "404 Not Found", "The metrics are at /metrics.\n")
            return [] if method == "HEAD" else answer
        accept = environ.get("HTTP_ACCEPT", "")
        if not _is_readable(accept):
            accept = ""  # prometheus-client raises TypeError; a plain page serves everybody
        names = parse_qs(environ.get("QUERY_STRING", "")).get("name[]", [])
        encoding = environ.get("HTTP_ACCEPT_ENCODING", "")

        def make() -> Rendered:
            return render((registry.restricted_registry(names) if names else registry).collect(), accept, encoding)

        page = pages.get((accept, encoding, *names), make, RENDERING)
        if page is None:
            return _answer(start_response, "503 Service Unavailable", "Others are asking for this page; try again.\n")
        start_response("200 OK", _headers(page))
        return [] if method == "HEAD" else page.body

    return serve


def _headers(page: Rendered) -> list[tuple[str, str]]:
    length = str(sum(map(len, page.body)))
    headers = [("Content-Type", page.content_type), ("Content-Length", length), ("Vary", "Accept, Accept-Encoding")]
    if page.content_encoding:
        headers.append(("Content-Encoding", page.content_encoding))
    return headers


def serve_page(
    store: Store,
    host: str,
    port: int,
    *,
    node_labels: bool = False,
    view: Callable[[], AgentView] | None = None,
) -> PageServer:
    """Serve the page over HTTP, on threads of its own.

    Args:
        port: 0 for any free one.
        node_labels, view: as :class:`AgentCollector` takes them.
    Raises:
        OSError: the address cannot be listened on.
        ValueError: the port is none.
    """
    return serve_wsgi(page_app(store, node_labels=node_labels, view=view), host, port)


def _samples(family: Family) -> Iterator[Sample]:
    for labels, value in family.series():
        if not fits(family.kind, value):
            family.conflicts["value"] += 1
        yield from samples_of(family.kind, family.name, labels, value)


# What is said of all clients


def _conflicts(counts: Mapping[str, int]) -> Metric:
    description = (
        "Clashes between clients: of a metric's type, of its help, of a series; metrics, and values, left out."
    )
    family = GaugeMetricFamily(f"{PREFIX}_conflicts", description, labels=["kind"])
    for kind in CONFLICTS:
        family.add_metric([kind], counts.get(kind, 0))
    return family


def _target_info(targets: Mapping[frozenset[tuple[str, str]], SourceView]) -> Metric:
    """What is known of each source, by the labels of its series; where two share them, of the one first seen later."""
    samples = (Sample("target_info", dict(labels), 1) for labels in _each_once(targets.values()))
    return _lazily(Metric("target", "What is known of the clients.", "info"), samples)


def _each_once(sources: Iterable[SourceView]) -> Iterator[Labels]:
    """All that is known of each source: its Node may hide what told it from another."""
    shown: set[frozenset[tuple[str, str]]] = set()
    for source in sources:
        labels = target_labels(source, node=True)
        key = frozenset(labels.items())
        if key not in shown:
            shown.add(key)
            yield labels


def _names(metrics: Iterable[Metric]) -> set[str]:
    """All names that these families take."""
    return {metric.name + suffix for metric in metrics for suffix in SUFFIXES.get(metric.type, ("", "_info"))}


# What prometheus-client is given


def _lazily(metric: Metric, samples: Iterator[Sample]) -> Metric:
    """The family with samples that are made one by one: a list of them would take more memory than the page."""
    metric.samples = cast("list[Sample]", samples)  # prometheus-client goes through them once
    return metric


def _is_readable(accept: str) -> bool:
    versions = re.findall(r"version=([^;,]*)", accept)
    return all(READABLE_VERSION.fullmatch(version.strip()) for version in versions)


def _answer(start_response: Callable[..., Any], status: str, text: str) -> Iterable[bytes]:
    allow = [("Allow", ", ".join(METHODS))] if status.startswith("405") else []
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *allow])
    return [text.encode()]
