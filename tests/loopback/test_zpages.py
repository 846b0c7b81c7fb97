"""zPages served to a program's own exporter: what is sent is shown, and nothing of it harms the program."""

from __future__ import annotations

import gc
import os
import socket
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.tracer import Tracer

from puremux import zpages
from puremux.exporter import Exporter
from puremux.zpages import Bounds, Served
from tests.loopback.exporters import exporter_to
from tests.shared.scripted_agent import ScriptedAgent
from tests.shared.span_data import spans
from tests.shared.waiting import eventually

LIMIT = 10.0


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        return str(answer.read().decode())


@pytest.fixture
def exporter(agent: ScriptedAgent) -> Iterator[Exporter]:
    with exporter_to(agent, service_name="shop") as exporter:
        yield exporter


@pytest.fixture
def served(exporter: Exporter) -> Iterator[Served]:
    with zpages.serve(0, exporter) as served:
        yield served


def shows(url: str, *texts: str) -> bool:
    page = fetch(url)
    return all(text in page for text in texts)


def test_the_address_is_of_this_machine_and_under_debug(served: Served) -> None:
    assert served.url == f"http://127.0.0.1:{served.port}/debug/"
    assert shows(served.url, "tracez", "exporterz", "shop → 127.0.0.1:")


def test_spans_are_shown_once_they_are_sent(served: Served, exporter: Exporter) -> None:
    exporter.export(spans(20))
    assert exporter.flush(LIMIT)
    page = fetch(f"{served.url}tracez")
    assert "span0" in page
    assert "20 counted, 20 of the newest held" in page
    assert shows(f"{served.url}exporterz", "confirmed", "ready")
    assert shows(f"{served.url}rpcz", "/opencensus.proto.agent.trace.v1.TraceService/Export", "Calls to 127.0.0.1:")


def test_a_running_span_is_shown_with_what_it_holds(served: Served, exporter: Exporter) -> None:
    tracer = Tracer(sampler=AlwaysOnSampler(), exporter=exporter)
    with tracer.span("slow job") as span:
        span.add_attribute("step", "first")
        assert shows(f"{served.url}tracez", "slow job")
        page = fetch(f"{served.url}tracez/{tracer.span_context.trace_id}/{span.span_id}")
        assert "running for" in page
        assert "first" in page
    assert exporter.flush(LIMIT)
    assert "running for" not in fetch(f"{served.url}tracez/{tracer.span_context.trace_id}/{span.span_id}")


def test_metrics_are_shown_as_they_were_sent_last(served: Served, exporter: Exporter) -> None:
    for value in (1, 2):
        request = _metrics_request(value)
        exporter.export_metrics_request(request)
        assert exporter.flush(LIMIT)
    eventually(lambda: shows(f"{served.url}statsz", "queue_length", "7,002"), LIMIT)


def _metrics_request(value: int) -> Any:
    from puremux.proto import metrics_service_pb2

    request = metrics_service_pb2.ExportMetricsServiceRequest()
    added = request.metrics.add()
    added.metric_descriptor.name, added.metric_descriptor.type = "queue_length", 1
    added.timeseries.add().points.add().int64_value = 7_000 + value
    return request


def test_complaints_are_shown(refused_port: int) -> None:
    with (
        Exporter(f"127.0.0.1:{refused_port}", reconnection_period=0.1) as exporter,
        zpages.serve(0, exporter) as served,
    ):
        exporter.export(spans(1))
        eventually(lambda: shows(f"{served.url}exporterz", "it refused; is the server running there"), LIMIT)
        exporter.stop(0)


def test_closing_ends_it_and_lets_go_of_the_exporter(exporter: Exporter) -> None:
    served = zpages.serve(0, exporter)
    served.close()
    served.close()
    with pytest.raises(urllib.error.URLError):
        fetch(served.url)
    assert not exporter._engine.watchers


def test_a_port_in_use_is_named_and_nothing_is_left_behind(served: Served, exporter: Exporter) -> None:
    watchers = exporter._engine.watchers._watchers
    with pytest.raises(OSError, match=rf"cannot serve a page on 127.0.0.1:{served.port}: Address already in use"):
        zpages.serve(served.port, exporter)
    assert exporter._engine.watchers._watchers == watchers


def test_an_exporter_that_is_dropped_goes_although_pages_were_made_of_it(agent: ScriptedAgent) -> None:
    exporter = exporter_to(agent)
    pages = zpages.app(exporter)
    gone = weakref.ref(exporter)
    del exporter, pages
    gc.collect()
    assert gone() is None


def test_the_bounds_hold(agent: ScriptedAgent) -> None:
    bounds = Bounds(spans=10, samples=1, names=5)
    with exporter_to(agent) as exporter, zpages.serve(0, exporter, bounds=bounds) as served:
        exporter.export(spans(1000))
        assert exporter.flush(LIMIT)
        assert shows(f"{served.url}tracez", "1,000 counted, 10 of the newest held", "(other names)")


def test_a_request_without_an_end_does_not_hold_the_others_up(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=LIMIT) as slow:
        slow.sendall(b"POST /debug/traceconfigz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n")
        assert shows(f"{served.url}tracez", "tracez")


@pytest.mark.parametrize(
    "request_, status",
    [
        pytest.param(b"GET /debug/" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414", id="a long address"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431", id="many fields"),
        pytest.param(b"GET /debug/tracez HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403", id="another name"),
        pytest.param(b"GET /debug/tracez HTTP/1.1\r\n\r\n", b"403", id="no name"),
        pytest.param(b"BREW /debug/tracez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405", id="another method"),
        pytest.param(b"GET /debug/%ff%00/../tracez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", id="strange bytes"),
    ],
)
def test_strange_requests_are_refused(served: Served, request_: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=LIMIT) as sock:
        sock.sendall(request_)
        assert sock.makefile("rb").readline().split()[1] == status
    assert shows(f"{served.url}tracez", "tracez")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_sends_as_ever_and_does_not_hold_the_port(agent: ScriptedAgent, exporter: Exporter) -> None:
    served = zpages.serve(0, exporter)
    exporter.export(spans(1, "parent"))
    assert exporter.flush(LIMIT)
    read, write = os.pipe()
    book = served._pages.site._sent.book  # type: ignore[attr-defined]
    with book._lock:  # as the exporter's thread may hold it at that moment
        child = os.fork()
    if child == 0:
        try:
            exporter.export(spans(1, "child"))
            lets_go = served._page._server.socket.fileno() == -1
            is_sent = exporter.flush(LIMIT) and [view.name for view in book.names()] == ["child0"]
            os._exit(0 if lets_go and is_sent else 1)
        finally:
            os._exit(2)
    os.close(write)
    os.close(read)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert shows(f"{served.url}tracez", "parent0")
    served.close()
